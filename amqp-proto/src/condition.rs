//! Names of the error conditions that the specification defines.

/// §2.8.15: an internal error occurred.
pub const INTERNAL_ERROR: &str = "amqp:internal-error";
/// §2.8.15: the peer addressed something that does not exist.
pub const NOT_FOUND: &str = "amqp:not-found";
/// §2.8.15: access was refused by policy.
pub const UNAUTHORIZED_ACCESS: &str = "amqp:unauthorized-access";
/// §2.8.15: data could not be decoded.
pub const DECODE_ERROR: &str = "amqp:decode-error";
/// §2.8.15: a peer exceeded its resource allocation.
pub const RESOURCE_LIMIT_EXCEEDED: &str = "amqp:resource-limit-exceeded";
/// §2.8.15: the peer tried something that its state does not permit.
pub const NOT_ALLOWED: &str = "amqp:not-allowed";
/// §2.8.15: a field has a value that it may not have.
pub const INVALID_FIELD: &str = "amqp:invalid-field";
/// §2.8.15: functionality that is not implemented.
pub const NOT_IMPLEMENTED: &str = "amqp:not-implemented";
/// §2.8.15: the resource is locked by another client.
pub const RESOURCE_LOCKED: &str = "amqp:resource-locked";
/// §2.8.15: a precondition failed.
pub const PRECONDITION_FAILED: &str = "amqp:precondition-failed";
/// §2.8.15: the resource was deleted.
pub const RESOURCE_DELETED: &str = "amqp:resource-deleted";
/// §2.8.15: a frame was sent that the state of the session does not permit.
pub const ILLEGAL_STATE: &str = "amqp:illegal-state";
/// §2.8.15: a frame does not fit into the peer's max-frame-size.
pub const FRAME_SIZE_TOO_SMALL: &str = "amqp:frame-size-too-small";

/// §2.8.16: an operator closed the connection.
pub const CONNECTION_FORCED: &str = "amqp:connection:forced";
/// §2.8.16: a valid frame header could not be formed from the bytes received.
pub const CONNECTION_FRAMING_ERROR: &str = "amqp:connection:framing-error";
/// §2.8.16: the container is no longer here; `info` says where (`hostname`, `network-host`, `port`).
pub const CONNECTION_REDIRECT: &str = "amqp:connection:redirect";

/// §2.8.17: the peer violated the incoming window of the session.
pub const SESSION_WINDOW_VIOLATION: &str = "amqp:session:window-violation";
/// §2.8.17: a frame for a link that had been detached with an error.
pub const SESSION_ERRANT_LINK: &str = "amqp:session:errant-link";
/// §2.8.17: an attach on a handle that is in use.
pub const SESSION_HANDLE_IN_USE: &str = "amqp:session:handle-in-use";
/// §2.8.17: a frame for a handle that is not attached.
pub const SESSION_UNATTACHED_HANDLE: &str = "amqp:session:unattached-handle";

/// §2.8.18: an operator detached the link.
pub const LINK_DETACH_FORCED: &str = "amqp:link:detach-forced";
/// §2.8.18: the peer sent more than it had credit for.
pub const LINK_TRANSFER_LIMIT_EXCEEDED: &str = "amqp:link:transfer-limit-exceeded";
/// §2.8.18: a message larger than max-message-size.
pub const LINK_MESSAGE_SIZE_EXCEEDED: &str = "amqp:link:message-size-exceeded";
/// §2.8.18: the address is somewhere else; `info` says where (`address`, `hostname`, `network-host`, `port`).
pub const LINK_REDIRECT: &str = "amqp:link:redirect";
/// §2.8.18: another link with the same name was attached and took over.
pub const LINK_STOLEN: &str = "amqp:link:stolen";
