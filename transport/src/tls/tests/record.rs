//! The record engine, without sockets: input cut anywhere, records of any size, and bytes that were changed on the way.

use crate::tls::record::{Engine, Session, ciphertext_bound};
use proptest::prelude::*;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::{PrivateKeyDer, ServerName};
use std::sync::{Arc, LazyLock};

static CERT: LazyLock<rcgen::CertifiedKey<rcgen::KeyPair>> =
    LazyLock::new(|| rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap());

/// Client and server; `fragment` makes the server's records so small that its messages need several.
fn engines(version: &'static SupportedProtocolVersion, fragment: Option<usize>) -> [Engine; 2] {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(CERT.signing_key.serialize_der()).unwrap();
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CERT.cert.der().clone()], key)
        .unwrap();
    server.max_fragment_size = fragment;
    server.send_tls13_tickets = 4;
    let mut roots = RootCertStore::empty();
    roots.add(CERT.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let client = UnbufferedClientConnection::new(Arc::new(client), name).unwrap();
    let server = UnbufferedServerConnection::new(Arc::new(server)).unwrap();
    [Engine::new(Session::Client(client), &[]), Engine::new(Session::Server(server), &[])]
}

fn feed(engine: &mut Engine, bytes: &[u8], got: &mut Vec<u8>) -> Result<(), rustls::Error> {
    let mut data = engine.incoming.to_vec();
    data.extend_from_slice(bytes);
    engine.process(&mut data, |payload| got.extend_from_slice(payload))
}

fn send(engine: &mut Engine, plaintext: &[u8]) -> Result<(), rustls::Error> {
    // Small fragments need more room than the bound, which counts full records.
    let mut out = vec![0; ciphertext_bound(plaintext.len()) + 128 * plaintext.len()];
    let used = engine.encrypt(plaintext, &mut out)?;
    engine.outgoing.extend_from_slice(&out[..used]);
    Ok(())
}

/// For how many turns both talk.
const TALK: usize = 1000;

/// Lets both talk over a wire that delivers pieces of the sizes given; `spoil` changes the byte at that position of the server's stream.
fn talk(
    version: &'static SupportedProtocolVersion,
    fragment: Option<usize>,
    sizes: &[usize],
    spoil: Option<usize>,
) -> Result<[Vec<u8>; 2], rustls::Error> {
    let mut engines = engines(version, fragment);
    let mut got = [Vec::new(), Vec::new()];
    feed(&mut engines[0], &[], &mut got[0])?;
    let mut sizes = sizes.iter().copied().cycle();
    let mut sent_by_server = 0;
    // Turns since both may talk, which takes some thousands when single bytes arrive.
    let mut ready = 0;
    for turn in 0..100_000 {
        let from = turn % 2;
        let to = 1 - from;
        let n = sizes.next().unwrap_or(1).min(engines[from].outgoing.len());
        let mut piece = engines[from].outgoing[..n].to_vec();
        engines[from].sent(n);
        if from == 1 {
            if let Some(at) = spoil
                && (sent_by_server..sent_by_server + n).contains(&at)
            {
                piece[at - sent_by_server] ^= 0x55;
            }
            sent_by_server += n;
        }
        feed(&mut engines[to], &piece, &mut got[to])?;
        // Talk at every moment, also while a message of the peer is incomplete.
        if !engines[to].common().is_handshaking() && ready < TALK && turn % 7 < 2 {
            send(&mut engines[to], &[to as u8; 50])?;
        }
        let shaking = engines.iter().any(|engine| engine.common().is_handshaking());
        ready += usize::from(!shaking);
        let silent = engines.iter().all(|engine| engine.outgoing.is_empty());
        if silent && (ready > TALK || shaking && turn > TALK) {
            for engine in &mut engines {
                if !engine.incoming.is_empty() || engine.common().is_handshaking() {
                    return Err(rustls::Error::General("both wait for ever".to_owned()));
                }
                engine.close_notify()?;
            }
            let [a, b] = &mut engines;
            let (x, y) = (a.outgoing.to_vec(), b.outgoing.to_vec());
            feed(a, &y, &mut Vec::new())?;
            feed(b, &x, &mut Vec::new())?;
            assert!(a.peer_closed && b.peer_closed);
            return Ok(got);
        }
    }
    panic!("never ends");
}

fn version(new: bool) -> &'static SupportedProtocolVersion {
    if new { &rustls::version::TLS13 } else { &rustls::version::TLS12 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn cuts_do_not_matter(
        new in any::<bool>(),
        fragment in prop_oneof![Just(None), (32_usize..200).prop_map(Some)],
        sizes in proptest::collection::vec(1_usize..400, 1..30),
    ) {
        let got = talk(version(new), fragment, &sizes, None).unwrap();
        prop_assert!(!got[0].is_empty() && got[0].iter().all(|&b| b == 1));
        prop_assert!(!got[1].is_empty() && got[1].iter().all(|&b| b == 0));
        prop_assert!(got.iter().all(|g| g.len() % 50 == 0));
    }

    #[test]
    fn changed_bytes_are_noticed_and_never_panic(
        new in any::<bool>(),
        fragment in prop_oneof![Just(None), (32_usize..200).prop_map(Some)],
        sizes in proptest::collection::vec(1_usize..400, 1..30),
        at in 0_usize..3000,
    ) {
        // A changed version in the header of a record is the one thing that may pass.
        if let Ok(got) = talk(version(new), fragment, &sizes, Some(at)) {
            prop_assert!(got[0].iter().all(|&b| b == 1));
        }
    }

    #[test]
    fn noise_is_refused(server in any::<bool>(), noise in proptest::collection::vec(any::<u8>(), 1..200)) {
        let [client, other] = engines(version(true), None);
        let mut engine = if server { other } else { client };
        let _ = feed(&mut engine, &[], &mut Vec::new());
        let first = feed(&mut engine, &noise, &mut Vec::new());
        if first.is_err() {
            prop_assert!(feed(&mut engine, b"more", &mut Vec::new()).is_err());
            prop_assert!(send(&mut engine, b"x").is_err());
            prop_assert!(engine.close_notify().is_err());
        }
    }
}
