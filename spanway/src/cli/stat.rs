//! Options of `spanway stat`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::agent::AgentArgs;
use super::output::Format;

/// Options of `spanway stat`.
#[derive(Debug, Clone, Args)]
#[command(
    mut_arg("timeout", |arg| arg.help("Give up when the router does not answer for this long [default: 10s]")),
    after_help = "Examples:\n  \
    spanway stat\n  \
    spanway stat links\n  \
    spanway stat addresses --router B\n  \
    spanway stat connections -o json\n  \
    spanway stat links --all-routers\n  \
    spanway stat addresses --watch\n  \
    spanway stat tcp --url amqps://router.example:5671 --ca ca.crt\n\n\
    Tables show what matters most; json and csv have every attribute, under the names in docs/reference/entities.md.\n\
    Works with skrouterd, too.\n\
    Exit status: 0 when the router answered, 1 when not, 2 for mistakes in the command line."
)]
pub(crate) struct StatArgs {
    /// What to show
    #[arg(value_enum, default_value_t)]
    pub(crate) what: What,

    /// Ask every router of the network that can be reached, edge routers included
    #[arg(long, conflicts_with_all = ["router", "edge"])]
    pub(crate) all_routers: bool,

    /// Show it again every so many seconds, until Ctrl-C
    #[arg(short, long, value_name = "SECS", num_args = 0..=1, default_missing_value = "2", value_parser = parse_interval)]
    pub(crate) watch: Option<Duration>,

    /// How to show it
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Format,

    /// Show at most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,

    /// Whose agent is asked.
    #[command(flatten)]
    pub(crate) agent: AgentArgs,
}

/// What to show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// The router itself: who it is, and its counters
    #[default]
    Router,
    /// Connections of clients and of other routers
    Connections,
    /// Links, with their credit and counters
    Links,
    /// Addresses in use, with consumers and deliveries
    Addresses,
    /// Routers of the network
    Nodes,
    /// Connections of edge routers
    Edges,
    /// Connections that the router makes by itself, and how they are doing
    Connectors,
    /// Links that the router makes by itself, and how they are doing
    AutoLinks,
    /// TCP listeners and connectors
    Tcp,
    /// Log settings
    Log,
}

/// Reads a number of seconds that can be waited for.
pub(crate) fn parse_interval(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds: &f64| (0.1..=86_400.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "expected seconds, from 0.1 to 86400".to_owned())
}
