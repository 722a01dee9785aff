use bytes::Bytes;

use super::peer::*;
use crate::{
    Encode, Performative, Reader, Symbol, Symbols,
    connection::*,
    frame::{FrameHeader, ProtocolId, write_sasl},
    performative::Open,
    sasl::{SaslCode, SaslFrame, SaslInit, SaslMechanisms, SaslOutcome, SaslResponse, Secret},
};

fn sasl_server(mechanisms: &[&str], allow_bare: bool) -> Peer {
    let mechanisms = Symbols(mechanisms.iter().map(|m| Symbol::from(*m)).collect());
    Peer::raw(config(), Side::Server(ServerSasl { mechanisms, allow_bare }))
}

fn recv_sasl(peer: &mut Peer) -> SaslFrame {
    let mut frame = peer.take_bytes(4);
    let size = u32::from_be_bytes(frame.clone().try_into().unwrap()) as usize;
    frame.extend(peer.take_bytes(size - 4));
    let block = Bytes::from(frame);
    let header = FrameHeader::parse(&block, 512).unwrap().unwrap();
    SaslFrame::decode(&block, header.body_range(0)).unwrap()
}

fn send_sasl<T: Encode>(peer: &mut Peer, body: &T) {
    let mut out = Vec::new();
    write_sasl(&mut out, body);
    peer.bytes(&out);
}

fn init(mechanism: &str, response: Option<&[u8]>) -> SaslInit {
    SaslInit {
        mechanism: mechanism.into(),
        initial_response: response.map(|r| Secret(Bytes::copy_from_slice(r))),
        hostname: Some("here".into()),
    }
}

#[test]
fn bare_amqp_where_it_is_allowed() {
    for mechanisms in [&["ANONYMOUS"][..], &[]] {
        let mut peer = sasl_server(mechanisms, true);
        peer.bytes(&ProtocolId::Amqp.header());
        assert_eq!(peer.take_header(), ProtocolId::Amqp.header());
        peer.send(0, &Open { container_id: "c".into(), ..Open::default() });
        assert!(matches!(peer.event(), Event::Opened(open) if open.container_id == "c"));
        assert!(matches!(peer.recv(), (0, Performative::Open(_), _)));
        assert!(peer.engine.is_open());
    }
}

#[test]
fn wrong_headers_are_answered_with_ours_and_the_end() {
    let amqp = ProtocolId::Amqp.header();
    let sasl = ProtocolId::Sasl.header();
    type Case<'a> = (&'a [&'a str], bool, &'a [u8], [u8; 8]);
    let cases: [Case<'_>; 7] = [
        (&["ANONYMOUS"], false, &amqp, sasl),
        (&[], true, &sasl, amqp),
        (&["PLAIN"], true, b"AMQP\x00\x00\x09\x01", sasl),
        (&["PLAIN"], true, b"GET / HTTP/1.1\r\n", sasl),
        (&[], true, b"G", amqp),
        (&["PLAIN"], true, &ProtocolId::Tls.header(), sasl),
        (&[], true, b"AMQP\x00\x01\x00\x01", amqp),
    ];
    for (mechanisms, bare, sent, answer) in cases {
        let mut peer = sasl_server(mechanisms, bare);
        peer.bytes(sent);
        assert_eq!(peer.take_header(), answer);
        let Event::Closed(closed) = peer.event() else { panic!() };
        assert_eq!(closed.by, Initiator::Local);
        check(closed.error.as_ref().unwrap(), "amqp:connection:framing-error", "");
        assert!(peer.engine.is_closed());
        assert!(peer.take_bytes(1).is_empty());
    }
}

#[test]
fn a_probe_leaves_no_error() {
    let mut peer = sasl_server(&["ANONYMOUS"], true);
    let Some(Event::Closed(closed)) = peer.engine.handle_eof() else { panic!() };
    assert_eq!(*closed, Closed { by: Initiator::Peer, error: None });
    assert!(peer.engine.handle_eof().is_none());
    assert!(peer.take_bytes(1).is_empty());
}

#[test]
fn a_lost_connection_is_an_error() {
    let mut peer = Peer::opened();
    let Some(Event::Closed(closed)) = peer.engine.handle_eof() else { panic!() };
    assert_eq!(closed.by, Initiator::Peer);
    check(closed.error.as_ref().unwrap(), "amqp:connection:framing-error", "without closing");
}

