//! From files and flags to a [`Configuration`].

mod links;
mod otlp;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;

use router_core::config::{ConfigError, Configuration, Finding, Flag, Section, Syntax, parse};
use router_core::entity::{EntityKind, LogEntity, Mode, Stage};

use crate::cli::RunArgs;

/// The configuration without a file.
const DEFAULT: &str = include_str!("default.yaml");

/// How much of the machine's name a made-up id has.
const MAX_HOST_NAME: usize = 32;

/// Why there is no configuration. The fault of whoever wrote it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The file could not be read.
    #[error("cannot read configuration file {file}: {source}")]
    Read {
        /// Its name.
        file: String,
        /// Why not.
        source: io::Error,
    },
    /// What it says is wrong.
    #[error("{error}")]
    Config {
        /// The name of the file.
        file: String,
        /// What is wrong.
        error: ConfigError,
        /// The log settings, if the file could be read that far: where the message has to go.
        logs: Vec<LogEntity>,
    },
    /// Flags that do not go together.
    #[error("{0}")]
    Flags(String),
}

impl LoadError {
    /// What skrouterd says after `Router start-up failed: `.
    pub(crate) fn reference_text(&self) -> String {
        match self {
            Self::Read { file, source } => {
                let reason = match source.kind() {
                    io::ErrorKind::NotFound => "No such file or directory".to_owned(),
                    io::ErrorKind::PermissionDenied => "Permission denied".to_owned(),
                    _ => source.to_string(),
                };
                format!("Python: Exception: Cannot load configuration file {file}: {reason}")
            }
            Self::Config { file, error, .. } => error.reference_text(file),
            Self::Flags(text) => text.clone(),
        }
    }

    /// Log settings that hold in spite of the failure.
    pub(crate) fn logs(&self) -> &[LogEntity] {
        match self {
            Self::Config { logs, .. } => logs,
            _ => &[],
        }
    }
}

/// Loads what `spanway run` was given: the file, or the defaults, and the flags on top.
pub(crate) fn load(args: &RunArgs) -> Result<Configuration, LoadError> {
    let name = args.config.as_deref().unwrap_or("default configuration");
    let mut sections = match &args.config {
        Some(file) => read(file)?,
        None => defaults(args)?,
    };
    let mode = links::mode(args, &sections)?;
    for flag in flags(args)?.into_iter().chain(mode) {
        flag.merge_into(&mut sections);
    }
    otlp::merge_into(&mut sections, args.otlp.as_ref(), |name| std::env::var(name).ok())?;
    build(name, sections)
}

/// Loads the file that skrouterd was given.
pub(crate) fn load_file(file: &str) -> Result<Configuration, LoadError> {
    let mut sections = read(file)?;
    otlp::merge_into(&mut sections, None, |name| std::env::var(name).ok())?;
    build(file, sections)
}

fn read(file: &str) -> Result<Vec<Section>, LoadError> {
    let failed = |source| LoadError::Read { file: file.to_owned(), source };
    let bytes = std::fs::read(file).map_err(failed)?;
    let text = String::from_utf8(bytes)
        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, format!("it is not UTF-8: {error}"))))?;
    parse(file, Syntax::of_file(file), &text).map_err(|error| refused(file, error))
}

/// The defaults, without what flags replace.
fn defaults(args: &RunArgs) -> Result<Vec<Section>, LoadError> {
    let mut sections = parse("default configuration", Syntax::Yaml, DEFAULT)
        .map_err(|error| refused("default configuration", error))?;
    sections.retain(|section| match section.name.as_str() {
        "listener" => args.listen.is_empty(),
        "admin" => args.admin.is_empty(),
        _ => true,
    });
    if links::wanted(args) {
        links::avoid_taken_ports(&mut sections);
    }
    Ok(sections)
}

