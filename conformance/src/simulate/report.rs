//! What a simulation found.

use std::{fmt::Write, time::Duration};

use serde_json::{Value, json};

use super::{Options, PATIENCE, check::check, network::Network};

/// After which time without a change the network is looked at.
const QUIET: Duration = Duration::from_millis(300);

/// All cases of one thing that happened.
#[derive(Clone, Debug)]
pub struct Phase {
    /// What happened.
    pub name: &'static str,
    /// How long it took, each time, until the last table or list of addresses had changed.
    pub took: Vec<Duration>,
    /// Control messages, each hop counted.
    pub messages: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Tables computed by all routers together.
    pub tables: u64,
}

/// What a simulation found.
#[derive(Clone, Debug)]
pub struct Report {
    options: Options,
    links: usize,
    /// What happened, in the order of its first time.
    pub phases: Vec<Phase>,
    /// Messages and bytes that a router sends in a second when nothing happens.
    pub quiet: (f64, f64),
    /// Stands for every message of the run: equal for equal runs.
    pub digest: u64,
    /// How long the run lasted in its own time.
    pub virtual_time: Duration,
    /// Time that the machine spent in all routers together; another one each time.
    pub cpu: Duration,
    /// The part of it spent in batches that computed a table.
    pub table_cpu: Duration,
    tables: u64,
    /// Highest resident memory of the process in MiB, if the system tells.
    pub memory: Option<u64>,
    /// Invariants that did not hold, as sentences.
    pub failures: Vec<String>,
}

impl Report {
    pub(super) fn new(options: &Options, links: usize) -> Self {
        Self {
            options: options.clone(),
            links,
            phases: Vec::new(),
            quiet: (0.0, 0.0),
            digest: 0,
            virtual_time: Duration::ZERO,
            cpu: Duration::ZERO,
            table_cpu: Duration::ZERO,
            tables: 0,
            memory: None,
            failures: Vec::new(),
        }
    }

    /// Waits until the network has come to rest after what happened at `begin`, and checks it.
    pub(super) fn phase(&mut self, network: &mut Network, name: &'static str, begin: Duration) {
        let until = network.now + PATIENCE;
        let start = network.totals;
        let found = loop {
            let rest = network.settle_down(QUIET, until);
            match check(network) {
                Ok(()) if rest => break Ok(()),
                Err(error) if network.now >= until => break Err(error),
                Ok(()) if network.now >= until => break Err("tables or addresses never come to rest".to_owned()),
                // What is silent takes its time; so does what was lost and is asked for again.
                _ => network.calm(QUIET),
            }
        };
        if let Err(error) = found {
            self.failures.push(format!("{name} at {:.3} s: {error}", begin.as_secs_f64()));
        }
        let took = network.changed.saturating_sub(begin);
        let index = self.phases.iter().position(|phase| phase.name == name).unwrap_or_else(|| {
            self.phases.push(Phase { name, took: Vec::new(), messages: 0, bytes: 0, tables: 0 });
            self.phases.len() - 1
        });
        let phase = &mut self.phases[index];
        phase.took.push(took);
        phase.messages += network.totals.messages - start.messages;
        phase.bytes += network.totals.bytes - start.bytes;
        phase.tables += network.totals.tables - start.tables;
    }

    /// Measures a network to which nothing happens.
    pub(super) fn quiet(&mut self, network: &mut Network, time: Duration) {
        let before = network.totals;
        network.calm(time);
        let share = time.as_secs_f64() * network.routers.len() as f64;
        self.quiet = (
            (network.totals.messages - before.messages) as f64 / share,
            (network.totals.bytes - before.bytes) as f64 / share,
        );
    }

    pub(super) fn finish(&mut self, network: &Network) {
        self.digest = network.digest();
        self.virtual_time = network.now;
        self.cpu = network.cpu;
        self.table_cpu = network.table_cpu;
        self.tables = network.totals.tables;
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        self.memory =
            peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse::<u64>().ok()).map(|kib| kib / 1024);
    }

    /// For people.
    pub fn text(&self) -> String {
        let (o, n) = (&self.options, self.options.routers as f64);
        let mut out = String::new();
        let _ = writeln!(
            out,
            "{} routers ({:?}), {} links, {} addresses, {} edges, latency {}..{} ms, faults {}, seed {}\n",
            o.routers,
            o.topology,
            self.links,
            o.addresses,
            o.edges,
            o.latency.0.start,
            o.latency.0.end,
            o.faults,
            o.seed
        );
        let _ = writeln!(
            out,
            "{:<20} {:>6} {:>11} {:>11} {:>13} {:>13} {:>14}",
            "", "times", "median ms", "max ms", "msgs/router", "bytes/router", "tables/router"
        );
        for phase in &self.phases {
            let times = phase.took.len() as f64;
            let _ = writeln!(
                out,
                "{:<20} {:>6} {:>11.1} {:>11.1} {:>13.1} {:>13.0} {:>14.2}",
                phase.name,
                phase.took.len(),
                millis(median(&phase.took)),
                millis(phase.took.iter().copied().max().unwrap_or_default()),
                phase.messages as f64 / n / times,
                phase.bytes as f64 / n / times,
                phase.tables as f64 / n / times,
            );
        }
        let _ =
            writeln!(out, "\nquiet: {:.2} messages and {:.0} bytes a router and second", self.quiet.0, self.quiet.1);
        let _ = writeln!(
            out,
            "cost: {:.2} s of CPU for {:.0} s of {} routers ({:.2} ms each), of it {:.2} s for {} tables ({:.0} µs each)",
            self.cpu.as_secs_f64(),
            self.virtual_time.as_secs_f64(),
            o.routers,
            millis(self.cpu) / n,
            self.table_cpu.as_secs_f64(),
            self.tables,
            self.table_cpu.as_secs_f64() * 1e6 / self.tables.max(1) as f64,
        );
        if let Some(memory) = self.memory {
            let _ = writeln!(out, "memory: {memory} MiB at most, {:.2} MiB a router", memory as f64 / n);
        }
        let _ = writeln!(out, "digest: {:016x}", self.digest);
        for failure in &self.failures {
            let _ = writeln!(out, "FAILED: {failure}");
        }
        if self.failures.is_empty() {
            out.push_str("all invariants held: no loop, no black hole, equal tables, every address known everywhere\n");
        }
        out
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let o = &self.options;
        let phase = |phase: &Phase| {
            json!({
                "name": phase.name,
                "tookMs": phase.took.iter().map(|took| millis(*took)).collect::<Vec<_>>(),
                "messages": phase.messages,
                "bytes": phase.bytes,
                "tables": phase.tables,
            })
        };
        json!({
            "routers": o.routers,
            "topology": format!("{:?}", o.topology).to_lowercase(),
            "links": self.links,
            "addresses": o.addresses,
            "edges": o.edges,
            "faults": o.faults.to_string(),
            "seed": o.seed,
            "phases": self.phases.iter().map(phase).collect::<Vec<_>>(),
            "quiet": { "messagesPerRouterSecond": self.quiet.0, "bytesPerRouterSecond": self.quiet.1 },
            "virtualSeconds": self.virtual_time.as_secs_f64(),
            "cpuSeconds": self.cpu.as_secs_f64(),
            "tableCpuSeconds": self.table_cpu.as_secs_f64(),
            "tables": self.tables,
            "memoryMiB": self.memory,
            "digest": format!("{:016x}", self.digest),
            "failures": self.failures,
        })
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
