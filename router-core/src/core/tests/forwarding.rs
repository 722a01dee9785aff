use super::world::*;
use crate::{
    AddressConfig, Refusal, Terminus, Treatment,
    egress::{DeliveryState, Payload},
};

/// A message with this `to` and priority.
pub(super) fn message(to: Option<&str>, priority: Option<u8>) -> Vec<u8> {
    let mut m = Vec::new();
    if let Some(priority) = priority {
        m.extend([0x00, 0x53, 0x70, 0xc0, 4, 2, 0x42, 0x50, priority]);
    }
    if let Some(to) = to {
        m.extend([0x00, 0x53, 0x73, 0xc0, (to.len() + 5) as u8, 3, 0x40, 0x40, 0xa1, to.len() as u8]);
        m.extend(to.as_bytes());
    }
    m.extend([0x00, 0x53, 0x77, 0xa1, 1, b'x']);
    m
}

#[test]
fn a_ready_outlet_gets_it_at_once() {
    let mut w = World::new(1);
    let r = w.receiver(0, "a", 10);
    let s = w.sender(0, "a");
    let one = w.send(s, b"one", false);
    w.send(s, b"two", true);
    assert!(w.bodies(r) == [b"one", b"two"]);
    assert_eq!(w.cores[0].counters().deliveries_held, 1);
    w.accept(r, 0);
    assert_eq!(w.told(s, one), Some(DeliveryState::Accepted));
    let c = w.cores[0].counters();
    assert_eq!((c.deliveries_in, c.deliveries_out, c.accepted, c.presettled, c.waited), (2, 2, 1, 1, 0));
    assert_eq!((c.bytes_in, c.bytes_out, c.bytes_held, c.deliveries_held), (6, 6, 0, 0));
    w.assert_empty();
}

#[test]
fn four_receivers_get_exactly_the_same() {
    for (address, settled) in [("a", true), ("a", false), ("close/a", true), ("close/a", false)] {
        let mut w = World::new(1);
        let receivers: Vec<_> = (0..4).map(|_| w.receiver(0, address, 100)).collect();
        let s = w.sender(0, address);
        for n in 0..200u8 {
            w.send(s, &[n], settled);
        }
        let counts: Vec<_> = receivers.iter().map(|r| w.count(*r)).collect();
        assert_eq!(counts, [50; 4], "{address} {settled}");
    }
}

#[test]
fn balanced_prefers_who_has_least_to_do() {
    let mut w = World::new(1);
    let (slow, fast) = (w.receiver(0, "a", 100), w.receiver(0, "a", 100));
    let s = w.sender(0, "a");
    for n in 0..60u8 {
        w.send(s, &[n], false);
        w.accept_all(fast);
    }
    assert_eq!((w.count(slow), w.count(fast)), (1, 59));
}

#[test]
fn without_credit_it_waits_in_order() {
    let mut w = World::new(1);
    let r = w.receiver(0, "a", 0);
    let s = w.sender(0, "a");
    for n in 0..5u8 {
        w.send(s, &[n], n % 2 == 0);
    }
    assert!(w.inlet(s).held > 0);
    w.credit(r, 2, false);
    w.credit(r, 3, false);
    assert_eq!(w.bodies(r), [[0], [1], [2], [3], [4]]);
    assert_eq!(w.inlet(s).held, 0);
}

#[test]
fn priority_counts_between_senders_and_not_within_one() {
    let mut w = World::new(1);
    let r = w.receiver(0, "a", 0);
    let (one, two) = (w.sender(0, "a"), w.sender(0, "a"));
    let m = |p| message(None, p);
    w.send(one, &m(Some(2)), true);
    w.send(one, &m(Some(9)), true);
    w.send(two, &m(Some(7)), true);
    w.send(two, &m(None), true);
    w.credit(r, 10, false);
    assert!(w.bodies(r) == [m(Some(7)), m(None), m(Some(2)), m(Some(9))]);
    w.send(one, &m(Some(9)), true);
    w.assert_empty();
}

#[test]
fn a_configured_priority_overrides() {
    let mut w = World::with(1, |c| {
        c.addresses.push(AddressConfig { priority: Some(8), ..AddressConfig::pattern("a", Treatment::Balanced) });
    });
    let r = w.receiver(0, "a", 0);
    let (one, two) = (w.sender(0, "a"), w.sender(0, "a"));
    w.send(one, &message(None, Some(1)), true);
    w.send(two, &message(None, Some(9)), true);
    w.credit(r, 10, false);
    assert!(w.bodies(r) == [message(None, Some(1)), message(None, Some(9))]);
}

