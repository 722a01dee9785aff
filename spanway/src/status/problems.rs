//! What is wrong with a site, and what to do.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use transport::tls::CertificateFacts;

use super::{BETWEEN_ROUTERS, Link, Node, Seen, Service};
use crate::client::report::Count;
use crate::client::table::duration;

/// Seconds without credit after which a consumer with something to do counts as stuck.
const STUCK: u64 = 10;
/// How many problems of a kind are told one by one.
const EACH: usize = 5;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) what: String,
    pub(super) remedy: String,
}

fn problem(what: impl Into<String>, remedy: impl Into<String>) -> Problem {
    Problem { what: what.into(), remedy: remedy.into() }
}

/// Everything that is wrong, the likeliest cause of the rest first.
pub(super) fn find(seen: &Seen, links: &[Link], nodes: &[Node], services: &[Service]) -> Vec<Problem> {
    let mut all = Vec::new();
    all.extend(links.iter().filter(|link| !link.up).map(down));
    all.extend(nodes.iter().filter(|node| !node.reached).map(|node| {
        problem(
            format!("router {} is known and cannot be reached", node.id),
            "is it running, and are the links on the way up? Routers that stay away are forgotten after a while",
        )
    }));
    some(&mut all, "addresses with senders have no consumer", services.iter().filter(|s| s.waits()).map(unserved));
    some(&mut all, "consumers take nothing", stuck_consumers(seen));
    all.extend(stuck_deliveries(seen));
    some(&mut all, "TCP listeners are closed", closed_listeners(seen, services));
    some(&mut all, "auto-links do not work", auto_links(seen));
    all.extend(certificates(seen));
    all
}

/// The first few of a kind, and how many more there are.
fn some(all: &mut Vec<Problem>, kind: &str, mut of_kind: impl Iterator<Item = Problem>) {
    all.extend(of_kind.by_ref().take(EACH));
    let more = of_kind.count();
    if more > 0 {
        all.push(problem(format!("{more} more {kind}"), "`-o json` and `spanway stat` have all of them"));
    }
}

fn down(link: &Link) -> Problem {
    let between = BETWEEN_ROUTERS.contains(&link.role.as_str());
    let what = format!("the {} connection to {} is down: {}", link.role, link.place, link.message);
    let remedy = match between {
        true => {
            format!("is the router there running, and does it take links? `spanway check --url amqp://{}`", link.place)
        }
        false => format!("is what listens there running? `spanway check --url amqp://{}`", link.place),
    };
    problem(what, remedy)
}

fn unserved(service: &Service) -> Problem {
    let waiting = if service.waiting == 0 { String::new() } else { format!(", {} deliveries wait", service.waiting) };
    problem(
        format!("nobody receives from {}: {}{waiting}", service.address, Count(service.senders, "sender")),
        format!("start its consumer; `spanway check {}` looks for it", service.address),
    )
}

fn stuck_consumers<'a>(seen: &'a Seen) -> impl Iterator<Item = Problem> + 'a {
    let stuck = seen.of("router.link").filter(|line| {
        line.str("linkDir") == "out"
            && line.str("linkType") == "endpoint"
            && line.number("creditAvailable") == 0
            && line.number("zeroCreditSeconds") >= STUCK
            && line.number("undeliveredCount") + line.number("unsettledCount") > 0
    });
    stuck.map(|line| {
        let connection =
            seen.of("connection").find(|connection| connection.str("identity") == line.str("connectionId"));
        let who = connection.map_or_else(
            || format!("connection {}", line.text("connectionId")),
            |connection| format!("{} ({})", connection.text("container"), connection.text("host")),
        );
        problem(
            format!(
                "consumer {who} of {} has taken nothing for {}: {} not settled, {} wait",
                line.address("owningAddr"),
                duration(line.number("zeroCreditSeconds")),
                line.number("unsettledCount"),
                line.number("undeliveredCount")
            ),
            "look at that program; ending it lets others have what it holds",
        )
    })
}

fn stuck_deliveries(seen: &Seen) -> Option<Problem> {
    let stuck = seen.of("routerMetrics").next().map_or(0, |line| line.number("deliveriesStuck"));
    (stuck > 0).then(|| {
        problem(
            format!("deliveries that have not been settled for more than 10 s: {stuck}"),
            "`spanway top` shows the slowest links first, `spanway stat links` all of them",
        )
    })
}

fn closed_listeners<'a>(seen: &'a Seen, services: &'a [Service]) -> impl Iterator<Item = Problem> + 'a {
    let closed = seen.of("tcpListener").filter(|line| line.str("operStatus") == "down");
    closed.map(|line| {
        let address = line.str("address");
        let served = services.iter().any(|service| service.address == address && service.served());
        let what = format!("port {}:{} for {address} is closed", line.text("host"), line.text("port"));
        match served {
            true => problem(format!("{what}: {}", line.text("connectionMsg")), "is the port taken by another program (`ss -tlnp`)?"),
            false => problem(
                format!("{what}: nobody serves {address}"),
                "a TCP connector for the address has to be at a router that can be reached: `spanway stat tcp --all-routers`".to_owned(),
            ),
        }
    })
}

fn auto_links(seen: &Seen) -> impl Iterator<Item = Problem> + '_ {
    let failed = seen.of("router.config.autoLink").filter(|line| !matches!(line.str("operStatus"), "active" | ""));
    failed.map(|line| {
        problem(
            format!(
                "auto-link {} for {} is {}: {}",
                line.text("name"),
                line.text("address"),
                line.text("operStatus"),
                line.text("lastError")
            ),
            "is its container connected, and does it have the address? `spanway stat auto-links`",
        )
    })
}

/// Certificates of the router that have ended or soon will, where its files are files of this machine.
fn certificates(seen: &Seen) -> Vec<Problem> {
    let host = seen.of("router").next().map(|line| line.str("hostName"));
    if host.is_none() || host != crate::management::host_name().as_deref() {
        return Vec::new();
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let of_profile = |line: crate::client::entities::Line<'_>| {
        let facts = certificate(line.str("certFile"))?;
        let left = facts.not_after - now;
        let late = (facts.not_after - facts.not_before) / 10;
        let name = line.text("name");
        let remedy = format!(
            "write the new files, then `spanway manage update sslProfile --name {name} ordinal=N`, N one higher than before"
        );
        let end = jiff::Timestamp::from_second(facts.not_after).map_or_else(|_| String::new(), |end| end.to_string());
        let until = u64::try_from(left).map(duration);
        match until {
            Err(_) => Some(problem(format!("the certificate of sslProfile {name} has ended {end}"), remedy)),
            Ok(until) if left < late => {
                Some(problem(format!("the certificate of sslProfile {name} ends in {until}, {end}"), remedy))
            }
            Ok(_) => None,
        }
    };
    seen.of("sslProfile").filter_map(of_profile).collect()
}

fn certificate(file: &str) -> Option<CertificateFacts> {
    // The router's directory may be another one.
    let path = Path::new(file);
    path.is_absolute().then(|| std::fs::read(path).ok()).flatten().and_then(|text| CertificateFacts::of_pem(&text))
}
