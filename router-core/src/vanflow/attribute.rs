//! The words of the protocol: kinds of records, and their attributes.

use std::sync::Arc;

/// What a record is about. The numbers are the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum RecordType {
    /// A site, if one is configured.
    Site = 0,
    /// The router itself.
    Router = 1,
    /// A connector to another router.
    Link = 2,
    /// A TCP listener.
    Listener = 4,
    /// A TCP connector.
    Connector = 5,
    /// An entry of the log.
    Log = 14,
    /// A listener for other routers.
    RouterAccess = 15,
    /// A TCP connection through the network.
    TransportFlow = 16,
    /// A request of an application within one.
    Request = 17,
}

/// A property of a record. The numbers are the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs, reason = "the protocol's names, which say what they mean")]
pub enum Attribute {
    Parent = 2,
    StartTime = 3,
    EndTime = 4,
    Peer = 6,
    Process = 7,
    Location = 9,
    Provider = 10,
    Platform = 11,
    Namespace = 12,
    Mode = 13,
    SourceHost = 14,
    DestHost = 15,
    Protocol = 16,
    SourcePort = 17,
    DestPort = 18,
    VanAddress = 19,
    ImageName = 20,
    ImageVersion = 21,
    Hostname = 22,
    Octets = 23,
    Latency = 24,
    Method = 27,
    Result = 28,
    Reason = 29,
    Name = 30,
    Trace = 31,
    BuildVersion = 32,
    LinkCost = 33,
    FlowCount = 40,
    RequestCount = 41,
    StreamId = 47,
    LogSeverity = 48,
    LogText = 49,
    SourceFile = 50,
    SourceLine = 51,
    LinkCount = 52,
    OperStatus = 53,
    Role = 54,
    UpTimestamp = 55,
    DownTimestamp = 56,
    DownCount = 57,
    OctetsReverse = 58,
    Connector = 60,
    ProcessLatency = 61,
    ProxyHost = 62,
    ProxyPort = 63,
    ErrorListenerSide = 64,
    ErrorConnectorSide = 65,
    ActiveTlsOrdinal = 66,
    HttpProxy = 67,
}

impl Attribute {
    /// Those that the other end of a flow may tell its owner.
    const OF_OTHER_END: [Self; 9] = [
        Self::Octets,
        Self::OctetsReverse,
        Self::Latency,
        Self::Trace,
        Self::Connector,
        Self::ProcessLatency,
        Self::ProxyHost,
        Self::ProxyPort,
        Self::ErrorConnectorSide,
    ];

    /// Reads one of those that the other end of a flow may tell.
    pub(super) fn of_other_end(number: u64) -> Option<Self> {
        Self::OF_OTHER_END.into_iter().find(|attribute| u64::from(*attribute as u8) == number)
    }
}

/// What an attribute says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A number; times are microseconds since 1970.
    Number(u64),
    /// A text.
    Text(Arc<str>),
}

impl From<u64> for Said {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Said {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Said {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}
