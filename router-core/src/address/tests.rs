use std::{collections::HashSet, sync::Arc};

use super::*;
use crate::Treatment;

fn key(edge: bool, network: Option<&str>, text: &str) -> Option<String> {
    let syntax = Syntax::new(Arc::from("A"), network.map(Arc::from), edge);
    let mut key = String::from("left over");
    syntax.key(text, &mut key)?;
    Some(key)
}

#[test]
fn addresses_have_classes() {
    let cases = [
        ("svc", "Msvc"),
        ("/svc", "Msvc"),
        ("amqp:/svc/x", "Msvc/x"),
        ("amqp://host:5672/svc", "Msvc"),
        ("svc/", "Msvc"),
        ("svc.", "Msvc"),
        ("$management", "M$management"),
        ("_local/x", "Lx"),
        ("_topo/0/A/temp.1", "Ltemp.1"),
        ("amqp:/_topo/0/A/temp.1", "Ltemp.1"),
        ("_edge/A/x", "Lx"),
        ("_topo/0/all/qdrouter", "Tqdrouter"),
        ("_topo/0/allx/q", "Rallx"),
        ("_topo/0/B/x/y", "RB"),
        ("_topo/0/B", "RB"),
        ("_topo/1/B/x", "A1"),
        ("_edge/B/x", "HB"),
        ("_xtopo/net/0/A/x", "Lx"),
        ("_xtopo/0/0/B/x", "RB"),
        ("_xedge/net/B/x", "HB"),
        ("_$temp.abc", "M_$temp.abc"),
        ("_other", "M_other"),
    ];
    for (text, expected) in cases {
        assert_eq!(key(false, None, text).as_deref(), Some(expected), "{text}");
    }
    for empty in ["", "/", "amqp:/", "amqp://host", "amqp://host/"] {
        assert_eq!(key(false, None, empty), None, "{empty}");
    }
    assert_eq!(key(true, None, "_topo/0/B/x").as_deref(), Some("L_edge"));
    assert_eq!(key(true, None, "_edge/B/x").as_deref(), Some("L_edge"));
    let mut linked = Syntax::new(Arc::from("A"), None, true);
    let mut found = String::new();
    for (peer, expected) in [(true, "HB"), (false, "L_edge")] {
        linked.set_peer("B", peer);
        linked.key("amqp:/_edge/B/x", &mut found);
        assert_eq!(found, expected);
        linked.key("_edge/C/x", &mut found);
        assert_eq!(found, "L_edge");
    }
    assert_eq!(key(false, Some("mine"), "_xtopo/mine/0/A/x").as_deref(), Some("Lx"));
    assert_eq!(key(false, Some("mine"), "_xtopo/other/0/A/x").as_deref(), Some("Nother"));
    assert_eq!(key(true, Some("mine"), "_xedge/other/A/x").as_deref(), Some("L_edge"));
}

#[test]
fn dynamic_addresses_come_back_as_their_own_keys() {
    let syntax = Syntax::new(Arc::from("A"), None, false);
    let mut key = String::new();
    assert_eq!(syntax.key(&syntax.dynamic_source("abc"), &mut key), Some(Class::Local));
    assert_eq!(key, "Ltemp.abc");
    assert_eq!(syntax.key(&Syntax::dynamic_target("abc"), &mut key), Some(Class::Mobile));
    let syntax = Syntax::new(Arc::from("A"), Some(Arc::from("N")), true);
    assert_eq!(syntax.key(&syntax.dynamic_source("abc"), &mut key), Some(Class::Local));
    let syntax = Syntax::new(Arc::from("A"), Some(Arc::from("N")), false).with_tenant(Some(Arc::from("T")));
    assert_eq!(syntax.dynamic_source("abc"), "amqp:/_xtopo/N/0/A/T/temp.abc");
    assert_eq!(syntax.key(&syntax.dynamic_source("abc"), &mut key), Some(Class::Local));
    assert_eq!(key, "LT/temp.abc");
}

#[test]
fn the_more_exact_pattern_wins() {
    use Treatment::*;
    let mut table = AddressTable::new(Balanced);
    for (pattern, treatment) in [
        ("#", Closest),
        ("a/#", Multicast),
        ("a/*/c", Unavailable),
        ("a.b.c", Closest),
        ("a/b/#", Balanced),
        ("*/x", Unavailable),
        ("#/end", Multicast),
    ] {
        table.add(&AddressConfig::pattern(pattern, treatment)).unwrap();
    }
    for (address, expected) in [
        ("a/b/c", Closest),
        ("a.b/c", Closest),
        ("a/x/c", Unavailable),
        ("a/b/d", Balanced),
        ("a/b", Balanced),
        ("a", Multicast),
        ("a/q/r/s", Multicast),
        ("z/x", Unavailable),
        ("z/x/end", Multicast),
        ("other", Closest),
    ] {
        assert_eq!(table.find(address).0, expected, "{address}");
    }
    assert!(table.remove("a/#") && !table.remove("a/#"));
    assert_eq!(table.find("a").0, Closest);
    table.add(&AddressConfig { priority: Some(12), ..AddressConfig::prefix("p.q", Closest) }).unwrap();
    assert_eq!(table.find("p/q/r"), (Closest, Some(9)));
    assert_eq!(table.find("p/q"), (Closest, Some(9)));
    assert_eq!(AddressConfig::pattern("a//b", Closest).check(), Err(PatternError::EmptyToken));
    assert_eq!(AddressConfig::pattern("", Closest).check(), Err(PatternError::Empty));
}

#[test]
fn discriminators_differ() {
    let mut one = NameGenerator::new(&[7; 32], 0);
    let mut two = NameGenerator::new(&[7; 32], 1);
    let names: HashSet<String> = (0..1000).flat_map(|_| [one.discriminator(), two.discriminator()]).collect();
    assert_eq!(names.len(), 2000);
    assert!(
        names.iter().all(|n| n.len() == 15 && n.chars().all(|c| c.is_ascii_alphanumeric() || c == '+' || c == '_'))
    );
    assert_eq!(NameGenerator::new(&[7; 32], 0).discriminator(), NameGenerator::new(&[7; 32], 0).discriminator());
}

/// The address of an edge router by way of an interior one, as each of them reads it.
#[test]
fn an_edge_router_is_reached_through_a_router() {
    let at = |id: &str, edge| {
        let syntax = Syntax::new(id.into(), None, edge);
        move |text: &str| {
            let mut key = String::new();
            syntax.key(text, &mut key).map(|_| key)
        }
    };
    let text = Syntax::back_through("amqp:/_edge/E/temp.x", "A").unwrap();
    assert_eq!(at("B", false)(&text).as_deref(), Some("RA"));
    assert_eq!(at("A", false)(&text).as_deref(), Some("HE"));
    assert_eq!(at("E", true)(&text).as_deref(), Some("Ltemp.x"));
    assert_eq!(at("F", true)(&text).as_deref(), Some("L_edge"));
    assert_eq!(Syntax::back_through("amqp:/_xedge/net/E/temp.x", "A"), None);
}
