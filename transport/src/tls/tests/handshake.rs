//! Who is let in, who is not, and what is said.

use super::pki::{Pki, connected, run, shake, tcp_pair};
use crate::metrics;
use crate::stream::StreamError;
use crate::tls::record::{Engine, Session};
use crate::tls::{
    ClientCerts, ClientOptions, HandshakeError, ServerOptions, SslProfileSettings, TlsClient, TlsProfile, TlsServer,
};
use bytes::BytesMut;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::client::UnbufferedClientConnection;
use std::sync::Arc;

fn server(settings: &SslProfileSettings, client_certs: ClientCerts) -> Arc<TlsServer> {
    let options = ServerOptions { client_certs, ..ServerOptions::default() };
    TlsProfile::load(settings).unwrap().server(&options).unwrap()
}

fn client(settings: &SslProfileSettings) -> Arc<TlsClient> {
    TlsProfile::load(settings).unwrap().client(&ClientOptions::default()).unwrap()
}

fn client_without_name_check(settings: &SslProfileSettings) -> Arc<TlsClient> {
    let options = ClientOptions { verify_hostname: false, ..ClientOptions::default() };
    TlsProfile::load(settings).unwrap().client(&options).unwrap()
}

fn local() -> CertificateParams {
    Pki::params("localhost", &["localhost", "127.0.0.1"])
}

#[test]
fn both_versions_agree_and_say_so() {
    run(|| async {
        let pki = Pki::new("ca");
        let base = pki.issue("server", &local());
        for version in ["TLSv1.2", "TLSv1.3"] {
            let settings = SslProfileSettings { protocols: Some(version.to_owned()), ..base.clone() };
            let server = server(&settings, ClientCerts::None);
            let (a, b) = connected(&client(&pki.trusting()), &server).await;
            for stream in [&a, &b] {
                let tls = stream.tls().unwrap();
                assert_eq!(tls.protocol(), version);
                assert!(tls.cipher().contains("GCM") && tls.cipher_bits() >= 128, "{}", tls.cipher());
                assert!(!tls.was_resumed());
                assert_eq!(tls.alpn(), None);
            }
            assert!(b.tls().unwrap().peer_certificates().is_none());
            assert_eq!(b.tls().unwrap().peer_user(), None);
            assert!(a.tls().unwrap().peer_certificates().is_some());
        }
    });
}

#[test]
fn literal_addresses_are_verified_too() {
    run(|| async {
        let pki = Pki::new("ca");
        let server = server(&pki.issue("server", &local()), ClientCerts::None);
        let client = client(&pki.trusting());
        let (a, b) = shake(&client, &server, "127.0.0.1").await;
        assert!(a.is_ok() && b.is_ok());
        let (a, _) = shake(&client, &server, "[::1]").await;
        assert!(matches!(a, Err(HandshakeError::Certificate(_))));
        let (a, _) = shake(&client, &server, "localhost.").await;
        assert!(a.is_ok(), "a trailing dot is no part of the name");
        let (a, _) = shake(&client, &server, "not a name").await;
        assert!(matches!(a, Err(HandshakeError::ServerName(_))));
    });
}

#[test]
fn wrong_names_are_refused_unless_the_check_is_off() {
    run(|| async {
        let pki = Pki::new("ca");
        let server = server(&pki.issue("server", &Pki::params("other", &["other.example"])), ClientCerts::None);
        let (a, b) = shake(&client(&pki.trusting()), &server, "localhost").await;
        let error = a.unwrap_err();
        assert!(matches!(error, HandshakeError::Certificate(_)), "{error}");
        assert!(error.to_string().contains("certificate verify failed"), "{error}");
        assert!(error.to_string().contains("localhost"), "{error}");
        let refused = b.unwrap_err();
        assert!(matches!(refused, HandshakeError::Refused(_)), "{refused}");
        let (a, b) = shake(&client_without_name_check(&pki.trusting()), &server, "localhost").await;
        assert!(a.is_ok() && b.is_ok());
    });
}

#[test]
fn other_authorities_are_refused_with_and_without_name_check() {
    run(|| async {
        let (pki, other) = (Pki::new("ca"), Pki::new("other"));
        let server = server(&pki.issue("server", &local()), ClientCerts::None);
        for client in [client(&other.trusting()), client_without_name_check(&other.trusting())] {
            let (a, b) = shake(&client, &server, "localhost").await;
            assert!(a.unwrap_err().to_string().contains("UnknownIssuer"));
            let text = b.unwrap_err().to_string();
            assert!(text.contains("alert unknown ca"), "{text}");
        }
    });
}

