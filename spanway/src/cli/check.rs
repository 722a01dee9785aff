//! Options of `spanway check`.

use clap::Args;

use super::messaging::ConnectArgs;
use super::output::ReportFormat;

/// Options of `spanway check`.
#[derive(Debug, Clone, Args)]
#[command(
    mut_arg("timeout", |arg| arg.help("Give each step so long [default: 5s]")),
    after_help = "Examples:\n  \
    spanway check\n  \
    spanway check orders\n  \
    spanway check orders --url amqps://router.example:5671 --ca ca.crt\n  \
    spanway check orders -o json\n\n\
    Steps: name resolution, TCP, TLS (with amqps://), SASL, AMQP, the router's version, its management agent and its links to other routers; with an\n\
    address the permission to send to it, the way to its consumers, the consumers, and whether they take messages. No message is sent. Where a step\n\
    fails, the reason and what to do stand below it, and the steps behind it are not tried. Works with skrouterd, too.\n\
    Exit status: 0 when all steps went well, 1 when one failed, 2 for mistakes in the command line."
)]
pub(crate) struct CheckArgs {
    /// The address that messages do not reach [default: only look at the router]
    pub(crate) address: Option<String>,

    /// How to show it
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: ReportFormat,

    /// How to reach a router.
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}
