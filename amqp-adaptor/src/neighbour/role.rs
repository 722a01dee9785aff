//! What a connection is for.

use std::fmt;

/// The role of a connection. Each side has it from its own configuration; only [`ConnectionRole::InterRouterData`] is said on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ConnectionRole {
    /// Clients.
    #[default]
    Normal,
    /// Another interior router: control and data of all priorities.
    InterRouter,
    /// A broker or another container of addresses.
    RouteContainer,
    /// Between an edge router and its interior router.
    Edge,
    /// Another interior router: streaming data of the group of a connection of role inter-router.
    InterRouterData,
    /// Another edge router of the same mesh.
    InterEdge,
    /// A router of another network.
    InterNetwork,
}

impl ConnectionRole {
    /// The number that the reference gives it, on the wire too.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Normal => 0,
            Self::InterRouter => 1,
            Self::RouteContainer => 2,
            Self::Edge => 3,
            Self::InterRouterData => 4,
            Self::InterEdge => 5,
            Self::InterNetwork => 6,
        }
    }

    /// As management shows it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::InterRouter => "inter-router",
            Self::RouteContainer => "route-container",
            Self::Edge => "edge",
            Self::InterRouterData => "inter-router-data",
            Self::InterEdge => "inter-edge",
            Self::InterNetwork => "inter-network",
        }
    }

    /// Whether the peer is a router of this network. One of another is more like a client.
    #[must_use]
    pub const fn is_router(self) -> bool {
        !matches!(self, Self::Normal | Self::RouteContainer | Self::InterNetwork)
    }

    /// Whether an edge router is at one end, or at both.
    #[must_use]
    pub const fn is_edge(self) -> bool {
        matches!(self, Self::Edge | Self::InterEdge)
    }

    /// Whether auto-links are made on it.
    pub(crate) const fn has_auto_links(self) -> bool {
        matches!(self, Self::RouteContainer | Self::InterNetwork)
    }

    /// Whether a cost is told and read.
    pub(crate) const fn has_cost(self) -> bool {
        matches!(self, Self::InterRouter | Self::InterRouterData | Self::Edge)
    }
}

impl fmt::Display for ConnectionRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
