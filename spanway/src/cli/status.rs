//! Options of `spanway status`.

use clap::Args;

use super::agent::AgentArgs;
use super::output::ReportFormat;

/// Options of `spanway status`.
#[derive(Debug, Clone, Args)]
#[command(
    mut_arg("timeout", |arg| arg.help("Give up when the router does not answer for this long [default: 10s]")),
    after_help = "Examples:\n  \
    spanway status\n  \
    spanway status --router B\n  \
    spanway status -o json\n\n\
    Wrong is: links that are down, routers that cannot be reached, addresses with senders and no consumers, consumers that take nothing, deliveries\n\
    that are stuck, listeners and auto-links that do not work, certificates that have ended or end within a tenth of their life (where the router\n\
    is on this machine, so that its files can be read). Works with skrouterd, too.\n\
    Exit status: 0 when nothing is wrong, 1 when something is or the router does not answer, 2 for mistakes in the command line."
)]
pub(crate) struct StatusArgs {
    /// How to show it
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: ReportFormat,

    /// Whose agent is asked.
    #[command(flatten)]
    pub(crate) agent: AgentArgs,
}
