//! Options of `spanway top`.

use std::time::Duration;

use clap::Args;

use super::messaging::ConnectArgs;
use super::stat::parse_interval;

/// Options of `spanway top`.
#[derive(Debug, Clone, Args)]
#[command(
    mut_arg("timeout", |arg| arg.help("Count a router as silent that does not answer for this long [default: 10s]")),
    after_help = "Examples:\n  \
    spanway top\n  \
    spanway top --view addresses --interval 5\n  \
    spanway top --url amqps://router.example:5671 --ca ca.crt\n\n\
    Keys: q quits; Tab, 1, 2 and 3 change the view; arrows, j and k, PgUp and PgDn move; s and S choose the column to sort by, r turns the order\n\
    around; / filters; space pauses; ? explains the columns. Slowest first is the default order.\n\
    Needs a terminal; `spanway stat --watch` writes to pipes and files. Works with skrouterd, too.\n\
    Exit status: 0 after q, 1 when the router cannot be reached at the start, 2 for mistakes in the command line."
)]
pub(crate) struct TopArgs {
    /// What to show first
    #[arg(long, value_enum, default_value_t, value_name = "VIEW")]
    pub(crate) view: View,

    /// Seconds from one look at the routers to the next; where they are slow to answer, it takes longer
    #[arg(short, long, value_name = "SECS", default_value = "1", value_parser = parse_interval)]
    pub(crate) interval: Duration,

    /// How to reach a router.
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// What is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum View {
    /// Routers of the network
    #[default]
    Routers,
    /// Connections between routers and of clients, with what their links carry
    Links,
    /// Addresses, over all routers
    Addresses,
}
