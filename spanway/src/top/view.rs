//! What a snapshot looks like as a table.

use std::cmp::Ordering;

use crate::cli::top::View;
use crate::client::report::{Count, Size};
use crate::client::table::{duration, shown};

use super::sample::{AddressLoad, LinkLoad, Rate, RouterLoad, Snapshot, delay};

/// A column of a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: &'static str,
    /// Numbers stand to the right, and the largest come first.
    pub(super) number: bool,
    /// Narrow terminals show the most important only: columns of higher number go first.
    pub(super) rank: u8,
    /// What it says.
    pub(super) help: &'static str,
}

const fn column(name: &'static str, number: bool, rank: u8, help: &'static str) -> Column {
    Column { name, number, rank, help }
}

const ROUTERS: &[Column] = &[
    column("ROUTER", false, 0, "the router's id"),
    column("KIND", false, 3, "interior or edge"),
    column("VERSION", false, 5, "its version"),
    column("UP", true, 2, "since when it runs"),
    column("CONNS", true, 2, "connections"),
    column("LINKS", true, 3, "AMQP links"),
    column("ADDRS", true, 4, "addresses in use"),
    column("IN/s", true, 0, "deliveries from its own clients, a second"),
    column("OUT/s", true, 0, "deliveries to its own clients, a second"),
    column("THROUGH/s", true, 1, "deliveries from one router to another, a second"),
    column("SLOW/s", true, 1, "deliveries settled after more than a second, a second"),
    column("STUCK", true, 0, "deliveries not settled for more than ten seconds"),
    column("MEMORY", true, 1, "resident memory"),
];

const LINKS: &[Column] = &[
    column("PEER", false, 0, "container at the other end"),
    column("AT", false, 1, "the router whose connection it is"),
    column("ROLE", false, 0, "normal for clients; inter-router, edge"),
    column("DIR", false, 4, "who connected: out for the router"),
    column("HOST", false, 3, "address of the other end"),
    column("TLS", false, 5, "how it is encrypted"),
    column("LINKS", true, 4, "AMQP links of the connection"),
    column("IN/s", true, 0, "deliveries from the peer, a second"),
    column("OUT/s", true, 0, "deliveries to the peer, a second"),
    column("CREDIT", true, 2, "deliveries that the peer would take at once"),
    column("WAIT", true, 0, "deliveries that wait to be sent to the peer"),
    column("UNSETTLED", true, 1, "deliveries sent to the peer and not settled"),
    column("DELAY", true, 0, "how long those take at this rate: (waiting + unsettled) / rate"),
];

const ADDRESSES: &[Column] = &[
    column("ADDRESS", false, 0, "the address"),
    column("DISTRIBUTION", false, 2, "how deliveries are distributed over consumers"),
    column("CONSUMERS", true, 0, "consumers at all routers"),
    column("ROUTERS", true, 2, "routers with consumers"),
    column("SENDERS", true, 1, "senders at all routers, anonymous ones not counted"),
    column("IN/s", true, 0, "deliveries from clients, a second"),
    column("OUT/s", true, 0, "deliveries to clients, or from other routers to edge routers, a second"),
    column("THROUGH/s", true, 3, "deliveries from one router to another, a second"),
    column("WAIT", true, 0, "deliveries that wait for a consumer's credit"),
    column("DELAY", true, 0, "how long those wait at this rate: waiting / rate"),
];

/// The columns of a view.
pub(super) const fn columns(view: View) -> &'static [Column] {
    match view {
        View::Routers => ROUTERS,
        View::Links => LINKS,
        View::Addresses => ADDRESSES,
    }
}

/// What a cell is sorted by.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Order {
    Number(f64),
    Text(String),
}

impl Order {
    /// Largest numbers first, texts by the alphabet.
    fn first(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => b.total_cmp(a),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Number(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Number(_)) => Ordering::Greater,
        }
    }
}

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) order: Order,
}

/// How a row is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// Nothing moves.
    Idle,
    Fine,
    /// Something waits longer than it should.
    Slow,
    /// Something does not work.
    Bad,
}

/// One line of a view.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// Stays the same from one look to the next.
    pub(super) id: String,
    pub(super) cells: Vec<Cell>,
    pub(super) mood: Mood,
    /// How slow it is, for the default order: the higher the slower.
    pub(super) slowness: f64,
    /// What stands below when it is selected.
    pub(super) hint: String,
}

/// The lines of a view, in no order.
pub(super) fn rows(snapshot: &Snapshot, view: View) -> Vec<Row> {
    match view {
        View::Routers => snapshot.routers.iter().map(router).collect(),
        View::Links => snapshot.links.iter().map(link).collect(),
        View::Addresses => snapshot.addresses.iter().map(address).collect(),
    }
}

