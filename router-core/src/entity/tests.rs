//! The table, the store, and the documentation that is made from the table.

mod docs;
mod store;
mod table;
