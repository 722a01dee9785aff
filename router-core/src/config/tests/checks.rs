//! What has to hold between entities.

use super::{accept, refuse};
use crate::config::{
    Configuration,
    Syntax::{Json, Text, Yaml},
};

/// What the reference logs behind `Router start-up failed: `.
fn reference_text(text: &str) -> String {
    let error = Configuration::from_text("a.conf", Yaml, text).expect_err("has to be refused");
    error.reference_text("a.conf")
}

#[test]
fn roles_have_to_fit_the_mode() {
    for (text, expected) in [
        (
            "router: {mode: standalone}\nlistener: {port: 1, role: inter-router}\n",
            "Python: Exception: Cannot load configuration file a.conf: role='standalone' not allowed to connect to or accept \
             connections from other routers.",
        ),
        (
            "router: {mode: standalone}\nconnector: {port: 1, role: edge}\n",
            "Exception: Cannot load configuration file a.conf: role='standalone' not allowed to connect to or accept \
             connections from other routers.",
        ),
        (
            "router: {mode: edge}\nconnector: {port: 1, role: inter-router}\n",
            "Exception: Cannot load configuration file a.conf: role='inter-router' only allowed with router mode='interior' for ",
        ),
        (
            "router: {mode: interior}\nlistener: {port: 1, role: inter-edge}\n",
            "Exception: Cannot load configuration file a.conf: role='inter-edge' only allowed with router mode='edge' for ",
        ),
        (
            "router: {mode: edge}\nlistener: {port: 1, role: edge}\n",
            "Exception: Cannot load configuration file a.conf: role='edge' only allowed with router mode='interior' for ",
        ),
    ] {
        let said = reference_text(text);
        assert!(said.contains(expected), "{said}");
        assert!(said.contains("(line 2, column "), "{said}");
    }
    accept(Yaml, "router: {mode: edge}\nconnector: {port: 1, role: edge}\n");
    accept(
        Yaml,
        "router: {mode: edge}\nlistener: {port: 1, role: inter-edge}\nconnector: {port: 2, role: inter-edge}\n",
    );
    accept(
        Yaml,
        "router: {mode: interior}\nlistener: {port: 1, role: edge}\nlistener: {port: 2, role: inter-router}\n",
    );
}

