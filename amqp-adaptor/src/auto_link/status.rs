//! What became of an auto-link.

/// How far a link has come on one connection. The order is from worst to best: of several connections, the best one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AutoLinkState {
    /// The peer refused or detached it; it is tried again.
    Failed,
    /// The peer has not answered yet.
    Attaching,
    /// It is attached.
    Active {
        /// The number of the link in the router, as management shows it.
        link: u64,
    },
}

impl AutoLinkState {
    /// As management shows it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Attaching => "attaching",
            Self::Active { .. } => "active",
        }
    }
}

/// An auto-link on one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutoLinkStatus {
    /// The name of the auto-link.
    pub name: String,
    /// How far it has come.
    pub state: AutoLinkState,
    /// Why it failed last; `None` once it is attached again.
    pub last_error: Option<String>,
}
