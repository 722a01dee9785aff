//! How an adaptor joins whose content is not AMQP.
//!
//! A [`Core`](crate::Core) knows connections, inlets and outlets only by what an adaptor calls them: a [`LinkRef`](crate::LinkRef).
//! What is behind it may be a TCP socket, an HTTP request, or a part of the router itself. Such an adaptor
//!
//! 1. registers what it has with [`connection_opened`](crate::Core::connection_opened), in a range of `LinkRef::conn` of its own, so
//!    that the worker's [`Egress`](crate::Egress) knows which adaptor a link belongs to;
//! 2. attaches an outlet to receive deliveries of an address, an inlet to send some (a dynamic source is the address for replies),
//!    and gives each outlet [`credit`](crate::Core::credit) for as many deliveries as it can begin;
//! 3. passes content in with [`transfer`](crate::Core::transfer), part by part while it arrives: nothing has to be complete. What the
//!    core could not pass on comes back as [`hold`](crate::Egress::hold): stop reading while too much is held, go on at
//!    [`release`](crate::Egress::release);
//! 4. takes content in [`send`](crate::Egress::send), also part by part. When its socket is full it takes less than it was offered,
//!    and calls [`writable`](crate::Core::writable) when there is room again. [`End::Aborted`](crate::egress::End::Aborted) means that
//!    the rest will never come: a stream is reset then, never closed as if it had ended;
//! 5. says what became of a delivery with [`outcome`](crate::Core::outcome), and learns it in
//!    [`settle_in`](crate::Egress::settle_in).
//!
//! Two deliveries, one each way, make a connection of a byte stream. A flow between two sockets of the same worker does not need the
//! core for its bytes: it asks for a server ([`pick_server`](crate::Core::pick_server)) and passes chunks directly.
