//! What collectors hear of a network: sources, records, and the two ends of a flow as one.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::Shutdown;

use conformance::Config;
use conformance::agent::Agent;
use conformance::collector::*;
use conformance::ports::free_port;
use conformance::raw::V;
use conformance::tcp::peers::{client, echo, read_n, read_to_end, read_to_reset};
use conformance::tcp::wait_listening;

#[test]
fn a_flow_through_two_routers_is_one_record() {
    let (mut a, mut b) = (Config::interior("A"), Config::interior("B"));
    a.listener(&[]);
    b.listener(&[]);
    let between = free_port();
    a.accept_routers(between);
    b.connect_router(between);
    let port = a.tcp_listener("svc", &[("name", "front")]);
    b.tcp_connector("svc", echo("hello "), &[("name", "back")]);
    let asks = a.tcp_listener("asks", &[("name", "asks")]);
    b.tcp_connector("asks", echo(""), &[("name", "answers")]);
    let dead = a.tcp_listener("dead", &[("name", "dead")]);
    b.tcp_connector("dead", free_port(), &[("name", "nobody")]);
    let (a, b) = (a.start(), b.start());
    [port, asks, dead].into_iter().for_each(wait_listening);

    // A client that is there before anybody collects.
    let mut early = client(port);
    assert_eq!(read_n(&mut early, 6), b"hello ");
    let mut collector = Collector::start(&b);
    collector.until("both routers say that they are there", |c| {
        c.find(ROUTER, NAME, "0/A").is_some() && c.find(ROUTER, NAME, "0/B").is_some()
    });
    collector.until("listener and connector, and the link between the routers", |c| {
        let listener = c.find(LISTENER, NAME, "front").is_some_and(|(_, said)| said[&ADDRESS].text() == Some("svc"));
        // It names the record of the listener at its other end.
        let access =
            c.records.iter().find(|(_, (ty, said))| *ty == ROUTER_ACCESS && self::said(said, LINKS) == Some(1));
        let access = access.map(|(identity, _)| identity.as_str());
        let link = c.records.values().filter(|(ty, _)| *ty == LINK).any(|(_, record)| {
            record[&STATUS].text() == Some("up")
                && said(record, COST) == Some(1)
                && access.is_some()
                && record.get(&PEER).and_then(V::text) == access
        });
        listener && link && c.find(CONNECTOR, NAME, "back").is_some()
    });
    collector.until("a flow that was open before", |c| c.flows().len() == 1);

    let mut near = client(port);
    assert_eq!(read_n(&mut near, 6), b"hello ");
    near.write_all(b"a request").unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut near), b"a request");
    let connector = |c: &Collector| c.find(CONNECTOR, NAME, "back").map(|(identity, _)| identity.to_owned());
    collector.until("both ends of the flow, to its end", |c| {
        let (front, _) = c.find(LISTENER, NAME, "front").unwrap();
        let server = connector(c);
        c.flows().iter().any(|flow| {
            flow[&PARENT].text() == Some(front)
                && flow[&SOURCE_HOST].text() == Some("127.0.0.1")
                && said(flow, OCTETS) == Some(9)
                && said(flow, REVERSE) == Some(15)
                && flow.get(&ITS_CONNECTOR).and_then(V::text) == server.as_deref()
                && flow.get(&PROXY_HOST).and_then(V::text) == Some("127.0.0.1")
                && flow.contains_key(&END)
        })
    });
    let mut asking = client(asks);
    asking.write_all(b"?").unwrap();
    assert_eq!(read_n(&mut asking, 1), b"?");
    collector.until("how long an answer takes, at both routers", |c| {
        let of = |flow: &&BTreeMap<u64, V>| said(flow, LATENCY).zip(said(flow, PROCESS_LATENCY));
        c.flows().iter().find_map(of).is_some_and(|(all, there)| 0 < there && there <= all)
    });
    assert_eq!(read_to_reset(&mut client(dead)), 0);
    collector.until("which connector did not reach its server", |c| {
        let nobody = c.find(CONNECTOR, NAME, "nobody").map(|(identity, _)| identity);
        c.flows().iter().any(|flow| {
            flow.contains_key(&ERROR_CONNECTOR)
                && flow.contains_key(&END)
                && flow.get(&ITS_CONNECTOR).and_then(V::text) == nobody
        })
    });
    collector.until("flows are counted", |c| {
        let count = |ty, name| c.find(ty, NAME, name).and_then(|(_, record)| said(record, FLOW_COUNT));
        count(LISTENER, "front") == Some(2) && count(CONNECTOR, "back") == Some(2)
    });
    assert!(collector.heartbeats > 0);

    // Everything again.
    let (source, _) = collector.find(ROUTER, NAME, "0/A").map(|(id, said)| (id.to_owned(), said.clone())).unwrap();
    collector.records.clear();
    collector.flush(&source);
    collector.until("everything of A again", |c| {
        c.find(ROUTER, NAME, "0/A").is_some() && c.find(LISTENER, NAME, "front").is_some()
    });

    // A client that is cut says so, and a listener that is deleted ends.
    drop(early);
    let deleted = Agent::connect(a.port).delete("tcpListener", "front");
    assert_eq!(deleted.status, 204, "{deleted:?}");
    collector.until("the listener has ended", |c| {
        c.find(LISTENER, NAME, "front").is_some_and(|(_, said)| said.contains_key(&END))
    });
}

#[test]
fn each_address_of_a_listener_has_a_record() {
    let mut config = Config::interior("A");
    config.listener(&[]);
    let port = config.tcp_listener_with_strategy("front", "priority");
    for (name, address, value) in [("first", "one", "2"), ("second", "two", "1")] {
        let attributes = [("name", name), ("listener", "front"), ("address", address), ("value", value)];
        config.section("listenerAddress", &attributes);
    }
    config.tcp_connector("one", echo("hello "), &[("name", "back")]);
    let router = config.start();
    wait_listening(port);
    let mut collector = Collector::start(&router);
    collector.until("the router", |c| c.find(ROUTER, NAME, "0/A").is_some());
    let mut near = client(port);
    assert_eq!(read_n(&mut near, 6), b"hello ");
    near.shutdown(Shutdown::Write).unwrap();
    read_to_end(&mut near);
    collector.until("a flow of the address that it went to", |c| {
        let listeners = c.records.iter().filter(|(_, (ty, _))| *ty == LISTENER).collect::<Vec<_>>();
        let of = |address| {
            let found = listeners.iter().find(|(_, (_, said))| said[&ADDRESS].text() == Some(address))?;
            assert_eq!(found.1.1[&NAME].text(), Some("front"));
            Some((found.0.as_str(), said(&found.1.1, FLOW_COUNT)?))
        };
        let (Some((one, opened)), Some((_, 0))) = (of("one"), of("two")) else { return false };
        assert_eq!(listeners.len(), 2);
        opened == 1 && c.flows().iter().any(|flow| flow.get(&PARENT).and_then(V::text) == Some(one))
    });
    let rows = Agent::connect(router.port).rows("listenerAddress", &["name", "connectionsOpened"]);
    let mut opened: Vec<_> = rows.iter().map(|row| (row[0].text().unwrap(), row[1].number())).collect();
    opened.sort_unstable();
    assert_eq!(opened, [("first", Some(1)), ("second", Some(0))]);
}
