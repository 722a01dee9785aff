//! The management agent: answers requests to `$management`.
//!
//! Requests reach the control thread by mail from a consumer in the router ([`amqp_adaptor::Incoming`]); answers are injected where they
//! came from. What is asked about traffic is collected from the workers in pages, so that none of them is held up for long.

mod operations;
mod query;
mod request;
mod response;
mod rows;
mod values;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use amqp_adaptor::Incoming;
use anyhow::{Context as _, anyhow};
use router_core::config::Configuration;
use router_core::entity::RouterEntity;
use router_core::management::{ADDRESS, RESTRICTED_ADDRESS};
use transport::{MailReceiver, WorkerHandle, mailbox};

use crate::cli::LogArgs;
use crate::logging::LogHandle;
use crate::router::entities::Running;
use crate::router::worker;
use request::Request;
use response::{Failure, Response};

/// What consumers of requests are called: those of anybody, and those of clients that may not close connections.
const ALL: u32 = 0;
const RESTRICTED: u32 = 1;

/// Addresses of the agent: as any client reaches it, as it is reached under the router's own name, and where restricted clients come.
const ADDRESSES: [(&str, u32); 3] = [(ADDRESS, ALL), ("_local/$management", ALL), (RESTRICTED_ADDRESS, RESTRICTED)];

/// Answers requests about one router.
#[derive(Debug)]
pub(crate) struct Agent {
    running: Arc<Running>,
    workers: Vec<WorkerHandle>,
    started: Instant,
    router: RouterFacts,
    log: LogControl,
}

/// What does not change while the router runs.
#[derive(Debug, Clone)]
struct RouterFacts {
    id: String,
    interior: bool,
    host: Option<String>,
    /// How log times are written.
    configured: RouterEntity,
}

/// What changes of `log` entities are put to work with.
#[derive(Debug)]
pub(crate) struct LogControl {
    /// The log.
    pub(crate) handle: LogHandle,
    /// The flags that are stronger than entities.
    pub(crate) args: LogArgs,
}

impl Agent {
    /// Begins to consume requests, on the first worker. They are answered by [`serve`](Self::serve).
    ///
    /// # Errors
    /// There is no worker that is set up.
    pub(crate) async fn start(
        configuration: &Configuration,
        running: Arc<Running>,
        workers: Vec<WorkerHandle>,
        log: LogControl,
    ) -> anyhow::Result<(Self, MailReceiver<Incoming>)> {
        let (sender, inbox) = mailbox();
        let first = workers.first().context("there are no workers")?;
        let consume = move || {
            let worker = worker::current().context("the worker is not set up")?;
            for (address, name) in ADDRESSES {
                let consumer = worker.amqp.consume(address, name, sender.clone());
                consumer.map_err(|refusal| anyhow!("the management agent cannot use {address}: {refusal}"))?;
            }
            anyhow::Ok(())
        };
        first.call(consume).await??;
        let router = RouterFacts {
            id: configuration.router.id.clone().unwrap_or_default(),
            interior: configuration.router.mode == router_core::entity::Mode::Interior,
            host: host_name(),
            configured: configuration.router.clone(),
        };
        tracing::info!(target: "AGENT", "Activating management agent on {ADDRESS}");
        Ok((Self { running, workers, started: Instant::now(), router, log }, inbox))
    }

    /// Answers requests, one after the other, until the router ends.
    pub(crate) async fn serve(self, mut inbox: MailReceiver<Incoming>) {
        let mut mails = Vec::new();
        while inbox.drain(&mut mails).await.is_ok() {
            let mut requests: VecDeque<Incoming> = mails.drain(..).collect();
            while let Some(incoming) = requests.pop_front() {
                if let Some(answer) = self.answer(&incoming.message, incoming.consumer == RESTRICTED).await {
                    self.send(answer);
                }
            }
        }
    }

    /// The answer to a request, encoded. `None` if it does not say where to: then nobody would hear it.
    async fn answer(&self, message: &bytes::Bytes, restricted: bool) -> Option<bytes::Bytes> {
        let request = match Request::decode(message, restricted) {
            Ok(request) => request?,
            Err(error) => {
                tracing::debug!(target: "AGENT", "A request cannot be read: {error}");
                return None;
            }
        };
        tracing::debug!(target: "AGENT", "Agent request {request}");
        let response = match self.perform(&request).await {
            Ok(response) => response,
            Err(failure) => {
                let operation = request.operation().unwrap_or("a request");
                tracing::error!(target: "AGENT", "Error performing {operation}: {failure}");
                Response::from(failure)
            }
        };
        Some(response.encode(&request))
    }

    fn send(&self, message: bytes::Bytes) {
        let Some(first) = self.workers.first() else { return };
        // Fails only while the router ends.
        let _ = first.run(move || {
            if let Some(worker) = worker::current() {
                worker.amqp.inject(&message, None);
            }
        });
    }

    async fn perform(&self, request: &Request) -> Result<Response, Failure> {
        operations::perform(self, request).await
    }
}

/// The name of the machine.
pub(crate) fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests;