#[test]
fn sasl_as_server() {
    type Case<'a> = (&'a str, Option<&'a [u8]>, bool, &'a [u8]);
    let cases: [Case<'_>; 6] = [
        ("ANONYMOUS", Some(b"trace"), false, b"trace"),
        ("ANONYMOUS", None, false, b""),
        ("EXTERNAL", None, false, b""),
        ("EXTERNAL", Some(b"id"), false, b"id"),
        ("PLAIN", Some(b"\0bob\0pw"), false, b"\0bob\0pw"),
        ("PLAIN", None, true, b"\0bob\0pw"),
    ];
    for (mechanism, response, challenged, expected) in cases {
        let mut peer = sasl_server(&["EXTERNAL", "PLAIN", "ANONYMOUS"], false);
        peer.bytes(&ProtocolId::Sasl.header());
        assert_eq!(peer.take_header(), ProtocolId::Sasl.header());
        let SaslFrame::Mechanisms(offered) = recv_sasl(&mut peer) else { panic!() };
        assert_eq!(offered.sasl_server_mechanisms.0, ["EXTERNAL", "PLAIN", "ANONYMOUS"].map(Symbol::from));
        send_sasl(&mut peer, &init(mechanism, response));
        if challenged {
            assert!(matches!(recv_sasl(&mut peer), SaslFrame::Challenge(c) if c.challenge.0.is_empty()));
            send_sasl(&mut peer, &SaslResponse { response: Secret(Bytes::copy_from_slice(expected)) });
        }
        let Event::Sasl(request) = peer.event() else { panic!() };
        assert_eq!(request.mechanism, mechanism);
        assert_eq!(request.response, expected);
        assert_eq!(request.hostname.as_ref().unwrap(), &"here");
        assert!(peer.engine.awaits_owner());
        peer.engine.sasl_challenge(b"more");
        assert!(matches!(recv_sasl(&mut peer), SaslFrame::Challenge(c) if c.challenge.0 == "more"));
        send_sasl(&mut peer, &SaslResponse { response: Secret(Bytes::from_static(b"answer")) });
        assert!(matches!(peer.event(), Event::Sasl(r) if r.response == "answer"));
        peer.engine.sasl_outcome(SaslCode::Ok);
        assert!(matches!(recv_sasl(&mut peer), SaslFrame::Outcome(o) if o.code == SaslCode::Ok));
        peer.bytes(&ProtocolId::Amqp.header());
        assert_eq!(peer.take_header(), ProtocolId::Amqp.header());
        peer.send(0, &Open { container_id: "c".into(), ..Open::default() });
        assert!(matches!(peer.event(), Event::Opened(_)));
        assert!(peer.engine.is_open());
    }
}

#[test]
fn refused_credentials_and_unknown_mechanisms_end_it() {
    let mut peer = sasl_server(&["PLAIN"], false);
    peer.bytes(&ProtocolId::Sasl.header());
    peer.take_header();
    recv_sasl(&mut peer);
    send_sasl(&mut peer, &init("PLAIN", Some(b"\0a\0b")));
    peer.event();
    peer.engine.sasl_outcome(SaslCode::Auth);
    assert!(matches!(recv_sasl(&mut peer), SaslFrame::Outcome(o) if o.code == SaslCode::Auth));
    peer.bytes(b"");
    assert!(
        matches!(peer.event(), Event::Closed(c) if c.error.as_ref().unwrap().condition == "amqp:unauthorized-access")
    );

    let mut peer = sasl_server(&["PLAIN"], false);
    peer.bytes(&ProtocolId::Sasl.header());
    peer.take_header();
    recv_sasl(&mut peer);
    send_sasl(&mut peer, &init("GSSAPI", Some(b"")));
    assert!(matches!(recv_sasl(&mut peer), SaslFrame::Outcome(o) if o.code == SaslCode::Auth));
    assert!(
        matches!(peer.event(), Event::Closed(c) if c.error.as_ref().unwrap().description.as_ref().unwrap().as_str().contains("GSSAPI"))
    );
}