#[test]
fn expired_certificates_are_refused_on_both_sides() {
    run(|| async {
        let pki = Pki::new("ca");
        let mut old = local();
        old.not_before = date_time_ymd(2001, 1, 1);
        old.not_after = date_time_ymd(2002, 1, 1);
        let expired = pki.issue("old", &old);
        let (a, b) = shake(&client(&pki.trusting()), &server(&expired, ClientCerts::None), "localhost").await;
        assert!(a.unwrap_err().to_string().contains("expired"));
        assert!(b.unwrap_err().to_string().contains("alert certificate expired"));
        let good = server(&pki.issue("server", &local()), ClientCerts::Required);
        let (_, b) = shake(&client(&expired), &good, "localhost").await;
        assert!(b.unwrap_err().to_string().contains("expired"));
    });
}

#[test]
fn clients_prove_who_they_are() {
    run(|| async {
        let (pki, other) = (Pki::new("ca"), Pki::new("other"));
        let settings = SslProfileSettings { uid_format: Some("n".to_owned()), ..pki.issue("server", &local()) };
        let required = server(&settings, ClientCerts::Required);
        let optional = server(&settings, ClientCerts::Optional);
        let alice = client(&pki.issue("alice", &Pki::params("alice", &[])));
        for server in [&required, &optional] {
            let (_, b) = connected(&alice, server).await;
            let tls = b.tls().unwrap();
            assert_eq!(tls.peer_user().as_deref(), Some("alice"));
            assert_eq!(tls.peer_certificates().unwrap().len(), 1);
        }
        let nobody = client(&pki.trusting());
        let (_, b) = shake(&nobody, &required, "localhost").await;
        assert!(matches!(b, Err(HandshakeError::NoCertificate)));
        let (_, b) = connected(&nobody, &optional).await;
        assert_eq!(b.tls().unwrap().peer_user(), None);

        // Of another authority: refused also where none is required.
        let stranger = SslProfileSettings {
            ca_cert_file: Some(pki.path("ca.pem")),
            ..other.issue("mallory", &Pki::params("mallory", &[]))
        };
        for server in [&required, &optional] {
            let (a, b) = shake(&client(&stranger), server, "localhost").await;
            let error = b.unwrap_err();
            // OpenSSL's clients send a certificate that nobody asked for; rustls' leave it out.
            assert!(matches!(error, HandshakeError::Certificate(_) | HandshakeError::NoCertificate), "{error}");
            // A client of TLS 1.3 has finished by then, and learns it from its first read.
            if let Ok(mut stream) = a {
                let mut buf = BytesMut::with_capacity(1024);
                let error = stream.read_some(&mut buf).await.unwrap_err();
                assert!(matches!(error, StreamError::Tls(_)), "{error}");
            }
        }
    });
}

#[test]
fn self_signed_certificates_can_be_trusted_themselves() {
    run(|| async {
        let pki = Pki::new("ca");
        let key = KeyPair::generate().unwrap();
        let mut params = local();
        // As `openssl req -x509` makes them.
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        pki.write("self.pem", &params.self_signed(&key).unwrap().pem());
        pki.write("self.key", &key.serialize_pem());
        let own = SslProfileSettings {
            cert_file: Some(pki.path("self.pem")),
            private_key_file: Some(pki.path("self.key")),
            ca_cert_file: Some(pki.path("self.pem")),
            ..pki.trusting()
        };
        let required = server(&own, ClientCerts::Required);
        let (a, b) = shake(&client(&own), &required, "localhost").await;
        a.unwrap();
        b.unwrap();
        let (a, _) = shake(&client(&own), &required, "elsewhere.example").await;
        assert!(matches!(a, Err(HandshakeError::Certificate(_))), "its name still counts");
    });
}

#[test]
fn the_common_name_counts_when_there_are_no_alternative_names() {
    run(|| async {
        let pki = Pki::new("ca");
        let named = server(&pki.issue("cn", &Pki::params("localhost", &[])), ClientCerts::None);
        let (a, _) = shake(&client(&pki.trusting()), &named, "localhost").await;
        a.unwrap();
        let (a, _) = shake(&client(&pki.trusting()), &named, "127.0.0.1").await;
        assert!(a.is_err(), "names only");
        let wildcard = server(&pki.issue("wild", &Pki::params("*.example.org", &[])), ClientCerts::None);
        for (name, good) in [("a.example.org", true), ("a.b.example.org", false), ("example.org", false)] {
            let (a, _) = shake(&client(&pki.trusting()), &wildcard, name).await;
            assert_eq!(a.is_ok(), good, "{name}");
        }
        let both = server(&pki.issue("both", &Pki::params("localhost", &["other.example"])), ClientCerts::None);
        let (a, _) = shake(&client(&pki.trusting()), &both, "localhost").await;
        assert!(a.is_err(), "alternative names replace it");
    });
}

