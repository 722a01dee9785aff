//! Annotations of clients (`stripAnnotations`).

use amqp_proto::condition;

use super::network::{from_b, got, know};
use crate::{
    ConnInfo, HopLink, Terminus,
    annotations::{Annotations, Parsed, RESEND_RELEASED, SETTLED, STREAMING, parse},
    core::tests::world::{Receiver, Sender, World},
    egress::DeliveryState,
};

const NORMAL: HopLink = HopLink::Priority(4);

/// A flag that nobody knows, which has to go on.
const OTHER: u32 = 0x80;

/// A sender whose annotations are read.
fn believed(w: &mut World, worker: usize, target: Terminus<'_>) -> Sender {
    let conn = w.conn_with(worker, &ConnInfo { reads_annotations: true, ..ConnInfo::default() });
    w.attach_sender(worker, conn, target).unwrap()
}

/// A receiver that gets annotations.
fn told(w: &mut World, worker: usize, credit: u32) -> Receiver {
    let conn = w.conn_with(worker, &ConnInfo { gives_annotations: true, ..ConnInfo::default() });
    let r = w.attach_receiver(worker, conn, Terminus::Address("svc")).unwrap();
    w.credit(r, credit, false);
    r
}

/// A message whose properties do not say where it goes.
fn annotated(to: Option<&str>, flags: u32) -> Vec<u8> {
    let mut message = Vec::new();
    Annotations { flags, to_override: to, ingress: Some("0/X"), ..Annotations::default() }.compose(None, &mut message);
    message.extend_from_slice(b"\x00\x53\x77\xa1\x02hi");
    message
}

fn flags(w: &World, r: Receiver) -> Vec<u32> {
    let bodies = w.bodies(r);
    let flags = bodies.iter().map(|body| match parse(body).unwrap() {
        Parsed::Found(annotations, _) => annotations.flags,
        other => panic!("{other:?}"),
    });
    flags.collect()
}

const BODY: &[u8] = b"\x00\x53\x77\xa1\x02hi";

#[test]
fn what_a_client_puts_in_front_is_taken_off() {
    let mut w = World::new(1);
    let r = w.receiver(0, "svc", 100);
    let s = w.sender(0, "svc");
    let whole = annotated(Some("elsewhere"), STREAMING | OTHER);
    w.send(s, &whole, false);
    // It may come in pieces of any size.
    for first in [1, 2, 5, 12, whole.len() - BODY.len(), whole.len() - 1] {
        w.begin(s, &whole, false, false, first);
        w.send_rest(s);
    }
    // What only begins alike, too.
    w.begin(s, BODY, false, false, 1);
    w.send_rest(s);
    assert_eq!(w.bodies(r), [BODY; 8]);
    w.accept_all(r);
    w.assert_empty();
}

/// Without them, the message says itself where it goes.
#[test]
fn annotations_that_are_taken_off_do_not_route() {
    let mut w = World::new(1);
    let (r, other) = (w.receiver(0, "svc", 10), w.receiver(0, "other", 10));
    let s = w.sender(0, "");
    let mut message = annotated(Some("other"), 0);
    message.truncate(message.len() - BODY.len());
    message.extend_from_slice(&super::forwarding::message(Some("svc"), None));
    w.send(s, &message, false);
    w.begin(s, &message, false, false, 30);
    w.send_rest(s);
    let believed = believed(&mut w, 0, Terminus::Anonymous);
    w.send(believed, &message, false);
    assert_eq!((w.count(r), w.count(other)), (2, 1));
    assert!(w.bodies(r).iter().all(|body| *body == super::forwarding::message(Some("svc"), None)));
    w.accept_all(r);
    w.accept_all(other);
    w.assert_empty();
}

#[test]
fn annotations_that_are_read_go_on() {
    let mut w = World::new(1);
    let b = w.hop(0, "B", NORMAL, 10);
    know(&mut w, &[("B", "Msvc")]);
    let (targeted, anonymous) =
        (believed(&mut w, 0, Terminus::Address("svc")), believed(&mut w, 0, Terminus::Anonymous));
    // Where the link says where it goes, nothing else does.
    w.send(targeted, &annotated(Some("elsewhere"), OTHER | RESEND_RELEASED | SETTLED), false);
    w.send(anonymous, &annotated(Some("svc"), OTHER), false);
    let id = w.send(anonymous, &annotated(None, 0), false);
    assert!(matches!(w.told(anonymous, id), Some(DeliveryState::Rejected(_))), "there is no address");
    let got = got(&w, b);
    for message in &got {
        message.assert_says("svc", "0/X", &["0/A"], BODY);
    }
    assert_eq!(got.len(), 2);
    assert_eq!(flags(&w, b), [OTHER | RESEND_RELEASED, OTHER], "what only routers of ours say is not believed");
    assert!(!w.outlet(b).received[0].settled);
    w.accept_all(b);
    w.assert_empty();
}

