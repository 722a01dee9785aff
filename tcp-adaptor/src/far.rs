//! Flows whose other side is at another router.
//!
//! A connection is two deliveries, one for each direction, as version 1 of the reference's mapping has it: sections that say what the
//! stream is ([`head`]), then the bytes as they are. The core sends and receives them on links of ours ([`links`]); an [`exchange`] moves the
//! bytes between them and one socket, within the [`window`]s.

pub(crate) mod exchange;
pub(crate) mod head;
pub(crate) mod links;
pub(crate) mod serve;
pub(crate) mod window;
