//! Hand-tuned paths of the frames that carry traffic: transfer, flow, disposition.
//!
//! They know nothing that the table does not say. Reading handles the shapes that peers write and gives everything else, errors included, to
//! the table's decoder; writing fills a small buffer in one pass, because trailing nulls can be cut off afterwards. `tests/fast.rs` holds both
//! against the table.

mod read;
mod write;

pub use write::{write_disposition, write_flow, write_transfer};
