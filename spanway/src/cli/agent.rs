//! Whose management agent is asked.

use clap::Args;

use super::messaging::ConnectArgs;
use crate::client::management::Whose;

/// Whose agent is asked, and over which connection.
#[derive(Debug, Clone, Args)]
pub(crate) struct AgentArgs {
    /// Ask another router of the network instead of the one that is connected to
    #[arg(short, long, value_name = "ID", conflicts_with = "edge")]
    pub(crate) router: Option<String>,

    /// Ask an edge router of the network, though an interior router may have the same id
    #[arg(short, long, value_name = "ID")]
    pub(crate) edge: Option<String>,

    /// How to reach a router.
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

impl AgentArgs {
    /// Whose agent is asked.
    pub(crate) fn whose(&self) -> Whose {
        match (&self.router, &self.edge) {
            (Some(id), _) => Whose::Router(id.clone()),
            (None, Some(id)) => Whose::Edge(id.clone()),
            (None, None) => Whose::Local,
        }
    }
}
