//! TCP workloads: bulk (iperf3), small requests and new connections (wrk against nginx), and their TLS forms.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::compare::Run;
use crate::compare::path::{Certificate, TcpPath, tcp_paths};
use crate::process::{Process, free_port, output};
use crate::table::{Better, Figure, Goal, Results};

const BULK: &[Figure] = &[
    Figure { name: "Gb/s", digits: 2, better: Better::High },
    Figure { name: "CPU s/GB", digits: 3, better: Better::Low },
    Figure { name: "RSS MB", digits: 1, better: Better::Low },
];

const REQUESTS: &[Figure] = &[
    Figure { name: "per s", digits: 0, better: Better::High },
    Figure { name: "p50 us", digits: 0, better: Better::Low },
    Figure { name: "p99 us", digits: 0, better: Better::Low },
    Figure { name: "CPU us each", digits: 1, better: Better::Low },
    Figure { name: "RSS MB", digits: 1, better: Better::Low },
];

/// CPU seconds and resident bytes of a path; zeros when there is nothing in between.
fn usage(path: &TcpPath) -> (f64, u64) {
    (path.cpu_seconds(), path.rss_bytes())
}

fn megabytes(bytes: u64) -> f64 {
    if bytes == 0 { f64::NAN } else { bytes as f64 / 1e6 }
}

/// A server of iperf3 and its port. `None` if it is not installed.
pub(super) fn bulk_server(run: &Run<'_>) -> Result<Option<(Process, u16)>> {
    let Some(iperf3) = &run.tools.iperf3 else { return Ok(None) };
    let port = free_port()?;
    let mut command = Command::new(iperf3);
    command.args(["-s", "-B", "127.0.0.1", "-p", &port.to_string()]);
    let mut server = Process::start(&format!("iperf3-{port}"), command, run.scratch.path())?;
    server.wait_port(port)?;
    Ok(Some((server, port)))
}

/// iperf3 with 1 and with 8 streams.
pub(crate) fn bulk(run: &Run<'_>) -> Result<Vec<Results>> {
    let Some((_server, port)) = bulk_server(run)? else { return Ok(Vec::new()) };
    let paths = tcp_paths(run, port, None)?;
    bulk_over(run, &paths, "tcp bulk", [&[], &[]])
}

pub(super) fn bulk_over(
    run: &Run<'_>,
    paths: &[TcpPath],
    title: &str,
    goals: [&'static [(&'static str, Goal)]; 2],
) -> Result<Vec<Results>> {
    [(1, goals[0]), (8, goals[1])]
        .into_iter()
        .map(|(streams, goals)| iperf3_over(run, paths, &format!("{title}, {streams} stream(s)"), streams, goals))
        .collect()
}

/// iperf3 over each path in turn.
pub(super) fn iperf3_over(
    run: &Run<'_>,
    paths: &[TcpPath],
    title: &str,
    streams: u32,
    goals: &'static [(&'static str, Goal)],
) -> Result<Results> {
    let iperf3 = run.tools.iperf3.as_deref().context("iperf3 is not installed")?;
    let mut results = Results::new(title, BULK);
    results.aim(goals);
    for round in 0..run.runs {
        for path in paths {
            run.progress(&format!("   {title}, run {} of {}, {}", round + 1, run.runs, path.name));
            let (cpu, _) = usage(path);
            let (report, bytes) = iperf3_report(run, iperf3, path.port, streams)?;
            let seconds = report.pointer("/end/sum_received/seconds").and_then(Value::as_f64).unwrap_or(1.0);
            let (cpu_after, rss) = usage(path);
            let cpu = if path.is_direct() { f64::NAN } else { (cpu_after - cpu) / (bytes / 1e9) };
            results.add(path.name, vec![bytes * 8.0 / seconds / 1e9, cpu, megabytes(rss)]);
        }
    }
    Ok(results)
}

