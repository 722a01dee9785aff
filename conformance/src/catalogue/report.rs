//! What a simulation found.

use std::{fmt::Write, time::Duration};

use bytes::Bytes;
use router_core::catalogue::{Catalogue, Content, Message, Output, Pool, Sender, codec};

use super::{
    Options, PATIENCE,
    world::{AGE_LIMIT, Totals, World, config, name, offer, spread},
};
use crate::simulate::Rng;

/// How exactly times are known.
const STEP: Duration = Duration::from_millis(5);

/// All cases of one thing that happened.
#[derive(Clone, Debug)]
pub struct Phase {
    /// What happened.
    pub name: &'static str,
    /// How long it took until all agreed.
    pub took: Vec<Duration>,
    totals: Totals,
}

/// What a simulation found.
#[derive(Clone, Debug)]
pub struct Report {
    options: Options,
    /// What happened.
    pub phases: Vec<Phase>,
    quiet: (Totals, Duration),
    cpu: Duration,
    virtual_time: Duration,
    /// What a site's catalogue takes that knows everything, in KiB, if the system tells.
    pub memory: Option<u64>,
    /// What did not hold, as sentences.
    pub failures: Vec<String>,
}

fn since(now: Totals, before: Totals) -> Totals {
    Totals {
        sent: now.sent - before.sent,
        sent_bytes: now.sent_bytes - before.sent_bytes,
        received: now.received - before.received,
        received_bytes: now.received_bytes - before.received_bytes,
    }
}

impl Report {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            options: options.clone(),
            phases: Vec::new(),
            quiet: (Totals::default(), Duration::ZERO),
            cpu: Duration::ZERO,
            virtual_time: Duration::ZERO,
            memory: None,
            failures: Vec::new(),
        }
    }

    /// Lets something happen some times, and waits each time until all agree.
    pub(super) fn phase(
        &mut self,
        w: &mut World,
        name: &'static str,
        times: usize,
        mut happen: impl FnMut(&mut World, usize),
    ) {
        let before = w.totals;
        let mut took = Vec::new();
        for n in 0..times {
            let begin = w.now;
            happen(w, n);
            while !w.all_agree() && w.now < begin + PATIENCE {
                w.run(STEP);
            }
            if !w.all_agree() {
                self.failures.push(format!("{name}: not all sites agreed after {PATIENCE:?}"));
            }
            took.push(w.now - begin);
        }
        self.phases.push(Phase { name, took, totals: since(w.totals, before) });
    }

    /// Measures a network to which nothing happens.
    pub(super) fn quiet(&mut self, w: &mut World, time: Duration) {
        let before = w.totals;
        w.run(time);
        self.quiet = (since(w.totals, before), time);
    }

    pub(super) fn finish(&mut self, w: &World) {
        self.cpu = w.cpu;
        self.virtual_time = w.now;
        self.failures.extend(w.check().err());
    }

    /// For people.
    pub fn text(&self) -> String {
        let (o, sites) = (&self.options, f64::from(self.options.sites));
        let mut out = String::new();
        let _ = writeln!(
            out,
            "{} sites, {} services, {} % of messages lost, latency 1..{} ms, seed {}\n",
            o.sites, o.services, o.loss, o.latency, o.seed
        );
        let _ = writeln!(
            out,
            "{:<24} {:>5} {:>10} {:>10} {:>11} {:>11} {:>11} {:>11}",
            "a site and time", "times", "median ms", "max ms", "sent", "KiB", "received", "KiB"
        );
        for phase in &self.phases {
            let n = sites * phase.took.len() as f64;
            let mut took = phase.took.clone();
            took.sort_unstable();
            let millis = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
            let _ = writeln!(
                out,
                "{:<24} {:>5} {:>10.0} {:>10.0} {:>11.2} {:>11.2} {:>11.2} {:>11.2}",
                phase.name,
                took.len(),
                millis(took.get(took.len() / 2)),
                millis(took.last()),
                phase.totals.sent as f64 / n,
                phase.totals.sent_bytes as f64 / 1024.0 / n,
                phase.totals.received as f64 / n,
                phase.totals.received_bytes as f64 / 1024.0 / n,
            );
        }
        let (quiet, time) = self.quiet;
        let n = sites * time.as_secs_f64();
        let _ = writeln!(
            out,
            "\nquiet: a site sends {:.2} messages ({:.0} bytes) a second, and receives {:.1} ({:.0} bytes)",
            quiet.sent as f64 / n,
            quiet.sent_bytes as f64 / n,
            quiet.received as f64 / n,
            quiet.received_bytes as f64 / n,
        );
        let _ = writeln!(
            out,
            "cost: {:.2} s of CPU for {:.0} s of {} sites, messages not read or written",
            self.cpu.as_secs_f64(),
            self.virtual_time.as_secs_f64(),
            o.sites
        );
        if let Some(memory) = self.memory {
            let each = memory * 1024 / o.services.max(1) as u64;
            let _ = writeln!(out, "memory: {memory} KiB for a catalogue that knows everything, {each} bytes a service");
        }
        for failure in &self.failures {
            let _ = writeln!(out, "FAILED: {failure}");
        }
        if self.failures.is_empty() {
            out.push_str("all sites agreed each time\n");
        }
        out
    }
}

fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// What it takes to know everything: one site reads, from bytes, what all others answer. To be measured before anything else is freed.
pub(super) fn memory(options: &Options) -> Option<u64> {
    let now = std::time::Instant::now();
    let mut all: Vec<Bytes> = Vec::new();
    for (at, services) in spread(options, &mut Rng::new(options.seed)).into_iter().enumerate() {
        let mut site = Catalogue::new(config(at, 1), now);
        for address in &services {
            site.put(address, offer(address), now).ok()?;
        }
        let asker: std::sync::Arc<str> = "reader".into();
        let (mut have, mut time) = (0, now);
        loop {
            let from = Sender { site: asker.clone(), name: asker.clone(), edge: false, instance: 1, valid: AGE_LIMIT };
            let content = Content::Request { site: name(at).as_str().into(), instance: 1, have };
            site.handle_message(&Message { from, content }, false, time);
            time += Duration::from_secs(1);
            site.handle_timeout(time);
            let mut complete = false;
            while let Some(output) = site.poll_output() {
                let Output::Send { to, message } = output else { continue };
                let Content::Changes(changes) = &message.content else { continue };
                if to != router_core::catalogue::Target::All {
                    complete = changes.to == changes.digest.seq;
                    have = changes.to;
                    all.push(codec::encode(&message, "x").into());
                }
            }
            if complete {
                break;
            }
        }
    }
    let before = resident()?;
    let (mut pool, mut reader) = (Pool::new(), Catalogue::new(config(usize::MAX, 1), now));
    for bytes in &all {
        let message = codec::decode(bytes, &mut pool).ok()?;
        reader.handle_message(&message, false, now);
    }
    let after = resident()?;
    assert_eq!(reader.service_count(), options.services);
    Some(after.saturating_sub(before))
}
