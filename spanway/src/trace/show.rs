//! A trace for people and for programs.

use std::time::Duration;

use serde_json::json;

use super::{Hop, Route, Trace};
use crate::client::format::pretty;
use crate::client::report::Count;
use crate::client::table::{Align, aligned, shown};

/// For people.
pub(super) fn table(trace: &Trace) -> String {
    let consumers: u64 = trace.routes.iter().filter_map(|route| route.hops.last()).map(|hop| hop.consumers).sum();
    let distribution = trace.distribution.as_deref().unwrap_or("not in use");
    let mut text = format!(
        "{} ({distribution}) from {}: {} at {}\n",
        shown(&trace.address),
        shown(&trace.from),
        Count(consumers, "consumer"),
        Count(trace.routes.len() as u64, "router")
    );
    match (distribution, trace.routes.len()) {
        ("closest", 2..) => text.push_str("Deliveries go the first of these ways that has credit.\n"),
        ("balanced", 2..) => {
            text.push_str("Each delivery goes the way where least is outstanding, the cost counted in.\n")
        }
        ("multicast", 2..) => text.push_str("Each delivery goes all of these ways.\n"),
        _ => {}
    }
    for route in &trace.routes {
        text.push('\n');
        text.push_str(&hops(route));
    }
    text
}

fn hops(route: &Route) -> String {
    use Align::{Left, Right};
    let heads = [
        ("router", Left),
        ("cost", Right),
        ("round trip", Right),
        ("hop", Right),
        ("consumers", Right),
        ("waiting", Right),
    ];
    let mut before = None;
    let row = |(at, hop): (usize, &Hop)| {
        let hop_time = match (hop.round_trip, before) {
            (Some(now), Some(then)) => millis(now.abs_diff(then)),
            _ => String::new(),
        };
        before = hop.round_trip.or(before);
        let arrow = if at == 0 { String::new() } else { format!("{}-> ", "   ".repeat(at - 1)) };
        vec![
            format!("{arrow}{}", shown(&hop.id)),
            hop.cost.map_or_else(String::new, |cost| cost.to_string()),
            hop.round_trip.map_or_else(|| "no answer".to_owned(), millis),
            hop_time,
            hop.consumers.to_string(),
            hop.waiting.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = route.hops.iter().enumerate().map(row).collect();
    aligned(&heads, &rows)
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// For programs.
pub(super) fn json(trace: &Trace) -> String {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let hop = |hop: &Hop| {
        json!({
            "router": hop.id,
            "cost": hop.cost,
            "roundTripMicroseconds": hop.round_trip.map(micros),
            "consumers": hop.consumers,
            "waiting": hop.waiting,
        })
    };
    let route = |route: &Route| json!({ "cost": route.cost, "hops": route.hops.iter().map(hop).collect::<Vec<_>>() });
    pretty(&json!({
        "address": trace.address,
        "from": trace.from,
        "distribution": trace.distribution,
        "routes": trace.routes.iter().map(route).collect::<Vec<_>>(),
        "problems": trace.problems,
    }))
}