/// Puts lines in order: by a column, or the slowest first.
pub(super) fn sort(rows: &mut [Row], by: Option<usize>, reversed: bool) {
    rows.sort_by(|a, b| {
        let order = match by {
            None => b.slowness.total_cmp(&a.slowness),
            Some(at) => match (a.cells.get(at), b.cells.get(at)) {
                (Some(a), Some(b)) => a.order.first(&b.order),
                _ => Ordering::Equal,
            },
        };
        let order = if reversed { order.reverse() } else { order };
        order.then_with(|| a.id.cmp(&b.id))
    });
}

fn text(text: &str) -> Cell {
    let text = shown(text);
    Cell { order: Order::Text(text.to_lowercase()), text }
}

fn count(number: u64) -> Cell {
    Cell { text: grouped(number), order: Order::Number(number as f64) }
}

fn rate(rate: Rate) -> Cell {
    let text = match rate {
        None => "-".to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(rate) if rate < 10.0 => format!("{rate:.1}"),
        Some(rate) => grouped(rate.round() as u64),
    };
    Cell { text, order: Order::Number(rate.unwrap_or(-1.0)) }
}

fn wait(delay: Option<f64>) -> Cell {
    let text = match delay {
        None => "-".to_owned(),
        Some(f64::INFINITY) => "stuck".to_owned(),
        Some(seconds) if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
        Some(seconds) if seconds < 60.0 => format!("{seconds:.1} s"),
        Some(seconds) => duration(seconds as u64),
    };
    Cell { text, order: Order::Number(delay.unwrap_or(-1.0)) }
}

/// `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn moves(rates: &[Rate]) -> bool {
    rates.iter().flatten().any(|rate| *rate > 0.0)
}

fn total(rates: &[Rate]) -> f64 {
    rates.iter().flatten().sum()
}

/// For the default order: beyond every delay that ends, what waits and does not move, and before that what cannot move.
const HANGS: f64 = 1e12;
const CANNOT: f64 = 2e12;

/// How slow something is whose deliveries take so long: `hung` where they hang, else by delay. A stream at full speed has little of it; among equals the busiest
/// comes first.
fn slowness(took: Option<f64>, hung: f64, rates: &[Rate]) -> f64 {
    match took {
        Some(f64::INFINITY) => hung,
        took => took.unwrap_or(0.0) * 1e6 + total(rates) / 1e9,
    }
}

/// Slower than this, in seconds, is worth a colour.
const SLOW: f64 = 1.0;

fn router(router: &RouterLoad) -> Row {
    let mood = match (&router.silent, router.stuck, router.delayed) {
        (Some(_), ..) | (None, 1.., _) => Mood::Bad,
        (None, 0, Some(delayed)) if delayed > 0.0 => Mood::Slow,
        _ if moves(&[router.ingress, router.egress, router.transit]) => Mood::Fine,
        _ => Mood::Idle,
    };
    let hint = match (&router.silent, router.stuck) {
        (Some(why), _) => why.clone(),
        (None, 1..) => format!("{} deliveries are stuck: see the links that are slowest (2)", router.stuck),
        (None, 0) => format!("`spanway status --router {}` shows it in full", router.id),
    };
    let total = total(&[router.ingress, router.egress, router.transit]);
    let slowness = match &router.silent {
        Some(_) => f64::INFINITY,
        None => router.stuck as f64 * 1e9 + router.delayed.unwrap_or(0.0) * 1e6 + total / 1e3,
    };
    let known = |cell: Cell| if router.silent.is_some() { Cell { text: "-".to_owned(), ..cell } } else { cell };
    Row {
        id: router.id.clone(),
        cells: vec![
            text(&router.id),
            text(if router.edge { "edge" } else { "interior" }),
            text(if router.silent.is_some() { "no answer" } else { &router.version }),
            known(Cell { text: duration(router.uptime), order: Order::Number(router.uptime as f64) }),
            known(count(router.connections)),
            known(count(router.links)),
            known(count(router.addresses)),
            rate(router.ingress),
            rate(router.egress),
            rate(router.transit),
            rate(router.delayed),
            known(count(router.stuck)),
            known(Cell { text: Size(router.memory as f64).to_string(), order: Order::Number(router.memory as f64) }),
        ],
        mood,
        slowness,
        hint,
    }
}