#[test]
fn protocols_and_ciphers_must_meet() {
    run(|| async {
        let pki = Pki::new("ca");
        let base = pki.issue("server", &local());
        let only = |protocols: &str, ciphers: Option<&str>| SslProfileSettings {
            protocols: Some(protocols.to_owned()),
            ciphers: ciphers.map(str::to_owned),
            ..base.clone()
        };
        let new = server(&only("TLSv1.3", None), ClientCerts::None);
        let (a, b) = shake(&client(&only("TLSv1.2", None)), &new, "localhost").await;
        assert!(matches!(b, Err(HandshakeError::Protocol(_))), "{b:?}");
        assert!(matches!(a, Err(HandshakeError::Refused(_))), "{a:?}");
        let chacha = server(&only("TLSv1.2", Some("CHACHA20")), ClientCerts::None);
        let (a, b) = connected(&client(&base), &chacha).await;
        assert_eq!(a.tls().unwrap().cipher(), "ECDHE-ECDSA-CHACHA20-POLY1305");
        assert_eq!(b.tls().unwrap().cipher_bits(), 256);
        let (a, _) = shake(&client(&only("TLSv1.2", Some("AESGCM"))), &chacha, "localhost").await;
        assert!(a.is_err());
    });
}

#[test]
fn application_protocols_are_agreed() {
    run(|| async {
        let pki = Pki::new("ca");
        let options = ServerOptions { alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()], ..ServerOptions::default() };
        let server = TlsProfile::load(&pki.issue("server", &local())).unwrap().server(&options).unwrap();
        let client = client(&pki.trusting());
        for (offer, agreed) in [
            (vec![b"http/1.1".to_vec()], Some(&b"http/1.1"[..])),
            (vec![b"http/1.1".to_vec(), b"h2".to_vec()], Some(b"h2")),
            (vec![], None),
        ] {
            let (x, y) = tcp_pair().await;
            let (a, b) = tokio::join!(client.connect_with_alpn("localhost", x, offer), server.accept(y));
            assert_eq!(a.unwrap().tls().unwrap().alpn(), agreed);
            assert_eq!(b.unwrap().tls().unwrap().alpn(), agreed);
        }
        let (x, y) = tcp_pair().await;
        let (a, b) = tokio::join!(client.connect_with_alpn("localhost", x, vec![b"amqp".to_vec()]), server.accept(y));
        assert!(a.is_err() && b.is_err());
    });
}

#[test]
fn sessions_are_resumed_with_the_client_still_known() {
    run(|| async {
        let pki = Pki::new("ca");
        for version in ["TLSv1.2", "TLSv1.3"] {
            let settings = SslProfileSettings {
                protocols: Some(version.to_owned()),
                uid_format: Some("n".to_owned()),
                ..pki.issue("server", &local())
            };
            let server = server(&settings, ClientCerts::Required);
            let client = client(&pki.issue("bob", &Pki::params("bob", &[])));
            let before = metrics::snapshot();
            for round in 0..3 {
                let (mut a, mut b) = connected(&client, &server).await;
                // Tickets of TLS 1.3 come with the first data.
                b.write_all(b"x").await.unwrap();
                a.read_some(&mut BytesMut::with_capacity(10)).await.unwrap();
                for stream in [&a, &b] {
                    assert_eq!(stream.tls().unwrap().was_resumed(), round > 0, "{version}, round {round}");
                }
                assert_eq!(b.tls().unwrap().peer_user().as_deref(), Some("bob"));
            }
            let after = metrics::snapshot();
            assert_eq!(after.handshakes - before.handshakes, 6);
            assert_eq!(after.resumed - before.resumed, 4);
        }
    });
}

#[test]
fn sessions_are_not_resumed_where_that_is_not_wanted() {
    run(|| async {
        let pki = Pki::new("ca");
        let server = server(&pki.issue("server", &local()), ClientCerts::Required);
        let options = ClientOptions { resume: false, ..ClientOptions::default() };
        let profile = TlsProfile::load(&pki.issue("bob", &Pki::params("bob", &[]))).unwrap();
        let client = profile.client(&options).unwrap();
        for _ in 0..3 {
            let (mut a, mut b) = connected(&client, &server).await;
            b.write_all(b"x").await.unwrap();
            a.read_some(&mut BytesMut::with_capacity(10)).await.unwrap();
            assert!(!a.tls().unwrap().was_resumed());
        }
    });
}

