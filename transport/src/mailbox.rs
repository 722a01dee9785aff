//! The only queue between workers: many senders, one receiver, everything by the batch.
//!
//! A batch costs its sender one lock and, only if the mailbox was empty, one wake; it costs the receiver one lock, held for a
//! pointer swap. Items are dropped and processed outside the lock. The mailbox is unbounded: what may wait in it is bounded by
//! the credit that receivers grant, not here.

use crate::metrics;
use crate::sync::{Arc, Mutex};

use std::future::poll_fn;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

/// The other side is gone, so nothing more will be taken (or sent).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("mailbox is closed")
    }
}

impl std::error::Error for Closed {}

struct State<T> {
    items: Vec<T>,
    /// Present while the receiver waits; taken by whoever wakes it, so that a batch wakes at most once.
    waker: Option<Waker>,
    senders: usize,
    receiver_gone: bool,
}

struct Shared<T> {
    state: Mutex<State<T>>,
}

impl<T> Shared<T> {
    /// Runs `f` under the lock. No code of users (wakers, destructors of items) runs inside, so the lock cannot be poisoned half-way.
    fn with<R>(&self, f: impl FnOnce(&mut State<T>) -> R) -> R {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The sending half; cheap to clone, usable from any thread.
pub struct MailSender<T> {
    shared: Arc<Shared<T>>,
}

/// The receiving half, owned by one task.
pub struct MailReceiver<T> {
    shared: Arc<Shared<T>>,
}

/// Creates an empty mailbox.
#[must_use]
pub fn mailbox<T>() -> (MailSender<T>, MailReceiver<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State { items: Vec::new(), waker: None, senders: 1, receiver_gone: false }),
    });
    let sender = MailSender { shared: Arc::clone(&shared) };
    (sender, MailReceiver { shared })
}

impl<T> MailSender<T> {
    /// Appends one item. It is dropped when the receiver is gone.
    ///
    /// # Errors
    /// [`Closed`] when the receiver is gone.
    pub fn push(&self, item: T) -> Result<(), Closed> {
        self.push_quietly(item, 1)
    }

    /// The same for what the receiver need not know before it looks of its own accord: it is woken only when so many items wait.
    ///
    /// # Errors
    /// [`Closed`] when the receiver is gone.
    pub fn push_quietly(&self, item: T, most: usize) -> Result<(), Closed> {
        metrics::count(|c| c.mail_pushes += 1);
        // `Err` carries the item out of the lock, so that its destructor does not run inside.
        let pushed = self.shared.with(|state| {
            if state.receiver_gone {
                return Err(item);
            }
            state.items.push(item);
            Ok(if state.items.len() >= most { state.waker.take() } else { None })
        });
        let Ok(waker) = pushed else {
            return Err(Closed);
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Moves all of `batch` to the mailbox, in order, and leaves it empty with its capacity (or that of a vector which the receiver
    /// returned), so that a steady flow of batches does not allocate. An empty batch does nothing.
    ///
    /// # Errors
    /// [`Closed`] when the receiver is gone; `batch` is untouched then.
    pub fn push_batch(&self, batch: &mut Vec<T>) -> Result<(), Closed> {
        if batch.is_empty() {
            return Ok(());
        }
        metrics::count(|c| c.mail_pushes += 1);
        let waker = self.shared.with(|state| {
            if state.receiver_gone {
                return Err(Closed);
            }
            if state.items.is_empty() {
                std::mem::swap(&mut state.items, batch);
            } else {
                state.items.append(batch);
            }
            Ok(state.waker.take())
        })?;
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Whether the receiver is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.with(|state| state.receiver_gone)
    }
}

impl<T> Clone for MailSender<T> {
    fn clone(&self) -> Self {
        self.shared.with(|state| state.senders += 1);
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Drop for MailSender<T> {
    fn drop(&mut self) {
        let waker = self.shared.with(|state| {
            state.senders -= 1;
            if state.senders == 0 { state.waker.take() } else { None }
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> MailReceiver<T> {
    /// Takes everything that waits, appending to `into`; when `into` is empty its allocation goes back to the senders.
    /// Ready with `Err(Closed)` once all senders are gone and everything was taken.
    ///
    /// # Errors
    /// [`Closed`] as said.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>, into: &mut Vec<T>) -> Poll<Result<(), Closed>> {
        metrics::count(|c| c.mail_drains += 1);
        let (poll, _old) = self.shared.with(|state| {
            if take_all(state, into) {
                return (Poll::Ready(Ok(())), None);
            }
            if state.senders == 0 {
                return (Poll::Ready(Err(Closed)), None);
            }
            match &state.waker {
                Some(waker) if waker.will_wake(cx.waker()) => (Poll::Pending, None),
                _ => (Poll::Pending, state.waker.replace(cx.waker().clone())),
            }
        });
        poll
    }

    /// Waits until there is something and takes all of it, as [`poll_drain`](Self::poll_drain). Cancel safe.
    ///
    /// # Errors
    /// [`Closed`] once all senders are gone and everything was taken.
    pub async fn drain(&mut self, into: &mut Vec<T>) -> Result<(), Closed> {
        poll_fn(|cx| self.poll_drain(cx, into)).await
    }

    /// Takes what waits now, without waiting. Returns whether there was anything.
    pub fn try_drain(&mut self, into: &mut Vec<T>) -> bool {
        metrics::count(|c| c.mail_drains += 1);
        self.shared.with(|state| take_all(state, into))
    }
}

impl<T> Drop for MailReceiver<T> {
    fn drop(&mut self) {
        let _dropped_outside_the_lock = self.shared.with(|state| {
            state.receiver_gone = true;
            (std::mem::take(&mut state.items), state.waker.take())
        });
    }
}

// By hand, so that items need not be `Debug`.
impl<T> std::fmt::Debug for MailSender<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MailSender").finish_non_exhaustive()
    }
}

impl<T> std::fmt::Debug for MailReceiver<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MailReceiver").finish_non_exhaustive()
    }
}

fn take_all<T>(state: &mut State<T>, into: &mut Vec<T>) -> bool {
    if state.items.is_empty() {
        return false;
    }
    if into.is_empty() {
        std::mem::swap(&mut state.items, into);
    } else {
        into.append(&mut state.items);
    }
    true
}