#[test]
fn sasl_frames_out_of_order_end_it() {
    let mut peer = sasl_server(&["PLAIN"], false);
    peer.bytes(&ProtocolId::Sasl.header());
    peer.take_header();
    recv_sasl(&mut peer);
    send_sasl(&mut peer, &SaslOutcome { code: SaslCode::Ok, additional_data: None });
    let Event::Closed(closed) = peer.event() else { panic!() };
    check(closed.error.as_ref().unwrap(), "amqp:illegal-state", "sasl-outcome");

    // AMQP frames before the end of the exchange, and SASL frames after it.
    let mut peer = sasl_server(&["PLAIN"], false);
    peer.bytes(&ProtocolId::Sasl.header());
    peer.send(0, &Open::default());
    let Event::Closed(closed) = peer.event() else { panic!() };
    check(closed.error.as_ref().unwrap(), "amqp:connection:framing-error", "before the end of the SASL");
    let mut peer = Peer::opened();
    send_sasl(&mut peer, &init("PLAIN", None));
    peer.expect_close("amqp:connection:framing-error", "after the end of the SASL");
}

fn client(sasl: ClientSasl) -> Peer {
    Peer::raw(Config { hostname: Some("there".into()), ..config() }, Side::Client(sasl))
}

#[test]
fn sasl_as_client() {
    let nested =
        ClientSasl::First(vec![ClientSasl::First(Vec::new()), ClientSasl::External { authzid: String::new() }]);
    let cases = [
        (ClientSasl::Anonymous, "ANONYMOUS", &b""[..]),
        (ClientSasl::Plain { username: "u".into(), password: "p".into() }, "PLAIN", b"\0u\0p"),
        (ClientSasl::External { authzid: "me".into() }, "EXTERNAL", b"me"),
        (ClientSasl::First(vec![ClientSasl::None, nested, ClientSasl::Anonymous]), "EXTERNAL", b""),
    ];
    for (sasl, name, response) in cases {
        let mut peer = client(sasl);
        assert_eq!(peer.take_header(), ProtocolId::Sasl.header());
        peer.bytes(&ProtocolId::Sasl.header());
        let offered = Symbols(["PLAIN", "EXTERNAL", "ANONYMOUS"].map(Symbol::from).to_vec());
        send_sasl(&mut peer, &SaslMechanisms { sasl_server_mechanisms: offered });
        let SaslFrame::Init(init) = recv_sasl(&mut peer) else { panic!() };
        assert_eq!(init.mechanism, name);
        assert_eq!(init.initial_response.unwrap().0, response);
        assert_eq!(init.hostname.unwrap(), "there");
        send_sasl(&mut peer, &SaslOutcome { code: SaslCode::Ok, additional_data: None });
        assert!(matches!(peer.event(), Event::Authenticated));
        assert_eq!(peer.take_header(), ProtocolId::Amqp.header());
        assert!(matches!(peer.recv(), (0, Performative::Open(o), _) if o.hostname.as_ref().unwrap() == "there"));
        peer.bytes(&ProtocolId::Amqp.header());
        peer.send(0, &Open { container_id: "s".into(), ..Open::default() });
        assert!(matches!(peer.event(), Event::Opened(_)));
        assert!(peer.engine.is_open());
    }
}

