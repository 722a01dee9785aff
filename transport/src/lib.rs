//! What every adaptor shares: workers, mailboxes, sockets, read and write buffers, TLS, SASL, WebSocket
//! and the PROXY protocol.
//!
//! A connection lives on one [`worker`]. Its task waits for readiness of its [`stream::Stream`], reads into the worker's
//! [`block`] and writes with one vectored call. Nothing here knows AMQP, addresses or routing.
//!
//! This is the only crate of the workspace in which `unsafe` is allowed; each use says why it is sound.

pub mod block;
pub mod crash;
pub mod daemon;
pub mod http;
pub mod mailbox;
pub mod memory;
pub mod metrics;
pub mod proxy_protocol;
pub mod sasl;
pub mod secret;
pub mod socket;
pub mod stream;
mod sync;
pub mod tls;
pub mod worker;

pub use mailbox::{Closed, MailReceiver, MailSender, mailbox};
pub use stream::{Pipe, PlainStream, Read, Stream, StreamError, Write};
pub use worker::{WorkerHandle, Workers};
