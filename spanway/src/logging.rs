//! Logs: trace events become lines, filtered and sent where `log` entities say.
//!
//! The target of an event is a module of the reference (`target: "SERVER"`); targets that are not fall to the module of their crate. An error
//! with the field `critical` is critical. Settings can change at any time; [`LogHandle::apply`] replaces them as a whole.

mod format;
mod layer;
mod settings;
mod sink;

pub(crate) use format::Entry;
pub(crate) use layer::LogHandle;
pub(crate) use settings::Settings;

use router_core::entity::{LogEntity, RouterEntity};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::cli::{LogArgs, LogFormat};

/// Starts logging, with the defaults until [`configure`] is called.
///
/// # Errors
/// Logging was started already.
pub(crate) fn start(args: &LogArgs) -> anyhow::Result<LogHandle> {
    let handle = LogHandle::new(Settings::new(args.log_format));
    configure(&handle, args, &[], None)?;
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(handle.layer()))?;
    Ok(handle)
}

/// Puts `log` entities, and the flags that are stronger, into effect.
///
/// # Errors
/// A log file cannot be opened. The settings stay what they were.
pub(crate) fn configure(
    handle: &LogHandle,
    args: &LogArgs,
    logs: &[LogEntity],
    router: Option<&RouterEntity>,
) -> anyhow::Result<()> {
    let mut settings = Settings::new(args.log_format);
    if let Some(router) = router {
        settings.set_time(router.timestamp_format.as_deref(), router.timestamps_in_utc.unwrap_or(false));
    }
    for log in logs {
        settings.add(log)?;
    }
    for level in &args.log_levels {
        settings.enable(level.module, &level.enable);
    }
    handle.apply(settings);
    Ok(())
}

/// The arguments under which logs look as skrouterd's.
pub(crate) fn reference_args() -> LogArgs {
    LogArgs { log_format: LogFormat::Skrouterd, log_levels: Vec::new() }
}

#[cfg(test)]
mod tests;
