//! `spanway send`.

use crate::cli::messaging::SendArgs;

/// Does what the command line asks.
pub(crate) fn run(_args: &SendArgs) -> anyhow::Result<()> {
    anyhow::bail!("`spanway send` is not wired to the AMQP engine yet")
}
