//! Messages (part 3): positions of sections without reading the body, and a whole message for the programs at the ends.

mod content;
mod head;
mod properties;
mod section;
mod trace_context;

pub use content::{Body, Message, data_header};
pub use head::{Head, HeadCursor, Progress};
pub use properties::{MediaType, MessageHeader, Properties, PropertiesView};
pub use section::{ROUTER_ANNOTATIONS, Section, SectionKind, Sections};
pub use trace_context::TraceContext;

/// How many bytes the sections before the body may take, by default.
///
/// The reference's largest head is its trace of 128 routers, some 4 KiB; brokers allow 32 to 64 KiB of properties.
pub const MAX_HEAD: usize = 64 * 1024;
