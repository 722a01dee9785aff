//! Options of `spanway debug`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::messaging::ConnectArgs;

/// Options of `spanway debug`.
#[derive(Debug, Clone, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct DebugArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: DebugCommand,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum DebugCommand {
    /// Collect what all routers of the network know into one archive, without secrets
    Dump(DumpArgs),
}

/// Options of `spanway debug dump`.
#[derive(Debug, Clone, Args)]
#[command(
    mut_arg("timeout", |arg| arg.help("Leave a router out that does not answer for this long [default: 10s]")),
    after_help = "Examples:\n  \
    spanway debug dump network.tar.gz\n  \
    spanway debug dump network.tar.gz --url amqps://router.example:5671 --ca ca.crt\n\n\
    The archive has a directory for each router with all its entities (JSON, a file for each type) and what it logged last, the topology as each router \
    sees it, and all versions. Passwords are removed, wherever they stand; certificates and keys are not in it, only the names of their files. Host names, \
    addresses and user names are in it. Works with skrouterd, too.\n\
    Exit status: 0 when every router answered, 1 when not (what the others answered is written), 2 for mistakes in the command line."
)]
pub(crate) struct DumpArgs {
    /// The archive to write: a tar, compressed with gzip
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// How to reach a router.
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}