fn link(link: &LinkLoad) -> Row {
    let rates = [link.ingress, link.egress];
    let under_way = link.waiting + link.unsettled;
    let took = delay(under_way, link.egress);
    let stuck = took == Some(f64::INFINITY) && link.credit == 0;
    let mood = match took {
        _ if stuck => Mood::Bad,
        Some(took) if took > SLOW => Mood::Slow,
        _ if moves(&rates) => Mood::Fine,
        _ => Mood::Idle,
    };
    let hint = if stuck {
        format!(
            "{} takes nothing: {} wait, {} are not settled, no credit is left. Look at that program",
            link.peer, link.waiting, link.unsettled
        )
    } else if link.waiting > 0 {
        format!("{} deliveries wait for {}, which has {} to settle", link.waiting, link.peer, link.unsettled)
    } else {
        format!("connection {} of router {} with {} from {}", link.connection, link.router, link.peer, link.host)
    };
    // What takes nothing before those that wait for it.
    let hung = under_way as f64 + if stuck { CANNOT } else { HANGS };
    let slowness = slowness(took, hung, &rates);
    Row {
        id: format!("{}\n{}", link.router, link.connection),
        cells: vec![
            text(&link.peer),
            text(&link.router),
            text(&link.role),
            text(if link.outgoing { "out" } else { "in" }),
            text(&link.host),
            text(&link.security),
            count(link.links),
            rate(link.ingress),
            rate(link.egress),
            if link.receivers == 0 {
                Cell { text: "-".to_owned(), order: Order::Number(-1.0) }
            } else {
                count(link.credit)
            },
            count(link.waiting),
            count(link.unsettled),
            wait(took),
        ],
        mood,
        slowness,
        hint,
    }
}

fn address(load: &AddressLoad) -> Row {
    let out = Some(load.egress.unwrap_or(0.0));
    let took = delay(load.waiting, out);
    let rates = [load.ingress, load.egress, load.transit];
    let unserved = load.consumers == 0 && (load.senders > 0 || load.waiting > 0);
    let mood = match took {
        _ if unserved => Mood::Bad,
        Some(f64::INFINITY) => Mood::Bad,
        Some(took) if took > SLOW => Mood::Slow,
        _ if moves(&rates) => Mood::Fine,
        _ => Mood::Idle,
    };
    let hint = if unserved {
        format!(
            "nobody receives from {}, and {} waits: `spanway check {}`",
            load.address,
            Count(load.senders, "sender"),
            load.address
        )
    } else if took.is_some() {
        format!(
            "{} deliveries wait for its consumers: they are slower than its senders, or hang: `spanway check {}`",
            load.waiting, load.address
        )
    } else {
        format!("`spanway trace {}` shows the ways to its consumers", load.address)
    };
    let slowness = if unserved { CANNOT } else { slowness(took, HANGS + load.waiting as f64, &rates) };
    Row {
        id: load.address.clone(),
        cells: vec![
            text(&load.address),
            text(&load.distribution),
            count(load.consumers),
            count(load.routers),
            count(load.senders),
            rate(load.ingress),
            rate(load.egress),
            rate(load.transit),
            count(load.waiting),
            if unserved { Cell { text: "stuck".to_owned(), order: Order::Number(f64::INFINITY) } } else { wait(took) },
        ],
        mood,
        slowness,
        hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(rate(Some(1.25)).text, "1.2");
        assert_eq!(rate(Some(12_345.6)).text, "12,346");
        assert_eq!(
            [Some(0.0021), Some(1.5), Some(65.0), Some(f64::INFINITY), None].map(|delay| wait(delay).text),
            ["2.1 ms", "1.5 s", "1m05s", "stuck", "-"]
        );
    }

    #[test]
    fn the_slowest_come_first() {
        let load = |address: &str, consumers, senders, waiting, egress| AddressLoad {
            address: address.to_owned(),
            consumers,
            senders,
            waiting,
            egress: Some(egress),
            ..AddressLoad::default()
        };
        let mut rows: Vec<Row> = [
            load("fast", 1, 1, 0, 1e5),
            load("idle", 1, 1, 0, 0.0),
            load("slow", 1, 1, 100, 10.0),
            load("hangs", 1, 1, 5, 0.0),
            load("nobody", 0, 2, 0, 0.0),
        ]
        .iter()
        .map(address)
        .collect();
        sort(&mut rows, None, false);
        let order = |rows: &[Row]| rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>();
        assert_eq!(order(&rows), ["nobody", "hangs", "slow", "fast", "idle"]);
        let moods: Vec<Mood> = rows.iter().map(|row| row.mood).collect();
        assert_eq!(moods, [Mood::Bad, Mood::Bad, Mood::Slow, Mood::Fine, Mood::Idle]);
        sort(&mut rows, Some(0), false);
        assert_eq!(order(&rows), ["fast", "hangs", "idle", "nobody", "slow"]);
        sort(&mut rows, Some(6), true);
        assert_eq!(order(&rows).last().map(String::as_str), Some("fast"));
    }

    #[test]
    fn every_row_has_a_cell_for_each_column() {
        let snapshot = Snapshot {
            routers: vec![RouterLoad::default()],
            links: vec![LinkLoad::default()],
            addresses: vec![AddressLoad::default()],
            ..Snapshot::default()
        };
        for view in [View::Routers, View::Links, View::Addresses] {
            assert_eq!(rows(&snapshot, view)[0].cells.len(), columns(view).len());
        }
    }
}
