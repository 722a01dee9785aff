//! Options of `spanway service`.

use clap::{Args, Subcommand};

use super::agent::AgentArgs;
use super::output::Format;

/// Options of `spanway service`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServiceArgs {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: ServiceCommand,
}

/// What to do with services.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ServiceCommand {
    /// List the services of all sites
    ///
    /// Every router knows what every site exposes (TCP connectors, and consumers of the addresses that the configuration names) and wants
    /// (TCP listeners), so it does not matter which one is asked. Only routers of Spanway's make tell it.
    #[command(
        mut_arg("timeout", |arg| arg.help("Give up when the router does not answer for this long [default: 10s]")),
        after_help = "Examples:\n  \
        spanway service list\n  \
        spanway service list -o json\n  \
        spanway service list --router B\n\n\
        Tables name a few sites of each service; json and csv have everything, under the names in docs/reference/entities.md.\n\
        Exit status: 0 when the router answered, 1 when not, 2 for mistakes in the command line."
    )]
    List(ListArgs),
    /// Show a service: which sites expose it and which want it, with ports and labels
    #[command(
        mut_arg("timeout", |arg| arg.help("Give up when the router does not answer for this long [default: 10s]")),
        after_help = "Examples:\n  \
        spanway service show web\n  \
        spanway service show web -o json\n\n\
        Exit status: 0 when there is such a service, 1 when not or when the router did not answer, 2 for mistakes in the command line."
    )]
    Show(ShowArgs),
}

/// Options of `spanway service list`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ListArgs {
    /// Whom to ask, and how to show it.
    #[command(flatten)]
    pub(crate) ask: AskArgs,
}

/// Options of `spanway service show`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ShowArgs {
    /// The address of the service
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: String,

    /// Whom to ask, and how to show it.
    #[command(flatten)]
    pub(crate) ask: AskArgs,
}

/// Whom to ask, and how to show what it answers.
#[derive(Debug, Clone, Args)]
pub(crate) struct AskArgs {
    /// How to show it
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Format,

    /// Whose agent is asked.
    #[command(flatten)]
    pub(crate) agent: AgentArgs,
}
