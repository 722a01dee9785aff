//! Options of `spanway completions` and `spanway man`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// Options of `spanway completions`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    spanway completions bash > ~/.local/share/bash-completion/completions/spanway\n  \
    spanway completions zsh > ~/.zfunc/_spanway\n  \
    spanway completions fish > ~/.config/fish/completions/spanway.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// Options of `spanway man`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    spanway man ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// Where the pages go: one for spanway, and one for each command. It is made if it is not there
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}