#[test]
fn anonymous_deliveries_say_where_they_go() {
    let mut w = World::new(1);
    let s = w.sender(0, "");
    assert_eq!(w.inlet(s).credit, 250, "credit comes at once");
    let r = w.receiver(0, "a/b", 10);
    let id = w.send(s, &message(Some("amqp://host/a/b"), None), false);
    assert_eq!(w.count(r), 1);
    w.accept(r, 0);
    assert_eq!(w.told(s, id), Some(DeliveryState::Accepted));

    let id = w.send(s, &message(Some("nobody"), None), false);
    assert_eq!(w.told(s, id), Some(DeliveryState::Released));
    let condition = |w: &World, id| match w.told(s, id) {
        Some(state @ DeliveryState::Rejected(_)) => state.rejected_error().map(|e| e.condition.as_str().to_owned()),
        _ => None,
    };
    let id = w.send(s, &message(Some("none/x"), None), false);
    assert_eq!(condition(&w, id).as_deref(), Some("amqp:not-found"));
    for to in [None, Some("")] {
        let id = w.send(s, &message(to, None), false);
        assert_eq!(condition(&w, id).as_deref(), Some("amqp:precondition-failed"));
    }
    let id = w.send(s, b"noise", false);
    assert_eq!(condition(&w, id).as_deref(), Some("amqp:decode-error"));
    w.send(s, b"noise", true);
    assert_eq!(w.cores[0].counters().dropped_presettled, 1);
    w.assert_empty();
}

#[test]
fn an_anonymous_address_may_come_byte_by_byte() {
    let mut w = World::new(1);
    let r = w.receiver(0, "a", 10);
    let s = w.sender(0, "");
    let body = message(Some("a"), Some(3));
    let id = w.begin(s, &body, false, false, 0);
    for _ in 0..body.len() {
        w.part(s, 1);
    }
    assert!(w.bodies(r) == [body.clone()]);
    w.accept(r, 0);
    assert_eq!(w.told(s, id), Some(DeliveryState::Accepted));
    // Refused before it has arrived completely.
    let body = [message(Some("nobody"), None), vec![0; 100]].concat();
    let id = w.begin(s, &body, false, false, 60);
    assert_eq!(w.told(s, id), Some(DeliveryState::Released));
    w.part(s, 100);
    w.begin(s, &message(Some("a"), None), false, false, 3);
    w.abort(s);
    w.begin(s, &message(Some("a"), None), false, false, 3);
    w.assert_empty();
}

#[test]
fn unavailable_addresses_are_refused() {
    let mut w = World::new(1);
    let conn = w.conn(0);
    let refused = Refusal::NotFound("Node not found");
    assert_eq!(w.attach_sender(0, conn, Terminus::Address("none/x")), Err(refused.clone()));
    assert_eq!(w.attach_receiver(0, conn, Terminus::Address("none/x")), Err(refused.clone()));
    assert_eq!(w.attach_sender(0, conn, Terminus::Address("/")), Err(refused.clone()));
    assert!(matches!(w.attach_receiver(0, conn, Terminus::Anonymous), Err(Refusal::Invalid(_))));
    assert_eq!((refused.condition(), refused.to_string().as_str()), ("amqp:not-found", "Node not found"));
    assert_eq!(w.cores[0].counters().links_denied, 4);
}

#[test]
fn dynamic_addresses_lead_back() {
    let mut w = World::new(2);
    let conn = w.conn(0);
    let r = w.attach_receiver(0, conn, Terminus::Dynamic).unwrap();
    w.credit(r, 10, false);
    let address = w.outlet(r).dynamic.clone().unwrap();
    assert!(address.starts_with("amqp:/_topo/0/A/temp.") && address.len() == 21 + 15);
    let s = w.sender(1, &address);
    w.send(s, b"reply", true);
    let anonymous = w.sender(1, "");
    w.send(anonymous, &message(Some(&address), None), true);
    assert_eq!(w.count(r), 2);

    let conn = w.conn(1);
    let s = w.attach_sender(1, conn, Terminus::Dynamic).unwrap();
    let address = w.inlet(s).dynamic.clone().unwrap();
    assert!(address.starts_with("amqp:/_$temp."));
    let r = w.receiver(0, &address, 10);
    w.send(s, b"x", true);
    assert_eq!(w.count(r), 1);
    w.assert_empty();
}

#[test]
fn stale_keys_do_nothing() {
    let mut w = World::new(1);
    let r = w.receiver(0, "a", 10);
    let s = w.sender(0, "a");
    let key = w.inlet(s).key;
    let outlet = w.outlet(r).key;
    w.detach_sender(s);
    w.detach_receiver(r);
    let t = crate::Transfer {
        delivery_id: 0,
        first: true,
        end: crate::egress::End::Complete,
        settled: false,
        message_format: 0,
        rcv_second: false,
    };
    assert_eq!(w.cores[0].transfer(key, &t, &Payload::empty(), &mut w.sides[0]), None);
    w.cores[0].credit(outlet, 5, true, &mut w.sides[0]);
    w.cores[0].detach_outlet(outlet, &mut w.sides[0]);
    w.cores[0].outcome(crate::OutKey::NONE, None, true, &mut w.sides[0]);
    w.assert_empty();
}
