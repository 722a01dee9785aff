//! The locks that `mailbox` is built on. The loom test compiles `mailbox` against loom's instead.

pub(crate) use std::sync::{Arc, Mutex};
