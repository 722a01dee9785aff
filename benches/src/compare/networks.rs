//! TCP through networks of routers: the workloads of [`tcp`](super::tcp), and those that only make sense between routers.

use std::time::Duration;

use anyhow::Result;

use crate::compare::Run;
use crate::compare::path::{Between, Certificate, TcpPath, network_paths};
use crate::compare::routers::{Link, Network};
use crate::compare::tcp::{bulk_over, bulk_server, iperf3_over, web_server, wrk_over};
use crate::relay::Relay;
use crate::table::{Goal, Results};

type Goals = &'static [(&'static str, Goal)];

const RATE: &str = "Gb/s";
const CPU: &str = "CPU s/GB";
const CPU_EACH: &str = "CPU us each";
const P50: &str = "p50 us";
const PER_SECOND: &str = "per s";

/// How long the relay between routers keeps bytes, each way.
const DELAY: Duration = Duration::from_millis(50);

/// What a line carries that leaves processors for those at its ends, in bytes a second: without a limit iperf3 and the relay use up
/// two cores by themselves.
const LINE: f64 = 0.5e9;

/// iperf3 through two routers.
pub(crate) fn bulk_r2(run: &Run<'_>) -> Result<Vec<Results>> {
    // 0.75 of haproxy for each router.
    const GOALS: Goals = &[(RATE, Goal::TimesAtLeast(2.0, "skrouterd")), (CPU, Goal::TimesAtMost(1.5, "haproxy"))];
    bulk(run, Network::Two, GOALS)
}

/// iperf3 through edge, interior, edge.
pub(crate) fn bulk_eie(run: &Run<'_>) -> Result<Vec<Results>> {
    const GOALS: Goals = &[(RATE, Goal::TimesAtLeast(2.0, "skrouterd")), (CPU, Goal::TimesAtMost(2.25, "haproxy"))];
    bulk(run, Network::Edges, GOALS)
}

fn bulk(run: &Run<'_>, network: Network, goals: Goals) -> Result<Vec<Results>> {
    let Some((_server, port)) = bulk_server(run)? else { return Ok(Vec::new()) };
    let paths = network_paths(run, (network, Link::Plain), port)?;
    bulk_over(run, &paths, &format!("{}tcp bulk", network.prefix()), [goals, goals])
}

/// iperf3 through two routers with TLS between them.
pub(crate) fn bulk_tls(run: &Run<'_>) -> Result<Vec<Results>> {
    const GOALS: Goals = &[(RATE, Goal::TimesAtLeast(1.5, "skrouterd")), (CPU, Goal::TimesAtMost(0.5, "skrouterd"))];
    let Some((_server, port)) = bulk_server(run)? else { return Ok(Vec::new()) };
    let certificate = Certificate::make(run.scratch.path())?;
    let paths = network_paths(run, (Network::Two, Link::Tls(&certificate)), port)?;
    bulk_over(run, &paths, "r2, TLS between: tcp bulk", [GOALS, GOALS])
}

/// One stream through two routers with a long way between them; direct means the same way without routers.
pub(crate) fn delayed(run: &Run<'_>) -> Result<Vec<Results>> {
    const GOALS: Goals = &[(RATE, Goal::TimesAtLeast(0.8, "direct"))];
    const THAN_REFERENCE: Goals = &[(RATE, Goal::TimesAtLeast(5.0, "skrouterd"))];
    let Some((_server, port)) = bulk_server(run)? else { return Ok(Vec::new()) };
    let over = |rate: Option<f64>, title: &str| -> Result<Results> {
        let mut paths = network_paths(run, (Network::Two, Link::Delayed(DELAY, rate)), port)?;
        // A proxy is not what this is compared with, and the direct way is as long as the other.
        paths.retain(|path| matches!(path.between, Between::Routers(_)));
        let relay = Relay::start_at(port, DELAY, rate)?;
        if run.wants("direct") {
            paths.insert(0, TcpPath { name: "direct", port: relay.port(), between: Between::Nothing });
        }
        iperf3_over(run, &paths, title, 1, GOALS)
    };
    let mut results = vec![over(None, "r2, 50 ms each way between: tcp, 1 stream")?];
    if run.tools.skrouterd.is_some() {
        results.extend(results.first().map(|r| r.again("the same, against the reference", THAN_REFERENCE)));
    }
    results.push(over(Some(LINE), "r2, 50 ms each way and 4 Gb/s between: tcp, 1 stream")?);
    Ok(results)
}

/// Keep-alive requests through two routers.
pub(crate) fn requests_r2(run: &Run<'_>) -> Result<Vec<Results>> {
    const GOALS: Goals = &[(CPU_EACH, Goal::TimesAtMost(2.0, "haproxy")), (P50, Goal::AddedAtMost(2.0, "haproxy"))];
    requests(run, Network::Two, GOALS)
}

/// Keep-alive requests through edge, interior, edge.
pub(crate) fn requests_eie(run: &Run<'_>) -> Result<Vec<Results>> {
    const GOALS: Goals = &[(CPU_EACH, Goal::TimesAtMost(3.0, "haproxy")), (P50, Goal::AddedAtMost(3.0, "haproxy"))];
    requests(run, Network::Edges, GOALS)
}

fn requests(run: &Run<'_>, network: Network, goals: Goals) -> Result<Vec<Results>> {
    let Some((_web, port)) = web_server(run)?.filter(|_| run.tools.wrk.is_some()) else { return Ok(Vec::new()) };
    let paths = network_paths(run, (network, Link::Plain), port)?;
    let title = |c: u32| format!("{}tcp requests, c={c}", network.prefix());
    Ok(vec![
        wrk_over(run, &title(1), &paths, "http", (1, false), goals)?,
        wrk_over(run, &title(64), &paths, "http", (64, false), goals)?,
    ])
}

/// A connection for each request, through two routers.
pub(crate) fn connections_r2(run: &Run<'_>) -> Result<Vec<Results>> {
    const GOALS: Goals =
        &[(CPU_EACH, Goal::TimesAtMost(2.0, "haproxy")), (PER_SECOND, Goal::TimesAtLeast(2.5, "skrouterd"))];
    connections(run, Network::Two, GOALS)
}

/// A connection for each request, through edge, interior, edge.
pub(crate) fn connections_eie(run: &Run<'_>) -> Result<Vec<Results>> {
    const GOALS: Goals =
        &[(CPU_EACH, Goal::TimesAtMost(3.0, "haproxy")), (PER_SECOND, Goal::TimesAtLeast(2.5, "skrouterd"))];
    connections(run, Network::Edges, GOALS)
}

fn connections(run: &Run<'_>, network: Network, goals: Goals) -> Result<Vec<Results>> {
    let Some((_web, port)) = web_server(run)?.filter(|_| run.tools.wrk.is_some()) else { return Ok(Vec::new()) };
    let paths = network_paths(run, (network, Link::Plain), port)?;
    let title = format!("{}tcp new connections, c=16", network.prefix());
    Ok(vec![wrk_over(run, &title, &paths, "http", (16, true), goals)?])
}