/// Runs iperf3 until it has sent something, and answers its report and the bytes that were received. Its server takes one client at a time,
/// and our own look whether a path listens may still be on its way through it.
fn iperf3_report(run: &Run<'_>, program: &Path, port: u16, streams: u32) -> Result<(Value, f64)> {
    let mut tries = 10;
    loop {
        let mut command = Command::new(program);
        command.args(["-c", "127.0.0.1", "-J", "-p", &port.to_string()]);
        command.args(["-t", &run.seconds.to_string(), "-P", &streams.to_string()]);
        let report: Value = serde_json::from_str(&output(command, run.limit())?)?;
        if let Some(bytes) = report.pointer("/end/sum_received/bytes").and_then(Value::as_f64) {
            return Ok((report, bytes));
        }
        tries -= 1;
        if tries == 0 {
            bail!("iperf3 reported no bytes: {:?}", report.get("error"));
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// nginx as the server: a tiny file and a large sparse one.
pub(super) fn web_server(run: &Run<'_>) -> Result<Option<(Process, u16)>> {
    let Some(nginx) = &run.tools.nginx else { return Ok(None) };
    let port = free_port()?;
    let dir = run.scratch.path();
    let root = dir.join("www");
    std::fs::create_dir_all(&root)?;
    std::fs::write(root.join("tiny"), "hello\n")?;
    std::fs::File::create(root.join("large"))?.set_len(64 << 30)?;
    // A worker of nginx that does not run as us must be able to read what we wrote.
    let file = dir.join("web.conf");
    std::fs::write(
        &file,
        format!(
            "daemon off; user root; worker_processes 1; pid {dir}/web.pid; error_log stderr;\n\
             events {{ worker_connections 10000; }}\n\
             http {{ access_log off; sendfile on; tcp_nodelay on; keepalive_requests 100000000; keepalive_timeout 1h;\n\
             server {{ listen 127.0.0.1:{port}; root {dir}/www; }} }}\n",
            dir = dir.display()
        ),
    )?;
    let mut command = Command::new(nginx);
    command.arg("-c").arg(&file).arg("-p").arg(dir);
    let mut process = Process::start("web", command, dir)?;
    process.wait_port(port)?;
    Ok(Some((process, port)))
}

/// What wrk measured.
#[derive(Debug)]
struct Wrk {
    per_second: f64,
    total: f64,
    p50: f64,
    p99: f64,
}

fn wrk(run: &Run<'_>, url: &str, connections: u32, close: bool) -> Result<Wrk> {
    let program = run.tools.wrk.as_ref().context("wrk is not installed")?;
    let mut command = Command::new(program);
    let threads = connections.min(2);
    command.args(["-t", &threads.to_string(), "-c", &connections.to_string()]);
    command.args(["-d", &format!("{}s", run.seconds), "--latency"]);
    if close {
        command.args(["-H", "Connection: close"]);
    }
    command.arg(url);
    let text = output(command, run.limit())?;
    let field = |name: &str| text.lines().find_map(|l| l.trim().strip_prefix(name)).map(str::trim).map(str::to_owned);
    let per_second = field("Requests/sec:").and_then(|v| v.parse().ok()).context("wrk printed no Requests/sec")?;
    let total = text
        .lines()
        .find(|l| l.contains(" requests in "))
        .and_then(|l| l.split_whitespace().next()?.parse().ok())
        .context("wrk printed no count")?;
    Ok(Wrk {
        per_second,
        total,
        p50: field("50%").map_or(f64::NAN, |v| micros(&v)),
        p99: field("99%").map_or(f64::NAN, |v| micros(&v)),
    })
}

/// wrk's durations ("85.00us", "1.20ms", "1.03s") in microseconds.
fn micros(text: &str) -> f64 {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (value, unit) = text.split_at(split);
    let value: f64 = value.parse().unwrap_or(f64::NAN);
    match unit {
        "us" => value,
        "ms" => value * 1e3,
        "s" => value * 1e6,
        _ => f64::NAN,
    }
}

pub(super) fn wrk_over(
    run: &Run<'_>,
    title: &str,
    paths: &[TcpPath],
    scheme: &str,
    (connections, close): (u32, bool),
    goals: &'static [(&'static str, Goal)],
) -> Result<Results> {
    let mut results = Results::new(title, REQUESTS);
    results.aim(goals);
    for round in 0..run.runs {
        for path in paths {
            run.progress(&format!("   {title}, run {} of {}, {}", round + 1, run.runs, path.name));
            let (cpu, _) = usage(path);
            let measured = wrk(run, &format!("{scheme}://127.0.0.1:{}/tiny", path.port), connections, close)?;
            let (cpu_after, rss) = usage(path);
            let cpu = if !path.is_direct() { (cpu_after - cpu) * 1e6 / measured.total } else { f64::NAN };
            results.add(path.name, vec![measured.per_second, measured.p50, measured.p99, cpu, megabytes(rss)]);
        }
    }
    Ok(results)
}

/// Keep-alive requests at concurrency 1 and 64.
pub(crate) fn requests(run: &Run<'_>) -> Result<Vec<Results>> {
    let Some((_web, port)) = web_server(run)? else { return Ok(Vec::new()) };
    if run.tools.wrk.is_none() {
        return Ok(Vec::new());
    }
    let paths = tcp_paths(run, port, None)?;
    Ok(vec![
        wrk_over(run, "tcp requests, c=1", &paths, "http", (1, false), &[])?,
        wrk_over(run, "tcp requests, c=64", &paths, "http", (64, false), &[])?,
    ])
}

/// A new connection for each request, 16 at a time.
pub(crate) fn connections(run: &Run<'_>) -> Result<Vec<Results>> {
    let Some((_web, port)) = web_server(run)? else { return Ok(Vec::new()) };
    if run.tools.wrk.is_none() {
        return Ok(Vec::new());
    }
    let paths = tcp_paths(run, port, None)?;
    Ok(vec![wrk_over(run, "tcp new connections, c=16", &paths, "http", (16, true), &[])?])
}

/// The same through a TLS listener.
pub(crate) fn tls_connections(run: &Run<'_>) -> Result<Vec<Results>> {
    let Some((_web, port)) = web_server(run)? else { return Ok(Vec::new()) };
    if run.tools.wrk.is_none() {
        return Ok(Vec::new());
    }
    let certificate = Certificate::make(run.scratch.path())?;
    let paths = tcp_paths(run, port, Some(&certificate))?;
    Ok(vec![wrk_over(run, "tls new connections, c=16", &paths, "https", (16, true), &[])?])
}

/// One large download through a TLS listener.
pub(crate) fn tls_download(run: &Run<'_>) -> Result<Vec<Results>> {
    let Some((_web, port)) = web_server(run)? else { return Ok(Vec::new()) };
    let Some(curl) = &run.tools.curl else { return Ok(Vec::new()) };
    let certificate = Certificate::make(run.scratch.path())?;
    let paths = tcp_paths(run, port, Some(&certificate))?;
    let mut results = Results::new("tls listener, download", BULK);
    for round in 0..run.runs {
        for path in &paths {
            run.progress(&format!("   tls download, run {} of {}, {}", round + 1, run.runs, path.name));
            let (cpu, _) = usage(path);
            // curl ends with status 28 when its time is up, which is how this run is meant to end.
            let mut command = Command::new("sh");
            command.arg("-c").arg(
                "\"$0\" --http1.1 -sk --max-time \"$1\" -o /dev/null -w '%{size_download} %{time_total} %{time_starttransfer}' \"$2\"; \
                 test $? -eq 28 -o $? -eq 0",
            );
            command.arg(curl).arg(run.seconds.to_string()).arg(format!("https://127.0.0.1:{}/large", path.port));
            let text = output(command, run.limit() + Duration::from_secs(5))?;
            let mut numbers = text.split_whitespace().filter_map(|n| n.parse::<f64>().ok());
            let (bytes, seconds) = (numbers.next().context("curl printed no size")?, numbers.next().unwrap_or(1.0));
            let (cpu_after, rss) = usage(path);
            let cpu = if !path.is_direct() { (cpu_after - cpu) / (bytes / 1e9) } else { f64::NAN };
            results.add(path.name, vec![bytes * 8.0 / seconds / 1e9, cpu, megabytes(rss)]);
        }
    }
    Ok(vec![results])
}
