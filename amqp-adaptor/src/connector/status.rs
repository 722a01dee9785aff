//! What people see of a connector.

/// How far a connector has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectorState {
    /// On its way, or waiting for the next try: the message says what became of the last one.
    #[default]
    Connecting,
    /// The peer has opened.
    Success,
}

impl ConnectorState {
    /// As management shows it (`connectionStatus`).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "CONNECTING",
            Self::Success => "SUCCESS",
        }
    }
}

/// The state of a connector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectorStatus {
    /// How far it has come.
    pub state: ConnectorState,
    /// What happened last, in words (`connectionMsg`).
    pub message: String,
    /// Other places that the peer told us about (`failoverUrls`), and the configured one; empty if there are none.
    pub failover: String,
    /// How often its connection was opened.
    pub opened: u64,
    /// Tries that failed since it was opened last.
    pub failures: u64,
    /// Connections for data that are open.
    pub data: u32,
    /// The identity of the flow record of the listener that its connection was last opened by, if it said so.
    pub access: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Status {
    state: ConnectorState,
    message: String,
    opened: u64,
    failures: u64,
    pub(crate) data: u32,
    access: Option<String>,
    /// The failure that was logged: the same again is no news.
    logged: String,
}

impl Status {
    pub(crate) fn connecting(&mut self, place: &str) {
        // What failed before is of more interest than that it is tried again.
        if self.failures == 0 {
            self.message = format!("Connecting to {place}");
        }
        self.state = ConnectorState::Connecting;
    }

    pub(crate) fn opened(&mut self, message: String, access: Option<String>) {
        self.access = access;
        self.state = ConnectorState::Success;
        self.message = message;
        self.opened += 1;
        self.failures = 0;
        self.logged.clear();
    }

    /// True if this should be logged.
    pub(crate) fn failed(&mut self, message: &str) -> bool {
        self.state = ConnectorState::Connecting;
        self.message = message.to_owned();
        self.failures += 1;
        // Each try has another number.
        let what = message.strip_prefix("[C").and_then(|rest| rest.split_once("] ")).map_or(message, |(_, what)| what);
        let news = self.logged != what;
        self.logged = what.to_owned();
        news
    }

    pub(crate) fn shown(&self, failover: String) -> ConnectorStatus {
        ConnectorStatus {
            state: self.state,
            message: self.message.clone(),
            failover,
            opened: self.opened,
            failures: self.failures,
            data: self.data,
            access: self.access.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_see() {
        let mut status = Status::default();
        status.connecting("a:1");
        assert_eq!(status.shown(String::new()).message, "Connecting to a:1");
        assert!(status.failed("refused"));
        status.connecting("a:1");
        let shown = status.shown(String::new());
        assert_eq!((shown.state, shown.message.as_str(), shown.failures), (ConnectorState::Connecting, "refused", 1));
        assert!(!status.failed("refused"));
        assert!(status.failed("[C2] reset by it"));
        assert!(!status.failed("[C3] reset by it"));
        status.opened("open".into(), None);
        assert_eq!(status.shown(String::new()).failures, 0);
        assert_eq!(status.shown(String::new()).state.as_str(), "SUCCESS");
        assert!(status.failed("reset"));
        let shown = status.shown(String::new());
        assert_eq!((shown.state.as_str(), shown.message.as_str()), ("CONNECTING", "reset"));
    }
}
