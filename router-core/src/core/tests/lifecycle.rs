use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use super::world::*;
use crate::{AddressConfig, Reachability, ServerInfo, Terminus, Treatment, egress::DeliveryState};

#[test]
fn the_last_consumer_leaves() {
    let mut w = World::new(2);
    let (near, far) = (w.receiver(0, "a", 0), w.receiver(1, "a", 0));
    let s = w.sender(0, "a");
    let id = w.send(s, b"x", false);
    let long = w.begin(s, b"xyz", false, false, 1);
    w.detach_receiver(near);
    assert_eq!(w.told(s, id), None);
    w.detach_receiver(far);
    assert_eq!([w.told(s, id), w.told(s, long)], [Some(DeliveryState::Released), Some(DeliveryState::Released)]);
    assert!(w.inlet(s).draining);
    w.send_rest(s);
    w.answer_drain(s);
    let back = w.receiver(1, "a", 10);
    assert_eq!(w.inlet(s).credit, 250);
    w.send(s, b"again", true);
    assert_eq!(w.count(back), 1);
    w.assert_empty();
}

#[test]
fn a_connection_takes_its_links_along() {
    let mut w = World::new(1);
    let conn = w.conn(0);
    let other = w.sender(0, "a");
    let r = w.attach_receiver(0, conn, Terminus::Address("a")).unwrap();
    let more: Vec<_> = (0..20).map(|_| w.attach_receiver(0, conn, Terminus::Address("b")).unwrap()).collect();
    let s = w.attach_sender(0, conn, Terminus::Address("a")).unwrap();
    w.credit(r, 10, false);
    w.send(s, b"own", false);
    let id = w.send(other, b"x", false);
    w.detach_receiver(more[3]);
    w.cores[0].connection_closed(conn, &mut w.sides[0]);
    assert_eq!(w.told(other, id), Some(DeliveryState::modified(true, false)));
    let c = w.cores[0].counters();
    assert_eq!((c.connections, c.inlets, c.outlets, c.addresses), (1, 1, 0, 1));
    w.assert_empty();
}

#[test]
fn treatment_changes_at_run_time() {
    let mut w = World::new(1);
    let receivers = [w.receiver(0, "x/1", 10), w.receiver(0, "x/1", 10)];
    let s = w.sender(0, "x/1");
    w.send(s, b"one", true);
    let config = AddressConfig::prefix("x", Treatment::Multicast);
    w.cores[0].add_address(&config, &mut w.sides[0]).unwrap();
    w.send(s, b"two", true);
    assert_eq!(w.count(receivers[0]) + w.count(receivers[1]), 3);
    assert!(w.cores[0].remove_address("x/#", &mut w.sides[0]));
    w.send(s, b"one", true);
    assert_eq!(w.count(receivers[0]) + w.count(receivers[1]), 4);
    let config = AddressConfig::prefix("x", Treatment::Unavailable);
    w.cores[0].add_address(&config, &mut w.sides[0]).unwrap();
    assert!(w.inlet(s).draining);
    let id = w.send(s, b"none", false);
    assert!(matches!(w.told(s, id), Some(DeliveryState::Rejected(_))));
    w.cores[0].remove_address("x/#", &mut w.sides[0]);
    w.end_batch(0);
    assert!(!w.inlet(s).draining);
    assert!(w.cores[0].add_address(&AddressConfig::pattern("", Treatment::Closest), &mut w.sides[0]).is_err());
    w.assert_empty();
}

fn server(open: &Arc<AtomicU32>, token: u64) -> ServerInfo {
    ServerInfo { open: open.clone(), failing: Arc::default(), weight: 1, token }
}

