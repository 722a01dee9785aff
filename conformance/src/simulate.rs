//! Networks of routers in virtual time: the routing protocol of `router-core`, links with latencies, and faults.
//!
//! The routers are the real state machines. Control messages travel hop by hop by each router's own tables at that moment. Nothing depends on
//! the machine's clock, so that a seed gives the same run every time, to the last message.

mod check;
mod faults;
mod network;
mod options;
mod queue;
mod report;
mod rng;
mod topology;

use std::time::Duration;

pub use faults::{Fault, Faults};
pub use options::{Format, Options, Topology};
pub use report::{Phase, Report};

use network::Network;
pub(crate) use rng::Rng;

/// How long the network is given to agree, in virtual time: a minute for what is dropped by age alone, and a retry.
const PATIENCE: Duration = Duration::from_secs(90);

/// Runs a simulation.
///
/// # Errors
/// A message for the user if the options contradict each other.
pub fn run(options: &Options) -> Result<Report, String> {
    options.check()?;
    let mut rng = Rng::new(options.seed);
    let links = topology::links(options, &mut rng);
    let mut report = Report::new(options, links.len());
    let mut network = Network::new(options, &links, &mut rng);

    network.start_all();
    report.phase(&mut network, "start", Duration::ZERO);
    network.calm(Duration::from_secs(30));
    report.quiet(&mut network, Duration::from_secs(60));
    for (fault, times) in options.faults.iter() {
        for _ in 0..times {
            fault.inject(&mut network, &mut rng, &mut report);
        }
    }
    report.finish(&network);
    Ok(report)
}
