//! What is logged, how and where: the effect of all `log` entities together.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use router_core::config::levels::{LevelSet, Severity};
use router_core::entity::{LogEntity, LogModule};

use super::sink::Sink;
use crate::cli::LogFormat;

/// Why a `log` entity could not be put into effect. The fault of whoever wrote it, or of the file system.
#[derive(Debug, thiserror::Error)]
#[error("Failed to open log file '{file}': {reason}")]
pub(crate) struct LogFileError {
    file: String,
    reason: io::Error,
}

/// The settings of a module; what it does not set is taken from the module DEFAULT.
#[derive(Debug, Clone, Default)]
struct Module {
    levels: Option<LevelSet>,
    timestamp: Option<bool>,
    source: Option<bool>,
    sink: Option<Arc<Sink>>,
}

/// How times are written.
#[derive(Debug, Clone)]
pub(super) struct TimeFormat {
    pub(super) format: String,
    pub(super) utc: bool,
}

/// The effective settings of a module.
#[derive(Debug, Clone)]
pub(super) struct Effective<'a> {
    pub(super) levels: LevelSet,
    pub(super) timestamp: bool,
    pub(super) source: bool,
    pub(super) sink: &'a Sink,
}

/// All settings.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(super) format: LogFormat,
    pub(super) time: TimeFormat,
    modules: HashMap<LogModule, Module>,
    stderr: Arc<Sink>,
}

/// The reference's time, in jiff's conversions: `2026-05-28 10:11:12.123456 +0000`.
const REFERENCE_TIME: &str = "%Y-%m-%d %H:%M:%S.%6f %z";

impl Settings {
    /// What is in effect when nothing was configured: `info` and above, to the standard error.
    pub(crate) fn new(format: LogFormat) -> Self {
        Self {
            format,
            time: TimeFormat { format: REFERENCE_TIME.to_owned(), utc: false },
            modules: HashMap::new(),
            stderr: Arc::new(Sink::stderr()),
        }
    }

    /// Sets how times are written; `format` is in the conversions of `strftime`.
    pub(crate) fn set_time(&mut self, format: Option<&str>, utc: bool) {
        if let Some(format) = format {
            // The reference has strftime leave this for printf, which puts in the microseconds.
            self.time.format = format.replace("%%06lu", "%6f");
        }
        self.time.utc = utc;
    }

    /// Adds the settings of an entity.
    pub(crate) fn add(&mut self, log: &LogEntity) -> Result<(), LogFileError> {
        let sink = match log.output_file.as_deref() {
            None => None,
            Some(name) => Some(self.open(name)?),
        };
        let module = self.modules.entry(log.module).or_default();
        if let Some(enable) = &log.enable {
            // A bad list does not get past the check of the entity.
            module.levels = LevelSet::parse(enable).unwrap_or_default();
        }
        module.timestamp = log.include_timestamp.or(module.timestamp);
        module.source = log.include_source.or(module.source);
        module.sink = sink.or_else(|| module.sink.take());
        Ok(())
    }

    /// Sets the levels of a module.
    pub(crate) fn enable(&mut self, module: LogModule, enable: &str) {
        if let Ok(levels) = LevelSet::parse(enable) {
            // A level for everything is meant for everything.
            if module == LogModule::Default {
                self.modules.values_mut().for_each(|module| module.levels = None);
            }
            self.modules.entry(module).or_default().levels = levels;
        }
    }

    /// Several modules may write to one file; it is opened once.
    fn open(&self, name: &str) -> Result<Arc<Sink>, LogFileError> {
        let open = self.modules.values().filter_map(|module| module.sink.as_ref()).find(|sink| sink.name() == name);
        match open {
            Some(sink) => Ok(sink.clone()),
            None => Sink::open(name).map(Arc::new).map_err(|reason| LogFileError { file: name.to_owned(), reason }),
        }
    }

    pub(super) fn of(&self, module: LogModule) -> Effective<'_> {
        static UNSET: Module = Module { levels: None, timestamp: None, source: None, sink: None };
        let default = self.modules.get(&LogModule::Default).unwrap_or(&UNSET);
        let own = self.modules.get(&module).unwrap_or(default);
        let info_and_above = || LevelSet::parse("info+").ok().flatten().unwrap_or_default();
        Effective {
            levels: own.levels.or(default.levels).unwrap_or_else(info_and_above),
            timestamp: own.timestamp.or(default.timestamp).unwrap_or(true),
            source: own.source.or(default.source).unwrap_or(false),
            sink: own.sink.as_deref().or(default.sink.as_deref()).unwrap_or(&self.stderr),
        }
    }

    /// The least severe level that any module logs.
    pub(super) fn lowest(&self) -> Option<Severity> {
        LogModule::ALL.iter().filter_map(|module| self.of(*module).levels.lowest()).min()
    }

    /// The levels of each module, in the order of [`LogModule::ALL`].
    pub(super) fn levels(&self) -> Vec<LevelSet> {
        LogModule::ALL.iter().map(|module| self.of(*module).levels).collect()
    }
}
