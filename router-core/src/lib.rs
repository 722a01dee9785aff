//! See docs/ARCHITECTURE.md.
#![forbid(unsafe_code)]

pub mod config;
pub mod entity;