#[test]
fn a_client_says_why_it_cannot_authenticate() {
    let mut peer = client(ClientSasl::Anonymous);
    peer.bytes(&ProtocolId::Sasl.header());
    send_sasl(&mut peer, &SaslMechanisms { sasl_server_mechanisms: Symbols(vec!["PLAIN".into(), "EXTERNAL".into()]) });
    let Event::Closed(closed) = peer.event() else { panic!() };
    check(closed.error.as_ref().unwrap(), "amqp:unauthorized-access", "offers SASL PLAIN, EXTERNAL, not ANONYMOUS");

    let external = ClientSasl::External { authzid: String::new() };
    let mut peer = client(ClientSasl::First(vec![external, ClientSasl::Anonymous]));
    peer.bytes(&ProtocolId::Sasl.header());
    send_sasl(&mut peer, &SaslMechanisms { sasl_server_mechanisms: Symbols(vec!["PLAIN".into()]) });
    let Event::Closed(closed) = peer.event() else { panic!() };
    check(closed.error.as_ref().unwrap(), "amqp:unauthorized-access", "offers SASL PLAIN, not EXTERNAL or ANONYMOUS");

    let mut peer = client(ClientSasl::Anonymous);
    peer.bytes(&ProtocolId::Sasl.header());
    send_sasl(&mut peer, &SaslMechanisms { sasl_server_mechanisms: Symbols(vec!["ANONYMOUS".into()]) });
    send_sasl(&mut peer, &SaslOutcome { code: SaslCode::SysTemp, additional_data: None });
    let Event::Closed(closed) = peer.event() else { panic!() };
    check(closed.error.as_ref().unwrap(), "amqp:unauthorized-access", "SysTemp");
    // A server that wants another layer.
    let mut peer = client(ClientSasl::None);
    assert_eq!(peer.take_header(), ProtocolId::Amqp.header());
    peer.bytes(&ProtocolId::Sasl.header());
    assert!(
        matches!(peer.event(), Event::Closed(c) if c.error.as_ref().unwrap().description.as_ref().unwrap().as_str().contains("Sasl"))
    );
}

#[test]
fn what_open_negotiates() {
    let mut peer = Peer::raw(
        Config { max_frame_size: 2000, channel_max: 3, ..config() },
        Side::Server(ServerSasl { allow_bare: true, ..ServerSasl::default() }),
    );
    peer.bytes(&ProtocolId::Amqp.header());
    peer.take_header();
    peer.send(0, &Open { container_id: "c".into(), max_frame_size: 700, channel_max: 1, ..Open::default() });
    let (_, Performative::Open(open), _) = peer.recv() else { panic!() };
    assert_eq!((open.max_frame_size, open.channel_max, open.idle_time_out), (2000, 3, Some(8000)));
    assert_eq!(peer.engine.peer_max_frame_size(), 700);
    assert!(peer.engine.begin().is_ok());
    assert!(peer.engine.begin().is_ok());
    assert_eq!(peer.engine.begin(), Err(CommandError::NoChannel));
}

#[test]
fn opens_that_make_no_sense() {
    let open = |open: Open| {
        let mut peer = Peer::raw(config(), Side::Server(ServerSasl { allow_bare: true, ..ServerSasl::default() }));
        peer.bytes(&ProtocolId::Amqp.header());
        peer.take_header();
        peer.send(0, &open);
        peer
    };
    open(Open { max_frame_size: 511, ..Open::default() }).expect_close("amqp:invalid-field", "max-frame-size is 511");
    open(Open { idle_time_out: Some(5), ..Open::default() })
        .expect_close("amqp:invalid-field", "idle-time-out of 5 ms");
    let mut peer = Peer::opened();
    peer.send(0, &Open::default());
    peer.expect_close("amqp:illegal-state", "second open");
    let mut peer = Peer::raw(config(), Side::Server(ServerSasl { allow_bare: true, ..ServerSasl::default() }));
    peer.bytes(&ProtocolId::Amqp.header());
    peer.take_header();
    peer.send(1, &Open::default());
    peer.expect_close("amqp:not-allowed", "channel 1");
}

#[test]
fn nothing_is_read_until_the_owner_has_opened() {
    let mut peer = Peer::raw(config(), Side::Server(ServerSasl { allow_bare: true, ..ServerSasl::default() }));
    peer.polite = false;
    let mut bytes = ProtocolId::Amqp.header().to_vec();
    crate::frame::write_amqp(&mut bytes, 0, &Open::default(), 0);
    let opened = bytes.len();
    crate::frame::write_amqp(&mut bytes, 0, &crate::performative::Begin::default(), 0);
    let block = Bytes::from(bytes);
    let mut pos = 0;
    assert!(matches!(peer.engine.handle_input(&block, &mut pos, peer.now), Some(Event::Opened(_))));
    assert!(peer.engine.handle_input(&block, &mut pos, peer.now).is_none());
    assert_eq!(pos, opened);
    peer.engine.open();
    assert!(matches!(peer.engine.handle_input(&block, &mut pos, peer.now), Some(Event::SessionBegun { .. })));
    assert!(Reader::new(&block).remaining() > 0);
}
