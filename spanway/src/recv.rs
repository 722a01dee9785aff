//! `spanway recv`.

use crate::cli::messaging::RecvArgs;

/// Does what the command line asks.
pub(crate) fn run(_args: &RecvArgs) -> anyhow::Result<()> {
    anyhow::bail!("`spanway recv` is not wired to the AMQP engine yet")
}