#[test]
fn servers_are_chosen_by_what_they_have_open() {
    let mut w = World::new(2);
    let open: Vec<_> = (0..3).map(|_| Arc::new(AtomicU32::new(0))).collect();
    let mut keys = Vec::new();
    for worker in 0..2 {
        for (n, open) in open.iter().enumerate() {
            keys.push(w.cores[worker].add_server("svc", server(open, n as u64), &mut w.sides[worker]).unwrap());
        }
    }
    let picks: Vec<_> = (0..9).map(|n| w.cores[n % 2].pick_server("svc", &[]).unwrap()).collect();
    assert!(open.iter().all(|o| o.load(Relaxed) == 3), "workers count together");
    open[1].fetch_sub(1, Relaxed);
    assert_eq!(w.cores[0].pick_server("svc", &[]).unwrap().token, 1);
    assert_ne!(w.cores[0].pick_server("svc", &keys[1..2]).unwrap().token, 1);
    assert_eq!(w.cores[0].pick_server("svc", &keys[..3]), None);
    assert_eq!(w.cores[0].pick_server("other", &[]), None);
    let mine = picks.iter().step_by(2).map(|p| p.key);
    for key in mine {
        w.cores[0].server_closed(key);
    }
    w.cores[0].server_closed(crate::ServerKey::NONE);
    // Removed with connections open: they are counted until they close.
    let before = open[0].load(Relaxed);
    let last = w.cores[1].pick_server("svc", &[keys[4], keys[5]]).unwrap();
    w.cores[1].remove_server(last.key, &mut w.sides[1]);
    assert_eq!(open[0].load(Relaxed), before + 1);
    w.cores[1].server_closed(last.key);
    assert_eq!(open[0].load(Relaxed), before);
}

#[test]
fn heavier_servers_get_more_and_closest_takes_turns() {
    let mut w = World::new(1);
    let open: Vec<_> = (0..2).map(|_| Arc::new(AtomicU32::new(0))).collect();
    w.cores[0].add_server("svc", ServerInfo { weight: 3, ..server(&open[0], 0) }, &mut w.sides[0]).unwrap();
    w.cores[0].add_server("svc", server(&open[1], 1), &mut w.sides[0]).unwrap();
    (0..40).for_each(|_| assert!(w.cores[0].pick_server("svc", &[]).is_some()));
    assert_eq!((open[0].load(Relaxed), open[1].load(Relaxed)), (30, 10));
    for n in 0..2 {
        w.cores[0]
            .add_server("close/svc", server(&Arc::new(AtomicU32::new(5 * n)), n.into()), &mut w.sides[0])
            .unwrap();
    }
    let turns: Vec<_> = (0..4).map(|_| w.cores[0].pick_server("close/svc", &[]).unwrap().token).collect();
    assert_eq!(turns, [0, 1, 0, 1]);
    w.cores[0].add_server("none/svc", server(&open[0], 0), &mut w.sides[0]).unwrap();
    assert_eq!(w.cores[0].pick_server("none/svc", &[]), None);
}

#[test]
fn watches_tell_of_servers_and_consumers() {
    let mut w = World::new(2);
    let watch = w.cores[0].watch("svc", 9).unwrap();
    let told = |w: &mut World| {
        std::iter::from_fn(|| w.cores[0].poll_reachability()).map(|e: Reachability| e.reachable).collect::<Vec<_>>()
    };
    assert_eq!(told(&mut w), [false]);
    let key = w.cores[0].add_server("svc", server(&Arc::default(), 0), &mut w.sides[0]).unwrap();
    assert_eq!(told(&mut w), [true]);
    let r = w.receiver(1, "svc", 0);
    w.cores[0].remove_server(key, &mut w.sides[0]);
    assert_eq!(told(&mut w), []);
    w.detach_receiver(r);
    assert_eq!(told(&mut w), [false]);
    let late = w.cores[0].watch("/svc", 10).unwrap();
    let event = w.cores[0].poll_reachability().unwrap();
    assert_eq!((event.watch, event.token, event.reachable), (late, 10, false));
    w.cores[0].unwatch(watch);
    w.cores[0].unwatch(late);
    w.receiver(0, "svc", 0);
    assert_eq!(told(&mut w), []);
    assert_eq!(w.cores[0].watch("", 0), None);
    w.assert_empty();
}

#[test]
fn a_server_does_not_make_producers_send() {
    let mut w = World::new(1);
    let s = w.sender(0, "svc");
    w.cores[0].add_server("svc", server(&Arc::default(), 0), &mut w.sides[0]).unwrap();
    w.end_batch(0);
    assert_eq!(w.inlet(s).credit, 0);
}

#[test]
fn idle_links_are_small() {
    let sizes = [
        size_of::<crate::inlet::Inlet>(),
        size_of::<crate::outlet::Outlet>(),
        size_of::<crate::core::Address>(),
        size_of::<crate::delivery::Delivery>(),
        size_of::<crate::worker_batch::Posted>(),
    ];
    // Links have 72 bytes of counters and 8 of a number, addresses 32 of what links that are gone have counted.
    assert!(sizes.iter().zip([200, 216, 280, 128, 88]).all(|(is, most)| *is <= most), "{sizes:?}");
}
