//! What comes before and after the router itself: configuration, logs, the daemon, exit codes.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use parking_lot::Mutex;
use router_core::config::Configuration;
use transport::daemon::{DaemonOptions, Outcome, ReadyNotifier, Role, daemonize, end_interrupted};

use crate::cli::skrouterd::{Parsed, SkrouterdArgs, parse};
use crate::cli::{LogArgs, RunArgs, VERSION};
use crate::config_load;
use crate::logging::{self, LogHandle};
use crate::router;

/// Everything that the router is started with.
#[derive(Debug)]
pub(crate) struct Start {
    /// What to run. The id is set.
    pub(crate) configuration: Configuration,
    /// The log, for changes of `log` entities at run time.
    pub(crate) log: LogHandle,
    /// The flags that are stronger than `log` entities.
    pub(crate) log_args: LogArgs,
    /// To be told when all listeners are open.
    pub(crate) ready: Ready,
    /// Which command line it was started with.
    pub(crate) command: StartedAs,
}

/// Which command line the router was started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartedAs {
    /// `spanway run`.
    Run {
        /// There was no configuration file: say what to try.
        default_configuration: bool,
        /// End when the standard input does.
        until_stdin_ends: bool,
    },
    /// `skrouterd`: four threads unless configured, no hints.
    Skrouterd {
        /// `-T`.
        test_hooks: bool,
    },
}

/// How the router ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "constructed by the router")]
pub(crate) enum Ended {
    /// After a drain, or because nothing was left to do.
    Done,
    /// Because of SIGINT.
    Interrupted,
}

/// Tells whoever waits for the router that it is ready. Clones refer to the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ready(Arc<Mutex<Option<ReadyNotifier>>>);

impl Ready {
    /// The router is ready: every listener is open, and the line that says so is in the log.
    pub(crate) fn announce(&self) {
        if let Some(notifier) = self.0.lock().take()
            && let Err(error) = notifier.ready()
        {
            tracing::debug!(target: "ROUTER", "the launcher of this daemon is gone: {error}");
        }
    }

    fn fail(&self, message: &str) {
        if let Some(notifier) = self.0.lock().take() {
            notifier.failed(message);
        }
    }
}

/// `spanway run`.
pub(crate) fn run(log_args: &LogArgs, args: &RunArgs) -> ExitCode {
    let configuration = match config_load::load(args) {
        Ok(configuration) => configuration,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if args.check {
        for warning in &configuration.warnings {
            eprintln!("{warning}");
        }
        println!("the configuration is valid: {} entities", configuration.entities.len());
        return ExitCode::SUCCESS;
    }
    let result = start_log(log_args).and_then(|log| {
        configure_log(&log, log_args, &configuration)?;
        router::run(Start {
            configuration,
            log,
            log_args: log_args.clone(),
            ready: Ready::default(),
            command: StartedAs::Run {
                default_configuration: args.config.is_none(),
                until_stdin_ends: args.until_stdin_ends,
            },
        })
    });
    finish(result.map(|_| ()))
}

/// `skrouterd`, as a subcommand or by name.
pub(crate) fn skrouterd(program: &str, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match parse(program, arguments) {
        Parsed::Run(args) => args,
        Parsed::Print(text) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Parsed::Refuse(error, usage) => {
            eprint!("{error}");
            print!("{usage}");
            return ExitCode::FAILURE;
        }
    };
    if !args.daemon {
        return skrouterd_in_place(program, &args, &Ready::default(), &args.config);
    }
    // The daemon has `/` as its directory.
    let config = std::path::absolute(&args.config);
    let config = config.map_or_else(|_| args.config.clone(), |path| path.to_string_lossy().into_owned());
    let options = DaemonOptions { pid_file: args.pid_file.as_ref().map(Into::into), user: args.user.clone() };
    match daemonize(&options) {
        Ok(Role::Launcher(Outcome::Ready)) => ExitCode::SUCCESS,
        Ok(Role::Launcher(Outcome::Failed(message))) => {
            eprint!("{message}");
            ExitCode::FAILURE
        }
        Ok(Role::Daemon(notifier)) => {
            let ready = Ready(Arc::new(Mutex::new(Some(notifier))));
            skrouterd_in_place(program, &args, &ready, &config)
        }
        Err(error) => {
            eprintln!("{program}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn skrouterd_in_place(program: &str, args: &SkrouterdArgs, ready: &Ready, config: &str) -> ExitCode {
    transport::crash::install(VERSION, program);
    let log_args = logging::reference_args();
    let log = match start_log(&log_args) {
        Ok(log) => log,
        Err(error) => return finish(Err(error)),
    };
    let result = match config_load::load_file(config) {
        Ok(configuration) => configure_log(&log, &log_args, &configuration)
            .and_then(|()| {
                router::run(Start {
                    configuration,
                    log,
                    log_args,
                    ready: ready.clone(),
                    command: StartedAs::Skrouterd { test_hooks: args.test_hooks },
                })
            })
            .map_err(|error| format!("{error:#}")),
        Err(error) => {
            // Where the log cannot be opened either, the message goes to the standard error.
            let _ = logging::configure(&log, &log_args, error.logs(), None);
            Err(error.reference_text())
        }
    };
    match result {
        Ok(Ended::Done) => ExitCode::SUCCESS,
        Ok(Ended::Interrupted) => end_interrupted(),
        Err(message) => {
            tracing::error!(target: "ROUTER", critical = true, "Router start-up failed: {message}");
            let line = format!("{program}: {message}\n");
            eprint!("{line}");
            ready.fail(&line);
            ExitCode::FAILURE
        }
    }
}

/// A command that is a client: logs go to the standard error, results to the standard output.
pub(crate) fn tool(log_args: &LogArgs, work: impl FnOnce() -> anyhow::Result<()>) -> ExitCode {
    finish(start_log(log_args).and_then(|_| work()))
}

fn start_log(args: &LogArgs) -> anyhow::Result<LogHandle> {
    logging::start(args)
}

fn configure_log(log: &LogHandle, args: &LogArgs, configuration: &Configuration) -> anyhow::Result<()> {
    logging::configure(log, args, &configuration.logs, Some(&configuration.router))?;
    for warning in &configuration.warnings {
        tracing::warn!(target: "AGENT", "{warning}");
    }
    Ok(())
}

fn finish(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spanway: {error:#}");
            ExitCode::FAILURE
        }
    }
}
