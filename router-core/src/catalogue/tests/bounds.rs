//! Nobody makes a catalogue grow without bound.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::world::{World, offer};
use crate::catalogue::{
    Changes, Content, Digest, Entry, Event, MAX_SITES, Message, Offer, OfferError, Role, Sender, codec,
};

fn from(site: String) -> Sender {
    Sender { name: site.as_str().into(), site: site.into(), edge: false, instance: 1, valid: Duration::from_secs(15) }
}

fn bytes(from: Sender, content: Content) -> Bytes {
    codec::encode(&Message { from, content }, "x").into()
}

#[test]
fn sites_are_bounded_and_forgotten() {
    let mut w = World::new(1, 1);
    for n in 0..MAX_SITES + 100 {
        w.deliver(0, true, &bytes(from(format!("made-up-{n}")), Content::Digest(Digest { seq: 9, count: 9, hash: 9 })));
    }
    let catalogue = w.sites[0].catalogue.as_ref().unwrap();
    assert_eq!(catalogue.site_count(), MAX_SITES);
    w.run(Duration::from_secs(20));
    assert_eq!(w.sites[0].catalogue.as_ref().unwrap().site_count(), 1);
    // Each was asked a few times, and greeted; not more.
    assert!(w.sent.0 < 6 * MAX_SITES, "{}", w.sent.0);
}

#[test]
fn entries_of_a_site_are_bounded() {
    let mut w = World::new(1, 1);
    let labels: Vec<(Arc<str>, Arc<str>)> =
        (0..32).map(|n| (format!("{n:0>256}").into(), "x".repeat(256).as_str().into())).collect();
    let mut seq = 0;
    for _ in 0..4000 {
        let entries: Vec<_> = (0..5)
            .map(|_| {
                seq += 1;
                Arc::new(Entry {
                    role: Role::Exposes,
                    address: format!("{seq:0>1024}").into(),
                    protocol: "tcp".into(),
                    count: 1,
                    ports: [1].into(),
                    labels: labels.clone().into(),
                })
            })
            .collect();
        // There is always more, so nothing can be compared.
        let digest = Digest { seq: u64::MAX, count: 1, hash: 1 };
        let changes = Changes { digest, after: seq - 5, to: seq, anew: false, left: 0, entries, unreadable: false };
        w.deliver(0, true, &bytes(from("big".into()), Content::Changes(changes)));
    }
    let known = w.sites[0].catalogue.as_ref().unwrap().service_count();
    assert!((1500..2000).contains(&known), "{known}");
    let told = w.sites[0].events.iter().filter(|event| matches!(event, Event::Incomplete { .. })).count();
    assert_eq!(told, 1);
    // It is not asked again and again for what has no room.
    assert!(w.sent.0 < 20, "{}", w.sent.0);
}

#[test]
fn requests_are_answered_in_bounded_portions() {
    let mut w = World::new(1, 1);
    for n in 0..20_000 {
        w.put(0, &format!("c{n}"), offer(&format!("service/{n}"), 80));
    }
    w.run(Duration::from_secs(30));
    let before = w.sent;
    let request = Content::Request { site: "site-0".into(), instance: 1, have: 0 };
    for _ in 0..1000 {
        w.deliver(0, false, &bytes(from("hungry".into()), request.clone()));
    }
    w.run(Duration::from_millis(100));
    let (messages, size) = (w.sent.0 - before.0, w.sent.1 - before.1);
    assert!(messages <= 8 && size <= messages * 20 * 1024, "{messages} {size}");
}

#[test]
fn what_was_told_wrongly_is_put_right() {
    let mut w = World::new(2, 1);
    w.put(0, "c", offer("db", 1));
    w.agree(Duration::from_secs(5));
    w.run(Duration::from_secs(10));
    let lie = Arc::new(Entry {
        role: Role::Exposes,
        address: "lie".into(),
        protocol: "tcp".into(),
        count: 1,
        ports: [1].into(),
        labels: [].into(),
    });
    let digest = Digest { seq: u64::MAX, count: 2, hash: 3 };
    let changes =
        Changes { digest, after: 0, to: u64::MAX, anew: false, left: 0, entries: vec![lie], unreadable: false };
    w.deliver(1, true, &bytes(from("site-0".into()), Content::Changes(changes)));
    assert_eq!(w.known(1).len(), 2);
    w.agree(Duration::from_secs(60));
}

#[test]
fn what_is_too_large_is_not_published() {
    let mut w = World::new(1, 1);
    let now = w.time();
    let catalogue = w.sites[0].catalogue.as_mut().unwrap();
    assert_eq!(catalogue.put("c", offer(&"x".repeat(1025), 1), now), Err(OfferError::Address));
    let labels = vec![("key".to_owned(), "x".repeat(257))];
    assert_eq!(catalogue.put("c", Offer { labels, ..offer("db", 1) }, now), Err(OfferError::Labels));
    catalogue.handle_timeout(now);
    assert_eq!(catalogue.service_count(), 0);
}
