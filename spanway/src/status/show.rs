//! A site for people and for programs.

use serde_json::json;

use super::{Link, Service, Status};
use crate::client::format::{object, pretty};
use crate::client::report::Count;
use crate::client::table::{Align, aligned, shown};

/// How many services are shown.
const SERVICES: usize = 15;

use Align::{Left, Right};

/// For people.
pub(super) fn table(status: &Status) -> String {
    let mut text = head(status);
    if !status.links.is_empty() {
        text.push_str("\nLinks\n");
        text.push_str(&indented(&links(&status.links)));
    }
    if !status.nodes.is_empty() {
        let names = status.nodes.iter().map(|node| match (node.reached, node.cost) {
            (true, Some(cost)) => format!("{} (cost {cost})", node.id),
            _ => format!("{} (no way)", node.id),
        });
        text.push_str(&format!("\nNetwork\n  {}\n", names.collect::<Vec<_>>().join(", ")));
    }
    text.push_str("\nServices\n");
    if status.services.is_empty() {
        text.push_str("  none\n");
    } else {
        text.push_str(&indented(&services(status.services.iter().take(SERVICES))));
        let more = status.services.len().saturating_sub(SERVICES);
        if more > 0 {
            text.push_str(&format!("  and {more} more: `spanway stat addresses`\n"));
        }
    }
    text.push_str("\nProblems\n");
    if status.problems.is_empty() {
        text.push_str("  none\n");
    }
    for problem in &status.problems {
        text.push_str(&format!("  ! {}\n    -> {}\n", shown(&problem.what), shown(&problem.remedy)));
    }
    text
}

fn head(status: &Status) -> String {
    let (Some(router), Some(metrics)) = (status.router.lines().next(), status.metrics.lines().next()) else {
        return String::new();
    };
    // The reference tells its version elsewhere.
    let version = [metrics.get("version"), router.get("version")].into_iter().find_map(|version| version.as_str());
    format!(
        "{}: {} router at {}, version {}, up {}\n{}, {}, {} in memory\ndeliveries: {} in, {} out, {} through; {} rejected, {} released, {} modified\n",
        router.text("id"),
        router.text("mode"),
        router.text("hostName"),
        shown(version.unwrap_or_default()),
        metrics.since("uptimeSeconds"),
        Count(metrics.number("connectionCount"), "connection"),
        Count(metrics.number("linkCount"), "link"),
        metrics.size("residentMemoryUsage"),
        metrics.number("deliveriesIngress"),
        metrics.number("deliveriesEgress"),
        metrics.number("deliveriesTransit"),
        metrics.number("rejectedDeliveries"),
        metrics.number("releasedDeliveries"),
        metrics.number("modifiedDeliveries"),
    )
}

fn links(links: &[Link]) -> String {
    let heads = [
        ("", Left),
        ("router", Left),
        ("role", Left),
        ("dir", Left),
        ("at", Left),
        ("security", Left),
        ("up for", Right),
    ];
    let row = |link: &Link| {
        let state = if link.up { "up" } else { "DOWN" };
        [state, &link.peer, &link.role, &link.dir, &link.place, &link.security, &link.uptime]
            .map(str::to_owned)
            .to_vec()
    };
    aligned(&heads, &links.iter().map(row).collect::<Vec<_>>())
}

fn services<'a>(services: impl Iterator<Item = &'a Service>) -> String {
    let heads = [
        ("address", Left),
        ("kind", Left),
        ("consumers", Right),
        ("elsewhere", Right),
        ("senders", Right),
        ("waiting", Right),
        ("in", Right),
        ("out", Right),
        ("places", Left),
    ];
    let row = |service: &Service| {
        vec![
            shown(&service.address),
            service.kind.clone(),
            service.consumers.to_string(),
            service.remote.to_string(),
            service.senders.to_string(),
            service.waiting.to_string(),
            service.deliveries_in.to_string(),
            service.deliveries_out.to_string(),
            service.places.join(", "),
        ]
    };
    aligned(&heads, &services.map(row).collect::<Vec<_>>())
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// For programs.
pub(super) fn json(status: &Status) -> String {
    let one = |entities: &crate::client::entities::Entities| entities.lines().next().map(|line| object(&line));
    let link = |link: &Link| {
        json!({
            "up": link.up, "router": link.peer, "role": link.role, "dir": link.dir, "host": link.place,
            "security": link.security, "message": link.message,
        })
    };
    let service = |service: &Service| {
        json!({
            "address": service.address, "kind": service.kind, "consumers": service.consumers,
            "routersWithConsumers": service.remote, "senders": service.senders, "waiting": service.waiting,
            "deliveriesIngress": service.deliveries_in, "deliveriesEgress": service.deliveries_out, "places": service.places,
        })
    };
    pretty(&json!({
        "router": one(&status.router),
        "metrics": one(&status.metrics),
        "links": status.links.iter().map(link).collect::<Vec<_>>(),
        "network": status.nodes.iter().map(|node| json!({"id": node.id, "reached": node.reached, "cost": node.cost})).collect::<Vec<_>>(),
        "services": status.services.iter().map(service).collect::<Vec<_>>(),
        "problems": status.problems.iter().map(|problem| json!({"what": problem.what, "remedy": problem.remedy})).collect::<Vec<_>>(),
    }))
}
