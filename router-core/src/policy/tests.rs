//! Rules from maps, and what they say.

use std::sync::Arc;

use proptest::prelude::*;

use super::{
    hosts::Hosts,
    names::{Allowed, Names},
    *,
};
use crate::{
    address::Pattern,
    entity::{Map, PolicyEntity, Value, VhostEntity},
};

fn map(entries: &[(&str, Value)]) -> Value {
    Value::Map(entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
}

fn vhost(hostname: &str, groups: &[(&str, Value)]) -> VhostEntity {
    let Value::Map(groups) = map(groups) else { unreachable!() };
    VhostEntity { hostname: hostname.to_owned(), groups: Some(Map(groups)), ..VhostEntity::default() }
}

fn everything(users: &str) -> Value {
    map(&[
        ("users", users.into()),
        ("remoteHosts", "*".into()),
        ("sources", "*".into()),
        ("targets", "*".into()),
        ("allowAnonymousSender", true.into()),
        ("allowDynamicSource", "true".into()),
    ])
}

fn policy(vhosts: &[VhostEntity]) -> Arc<Policy> {
    let entity = PolicyEntity { enable_vhost_policy: true, ..PolicyEntity::default() };
    with(entity, vhosts)
}

fn with(entity: PolicyEntity, vhosts: &[VhostEntity]) -> Arc<Policy> {
    let policy = Policy::new(&entity);
    vhosts.iter().for_each(|vhost| policy.set_vhost(Vhost::read(vhost).unwrap()));
    Arc::new(policy)
}

fn client(user: &str, vhost: &str) -> ConnInfo {
    ConnInfo {
        name: format!("{user}@127.0.0.1:1"),
        user: (!user.is_empty()).then(|| user.to_owned()),
        host: Some("127.0.0.1".into()),
        vhost: Some(vhost.into()),
        entrance: Entrance::Listener,
        ..ConnInfo::default()
    }
}

fn why(refused: Result<Admission, Refusal>) -> String {
    match refused {
        Err(Refusal::Denied(denied)) => {
            assert_eq!((denied.condition, denied.words), ("amqp:resource-limit-exceeded", CONNECTION_DISALLOWED));
            denied.why
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn connections_are_counted_and_limited() {
    let policy = with(PolicyEntity { max_connections: 2, ..PolicyEntity::default() }, &[]);
    let first = policy.admit(&client("", "")).unwrap();
    let second = policy.admit(&client("", "")).unwrap();
    assert!(first.rights().is_none());
    assert!(why(policy.admit(&client("", ""))).contains("based on global connection count"));
    // Neither other routers nor what connectors make takes a place.
    for entrance in [Entrance::Network, Entrance::Connector] {
        policy.admit(&ConnInfo { entrance, ..ConnInfo::default() }).unwrap();
    }
    drop(second);
    let again = policy.admit(&client("", "")).unwrap();
    assert_eq!(
        policy.counts(),
        PolicyCounts { processed: 4, denied: 1, current: 2, total_denied: 1, ..PolicyCounts::default() }
    );
    drop((first, again));
    assert_eq!(policy.counts().current, 0);
}

#[test]
fn users_come_to_groups() {
    let mut entity = vhost("v", &[("bobs", everything("bob, rob")), ("$default", everything(""))]);
    assert!(why(policy(&[entity.clone()]).admit(&client("eve", "v"))).contains("unknown users are denied"));
    entity.allow_unknown_user = true;
    let p = policy(&[entity]);
    assert_eq!(p.admit(&client("rob", "v")).unwrap().rights().unwrap().group(), "bobs");
    assert_eq!(p.admit(&client("eve", "v")).unwrap().rights().unwrap().group(), "$default");
    let all = vhost("v", &[("bobs", everything("bob")), ("all", everything("*"))]);
    let p = policy(&[all]);
    assert_eq!(p.admit(&client("bob", "v")).unwrap().rights().unwrap().group(), "bobs");
    assert_eq!(p.admit(&client("", "v")).unwrap().rights().unwrap().group(), "all");
}

#[test]
fn hosts_come_to_vhosts() {
    let of = |p: &Arc<Policy>, name: &str| p.admit(&client("", name)).map(|a| a.rights().unwrap().group().to_owned());
    let mut a = vhost("a", &[("in a", everything("*"))]);
    a.aliases = Some("b, c".into());
    let p = policy(&[a.clone()]);
    for name in ["a", "b", "c"] {
        assert_eq!(of(&p, name).unwrap(), "in a");
    }
    assert!(why(p.admit(&client("", "d"))).contains("No policy defined for vhost"));
    p.set_vhost(Vhost::read(&vhost("$default", &[("rest", everything("*"))])).unwrap());
    assert_eq!(of(&p, "d").unwrap(), "rest");
    a.aliases = Some("c".into());
    p.set_vhost(Vhost::read(&a).unwrap());
    assert_eq!([of(&p, "b").unwrap(), of(&p, "c").unwrap()], ["rest", "in a"]);
    p.remove_vhost("a");
    assert_eq!(of(&p, "a").unwrap(), "rest");
    // A listener knows better.
    let info = ConnInfo { policy_vhost: Some("$default".into()), ..client("", "nowhere") };
    assert_eq!(p.admit(&info).unwrap().rights().unwrap().group(), "rest");

    let patterns = PolicyEntity {
        enable_vhost_policy: true,
        enable_vhost_name_patterns: true,
        default_vhost: String::new(),
        ..PolicyEntity::default()
    };
    let p = with(
        patterns,
        &[
            vhost("#.example.com", &[("any", everything("*"))]),
            vhost("*.example.com", &[("one", everything("*"))]),
            vhost("www.example.com", &[("www", everything("*"))]),
        ],
    );
    assert_eq!(of(&p, "www.example.com").unwrap(), "www");
    assert_eq!(of(&p, "x.example.com").unwrap(), "one");
    assert_eq!(of(&p, "x.y.example.com").unwrap(), "any");
    assert!(of(&p, "example.org").is_err());
}

#[test]
fn places_are_given_back() {
    let mut entity = vhost("v", &[("all", everything("*"))]);
    entity.max_connections = 3;
    entity.max_connections_per_user = 2;
    let p = policy(&[entity.clone()]);
    let first = p.admit(&client("bob", "v")).unwrap();
    let second = p.admit(&client("bob", "v")).unwrap();
    assert!(why(p.admit(&client("bob", "v"))).contains("per user limit"));
    let third = p.admit(&client("eve", "v")).unwrap();
    assert!(why(p.admit(&client("zoe", "v"))).ends_with("Connection denied by application connection limit"));
    let (name, status) = p.vhost_statuses().pop().unwrap();
    assert_eq!((&*name, status.approved, status.denied, status.current), ("v", 3, 2, 3));
    assert_eq!(status.by_user["bob"].len(), 2);
    assert_eq!(status.by_host["127.0.0.1"].len(), 3);
    // Limits of a changed vhost count at once, rights stay.
    entity.max_connections = 4;
    p.set_vhost(Vhost::read(&entity).unwrap());
    let fourth = p.admit(&client("zoe", "v")).unwrap();
    p.remove_vhost("v");
    drop((first, second, third, fourth));
    let (_, status) = p.vhost_statuses().pop().unwrap();
    assert_eq!((status.current, status.by_user.len(), status.by_host.len()), (0, 0, 0));
    // The limits of a group are stronger.
    let mut group = everything("*");
    if let Value::Map(options) = &mut group {
        options.push(("maxConnectionsPerUser".into(), "3".into()));
    }
    let mut entity = vhost("v", &[("all", group)]);
    entity.max_connections_per_user = 0;
    let p = policy(&[entity]);
    let three: Vec<_> = (0..3).map(|_| p.admit(&client("bob", "v")).unwrap()).collect();
    assert!(p.admit(&client("bob", "v")).is_err());
    drop(three);
}

#[test]
fn peers_of_connectors_have_their_group() {
    let p = policy(&[vhost("v", &[("$connector", map(&[("sources", "a".into())])), ("$default", everything(""))])]);
    let made = |vhost: Option<&str>| ConnInfo {
        entrance: Entrance::Connector,
        policy_vhost: vhost.map(Arc::from),
        ..ConnInfo::default()
    };
    assert!(p.admit(&made(None)).unwrap().rights().is_none());
    assert_eq!(p.admit(&made(Some("v"))).unwrap().rights().unwrap().group(), "$connector");
    assert!(why(p.admit(&made(Some("w")))).contains("policyVhost: 'w'"));
    assert_eq!(p.vhost_statuses()[0].1.current, 0);
}

#[test]
fn links_are_limited() {
    let group = map(&[
        ("users", "*".into()),
        ("remoteHosts", Value::List(vec!["10.0.0.0-10.0.0.9".into(), "127.0.0.1".into()])),
        ("sources", "news.*, of-${user}".into()),
        ("targetPattern", "a/*/c, ${user}.#".into()),
        ("maxSenders", 1.into()),
        ("maxReceivers", "0".into()),
        ("maxSessions", 4.into()),
        ("maxMessageSize", 0.into()),
        ("color", "green".into()),
    ]);
    let entity = vhost("v", &[("all", group)]);
    assert_eq!(Vhost::read(&entity).unwrap().ignored, ["Policy vhost 'v' user group 'all' option 'color' is ignored."]);
    let limited = PolicyEntity { enable_vhost_policy: true, max_message_size: 5, ..PolicyEntity::default() };
    let p = with(limited, &[entity]);
    let mut bob = p.admit(&client("bob", "v")).unwrap();
    assert_eq!((bob.max_message_size(), bob.rights().unwrap().max_sessions()), (0, Some(4)));
    let mut try_to = |direction, terminus| match bob.attach(direction, terminus) {
        Ok(()) => {
            bob.attached(direction);
            None
        }
        Err(refusal) => Some(refusal.condition()),
    };
    let no = Some("amqp:unauthorized-access");
    let (into, out) = (Direction::In, Direction::Out);
    for (terminus, answer) in [
        (Terminus::Address("news.today"), None),
        (Terminus::Address("news."), None),
        (Terminus::Address("of-bob"), None),
        (Terminus::Address("of-eve"), no),
        (Terminus::Address("of-bobby"), no),
        (Terminus::Address("new"), no),
        (Terminus::Dynamic, no),
        (Terminus::Anonymous, no),
    ] {
        assert_eq!(try_to(out, terminus), answer, "{terminus:?}");
    }
    for (terminus, answer) in [
        (Terminus::Address("a/b"), no),
        (Terminus::Address("a.c"), no),
        (Terminus::Address("bobby.x"), no),
        (Terminus::Anonymous, no),
        (Terminus::Address("bob/x/y"), None),
        (Terminus::Address("a/b/c"), Some("amqp:resource-limit-exceeded")),
    ] {
        assert_eq!(try_to(into, terminus), answer, "{terminus:?}");
    }
    bob.detached(into);
    assert!(bob.attach(into, Terminus::Address("bob")).is_ok());
    let rights = bob.rights().unwrap();
    assert_eq!((rights.link_counts(), rights.only_user(), rights.may_change_status()), ((0, 3), Some("bob"), true));
    assert!(rights.may_send_to("a.x.c") && !rights.may_send_to("a.x.d") && !rights.may_send_to(""));
    assert_eq!(rights.denials(), Denials { sessions: 0, senders: 5, receivers: 5, sizes: 0 });
    bob.oversize();
    bob.session_denied();
    assert_eq!(bob.rights().unwrap().denials(), Denials { sessions: 1, senders: 5, receivers: 5, sizes: 1 });
    assert_eq!(p.counts().total_denied, 12);
    let far = ConnInfo { host: Some("10.0.0.10".into()), ..client("bob", "v") };
    assert!(why(p.admit(&far)).contains("not allowed to connect from this network host"));
}

#[test]
fn names_are_no_wildcards() {
    let names = Names::patterns(["${user}/x", "q.${user}"]).unwrap();
    for (user, address, allowed) in [
        ("*", "a/x", false),
        ("#", "a/b/x", false),
        ("*", "*/x", true),
        ("a.b", "a.b.x", true),
        ("a.b", "q.a.b", true),
        ("a", "q.a.b", false),
    ] {
        assert_eq!(names.of_user(user).has(address), allowed, "{user} {address}");
    }
    let names = Names::list(["of-${user}", "${user}*"]).unwrap();
    for (user, address, allowed) in
        [("*", "of-bob", false), ("bob*", "bob1", false), ("bob", "bob1", true), ("bob", "of-bob", true)]
    {
        assert_eq!(names.of_user(user).has(address), allowed, "{user} {address}");
    }
}

#[test]
fn hosts_are_addresses_ranges_and_names() {
    let allows = |text: &str, host: &str| Hosts::read([text]).unwrap().allows(Some(host));
    assert!(allows("*", "::1") && allows("::1", "::1") && allows("127.0.0.1", "::ffff:127.0.0.1"));
    assert!(allows("10.0.0.1-10.0.0.5", "10.0.0.5") && !allows("10.0.0.1-10.0.0.5", "10.0.0.6"));
    assert!(!allows("0.0.0.0-255.255.255.255", "::1") && allows("::1 - ::5", "::3"));
    assert!(!allows("host-name.example", "127.0.0.1"));
    assert!(!Hosts::default().allows(Some("127.0.0.1")));
    let mut named = Hosts::read(["host-name.example"]).unwrap();
    named.resolve(&mut |_| Ok(vec!["10.0.0.7".parse().unwrap(), "::7".parse().unwrap()])).unwrap();
    assert!(named.allows(Some("10.0.0.7")) && named.allows(Some("::7")) && !named.allows(Some("10.0.0.8")));
    for text in ["10.0.0.300", "10.0.0.5-10.0.0.1", "10.0.0.1-::1", "a b", "-", "10.0.0.0/8", "a..b"] {
        Hosts::read([text]).unwrap_err();
    }
}

#[test]
fn what_is_wrong_is_said() {
    let group = |options: &[(&str, Value)]| vhost("v", &[("g", map(options))]);
    for (entity, expected) in [
        (vhost("v", &[("g", 5.into())]), "user group 'g' is no map"),
        (
            vhost("v", &[("a", everything("u")), ("b", everything("x, u"))]),
            "user 'u' is in multiple user groups 'a' and 'b'",
        ),
        (VhostEntity { max_connections: 70_000, ..vhost("v", &[]) }, "expected a whole number from 0 to 65535"),
        (VhostEntity { allow_unknown_user: true, ..vhost("v", &[]) }, "a user group '$default' is needed"),
        (VhostEntity { aliases: Some("a, v".into()), ..vhost("v", &[]) }, "'v' is the vhost's own name"),
        (VhostEntity { aliases: Some("a,a".into()), ..vhost("v", &[]) }, "'a' is there twice"),
        (group(&[("maxSenders", (-1).into())]), "option 'maxSenders': expected a whole number"),
        (group(&[("maxConnectionsPerUser", 70_000.into())]), "from 0 to 65535"),
        (group(&[("allowDynamicSource", "perhaps".into())]), "option 'allowDynamicSource': expected yes or no"),
        (group(&[("sources", "a".into()), ("sourcePattern", "b".into())]), "conflicting 'sources' and 'sourcePattern'"),
        (group(&[("targets", "${user}${user}".into())]), "has ${user} more than once"),
        (group(&[("targetPattern", "a.${user}.b".into())]), "at its beginning or its end only"),
        (group(&[("targetPattern", "a..b".into())]), "empty token"),
        (group(&[("remoteHosts", "nine to five".into())]), "option 'remoteHosts': expected an address"),
        (group(&[("users", Value::List(vec![5.into()]))]), "expected a list of texts"),
    ] {
        let said = Vhost::read(&entity).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}\n  lacks {expected}");
    }
}

#[test]
fn names_belong_to_one_vhost() {
    let read = |name: &str, aliases: &str| {
        Vhost::read(&VhostEntity { aliases: Some(aliases.into()), ..vhost(name, &[]) }).unwrap()
    };
    let found = |patterns, all: &[Vhost]| {
        let found = conflicts(all.iter().enumerate(), patterns);
        found.into_iter().map(|(index, attribute, _)| (index, attribute)).collect::<Vec<_>>()
    };
    assert_eq!(found(false, &[read("a", "x"), read("b", "a, x")]), [(1, "aliases"), (1, "aliases")]);
    assert_eq!(found(true, &[read("#.0.0", ""), read("#.#.0.0", "")]), [(1, "hostname")]);
    assert_eq!(found(true, &[read("#.*", ""), read("a", "*.#.#")]), [(1, "aliases")]);
    assert_eq!(found(false, &[read("#.0.0", ""), read("#.#.0.0", "")]), []);
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Integer),
        any::<f64>().prop_map(Value::Float),
        "[a*#.,/${}user -]{0,12}".prop_map(Value::String),
        any::<String>().prop_map(Value::String),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        let option = prop_oneof![
            any::<String>(),
            prop::sample::select(vec![
                "users",
                "remoteHosts",
                "sources",
                "targets",
                "sourcePattern",
                "targetPattern",
                "maxSenders",
                "maxFrameSize",
                "allowUserIdProxy",
                "maxConnectionsPerHost",
            ])
            .prop_map(str::to_owned),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::vec((option, inner), 0..6).prop_map(Value::Map),
        ]
    })
}

