//! Options of `spanway stat`.

use clap::{Args, ValueEnum};

use super::messaging::ConnectArgs;
use crate::client::management::Whose;

/// Options of `spanway stat`.
#[derive(Debug, Clone, Args)]
#[command(
    mut_arg("timeout", |arg| arg.help("Give up when the router does not answer for this long [default: 10s]")),
    after_help = "Examples:\n  \
    spanway stat\n  \
    spanway stat links\n  \
    spanway stat addresses --router B\n  \
    spanway stat connections -o json\n  \
    spanway stat tcp --url amqps://router.example:5671 --ca ca.crt\n\n\
    Tables show what matters most; json and csv have every attribute, under the names in docs/reference/entities.md.\n\
    Works with skrouterd, too.\n\
    Exit status: 0 when the router answered, 1 when not, 2 for mistakes in the command line."
)]
pub(crate) struct StatArgs {
    /// What to show
    #[arg(value_enum, default_value_t)]
    pub(crate) what: What,

    /// Ask another router of the network instead of the one that is connected to
    #[arg(short, long, value_name = "ID", conflicts_with = "edge")]
    pub(crate) router: Option<String>,

    /// Ask an edge router of the network, though an interior router may have the same id
    #[arg(short, long, value_name = "ID")]
    pub(crate) edge: Option<String>,

    /// How to show it
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Format,

    /// Show at most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,

    /// How to reach a router.
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
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

/// How to show it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// A JSON array of objects
    Json,
    /// Comma-separated values with a line of names
    Csv,
}

impl StatArgs {
    /// Whose agent is asked.
    pub(crate) fn whose(&self) -> Whose {
        match (&self.router, &self.edge) {
            (Some(id), _) => Whose::Router(id.clone()),
            (None, Some(id)) => Whose::Edge(id.clone()),
            (None, None) => Whose::Local,
        }
    }
}