fn flags(args: &RunArgs) -> Result<Vec<Flag>, LoadError> {
    let mut flags = Vec::new();
    let router = [("--id", "id", args.id.clone()), ("--mode", "mode", args.mode.clone())].into_iter().chain([(
        "--workers",
        "workerThreads",
        args.workers.map(|workers| workers.to_string()),
    )]);
    for (flag, attribute, value) in router {
        flags.extend(value.map(|value| Flag::router(flag, attribute, &value)));
    }
    if args.cert.is_some() {
        flags.push(Flag::tls(args.cert.as_deref(), args.key.as_deref(), args.ca.as_deref()));
    } else if args.listen.iter().any(Flag::needs_tls) {
        return Err(LoadError::Flags("--listen amqps://... needs --cert and --key".to_owned()));
    }
    if args.ca.is_none() && links::all(args).any(Flag::needs_tls) {
        return Err(LoadError::Flags(
            "links over amqps:// need --cert, --key, and --ca with the authority that signed the certificates of the other routers"
                .to_owned(),
        ));
    }
    flags.extend(args.listen.iter().chain(links::all(args)).cloned());
    for group in [&args.tcp_listener, &args.tcp_connector, &args.admin] {
        flags.extend(group.iter().cloned());
    }
    Ok(flags)
}

fn refused(file: &str, error: ConfigError) -> LoadError {
    LoadError::Config { file: file.to_owned(), error, logs: Vec::new() }
}

/// Adds the vhosts of the files in `policyDir`. What else is in them is left out, as the reference does.
fn add_policies(file: &str, sections: &mut Vec<Section>) -> Result<(), LoadError> {
    let kind = |section: &Section| EntityKind::from_name(&section.name);
    let policy = sections.iter().find(|section| kind(section) == Some(EntityKind::Policy));
    let attribute = policy.and_then(|policy| policy.attributes.iter().find(|attribute| attribute.name == "policyDir"));
    let Some((attribute, dir)) = attribute.and_then(|attribute| Some((attribute, attribute.value.as_str()?))) else {
        return Ok(());
    };
    if dir.is_empty() {
        return Ok(());
    }
    let names = std::fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>())
        .map_err(|error| {
            let position = attribute.value_position.clone();
            let message = format!("policyDir: cannot read {dir}: {error}");
            refused(file, ConfigError { findings: vec![Finding { position, stage: Stage::Load, message }] })
        })?;
    let mut names: Vec<String> = names.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    names.retain(|name| name.ends_with(".json"));
    names.sort_unstable();
    for name in names {
        sections.extend(read(&name)?.into_iter().filter(|section| kind(section) == Some(EntityKind::Vhost)));
    }
    Ok(())
}

fn build(file: &str, mut sections: Vec<Section>) -> Result<Configuration, LoadError> {
    add_policies(file, &mut sections)?;
    let logs: Vec<_> = sections.iter().filter(|section| section.name == "log").cloned().collect();
    let mut configuration = Configuration::build(sections).map_err(|error| {
        // The reference sets up its log before anything that is found only when entities are created.
        let late = error.findings.iter().all(|finding| finding.stage != Stage::Load);
        let logs =
            if late { Configuration::build(logs).map(|configuration| configuration.logs) } else { Ok(Vec::new()) };
        LoadError::Config { file: file.to_owned(), error, logs: logs.unwrap_or_default() }
    })?;
    if configuration.router.id.is_none() {
        name_router(&mut configuration);
    }
    Ok(configuration)
}

/// Makes up a name for a router that has none. Every process gets another, as two routers of one name break a network. In a network people
/// have to know them apart, so names there begin with the machine's.
fn name_router(configuration: &mut Configuration) {
    // A new `RandomState` is seeded by the system; an empty hash of it is a random number.
    let random = RandomState::new().build_hasher().finish();
    let id = match (configuration.router.mode, host_name()) {
        (Mode::Standalone, _) => format!("Standalone_{:08x}", random & 0xffff_ffff),
        (Mode::Interior, None) => format!("Interior_{:08x}", random & 0xffff_ffff),
        (Mode::Edge, None) => format!("Edge_{:08x}", random & 0xffff_ffff),
        (_, Some(host)) => format!("{host}-{:06x}", random & 0xff_ffff),
    };
    configuration.name_router(&id);
}

/// The first part of the machine's name, as far as it may be in an id.
fn host_name() -> Option<String> {
    let name = crate::management::host_name()?;
    let part: String =
        name.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).take(MAX_HOST_NAME).collect();
    Some(part).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests;