#[test]
fn limits_have_the_texts_of_the_reference() {
    for (text, expected) in [
        (
            "listener: {port: 1, maxSessions: 32769}",
            "Python: CError: Configuration: Invalid maxSessions specified (32769). Minimum value is 1 and maximum value is 32768",
        ),
        (
            "listener: {port: 1, maxFrameSize: 511}",
            "Invalid maxFrameSize specified (511). Minimum value is 512 and maximum value is 2147483647",
        ),
        (
            "connector: {port: 1, maxSessionFrames: 1}",
            "Invalid maxSessionFrames specified (1). Minimum value is 2 and maximum value is 2147483647",
        ),
        (
            "listener: {port: 1, cost: 2147483648}",
            "Configuration: Invalid cost (2147483648) specified. Minimum value for cost is 1 and maximum value is 2147483647",
        ),
        ("tcpConnector: {port: 1}", "Python: CError: Configuration: Address must be set"),
        (
            "tcpListener: {port: 1}",
            "Python: CError: Configuration: Exactly one of the 'address' or 'multiAddressStrategy' field must be set",
        ),
        (
            "tcpListener: {port: 1, address: a, multiAddressStrategy: weighted}",
            "Exactly one of the 'address' or 'multiAddressStrategy' field must be set",
        ),
        ("listener: {port: 1, sslProfile: DoesNotExist}", "sslProfile 'DoesNotExist' not found"),
        ("router: {id: a b}", "Router id attribute containing character ' ' in id 'a b' is disallowed."),
        ("router: {id: a|b}", "Router ID \"a|b\" contains an illegal character"),
        (
            "listener: {port: 1, openProperties: {product: x}}",
            "Python: ValidationError: Reserved key 'product' not allowed in openProperties",
        ),
        (
            "router: {mode: interior}\nlistener: {port: 1, role: edge, openProperties: {a: x}}",
            "Python: ValidationError: openProperties not allowed for role edge",
        ),
    ] {
        let said = reference_text(text);
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn references_and_duplicates_are_found() {
    for (text, expected) in [
        (
            "sslProfiles: [{name: server}]\nlistener: {port: 1, sslProfile: sever}",
            "test.conf:2:33: sslProfile 'sever' not found; did you mean `server`?",
        ),
        ("listenerAddress: {address: a, value: 1, listener: x}", "tcpListener 'x' not found"),
        (
            "tcpListener: {name: x, address: a, port: 1}\nlistenerAddress: {address: a, value: 1, listener: x}",
            "that tcpListener has no multiAddressStrategy",
        ),
        (
            "tcpListener: {name: x, port: 1, multiAddressStrategy: weighted}\nlistenerAddress: {address: a, value: 0, listener: x}",
            "test.conf:2:38: value: expected a whole number of at least 1, found `0`",
        ),
        ("listeners: [{name: a, port: 1}, {name: a, port: 2}]", "there already is a listener with the name `a`"),
        ("logs: [{module: SERVER}, {module: SERVER}]", "there already is a log with the module `SERVER`"),
        ("sslProfiles: [{name: a}, {name: a}]", "there already is a sslProfile with the name `a`"),
        ("sslProfile: {certFile: x}", "sslProfile needs the attribute `name`"),
        (
            "listener: {port: amqp}\ntcpListener: {address: a, port: 5672}",
            "test.conf:2:33: port: :5672 is already taken by the listener `listener/:amqp`",
        ),
        ("address: {prefix: a/#}", "use `pattern` for wildcards"),
        (
            "listener: {port: 1, websocketOrigins: 'https://a.example b.example'}",
            "websocketOrigins: expected origins such as https://app.example, separated by blanks, or `*`, found `b.example`",
        ),
        ("address: {prefix: a, priority: 10}", "priority: expected a whole number from 0 to 9, found `10`"),
    ] {
        let message = refuse(Yaml, text);
        assert!(message.contains(expected), "{text:?}\n  says    {message}\n  expected {expected}");
    }
    accept(Yaml, "listeners: [{name: a, port: 0}, {name: b, port: 0}]\ntcpListener: {name: a, address: a, port: 0}");
}

#[test]
fn what_has_no_effect_is_warned_about() {
    let c = accept(
        Yaml,
        "router: {vanId: v}\npolicy: {maxConnections: 5, defaultVhost: x}\nautoLink: {direction: in, address: a}\n\
         proxyProfile: {name: p}\nconnector: {port: 1, policyVhost: x}\nlistener: {port: 1, policyVhost: x}\n\
         vhost: {hostname: x, groups: {a: {users: b, maxFrames: 5}}}\nsite: {name: here}\n",
    );
    let warnings: Vec<_> = c.warnings.iter().map(ToString::to_string).collect();
    for expected in [
        "an autoLink without `connection` and `containerId` is never attached",
        "test.conf:7:30: Policy vhost 'x' user group 'a' option 'maxFrames' is ignored.",
    ] {
        assert!(warnings.iter().any(|warning| warning.contains(expected)), "{expected} is not in {warnings:#?}");
    }
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    assert_eq!((c.connectors.len(), c.listeners.len(), c.vhosts.len()), (1, 1, 1));
    assert_eq!(c.store().expect("a store").len(), c.entities.len());
}

#[test]
fn vhosts_are_checked() {
    for (text, expected) in [
        ("vhost: {hostname: h, groups: 5}", "test.conf:1:30: groups: expected a map, found `5`"),
        (
            "vhost: {hostname: h, groups: {a: {maxSenders: many}}}",
            "test.conf:1:30: Policy 'h' is invalid: Policy vhost 'h' groups: user group 'a' option 'maxSenders': expected",
        ),
        ("vhost: {hostname: h, allowUnknownUser: yes}", "test.conf:1:40: Policy 'h' is invalid"),
        (
            "vhost: {hostname: h, maxMessageSize: -1}",
            "maxMessageSize: expected a whole number of at least 0, found `-1`",
        ),
        ("policy: {maxMessageSize: -1}", "maxMessageSize: expected a whole number of at least 0, found `-1`"),
        ("vhosts: [{hostname: h}, {hostname: h}]", "there already is a vhost with the hostname `h`"),
        (
            "vhosts: [{hostname: a, aliases: c}, {hostname: b, aliases: c}]",
            "test.conf:1:60: Policy for vhost 'b' alias 'c' conflicts with existing alias for vhost 'a'",
        ),
        (
            "policy: {enableVhostNamePatterns: yes}\nvhosts: [{hostname: '#.a'}, {hostname: '#.#.a'}]",
            "conflicts with existing pattern '#.a'",
        ),
    ] {
        let message = refuse(Yaml, text);
        assert!(message.contains(expected), "{text:?}\n  says    {message}\n  expected {expected}");
    }
    let c =
        accept(Text, "vhost {\n  hostname: #.example.com\n  groups: {\n    \"$default\": {\"users\": \"*\"}\n  }\n}\n");
    assert_eq!(c.vhosts.first().map(|vhost| vhost.hostname.as_str()), Some("#.example.com"));
    assert!(accept(Json, r#"[["vhost", {"hostname": "", "allowUnknownUser": false}]]"#).warnings.is_empty());
}

#[test]
fn passwords_do_not_show() {
    let text = "sslProfile: {name: a, password: hunter2}\nrouter: {mode: edge}\n\
                connector: {port: 1, role: inter-router, saslPassword: hunter2}";
    assert!(!refuse(Yaml, text).contains("hunter2"));
    let c = accept(Yaml, "sslProfile: {name: a, password: hunter2}");
    assert!(!format!("{c:?}").contains("hunter2"));
    assert_eq!(c.ssl_profiles.first().and_then(|p| p.password.as_ref()).map(|p| p.expose()), Some("hunter2"));
}

#[test]
fn a_router_can_be_named_later() {
    let mut c = accept(Yaml, "");
    c.name_router("X");
    assert_eq!((c.router.id.as_deref(), c.router.identity.as_str()), (Some("X"), "router/X"));
    assert_eq!(
        c.store().expect("a store").read(None, None, Some("router/X")).map(|r| r.name().to_owned()),
        Ok("router/X".to_owned())
    );
}