proptest! {
    /// No map does harm, and who is let in by one can ask for anything.
    #[test]
    fn any_map_is_read_or_refused(
        name in ".{0,6}",
        aliases in prop::option::of("[a-c*#., ]{0,8}"),
        groups in prop::collection::vec(("[$a-z]{0,8}", values()), 0..4),
        unknown in any::<bool>(),
        user in "[a-c*#./]{0,5}",
        address in "[a-c*#./]{0,8}",
        patterns in any::<bool>(),
    ) {
        let entity = VhostEntity {
            hostname: name.clone(),
            aliases,
            allow_unknown_user: unknown,
            groups: Some(Map(groups)),
            ..VhostEntity::default()
        };
        if let Ok(vhost) = Vhost::read(&entity) {
            let _ = conflicts([(0, &vhost), (1, &vhost)], patterns);
            let entity = PolicyEntity {
                enable_vhost_policy: true,
                enable_vhost_name_patterns: patterns,
                default_vhost: name.clone(),
                ..PolicyEntity::default()
            };
            let policy = Arc::new(Policy::new(&entity));
            policy.set_vhost(vhost);
            for name in [&name, &address] {
                if let Ok(mut admission) = policy.admit(&client(&user, name)) {
                    for direction in [Direction::In, Direction::Out] {
                        for terminus in [Terminus::Address(&address), Terminus::Anonymous, Terminus::Dynamic] {
                            if admission.attach(direction, terminus).is_ok() {
                                admission.attached(direction);
                            }
                        }
                    }
                }
            }
            prop_assert_eq!(policy.counts().current, 0);
            prop_assert!(policy.vhost_statuses().iter().all(|(_, status)| status.current == 0));
        }
    }

    /// Patterns of policies match what patterns of addresses do.
    #[test]
    fn patterns_match_alike(pattern in "[ab*#./]{1,9}", address in "[ab./]{1,9}") {
        if let (Ok(names), Ok(expected)) = (Names::patterns([pattern.as_str()]), Pattern::parse(&pattern)) {
            let allowed: Allowed = names.of_user("a");
            prop_assert_eq!(allowed.has(&address), expected.matches(&address));
        }
    }

    /// Any text is a list of hosts, or none.
    #[test]
    fn any_hosts_are_read(text in ".{0,24}", host in prop::option::of("[0-9a-f:.]{0,12}")) {
        if let Ok(hosts) = Hosts::read([text.as_str()]) {
            let _ = hosts.allows(host.as_deref());
        }
    }
}
