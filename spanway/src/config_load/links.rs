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
    !args.accept_links.is_empty() || !args.link.is_empty()
}

/// The mode that links need, unless somebody chose it.
pub(super) fn mode(args: &RunArgs, sections: &[Section]) -> Result<Option<Flag>, LoadError> {
    const NEEDED: &str = "interior";
    if !wanted(args) {
        return Ok(None);
    }
    let flag = if args.link.is_empty() { "--accept-links" } else { "--link" };
    let refused = |who: &str, mode: &str| {
        Err(LoadError::Flags(format!(
            "{flag} makes this an interior router, but {who} says `{mode}`: say `{NEEDED}`, or nothing, there"
        )))
    };
    if let Some(mode) = &args.mode {
        return if mode == NEEDED { Ok(None) } else { refused("--mode", mode) };
    }
    let router = sections.iter().find(|section| section.name == EntityKind::Router.name());
    let written = router.and_then(|router| router.attributes.iter().find(|attribute| attribute.name == "mode"));
    match (&args.config, written.map(|attribute| &attribute.value)) {
        (Some(_), Some(Value::String(mode))) if mode == NEEDED => Ok(None),
        (Some(file), Some(Value::String(mode))) => refused(file, mode),
        _ => Ok(Some(Flag::router("--mode", "mode", NEEDED))),
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
