//! Listeners with several addresses.

use tcp_adaptor::{CommandError, ListenerAddressConfig, ListenerConfig, MultiAddressStrategy, OperStatus};

use crate::support::peers::{echo, read_n, read_to_reset};
use crate::support::{Router, client, connector, dead_port, eventually};

fn address(name: &str, address: &str, value: u64) -> ListenerAddressConfig {
    ListenerAddressConfig { name: name.to_owned(), listener: "in".to_owned(), address: address.to_owned(), value }
}

fn router(strategy: MultiAddressStrategy, addresses: &[ListenerAddressConfig]) -> Router {
    let router = Router::start(1);
    let mut config = ListenerConfig::new("in", "", "127.0.0.1", 0);
    config.strategy = strategy;
    router.listen(config);
    for config in addresses {
        let config = config.clone();
        router.each(move |adaptor| adaptor.add_listener_address(&config)).unwrap();
    }
    router
}

#[test]
fn priority_takes_the_highest_reachable_address() {
    let router = router(MultiAddressStrategy::Priority, &[address("low", "a", 1), address("high", "b", 5)]);
    assert_eq!(router.status("in").oper, OperStatus::Unreachable);
    router.connect(connector("to-a", "a", echo("a")));
    let addr = router.local("in");
    assert_eq!(read_n(&mut client(addr), 1), b"a");
    router.connect(connector("to-b", "b", echo("b")));
    for _ in 0..5 {
        assert_eq!(read_n(&mut client(addr), 1), b"b");
    }
    router.disconnect("to-b");
    assert_eq!(read_n(&mut client(addr), 1), b"a");
    // An address whose servers cannot be reached gives way to the next.
    router.connect(connector("dead", "b", dead_port()));
    assert_eq!(read_n(&mut client(addr), 1), b"a");
    // Each counts who reached a server of it.
    assert_eq!(router.status("in").addresses, [("low".to_owned(), 3), ("high".to_owned(), 5)]);
    router.each(|adaptor| adaptor.remove_listener_address("low")).unwrap();
    assert_eq!(read_to_reset(&mut client(addr)), b"");
    router.each(|adaptor| adaptor.remove_listener_address("high")).unwrap();
    assert_eq!(router.status("in").oper, OperStatus::Unreachable);
}

#[test]
fn weighted_spreads_by_value() {
    let router = router(MultiAddressStrategy::Weighted, &[address("small", "a", 1), address("big", "b", 3)]);
    router.connect(connector("to-a", "a", echo("a")));
    router.connect(connector("to-b", "b", echo("b")));
    let addr = router.local("in");
    let mut hits = [0; 2];
    for _ in 0..200 {
        let name = read_n(&mut client(addr), 1);
        hits[usize::from(name[0] - b'a')] += 1;
    }
    // The seed is fixed; the expectation is 50.
    assert!((30..=70).contains(&hits[0]), "{hits:?}");
    router.disconnect("to-b");
    for _ in 0..5 {
        assert_eq!(read_n(&mut client(addr), 1), b"a");
    }
}

#[test]
fn commands_are_checked() {
    let router = router(MultiAddressStrategy::Priority, &[address("one", "a", 1)]);
    let bad = |config: ListenerAddressConfig| router.each(move |adaptor| adaptor.add_listener_address(&config));
    assert!(matches!(bad(address("one", "b", 1)), Err(CommandError::Exists { .. })));
    assert!(matches!(bad(address("two", "b", 0)), Err(CommandError::BadValue { .. })));
    assert!(matches!(bad(address("two", "", 1)), Err(CommandError::BadAddress { .. })));
    let mut lost = address("two", "b", 1);
    lost.listener = "nowhere".to_owned();
    assert!(matches!(bad(lost), Err(CommandError::Missing { .. })));

    let remove = || router.each(|adaptor| adaptor.remove_listener("in", true));
    assert_eq!(remove(), Err(CommandError::InUse { name: "in".to_owned(), addresses: 1 }));
    router.each(|adaptor| adaptor.remove_listener_address("one")).unwrap();
    assert_eq!(remove(), Ok(()));
    assert!(matches!(remove(), Err(CommandError::Missing { .. })));

    let add = |config: ListenerConfig| router.each(move |adaptor| adaptor.add_listener(config.clone()));
    assert!(matches!(add(ListenerConfig::new("x", "", "", 0)), Err(CommandError::NoAddress { .. })));
    assert_eq!(add(ListenerConfig::new("x", "a", "", 0)), Ok(()));
    assert!(matches!(add(ListenerConfig::new("x", "b", "", 0)), Err(CommandError::Exists { .. })));
    let mut single = address("two", "b", 1);
    single.listener = "x".to_owned();
    assert!(matches!(bad(single), Err(CommandError::SingleAddress { .. })));

    let connect =
        |name: &'static str| router.each(move |adaptor| adaptor.add_connector(connector(name, "a", dead_port())));
    assert_eq!(connect("c"), Ok(()));
    assert!(matches!(connect("c"), Err(CommandError::Exists { .. })));
    assert!(matches!(router.each(|adaptor| adaptor.remove_connector("d", true)), Err(CommandError::Missing { .. })));
}

#[test]
fn removing_a_listener_closes_its_socket_and_its_flows_if_asked() {
    let (router, addr) = Router::simple(&[echo("hi")]);
    let mut stays = client(addr);
    read_n(&mut stays, 2);
    router.each(|adaptor| adaptor.remove_listener("in", false)).unwrap();
    eventually("clients are refused", || std::net::TcpStream::connect(addr).is_err());
    std::io::Write::write_all(&mut stays, b"alive").unwrap();
    assert_eq!(read_n(&mut stays, 5), b"alive");

    router.listen(ListenerConfig::new("in", "service", "127.0.0.1", 0));
    let mut cut = client(router.local("in"));
    read_n(&mut cut, 2);
    router.each(|adaptor| adaptor.remove_listener("in", true)).unwrap();
    assert_eq!(read_to_reset(&mut cut), b"");
    std::io::Write::write_all(&mut stays, b"alive").unwrap();
    assert_eq!(read_n(&mut stays, 5), b"alive");
}
