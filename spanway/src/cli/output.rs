//! How commands show what they found.

use clap::ValueEnum;

/// How entities are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// JSON: an array of objects; an object from `manage` where it is about one entity
    Json,
    /// Comma-separated values with a line of names
    Csv,
}

/// How a report is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people
    #[default]
    Table,
    /// A JSON object
    Json,
}
