//! What all syntaxes have in common: sections with attributes, and where they were written.

use std::fmt;
use std::sync::Arc;

use crate::entity::{Stage, Value};

/// How deep maps and lists may nest in a configuration file.
pub(crate) const MAX_DEPTH: usize = 32;

/// Where something was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The file, or the flag.
    pub source: Arc<str>,
    /// The line, from 1; 0 if the source has no lines.
    pub line: usize,
    /// The column in characters, from 1; 0 if unknown.
    pub column: usize,
}

impl Position {
    /// A source that has no lines.
    pub fn whole(source: &str) -> Self {
        Self { source: source.into(), line: 0, column: 0 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
            if self.column > 0 {
                write!(f, ":{}", self.column)?;
            }
        }
        Ok(())
    }
}

/// An attribute as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// The name, in camel case.
    pub name: String,
    /// Where the name is.
    pub position: Position,
    /// What was written; not converted to the attribute's type yet.
    pub value: Value,
    /// Where the value is.
    pub value_position: Position,
}

/// A section as it was written: what will be an entity.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// The name, in camel case.
    pub name: String,
    /// Where the name is.
    pub position: Position,
    /// The attributes, in the order in which they were written.
    pub attributes: Vec<Attribute>,
}

/// Something to tell the user about a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub position: Position,
    /// When the reference would have found it.
    pub stage: Stage,
    /// What.
    pub message: String,
}

impl Finding {
    pub(crate) fn new(position: Position, message: impl Into<String>) -> Self {
        Self { position, stage: Stage::Load, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.position, self.message)
    }
}

/// Why a configuration was refused: all that is wrong with it, at least one finding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// What is wrong, in the order in which it was found.
    pub findings: Vec<Finding>,
}

impl fmt::Display for ConfigError {
    /// One finding per line: `file:line:column: message`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.findings.iter().enumerate() {
            write!(f, "{}{finding}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl From<Finding> for ConfigError {
    fn from(finding: Finding) -> Self {
        Self { findings: vec![finding] }
    }
}

impl ConfigError {
    /// What the reference says after `Router start-up failed: ` for the same mistake, on one line, with the positions that it lacks.
    pub fn reference_text(&self, file: &str) -> String {
        let messages: Vec<String> = self
            .findings
            .iter()
            .map(|Finding { position, message, .. }| match (position.line, position.column) {
                (0, _) => message.clone(),
                (line, 0) => format!("{message} (line {line})"),
                (line, column) => format!("{message} (line {line}, column {column})"),
            })
            .collect();
        let messages = messages.join("; ");
        match self.findings.first().map(|finding| finding.stage) {
            Some(Stage::Validation) => format!("Python: ValidationError: {messages}"),
            Some(Stage::Attribute) => format!("Python: AttributeError: {messages}"),
            Some(Stage::Create) => format!("Python: CError: Configuration: {messages}"),
            _ => format!("Python: Exception: Cannot load configuration file {file}: {messages}"),
        }
    }
}

/// Turns offsets in a text into lines and columns.
pub(crate) struct Lines<'a> {
    text: &'a str,
    source: Arc<str>,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(source: &str, text: &'a str) -> Self {
        let starts =
            std::iter::once(0).chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1));
        Self { text, source: source.into(), starts: starts.collect() }
    }

    /// The position of a byte of the text.
    pub(crate) fn position(&self, offset: usize) -> Position {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).and_then(|index| self.starts.get(index)).copied().unwrap_or_default();
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let column = self.text.get(start..end).map_or(0, |before| before.chars().count()) + 1;
        Position { source: self.source.clone(), line, column }
    }

    pub(crate) fn at(&self, line: usize, column: usize) -> Position {
        Position { source: self.source.clone(), line, column }
    }
}

/// `ssl-profile` and `ssl_profile` are `sslProfile`: the reference takes all of them in files.
pub(crate) fn camel_case(name: &str) -> String {
    let mut words = name.split(['-', '_', ' ']);
    let mut result = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut characters = word.chars();
        if let Some(first) = characters.next() {
            result.extend(first.to_uppercase());
            result.push_str(characters.as_str());
        }
    }
    result
}
