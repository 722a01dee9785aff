//! What can be wrong with a command.

use thiserror::Error;

/// Why a command was refused. Nothing was changed then.
///
/// All of these are mistakes of whoever configures the router; what goes wrong later (a port in use, a server that does not
/// answer) is reported by [`ListenerStatus`](crate::ListenerStatus) and the log, and tried again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommandError {
    /// An entity of this kind has that name already.
    #[error("a {kind} named `{name}` exists already")]
    Exists {
        /// `tcpListener`, `tcpConnector` or `listenerAddress`.
        kind: &'static str,
        /// The name asked for.
        name: String,
    },
    /// No entity of this kind has that name.
    #[error("there is no {kind} named `{name}`")]
    Missing {
        /// `tcpListener`, `tcpConnector` or `listenerAddress`.
        kind: &'static str,
        /// The name asked for.
        name: String,
    },
    /// A listener cannot be removed while a `listenerAddress` names it.
    #[error("tcpListener `{name}` still has {addresses} listenerAddress(es); remove them first")]
    InUse {
        /// The listener.
        name: String,
        /// How many addresses it has.
        addresses: usize,
    },
    /// A `listenerAddress` needs a listener whose `multiAddressStrategy` is not `none`.
    #[error("tcpListener `{name}` has multiAddressStrategy none and takes no listenerAddress")]
    SingleAddress {
        /// The listener.
        name: String,
    },
    /// A listener with `multiAddressStrategy` none needs an address.
    #[error("tcpListener `{name}` needs an address, or a multiAddressStrategy")]
    NoAddress {
        /// The listener.
        name: String,
    },
    /// The address is none.
    #[error("{kind} `{name}`: `{address}` is not an address")]
    BadAddress {
        /// `tcpListener`, `tcpConnector` or `listenerAddress`.
        kind: &'static str,
        /// The name of the entity.
        name: String,
        /// What was given as its address.
        address: String,
    },
    /// The value of a `listenerAddress` has to be positive.
    #[error("listenerAddress `{name}` needs a value above 0")]
    BadValue {
        /// The listener address.
        name: String,
    },
}
