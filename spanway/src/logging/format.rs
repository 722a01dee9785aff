//! How entries become lines.

use std::fmt::Write as _;

use jiff::{Timestamp, Zoned, tz::TimeZone};
use router_core::config::levels::Severity;
use router_core::entity::LogModule;

use super::settings::{Effective, TimeFormat};
use crate::cli::LogFormat;

/// Something that was logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Which part of the router it is from.
    pub(crate) module: LogModule,
    /// How severe it is.
    pub(crate) level: Severity,
    /// The message, without fields.
    pub(crate) message: String,
    /// Fields, in the order in which they were given.
    pub(crate) fields: Vec<(&'static str, String)>,
    /// Where in the source.
    pub(crate) place: Option<(&'static str, u32)>,
    /// When.
    pub(crate) time: Timestamp,
}

impl Entry {
    /// The message and the fields behind it.
    pub(crate) fn text(&self) -> String {
        let mut text = self.message.clone();
        for (name, value) in &self.fields {
            let space = if text.is_empty() { "" } else { " " };
            let _ = write!(text, "{space}{name}={value}");
        }
        text
    }

    /// The line for a format, with its line feed.
    pub(super) fn line(&self, format: LogFormat, time: &TimeFormat, settings: &Effective<'_>) -> String {
        let mut line = match format {
            LogFormat::Skrouterd => self.reference(time, settings),
            LogFormat::Text => self.human(settings),
            LogFormat::Json => self.json(settings),
        };
        // One entry is one line, whatever a peer put into a name.
        if line.contains(['\n', '\r']) {
            line = line.replace('\r', "\\r").replace('\n', "\\n");
        }
        line.push('\n');
        line
    }

    /// `2026-05-28 10:11:12.123456 +0000 SERVER (info) text (file:line)`
    fn reference(&self, time: &TimeFormat, settings: &Effective<'_>) -> String {
        let mut line = String::new();
        if settings.timestamp && !settings.sink.has_own_time() {
            line.push_str(&self.formatted_time(time));
            line.push(' ');
        }
        let _ = write!(line, "{} ({}) {}", self.module, self.level.as_str(), self.text());
        self.add_place(&mut line, settings);
        line
    }

    /// `10:11:12.123 info    SERVER text field=value`
    fn human(&self, settings: &Effective<'_>) -> String {
        let colour = settings.sink.is_terminal();
        let paint = |code: &str, text: &str| {
            if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
        };
        let level = format!("{:<8}", self.level.as_str());
        let level = match self.level {
            Severity::Debug => paint("2", &level),
            Severity::Info => paint("32", &level),
            Severity::Warning => paint("33", &level),
            Severity::Error | Severity::Critical => paint("1;31", &level),
        };
        let mut line = String::new();
        if settings.timestamp && !settings.sink.has_own_time() {
            let time = Zoned::new(self.time, TimeZone::system()).strftime("%H:%M:%S.%3f").to_string();
            let _ = write!(line, "{} ", paint("2", &time));
        }
        let _ = write!(line, "{level} {} {}", paint("2", self.module.as_str()), self.text());
        self.add_place(&mut line, settings);
        line
    }

    fn json(&self, settings: &Effective<'_>) -> String {
        let mut object = serde_json::Map::new();
        object.insert("time".to_owned(), format!("{:.6}", self.time).into());
        object.insert("level".to_owned(), self.level.as_str().into());
        object.insert("module".to_owned(), self.module.as_str().into());
        object.insert("message".to_owned(), self.message.clone().into());
        for (name, value) in &self.fields {
            // A field must not hide what every line has.
            let name = if object.contains_key(*name) { format!("field_{name}") } else { (*name).to_owned() };
            object.insert(name, value.clone().into());
        }
        if settings.source
            && let Some((file, line)) = self.place
        {
            object.insert("source".to_owned(), format!("{file}:{line}").into());
        }
        serde_json::Value::Object(object).to_string()
    }

    fn add_place(&self, line: &mut String, settings: &Effective<'_>) {
        if settings.source
            && let Some((file, number)) = self.place
        {
            let _ = write!(line, " ({file}:{number})");
        }
    }

    fn formatted_time(&self, time: &TimeFormat) -> String {
        let zone = if time.utc { TimeZone::UTC } else { TimeZone::system() };
        let zoned = Zoned::new(self.time, zone);
        // A format of the user's may have conversions that jiff does not know; a log without times is worse than another format.
        let broken_down = jiff::fmt::strtime::BrokenDownTime::from(&zoned);
        broken_down.to_string(&time.format).unwrap_or_else(|_| zoned.to_string())
    }
}
