//! What management sees of links and addresses.

use super::world::*;
use crate::{
    Direction, LinkCounters, LinkStatus, Policy, Terminus, Treatment,
    egress::{DeliveryState, Error},
    entity::PolicyEntity,
};

fn links(w: &World, worker: usize) -> Vec<LinkStatus> {
    let mut handles = w.cores[worker].link_handles();
    handles.sort_unstable();
    handles.into_iter().filter_map(|handle| w.cores[worker].link_status(handle)).collect()
}

/// The address added up over all workers.
fn address(w: &World, key: &str) -> Option<crate::AddressStatus> {
    let mut all = w.cores.iter().filter_map(|core| core.address_status(key));
    let mut first = all.next()?;
    all.for_each(|other| first.add(&other));
    Some(first)
}

/// Properties that have no more than an address, and an empty body.
fn message_to(address: &str) -> Vec<u8> {
    let size = address.len() as u8;
    let properties = [0x00, 0x53, 0x73, 0xc0, size + 5, 3, 0x40, 0x40, 0xa1, size];
    [&properties[..], address.as_bytes(), &[0x00, 0x53, 0x75, 0xa0, 0]].concat()
}

#[test]
fn links_count_what_they_carry() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let r = w.receiver(workers - 1, "a", 20);
        let s = w.sender(0, "a");
        let states = [
            Some(DeliveryState::Accepted),
            Some(DeliveryState::rejected(Some(&Error::new("amqp:internal-error", "no")))),
            Some(DeliveryState::Released),
            Some(DeliveryState::modified(true, false)),
            None,
            Some(DeliveryState::Accepted),
        ];
        for (n, state) in states.into_iter().enumerate() {
            let id = w.send(s, b"x", false);
            let settled = n % 2 == 0;
            w.outcome(r, n, state, settled);
            if !settled {
                w.sender_state(s, id, None, true);
            }
        }
        w.send(s, b"x", true);
        w.send(s, b"x", false);
        let counters = LinkCounters {
            deliveries: 8,
            presettled: 1,
            accepted: 2,
            rejected: 1,
            released: 1,
            modified: 1,
            ..LinkCounters::default()
        };
        let inlet = links(&w, 0).into_iter().find(|link| link.direction == Direction::In).unwrap();
        let outlet = links(&w, workers - 1).into_iter().find(|link| link.direction == Direction::Out).unwrap();
        for link in [&inlet, &outlet] {
            assert_eq!(link.counters, counters, "{workers} {:?}", link.direction);
            assert_eq!(link.address.as_deref(), Some("Ma"));
            assert_eq!((link.unsettled, link.undelivered), (1, 0));
        }
        assert_eq!((outlet.credit, outlet.capacity), (12, None));
        assert_eq!(inlet.capacity, Some(250));
        assert_ne!(inlet.id, outlet.id);
        let status = address(&w, "Ma").unwrap();
        assert_eq!((status.outlets, status.inlets, status.in_process), (1, 1, 0));
        assert_eq!((status.deliveries_in, status.deliveries_out, status.waiting), (8, 8, 0));
    }
}

#[test]
fn an_outcome_that_is_told_twice_counts_once() {
    let mut w = World::new(1);
    let r = w.receiver(0, "a", 10);
    let s = w.sender(0, "a");
    // The sender settles second, and the receiver says what it said again when it settles.
    let id = w.begin(s, b"x", false, true, 1);
    w.outcome(r, 0, Some(DeliveryState::Accepted), false);
    w.sender_state(s, id, None, true);
    let accepted: Vec<u64> = links(&w, 0).iter().map(|link| link.counters.accepted).collect();
    assert_eq!(accepted, [1, 1]);
    w.assert_empty();
}

#[test]
fn what_waits_and_what_nobody_takes_is_seen() {
    let mut w = World::new(1);
    let r = w.receiver(0, "a", 0);
    let s = w.sender(0, "a");
    w.send(s, b"1", false);
    w.send(s, b"2", true);
    let waiting = |w: &World| links(w, 0).into_iter().find(|link| link.direction == Direction::In).unwrap();
    assert_eq!((waiting(&w).undelivered, waiting(&w).unsettled), (2, 0));
    assert_eq!(address(&w, "Ma").unwrap().waiting, 2);
    w.detach_receiver(r);
    let link = waiting(&w);
    assert_eq!((link.undelivered, link.counters.released, link.counters.dropped_presettled), (0, 1, 1));
    w.detach_sender(s);
    assert!(address(&w, "Ma").is_none(), "nobody uses it any more");
    assert!(links(&w, 0).is_empty());
    w.assert_empty();
}

#[test]
fn addresses_remember_links_that_are_gone_and_anonymous_senders() {
    let mut w = World::new(2);
    let r = w.receiver(0, "a", 10);
    let s = w.sender(1, "a");
    w.send(s, b"1", true);
    w.detach_sender(s);
    let other = w.receiver(1, "a", 10);
    w.detach_receiver(other);
    let message = message_to("a");
    let anonymous = w.sender(0, "");
    w.send(anonymous, &message, true);
    let status = address(&w, "Ma").unwrap();
    assert_eq!((status.deliveries_in, status.deliveries_out), (2, 2));
    assert_eq!(w.count(r), 2);
    assert_eq!((status.outlets, status.inlets), (1, 0));
    let keys: Vec<_> = w.cores[0].address_keys();
    assert_eq!(keys.iter().map(|key| &**key).collect::<Vec<_>>(), ["Ma"]);
}

#[test]
fn the_router_itself_is_no_client() {
    let mut w = World::with(1, |config| {
        let nobody = PolicyEntity { enable_vhost_policy: true, max_connections: 0, ..PolicyEntity::default() };
        config.policy = std::sync::Arc::new(Policy::new(&nobody));
        config.default_distribution = Treatment::Unavailable;
    });
    let conn = w.cores[0].internal_connection();
    assert_eq!(w.cores[0].internal_connection(), conn);
    let r = w.attach_receiver(0, conn, Terminus::Address("$management")).unwrap();
    w.credit(r, 10, false);
    let s = w.attach_sender(0, conn, Terminus::Anonymous).unwrap();
    let id = w.send(s, &message_to("$management"), false);
    w.accept(r, 0);
    assert_eq!(w.told(s, id), Some(DeliveryState::Accepted));
    let status = address(&w, "M$management").unwrap();
    assert_eq!((status.in_process, status.outlets, status.to_container, status.from_container), (1, 0, 1, 1));
    assert_eq!((status.deliveries_in, status.deliveries_out), (0, 0));
    assert!(links(&w, 0).is_empty());
    let counters = w.cores[0].counters();
    assert_eq!((counters.connections, counters.inlets, counters.outlets), (0, 0, 0));
    w.detach_sender(s);
    w.detach_receiver(r);
    w.cores[0].connection_closed(conn, &mut w.sides[0]);
    w.assert_empty();
}
