//! The entity model: what can be configured and managed, described once.
//!
//! [`kinds`](EntityKind) is the table. From it derive the typed structs ([`ListenerEntity`] and so on), validation, the parsers in
//! [`crate::config`], the [`EntityStore`] that runs while the router does, and `docs/reference/entities.md`.
//! Names, types and defaults are the reference's; what is ours carries a flag.

mod check;
mod docs;
mod kinds;
mod operational;
mod otlp;
mod record;
mod store;
pub(crate) mod table;
mod tags;
mod value;

pub use check::{Problem, Stage, check_all, ineffective, warnings};
pub use docs::markdown;
pub use kinds::*;
pub use operational::OperationalKind;
pub use otlp::{ENDPOINT_FORM, OtlpEndpoint, otlp_pairs};
pub use record::Entity;
pub use store::{Change, EntityStore, StoreError};
pub use table::{AttributeDescriptor, COMMON_ATTRIBUTES, EntityDescriptor, Identity, Operation, TYPE_PREFIX};
pub use tags::*;
pub(crate) use value::Shortened;
pub use value::{AttributeType, List, Map, Port, Properties, Secret, Type, Value, nearest, parse_bool, parse_port};

#[cfg(test)]
mod tests;