#[test]
fn bytes_that_were_read_before_are_used() {
    run(|| async {
        let pki = Pki::new("ca");
        let server = server(&pki.issue("server", &local()), ClientCerts::None);
        let client = client(&pki.trusting());
        let (x, mut y) = tcp_pair().await;
        let accept = async {
            let mut early = BytesMut::with_capacity(7);
            std::future::poll_fn(|cx| y.poll_read_ready(cx)).await;
            while early.is_empty() {
                std::future::poll_fn(|cx| y.poll_read_ready(cx)).await;
                let _ = y.try_read(&mut early);
            }
            server.accept_after(y, &early).await
        };
        let (a, b) = tokio::join!(client.connect("localhost", x), accept);
        a.unwrap();
        b.unwrap();
    });
}

/// A client of TLS 1.3 may say all that it has to say together with the last message of its handshake, and leave.
#[test]
fn what_comes_with_the_end_of_the_handshake_counts() {
    run(|| async {
        let pki = Pki::new("ca");
        let server = server(&pki.issue("server", &local()), ClientCerts::None);
        let client = client(&pki.trusting());
        let (x, y) = tcp_pair().await;
        let speak = async {
            let mut socket = crate::Stream::from(x);
            let name = "localhost".try_into().unwrap();
            let session = UnbufferedClientConnection::new(client.config().get(), name).unwrap();
            let mut engine = Engine::new(Session::Client(session), &[]);
            engine.process(&mut [], |_| {}).unwrap();
            socket.write_all(&engine.outgoing).await.unwrap();
            engine.sent(usize::MAX);
            while engine.common().is_handshaking() {
                let mut data = BytesMut::with_capacity(64 * 1024);
                data.extend_from_slice(&engine.incoming);
                assert_ne!(socket.read_some(&mut data).await.unwrap(), 0);
                engine.process(&mut data, |_| {}).unwrap();
            }
            let mut record = [0; 1024];
            let used = engine.encrypt(b"all of it", &mut record).unwrap();
            let mut last = engine.outgoing.to_vec();
            engine.sent(usize::MAX);
            last.extend_from_slice(&record[..used]);
            engine.close_notify().unwrap();
            last.extend_from_slice(&engine.outgoing);
            socket.write_all(&last).await.unwrap();
        };
        let serve = async {
            let mut stream = server.accept(y).await.unwrap();
            let mut got = BytesMut::with_capacity(1024);
            while got.len() < 9 {
                assert_ne!(stream.read_some(&mut got).await.unwrap(), 0);
            }
            assert_eq!(got, b"all of it".as_slice());
        };
        tokio::join!(speak, serve);
    });
}

#[test]
fn what_is_no_tls_is_told_as_such() {
    run(|| async {
        let pki = Pki::new("ca");
        let server = server(&pki.issue("server", &local()), ClientCerts::None);
        let (x, y) = tcp_pair().await;
        let mut plain = crate::Stream::from(x);
        let (_, b) = tokio::join!(plain.write_all(b"GET / HTTP/1.1\r\n\r\n"), server.accept(y));
        let error = b.unwrap_err().to_string();
        assert!(error.contains("SSL Failure"), "{error}");

        let (x, y) = tcp_pair().await;
        drop(x);
        assert!(matches!(server.accept(y).await, Err(HandshakeError::Closed)), "as probes do");

        let (x, y) = tcp_pair().await;
        x.reset();
        assert!(matches!(server.accept(y).await, Err(HandshakeError::Stream(StreamError::Reset))));
    });
}

/// Both ends read their profiles again after every file was replaced by one of another authority; what cannot be used changes nothing.
#[test]
fn profiles_are_read_again() {
    run(|| async {
        let (old, new) = (Pki::new("old"), Pki::new("new"));
        let settings = old.issue("both", &local());
        let profile = TlsProfile::load(&settings).unwrap();
        let other = TlsProfile::load(&settings).unwrap();
        let server =
            profile.server(&ServerOptions { client_certs: ClientCerts::Required, ..ServerOptions::default() }).unwrap();
        let client = other.client(&ClientOptions { resume: false, ..ClientOptions::default() }).unwrap();
        let before = connected(&client, &server).await;
        let broken = SslProfileSettings { cert_file: Some(old.path("none.pem")), ..settings.clone() };
        profile.reload(&broken).unwrap_err();
        // The listener asks for certificates of clients.
        let untrusting = SslProfileSettings { ca_cert_file: None, ..settings };
        profile.reload(&untrusting).unwrap_err();
        connected(&client, &server).await;
        let renewed = new.issue("both", &local());
        profile.reload(&renewed).unwrap();
        let (a, b) = shake(&client, &server, "localhost").await;
        assert!(a.is_err() && b.is_err());
        other.reload(&renewed).unwrap();
        connected(&client, &server).await;
        assert!(client.has_certificate());
        other.reload(&new.trusting()).unwrap();
        assert!(!client.has_certificate());
        drop(before);
    });
}
