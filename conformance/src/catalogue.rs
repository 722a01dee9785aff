//! Sites in virtual time that tell each other of their services: the catalogue of `router-core`, over a network that loses messages.
//!
//! Nothing depends on the machine's clock but what is measured of it. Messages go from site to site in one step, with a latency as of several
//! links; what forwarding costs is the business of `simulate`.

mod report;
mod world;

use std::time::Duration;

use clap::Args;

pub use report::{Phase, Report};
use world::World;

const EXAMPLES: &str = "\
Examples:
  A hundred sites with a hundred thousand services, of a hundred messages one is lost:
    conformance services --sites 100 --services 100000
  A small network that loses every fifth message:
    conformance services --sites 10 --services 1000 --loss 20

Ends with 0 if all sites agreed in time, with 1 if not.";

/// What to simulate.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// Number of sites
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub sites: u32,
    /// Number of services, each exposed at a random site
    #[arg(long, default_value_t = 10_000, value_name = "M")]
    pub services: usize,
    /// How many of a hundred messages are lost
    #[arg(long, default_value_t = 1, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=90))]
    pub loss: u32,
    /// The longest that a message takes from site to site, in milliseconds; the shortest is one
    #[arg(long, default_value_t = 60, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub latency: u32,
    /// Decides everything that is random
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub seed: u64,
}

/// How long sites are given to agree.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often small things happen.
const TIMES: usize = 20;

/// Runs a simulation.
pub fn run(options: &Options) -> Report {
    let mut report = Report::new(options);
    report.memory = report::memory(options);
    let mut w = World::new(options);
    report.phase(&mut w, "all start", 1, |w, _| w.start_all());
    w.run(Duration::from_secs(30));
    report.quiet(&mut w, Duration::from_secs(60));
    report.phase(&mut w, "one exposed", TIMES, |w, n| w.expose(&format!("new/{n}")));
    report.phase(&mut w, "one removed", TIMES, |w, n| w.remove(&format!("new/{n}")));
    report.phase(&mut w, "1,000 exposed at a site", 1, |w, _| w.expose_many(1000));
    report.phase(&mut w, "site killed", 1, |w, _| w.kill(0));
    report.phase(&mut w, "site back", 1, |w, _| w.start(0));
    w.fall_apart();
    report.phase(&mut w, "in two", 1, |_, _| ());
    w.run(Duration::from_secs(5));
    report.phase(&mut w, "healed", 1, |w, _| {
        w.expose("while/apart");
        w.heal();
    });
    report.finish(&w);
    report
}