#[test]
fn what_is_wrong_with_them_is_said() {
    let mut w = World::new(1);
    let r = w.receiver(0, "svc", 10);
    let read = believed(&mut w, 0, Terminus::Address("svc"));
    let skipped = w.sender(0, "svc");
    let prefix = &annotated(None, 0)[..10];
    let tests: [(&[u8], &str, bool); 4] = [
        (b"\xc1\x01\x00", condition::DECODE_ERROR, true),
        (b"\xc0\x02\x01\x43", condition::INVALID_FIELD, false),
        (b"\xc0\x06\x04\xa3\x01x\x40\x40\x45", condition::INVALID_FIELD, false),
        (b"\xc0\x70\x04\x43\x40\x40\x45", condition::INVALID_FIELD, true),
    ];
    for (list, expected, always) in tests {
        let message = [prefix, list, BODY].concat();
        let said = |w: &World, s, id| Some(w.told(s, id)?.rejected_error()?.condition.as_str().to_owned());
        let id = w.send(read, &message, false);
        assert_eq!(said(&w, read, id).as_deref(), Some(expected), "{list:?}");
        let id = w.send(skipped, &message, false);
        assert_eq!(said(&w, skipped, id).as_deref(), always.then_some(expected), "{list:?}");
    }
    assert_eq!(w.count(r), 2, "what is taken off need not be right");
    w.accept_all(r);
    w.assert_empty();
}

#[test]
fn clients_that_want_annotations_get_them() {
    for (workers, credit) in [(1, 10), (2, 10), (1, 0), (2, 0)] {
        let mut w = World::new(workers);
        let r = told(&mut w, workers - 1, credit);
        let s = w.sender(0, "svc");
        let ids = [w.send(s, BODY, false), w.send(s, BODY, true)];
        let from = w.router_sender(0);
        w.send(from, &from_b(Some("svc"), OTHER | SETTLED, BODY), false);
        w.credit(r, 10, false);
        let got = got(&w, r);
        assert_eq!(got.len(), 3);
        got[0].assert_says("svc", "0/A", &["0/A"], BODY);
        got[1].assert_says("svc", "0/A", &["0/A"], BODY);
        got[2].assert_says("svc", "0/B", &["0/B", "0/A"], BODY);
        assert_eq!(flags(&w, r), [0, 0, OTHER]);
        w.accept_all(r);
        assert_eq!(w.told(s, ids[0]), Some(DeliveryState::Accepted));
        w.detach_receiver(r);
        // Nobody wants them any more.
        let plain = w.receiver(0, "svc", 10);
        w.send(s, BODY, true);
        assert_eq!(w.bodies(plain), [BODY]);
        w.assert_empty();
    }
}

/// An edge router says nothing of the way.
#[test]
fn clients_of_an_edge_router_are_not_told_the_way() {
    let mut w = World::with(1, |config| config.edge = true);
    let r = told(&mut w, 0, 10);
    let s = believed(&mut w, 0, Terminus::Address("svc"));
    w.send(s, &annotated(None, OTHER), true);
    let bodies = w.bodies(r);
    let Parsed::Found(said, size) = parse(&bodies[0]).unwrap() else { panic!("no annotations") };
    assert_eq!((said.to_override, said.ingress, said.trace.len(), said.flags), (Some("svc"), None, 0, OTHER));
    assert_eq!(&bodies[0][size..], BODY);
    w.assert_empty();
}

#[test]
fn what_waits_keeps_what_its_client_said() {
    let mut w = World::new(1);
    let r = w.receiver(0, "svc", 0);
    let s = believed(&mut w, 0, Terminus::Address("svc"));
    w.send(s, &annotated(None, OTHER), false);
    let b = w.hop(0, "B", NORMAL, 10);
    know(&mut w, &[("B", "Msvc")]);
    w.detach_receiver(r);
    let got = got(&w, b);
    assert_eq!(got.len(), 1);
    got[0].assert_says("svc", "0/X", &["0/A"], BODY);
    assert_eq!(flags(&w, b), [OTHER]);
    w.accept_all(b);
    w.assert_empty();
}
