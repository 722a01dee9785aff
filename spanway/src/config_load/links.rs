//! What flags that make a network change about everything else.

use std::net::TcpListener;

use router_core::config::{Flag, Section};
use router_core::entity::{EntityKind, Value, parse_port};

use super::LoadError;
use crate::cli::RunArgs;

/// How many ports behind a default are tried.
const TRIED: u16 = 100;

/// Whether the router is to be a member of a network.
pub(super) fn wanted(args: &RunArgs) -> bool {
    all(args).next().is_some()
}

/// All flags that make links.
pub(super) fn all(args: &RunArgs) -> impl Iterator<Item = &Flag> {
    args.accept_links.iter().chain(&args.link).chain(&args.accept_edges).chain(&args.edge_link)
}

/// The mode that links need, unless somebody chose it.
pub(super) fn mode(args: &RunArgs, sections: &[Section]) -> Result<Option<Flag>, LoadError> {
    let interior =
        [("--link", &args.link), ("--accept-links", &args.accept_links), ("--accept-edges", &args.accept_edges)];
    let interior = interior.into_iter().find(|(_, flags)| !flags.is_empty()).map(|(flag, _)| flag);
    let (flag, needed) = match (interior, args.edge_link.is_empty()) {
        (None, true) => return Ok(None),
        (Some(flag), true) => (flag, "interior"),
        (None, false) => ("--edge-link", "edge"),
        (Some(flag), false) => {
            return Err(LoadError::Flags(format!(
                "--edge-link makes this an edge router, which has no other links: leave out {flag}, or say --link instead of --edge-link"
            )));
        }
    };
    let refused = |who: &str, mode: &str| {
        Err(LoadError::Flags(format!(
            "{flag} makes this an {needed} router, but {who} says `{mode}`: say `{needed}`, or nothing, there"
        )))
    };
    if let Some(mode) = &args.mode {
        return if mode == needed { Ok(None) } else { refused("--mode", mode) };
    }
    let router = sections.iter().find(|section| section.name == EntityKind::Router.name());
    let written = router.and_then(|router| router.attributes.iter().find(|attribute| attribute.name == "mode"));
    match (&args.config, written.map(|attribute| &attribute.value)) {
        (Some(_), Some(Value::String(mode))) if mode == needed => Ok(None),
        (Some(file), Some(Value::String(mode))) => refused(file, mode),
        _ => Ok(Some(Flag::router("--mode", "mode", needed))),
    }
}

/// Two routers on one machine cannot have the same ports: those that nobody asked for are moved to the next that are free.
pub(super) fn avoid_taken_ports(sections: &mut [Section]) {
    for section in sections {
        let text = |name: &str| {
            section.attributes.iter().find(|attribute| attribute.name == name).map(|attribute| match &attribute.value {
                Value::String(text) => text.clone(),
                value => value.to_string(),
            })
        };
        let (Some(host), Some(port)) = (text("host"), text("port").as_deref().and_then(parse_port)) else { continue };
        let free = |port: &u16| TcpListener::bind((host.as_str(), *port)).is_ok();
        // Where none is free, opening the first fails later, with a reason.
        let Some(found) = (port..=port.saturating_add(TRIED)).find(free).filter(|found| *found != port) else {
            continue;
        };
        if let Some(attribute) = section.attributes.iter_mut().find(|attribute| attribute.name == "port") {
            attribute.value = Value::Integer(i64::from(found));
        }
    }
}
