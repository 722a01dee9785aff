//! Spanway: a Virtual Application Network in one binary. See docs/ARCHITECTURE.md.
#![forbid(unsafe_code)]

mod admin;
mod check;
mod cli;
mod client;
mod config_load;
mod console;
mod demo;
mod dump;
mod generate;
mod http;
mod logging;
mod manage;
mod management;
mod observe;
mod recv;
mod router;
mod send;
mod service;
mod start;
mod stat;
mod status;
mod telemetry;
mod top;
mod trace;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_else(|| OsString::from("spanway"));
    if Path::new(&program).file_name().is_some_and(|name| name == "skrouterd") {
        return start::skrouterd(&program.to_string_lossy(), arguments);
    }
    let cli = Cli::parse();
    match cli.command {
        Command::Run(args) => start::run(&cli.log, &args),
        Command::Demo => start::tool(&cli.log, demo::run),
        Command::Skrouterd { arguments } => start::skrouterd("skrouterd", arguments),
        Command::Send(args) => start::tool(&cli.log, || send::run(&args)),
        Command::Recv(args) => start::tool(&cli.log, || recv::run(&args)),
        Command::Service(args) => start::tool(&cli.log, || service::run(&args)),
        Command::Stat(args) => start::tool(&cli.log, || stat::run(&args)),
        Command::Check(args) => start::tool(&cli.log, || check::run(&args)),
        Command::Status(args) => start::tool(&cli.log, || status::run(&args)),
        Command::Top(args) => start::tool(&cli.log, || top::run(&args)),
        Command::Trace(args) => start::tool(&cli.log, || trace::run(&args)),
        Command::Debug(args) => start::tool(&cli.log, || dump::run(&args)),
        Command::Completions(args) => start::tool(&cli.log, || generate::completions(&args)),
        Command::Man(args) => start::tool(&cli.log, || generate::man(&args)),
        Command::Manage(args) => start::tool(&cli.log, || manage::run(&args)),
    }
}
