//! Defaults that users rely on.

use std::time::Duration;

use tcp_adaptor::{ConnectorConfig, FlowOptions, ListenerConfig};

#[test]
fn everything_optional_is_off() {
    let listener = ListenerConfig::new("n", "a", "", 1);
    assert_eq!(listener.flow, FlowOptions::default());
    assert!(!listener.accept_proxy && listener.tls.is_none());
    let connector = ConnectorConfig::new("n", "a", "h", 1);
    assert_eq!(connector.flow.idle_timeout.or(connector.flow.half_open_timeout), None);
    assert_eq!((connector.weight, connector.connect_timeout), (1, Duration::from_secs(10)));
}
