//! What the policy allows, on its way through a core.

use std::sync::Arc;

use super::{forwarding::message, world::*};
use crate::{
    ConnInfo, Entrance, Policy, Refusal, Terminus,
    egress::DeliveryState,
    entity::{Map, PolicyEntity, Value, VhostEntity},
    policy::Vhost,
};

/// Users of a vhost that may do little.
fn limited(more: &[(&str, Value)]) -> Arc<Policy> {
    let policy = Policy::new(&PolicyEntity { enable_vhost_policy: true, ..PolicyEntity::default() });
    let options: [(&str, Value); 5] = [
        ("users", "bob".into()),
        ("remoteHosts", "*".into()),
        ("sources", "a, $management".into()),
        ("targets", "a, $management".into()),
        ("allowAnonymousSender", true.into()),
    ];
    let options = options.iter().chain(more).map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let groups = Some(Map(vec![("bobs".to_owned(), Value::Map(options))]));
    let vhost = VhostEntity { hostname: "$default".to_owned(), groups, ..VhostEntity::default() };
    policy.set_vhost(Vhost::read(&vhost).unwrap());
    Arc::new(policy)
}

fn user(name: &str) -> ConnInfo {
    ConnInfo { user: Some(name.into()), entrance: Entrance::Listener, ..ConnInfo::default() }
}

fn condition(w: &World, s: Sender, id: u32) -> Option<String> {
    let error = w.told(s, id)?.rejected_error()?;
    Some(error.condition.as_str().to_owned())
}

#[test]
fn the_policy_is_asked() {
    let policy = limited(&[("maxReceivers", 1.into()), ("allowUserIdProxy", true.into())]);
    let mut w = World::with(1, |c| c.policy = Arc::clone(&policy));
    let refused = w.cores[0].connection_opened(&user("eve")).unwrap_err();
    assert_eq!(refused.condition(), "amqp:resource-limit-exceeded");
    let bob = w.conn_with(0, &user("bob"));
    assert!(matches!(w.attach_receiver(0, bob, Terminus::Address("secret")), Err(Refusal::Denied(_))));
    let r = w.attach_receiver(0, bob, Terminus::Address("a")).unwrap();
    let refused = w.attach_receiver(0, bob, Terminus::Address("a")).unwrap_err();
    assert_eq!(refused.condition(), "amqp:resource-limit-exceeded");
    w.credit(r, 10, false);
    let s = w.attach_sender(0, bob, Terminus::Anonymous).unwrap();
    w.send(s, &message(Some("a"), None), true);
    let id = w.send(s, &message(Some("b"), None), false);
    assert_eq!(condition(&w, s, id).as_deref(), Some("amqp:unauthorized-access"));
    assert_eq!(w.count(r), 1);
    let c = w.cores[0].counters();
    assert_eq!((c.connections_denied, c.links_denied, c.connections), (1, 2, 1));
    // A link that is gone leaves its place.
    w.detach_receiver(r);
    w.attach_receiver(0, bob, Terminus::Address("a")).unwrap();
    w.cores[0].connection_closed(bob, &mut w.sides[0]);
    assert_eq!(policy.counts().current, 0);
    assert_eq!(policy.counts().links_denied, 2);
}

/// A message whose properties name a user.
fn of_user(user: &str) -> Vec<u8> {
    let mut m = vec![0x00, 0x53, 0x73, 0xc0, (user.len() + 4) as u8, 2, 0x40, 0xa0, user.len() as u8];
    m.extend(user.as_bytes());
    m.extend([0x00, 0x53, 0x77, 0xa1, 1, b'x']);
    m
}

#[test]
fn messages_name_their_own_user_only() {
    let mut w = World::with(1, |c| c.policy = limited(&[]));
    let bob = w.conn_with(0, &user("bob"));
    let r = w.attach_receiver(0, bob, Terminus::Address("a")).unwrap();
    w.credit(r, 100, false);
    let mut good = 0;
    for target in [Terminus::Address("a"), Terminus::Anonymous] {
        let anonymous = target == Terminus::Anonymous;
        let s = w.attach_sender(0, bob, target).unwrap();
        // With `to`, if that is needed.
        let with_to = |mut m: Vec<u8>| {
            if anonymous {
                m[4] += 3;
                m[5] = 3;
                let at = m.len() - 6;
                m.splice(at..at, [0xa1, 1, b'a']);
            }
            m
        };
        for (user, allowed) in [("bob", true), ("", true), ("eve", false), ("bobby", false)] {
            let message = with_to(of_user(user));
            for first in [1, 4, 9, message.len() - 6, message.len()] {
                let id = w.begin(s, &message, false, false, first);
                if first < message.len() && w.told(s, id).is_none() {
                    w.send_rest(s);
                }
                let refused = condition(&w, s, id);
                assert_eq!(refused.is_none(), allowed, "{user}, {first} bytes first");
                good += usize::from(allowed);
                assert_eq!(w.count(r), good);
            }
        }
    }
    assert!(w.bodies(r).iter().all(|message| message.ends_with(b"x")));
}

#[test]
fn requests_of_those_who_may_not_close_connections_are_known() {
    let mut w = World::with(1, |c| c.policy = limited(&[("allowAdminStatusUpdate", false.into())]));
    let own = w.cores[0].internal_connection();
    let agent = w.attach_receiver(0, own, Terminus::Address("$management")).unwrap();
    let restricted = w.attach_receiver(0, own, Terminus::Address(crate::management::RESTRICTED_ADDRESS)).unwrap();
    w.credit(agent, 10, false);
    w.credit(restricted, 10, false);
    let bob = w.conn_with(0, &user("bob"));
    let s = w.attach_sender(0, bob, Terminus::Address("$management")).unwrap();
    w.send(s, &message(None, None), true);
    assert_eq!((w.count(agent), w.count(restricted)), (0, 1));
    let s = w.attach_sender(0, bob, Terminus::Anonymous).unwrap();
    w.send(s, &message(Some("$management"), None), true);
    assert_eq!((w.count(agent), w.count(restricted)), (0, 2));
    let s = w.sender(0, "$management");
    let id = w.send(s, b"x", false);
    w.accept(agent, 0);
    assert_eq!(w.told(s, id), Some(DeliveryState::Accepted));
    assert_eq!((w.count(agent), w.count(restricted)), (1, 2));
}
