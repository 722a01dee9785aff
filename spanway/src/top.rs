//! `spanway top`: a network live in a terminal.

mod app;
mod draw;
mod input;
mod sample;
mod view;

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use crate::cli::top::{TopArgs, View};
use crate::client::management::Manager;
use crate::client::{Interrupts, block_on};
use app::{App, Next};
use sample::{Sampler, Snapshot};

/// From the first look to the second: without it there are no rates to show.
const FIRST: Duration = Duration::from_millis(300);
/// Asking takes at most this share of the time, whatever the interval is: one part in so many.
const DUTY: u32 = 4;

/// Does what the command line asks.
pub(crate) fn run(args: &TopArgs) -> Result<()> {
    args.connect.check_or_exit();
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        bail!("top needs a terminal; `spanway stat --watch` writes to pipes and files");
    }
    block_on(async { LocalSet::new().run_until(show(args)).await })
}

/// Puts the terminal back as it was, whatever happens.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

async fn show(args: &TopArgs) -> Result<()> {
    let mut interrupts = Interrupts::new()?;
    // While nothing is known there is nothing to show: failures to connect look like those of other commands.
    let manager = tokio::select! {
        manager = Manager::connect(&args.connect, "top") => manager?,
        () = interrupts.wait() => return Ok(()),
    };
    let (wanted, views) = watch::channel(args.view);
    let (snapshots, mut looks) = mpsc::channel(1);
    let sampler = tokio::task::spawn_local(sample(args.clone(), manager, views, snapshots));
    let mut app = App::new(args.view, args.interval);
    let mut terminal = ratatui::try_init()?;
    let _restore = Restore;
    let mut keys = input::read();
    loop {
        terminal.draw(|frame| draw::draw(&mut app, frame))?;
        tokio::select! {
            event = keys.recv() => match event.map(|event| app.event(&event)) {
                Some(Next::Go) => {}
                Some(Next::Quit) | None => break,
            },
            look = looks.recv() => match look {
                Some(look) => app.look(look),
                None => break,
            },
            () = interrupts.wait() => break,
        }
        let view = app.view();
        wanted.send_if_modified(|wanted| std::mem::replace(wanted, view) != view);
    }
    sampler.abort();
    Ok(())
}

/// Looks at the network again and again, and connects again where the connection is lost.
async fn sample(
    args: TopArgs,
    manager: Manager,
    mut views: watch::Receiver<View>,
    snapshots: mpsc::Sender<Result<Snapshot>>,
) {
    let mut manager = Some(manager);
    let mut sampler = Sampler::default();
    let mut first = true;
    loop {
        let began = tokio::time::Instant::now();
        let view = *views.borrow_and_update();
        let look = match &mut manager {
            Some(manager) => sampler.look(manager, view).await,
            None => match Manager::connect(&args.connect, "top").await {
                Ok(connected) => {
                    let connected = manager.insert(connected);
                    sampler = Sampler::default();
                    sampler.look(connected, view).await
                }
                Err(error) => Err(error),
            },
        };
        if look.is_err() {
            manager = None;
        }
        if snapshots.send(look).await.is_err() {
            return;
        }
        let wait = if std::mem::take(&mut first) { FIRST } else { args.interval };
        let wait = wait.max(began.elapsed() * DUTY);
        // Another view is wanted at once.
        tokio::select! {
            () = tokio::time::sleep_until(began + wait) => {}
            changed = views.changed() => match changed {
                Ok(()) => first = true,
                Err(_) => return,
            },
        }
    }
}
