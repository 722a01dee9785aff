//! A future whose panic ends itself and is logged.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Runs `future` and turns a panic in it into its end.
pub(super) struct CatchPanic<F> {
    name: &'static str,
    /// Boxed so that it can be dropped in place of its end without projection; a task is allocated anyway.
    future: Option<Pin<Box<F>>>,
}

impl<F> CatchPanic<F> {
    pub(super) fn new(name: &'static str, future: F) -> Self {
        Self { name, future: Some(Box::pin(future)) }
    }
}

impl<F: Future<Output = ()>> Future for CatchPanic<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let Some(future) = this.future.as_mut() else {
            return Poll::Ready(());
        };
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(())) => {}
            Err(panic) => log(this.name, panic.as_ref()),
        }
        // A destructor may panic as well, most likely after the future itself did.
        let future = this.future.take();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(future))) {
            log(this.name, panic.as_ref());
        }
        Poll::Ready(())
    }
}

pub(super) fn log(name: &str, panic: &(dyn Any + Send)) {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    tracing::error!(task = name, message, "a task panicked and was ended");
}
