//! `spanway completions` and `spanway man`: what shells and `man` need to know, from the description of the command line.

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::cli::generate::{CompletionsArgs, ManArgs};
use crate::client::report::print;

/// Prints a completion script.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "spanway", &mut script);
    print(&String::from_utf8_lossy(&script)).map(drop)
}

/// Writes a page for each command.
pub(crate) fn man(args: &ManArgs) -> Result<()> {
    let directory = &args.directory;
    let failed = || format!("write manual pages into {}", directory.display());
    std::fs::create_dir_all(directory).with_context(failed)?;
    clap_mangen::generate_to(Cli::command(), directory).with_context(failed)
}
