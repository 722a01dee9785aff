//! Options of `spanway trace`.

use clap::Args;

use super::messaging::ConnectArgs;
use super::output::ReportFormat;

/// Options of `spanway trace`.
#[derive(Debug, Clone, Args)]
#[command(
    mut_arg("timeout", |arg| arg.help("Give up when a router does not answer for this long [default: 10s]")),
    after_help = "Examples:\n  \
    spanway trace orders\n  \
    spanway trace orders --router B\n  \
    spanway trace orders -o json\n\n\
    Nothing is sent to the address. Each router on the way is asked for its next hop and for its consumers. The round trip is the shortest of five\n\
    requests to the router's management agent, from this program and back, the agent's own time included; what a hop takes, there and back, is the\n\
    difference between its two ends. Works with skrouterd, too.\n\
    Exit status: 0 when every way leads to a consumer, 1 when not, 2 for mistakes in the command line."
)]
pub(crate) struct TraceArgs {
    /// The address
    pub(crate) address: String,

    /// Begin at another router of the network instead of the one that is connected to
    #[arg(short, long, value_name = "ID")]
    pub(crate) router: Option<String>,

    /// How to show it
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: ReportFormat,

    /// How to reach a router.
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}
