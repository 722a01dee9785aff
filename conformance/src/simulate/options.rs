//! The command line.

use std::{ops::Range, str::FromStr};

use clap::{Args, ValueEnum};

use super::Faults;

/// How routers are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Topology {
    /// Each router with the next, the last with the first
    Ring,
    /// Each router with every other
    Mesh,
    /// Each router with the first
    Star,
    /// A ring with random links across, up to --degree links a router
    Random,
}

/// How the report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

const EXAMPLES: &str = "\
Faults are given as KIND:TIMES, separated by commas, and happen one after the other; each is measured twice, when it happens and when it is
repaired:
  links       a connection closes, and comes back
  silent      a link carries nothing any more, unnoticed, and comes back
  deaf        a connection closes, and comes back known to one end before the other, with losses, while addresses change
  routers     a router dies, and another instance of it starts after a while
  restarts    a router dies and starts again within the same second
  partitions  all links between two random halves close, and come back
  costs       the cost of a live link changes, and changes back
  churn       an address moves to another router

Examples:
  Twenty routers, ten of each fault; the same again gives the same figures:
    conformance simulate --routers 20 --topology random --addresses 300 \\
        --faults links:10,silent:10,routers:10,restarts:10,partitions:10,costs:10,churn:10 --seed 7
  As large as a network gets:
    conformance simulate --routers 1000 --topology random --degree 8 --edges 10000 --addresses 100000 --faults links:3,routers:1,churn:20
  A full mesh, as JSON:
    conformance simulate --routers 128 --topology mesh -o json

Ends with 0 if all invariants held, with 1 if one did not, with 2 if the options are wrong.";

/// What to simulate.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// Number of interior routers
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub routers: usize,
    /// How they are connected
    #[arg(long, value_enum, default_value_t = Topology::Random)]
    pub topology: Topology,
    /// Most links a router has (only with --topology random)
    #[arg(long, default_value_t = 4, value_name = "D")]
    pub degree: usize,
    /// Number of addresses, each with a consumer at a random router
    #[arg(long, default_value_t = 100, value_name = "M")]
    pub addresses: usize,
    /// Number of edge routers, each at a random router
    #[arg(long, default_value_t = 0, value_name = "E")]
    pub edges: usize,
    /// What happens: KIND:TIMES,... or none (see below)
    #[arg(
        long,
        default_value = "links:1,silent:1,routers:1,restarts:1,partitions:1,costs:1,churn:10",
        value_name = "SPEC"
    )]
    pub faults: Faults,
    /// Costs of links are random numbers from 1 to this
    #[arg(long, default_value_t = 1, value_name = "MAX")]
    pub max_cost: u32,
    /// Latencies of links one way, in milliseconds: a random one of this range for each
    #[arg(long, default_value = "1..20", value_name = "FROM..TO")]
    pub latency: Latency,
    /// Decides everything that is random
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub seed: u64,
    /// How the report is written
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub output: Format,
}

impl Options {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.routers < 2 {
            return Err("a network has 2 routers at least: --routers".to_owned());
        }
        if self.topology == Topology::Random && self.degree < 2 {
            return Err("a random topology has 2 links a router at least: --degree".to_owned());
        }
        if self.max_cost == 0 {
            return Err("a link costs 1 at least: --max-cost".to_owned());
        }
        Ok(())
    }
}

/// A range of latencies in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency(pub Range<u64>);

impl FromStr for Latency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no range of milliseconds such as 1..20");
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        let (from, to): (u64, u64) = (from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?);
        if from > to || to > 60_000 { Err(wrong()) } else { Ok(Self(from..to)) }
    }
}
