//! What to try next, for somebody who started a router without a file.

use std::fmt::Write as _;
use std::net::SocketAddr;

use router_core::config::Configuration;
use router_core::entity::{Mode, Role};

use super::entities::Running;

/// What is printed once the router is ready.
pub(super) fn text(configuration: &Configuration, running: &Running, admin: &[SocketAddr]) -> String {
    let listening: Vec<(String, Vec<SocketAddr>)> = running.listening().collect();
    let first = |role: Role| {
        let listeners = configuration.listeners.iter().filter(move |listener| listener.role == role);
        listeners.filter_map(|listener| listening.iter().find(|(name, _)| *name == listener.name)).find_map(
            |(name, addresses)| {
                let tls = configuration.listeners.iter().any(|l| l.name == *name && l.ssl_profile.is_some());
                addresses.first().map(|address| (if tls { "amqps" } else { "amqp" }, *address))
            },
        )
    };
    let network = configuration.router.mode != Mode::Standalone;
    let id = configuration.router.id.as_deref().unwrap_or_default();
    let mut text = if network {
        format!("\nThe router {id} is ready. In other terminals, try:\n\n")
    } else {
        "\nThe router is ready. In other terminals, try:\n\n".to_owned()
    };
    // Writing to a `String` cannot fail.
    for (role, flag) in [(Role::InterRouter, "--link"), (Role::Edge, "--edge-link")] {
        let Some((scheme, address)) = first(role) else { continue };
        let _ = match scheme {
            "amqps" => writeln!(text, "  spanway run {flag} amqps://HOST:{} --cert C --key K --ca A", address.port()),
            _ if address.ip().is_unspecified() => writeln!(text, "  spanway run {flag} HOST:{}", address.port()),
            _ => writeln!(text, "  spanway run {flag} {address}"),
        };
    }
    if let Some((scheme, address)) = first(Role::Normal) {
        let url = if scheme == "amqp" && address.port() == 5672 && address.ip().is_loopback() {
            String::new()
        } else {
            format!(" --url {scheme}://{address}")
        };
        let shown = if configuration.router.mode == Mode::Interior { "nodes" } else { "addresses" };
        let _ = writeln!(
            text,
            "  spanway recv greetings{url}\n  spanway send greetings hello{url}\n  spanway stat {shown}{url}"
        );
    }
    if let Some(admin) = admin.first() {
        let _ = writeln!(text, "  curl http://{admin}/metrics");
    }
    text.push_str(if network {
        "\nA sender at any router of the network reaches the receivers at all others.\nCtrl-C ends it.\n"
    } else {
        "\nTo carry TCP, start it with --tcp-listener web=127.0.0.1:8080 --tcp-connector web=127.0.0.1:80.\n\
         To make a network, start it with --accept-links 127.0.0.1:55671, and others with --link 127.0.0.1:55671.\nCtrl-C ends it.\n"
    });
    text
}
