//! What goes over the wire to another router, frame by frame.

use std::io::Write as _;
use std::net::Shutdown;
use std::time::Duration;

use conformance::Config;
use conformance::ports::free_port;
use conformance::raw::{Frame, Peer, V, code};
use conformance::tcp::peers::{Server, echo};

/// Descriptor of the section that routers put in front of messages, and its flag of a stream.
const ANNOTATIONS: u64 = 0x534b_5052_2d2d_5241;
const STREAMING: u32 = 1;

/// A connection for data of another router, with a session and links for streams that have credit.
fn data_connection(port: u16, links: u32) -> Peer {
    let mut peer = Peer::connect(port);
    peer.send_bytes(&conformance::raw::AMQP_HEADER);
    let properties = V::Map(vec![
        (V::sym("product"), V::str("another")),
        (V::sym("qd.inter-router-role"), V::Int(4)),
        (V::sym("qd.group-correlator"), V::str("abcdefghijklmno")),
    ]);
    peer.send(&Frame::open("F").with(9, properties));
    peer.read_header().expect("a header");
    peer.expect(code::OPEN);
    peer.send(&Frame::begin());
    peer.expect(code::BEGIN);
    for handle in 0..links {
        let anywhere = V::Desc(0x28, Box::new(V::List(Vec::new())));
        peer.send(&Frame::sender(&format!("stream-{handle}"), handle, None).with(5, anywhere));
        peer.expect(code::ATTACH);
        assert!(peer.expect(code::FLOW).field(6).number() > Some(0), "a link for streams has credit");
    }
    peer
}

/// The beginning of a stream for an address.
fn stream(to: &str) -> Vec<u8> {
    let list = vec![V::Uint(STREAMING), V::str(to), V::str("0/F"), V::List(vec![V::str("0/F")])];
    let mut bytes = vec![0, 0x80];
    bytes.extend(ANNOTATIONS.to_be_bytes());
    V::List(list).write(&mut bytes);
    bytes.extend([0, 0x53, 0x77, 0x40]);
    bytes
}

/// All of a stream of a TCP client that has sent something and ended, and awaits its answer at an address.
fn tcp_stream(to: &str, reply_to: &str, sent: &[u8]) -> Vec<u8> {
    let mut bytes = stream(to);
    bytes.truncate(bytes.len() - 4);
    let properties =
        [V::Null, V::Null, V::str(to), V::Null, V::str(reply_to), V::Null, V::str("application/octet-stream")];
    V::Desc(0x73, Box::new(V::List(properties.into()))).write(&mut bytes);
    bytes.extend([0, 0x53, 0x77, 0x40]);
    bytes.extend(sent);
    bytes
}

/// The reference loses its place on a link, and sends nothing more on it for ever, if a delivery is settled between the moment when its last
/// part is known and that when it is sent. So the outcome of what has not arrived is told and not settled.
#[test]
fn a_delivery_is_not_settled_before_it_has_arrived() {
    let port = free_port();
    let mut config = Config::interior("A");
    config.accept_routers(port);
    let _router = config.start();
    let mut peer = data_connection(port, 1);
    let released = |frame: &Frame| frame.field(4).descriptor() == Some(code::RELEASED);
    for id in 0..20 {
        peer.send(&Frame::transfer(0, id, stream("nowhere")).more());
        let told = peer.expect(code::DISPOSITION);
        assert!(released(&told) && !told.field(3).is_true(), "{told:?}");
        peer.send(&Frame::transfer(0, id, vec![b'x'; 100]).more());
        peer.expect_nothing(1);
        peer.send(&Frame::transfer(0, id, Vec::new()));
        let settled = peer.expect(code::DISPOSITION);
        assert!(released(&settled) && settled.field(3).is_true(), "{settled:?}");
        assert_eq!(settled.field(1).number(), Some(u64::from(id)));
    }
    // One that is settled with its end, or aborted, is over with that.
    peer.send(&Frame::transfer(0, 20, stream("nowhere")).more());
    assert!(!peer.expect(code::DISPOSITION).field(3).is_true());
    peer.send(&Frame::transfer(0, 20, Vec::new()).with(4, V::Bool(true)));
    peer.expect_nothing(1);
    peer.send(&Frame::transfer(0, 21, stream("nowhere")).more());
    assert!(!peer.expect(code::DISPOSITION).field(3).is_true());
    peer.send(&Frame::transfer(0, 21, Vec::new()).with(9, V::Bool(true)));
    peer.expect_nothing(1);
    // And one that comes whole is settled at once.
    peer.send(&Frame::transfer(0, 22, stream("nowhere")));
    let settled = peer.expect(code::DISPOSITION);
    assert!(released(&settled) && settled.field(3).is_true(), "{settled:?}");
}

/// A client that has ended hears of its answer by nothing else when that is lost on its way: what it sent is accepted when the answer is.
#[test]
fn a_tcp_stream_is_accepted_when_its_answer_is() {
    let port = free_port();
    let mut config = Config::interior("A");
    config.accept_routers(port);
    config.tcp_connector("service", echo("it says "), &[]);
    let clients = config.listener(&[]);
    let _router = config.start();
    let mut peer = data_connection(port, 2);
    let mut answers = Peer::begun(clients);
    answers.attach_receiver(0, Some("answers"), 10);
    let accepted = || V::Desc(code::ACCEPTED, Box::new(V::List(Vec::new())));
    let modified = || V::Desc(code::MODIFIED, Box::new(V::List(vec![V::Bool(true)])));
    for (id, (given, told)) in (0..).zip([(accepted(), code::ACCEPTED), (modified(), code::MODIFIED)]) {
        peer.send(&Frame::transfer(id, id, tcp_stream("service", "answers", b"hello")));
        let (answer, message) = answers.expect_delivery();
        assert!(message.ends_with(b"it says hello"), "{message:?}");
        peer.expect_nothing(1);
        let answer = answer.field(1).number().expect("a delivery has a number") as u32;
        answers.send(&Frame::settle(answer, answer, given));
        let outcome = peer.expect(code::DISPOSITION);
        assert_eq!(outcome.field(4).descriptor(), Some(told), "{outcome:?}");
        assert!(outcome.field(3).is_true() && outcome.field(1).number() == Some(u64::from(id)), "{outcome:?}");
    }
}

/// Whoever awaits the answer may not be known yet, as after a change of the network: nothing was read from the server meanwhile.
#[test]
fn the_answer_to_a_tcp_stream_is_begun_again_when_there_is_no_way() {
    let port = free_port();
    let mut config = Config::interior("A");
    config.accept_routers(port);
    let server = Server::start();
    config.tcp_connector("service", server.port, &[]);
    let clients = config.listener(&[]);
    let _router = config.start();
    let mut peer = data_connection(port, 1);
    let mut answers = Peer::begun(clients);
    // The router tries for some tenths of a second only, which may be too short on a busy machine.
    for n in 0..10 {
        let name = format!("answers-{n}");
        peer.send(&Frame::transfer(0, n, tcp_stream("service", &name, b"hello")));
        let mut serving = server.accept();
        serving.write_all(b"it says hello").unwrap();
        serving.shutdown(Shutdown::Write).unwrap();
        answers.attach_receiver(n, Some(&name), 1);
        if answers.readable_within(Duration::from_secs(2)) {
            assert!(answers.expect_delivery().1.ends_with(b"it says hello"));
            return;
        }
        assert_eq!(peer.expect(code::DISPOSITION).field(4).descriptor(), Some(code::MODIFIED));
    }
    panic!("the answer is not begun again");
}
