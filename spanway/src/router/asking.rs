//! Questions to workers, from other threads.

use std::sync::Arc;

use transport::WorkerHandle;

use super::worker::{self, Worker};

/// Asks one worker. `None` while the router ends.
pub(crate) async fn ask<R: Send + 'static>(
    handle: &WorkerHandle,
    job: impl FnOnce(&Worker) -> R + Send + 'static,
) -> Option<R> {
    handle.call(move || worker::current().map(|worker| job(&worker))).await.ok().flatten()
}

/// Asks every worker, one after the other. Those that are gone are left out.
pub(crate) async fn each<R: Send + 'static>(
    workers: &[WorkerHandle],
    job: impl Fn(&Worker) -> R + Clone + Send + 'static,
) -> Vec<R> {
    let mut answers = Vec::with_capacity(workers.len());
    for handle in workers {
        answers.extend(ask(handle, job.clone()).await);
    }
    answers
}

/// Lookup keys of all addresses that any worker knows, in order, each once.
pub(crate) async fn address_keys(workers: &[WorkerHandle]) -> Vec<Arc<str>> {
    let mut keys = each(workers, |worker| worker.amqp.with_core(|core, _| core.address_keys())).await.concat();
    // Each worker has its own in order: the stable sort finds these runs and only merges them.
    keys.sort();
    keys.dedup();
    keys
}
