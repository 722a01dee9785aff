//! Routers ask each other what they know of themselves.
//!
//! Every router consumes from [`ADDRESS`] under its own name (`_topo/0/ID/$topology`, `_edge/ID/$topology`). A request is answered with the
//! JSON of a [`Site`]. Any client may ask, as it may ask `$management`; what is told is no more than there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use amqp_adaptor::{Incoming, MAX_MESSAGE};
use amqp_proto::message::{Body, Message, Properties};
use amqp_proto::{DeliveryState, Encode as _, Raw, Value};
use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use transport::{MailReceiver, WorkerHandle, mailbox};

use super::site::Site;
use crate::router::worker;

/// Where requests go, behind the router's name.
const ADDRESS: &str = "$topology";

/// Where answers go.
const ANSWERS: &str = "$topology.answers";

/// Numbers of the consumers.
const REQUESTS: u32 = 0;

/// What asks for [`Site::network`], too.
const WITH_NETWORK: &str = "network";

/// A request that came in.
#[derive(Debug)]
pub(super) struct Asked {
    /// The router asks what the network looks like, too.
    pub(super) network: bool,
    reply_to: String,
    correlation: Option<Raw>,
}

/// Sends and receives on the first worker.
#[derive(Debug)]
pub(super) struct Exchange {
    worker: WorkerHandle,
    next: AtomicU64,
    /// Who waits for which answer.
    waiting: Mutex<BTreeMap<u64, Waiting>>,
}

/// Somebody waits for an answer of this router.
#[derive(Debug)]
struct Waiting {
    router: String,
    tell: mpsc::UnboundedSender<(String, Option<Site>)>,
}

/// A router to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) id: String,
    /// Of an edge router the interior router that it is linked to.
    pub(super) by_way_of: Option<String>,
}

impl Target {
    fn address(&self) -> String {
        match &self.by_way_of {
            Some(interior) => format!("_topo/0/{interior}/_edge/{}/{ADDRESS}", self.id),
            None => format!("_topo/0/{}/{ADDRESS}", self.id),
        }
    }
}

impl Exchange {
    /// Begins to consume.
    ///
    /// # Errors
    /// There is no worker that is set up.
    pub(super) async fn start(workers: &[WorkerHandle]) -> anyhow::Result<(Self, MailReceiver<Incoming>)> {
        let (sender, inbox) = mailbox();
        let worker = workers.first().context("there are no workers")?.clone();
        let consume = move || {
            let worker = worker::current().context("the worker is not set up")?;
            for (name, address) in [(REQUESTS, ADDRESS), (REQUESTS + 1, ANSWERS)] {
                let consumer = worker.amqp.consume(&format!("_local/{address}"), name, sender.clone());
                consumer.map_err(|refusal| anyhow!("{address} cannot be used: {refusal}"))?;
            }
            anyhow::Ok(())
        };
        worker.call(consume).await??;
        Ok((Self { worker, next: AtomicU64::new(1), waiting: Mutex::default() }, inbox))
    }

    /// Takes what came in. A request that is to be answered, if it was one.
    pub(super) fn take(&self, incoming: &Incoming) -> Option<Asked> {
        let message = Message::decode(&incoming.message).ok()?;
        let properties = message.properties?;
        if incoming.consumer == REQUESTS {
            let network = matches!(&message.body, Body::Value(value) if value.as_str() == Some(WITH_NETWORK));
            let reply_to = properties.reply_to.as_ref()?.as_str()?.to_owned();
            return Some(Asked { network, reply_to, correlation: properties.correlation_id });
        }
        let number = properties.correlation_id?.to_value().ok()?.as_i64().and_then(|n| u64::try_from(n).ok())?;
        // Somebody who guesses the number of a request can answer it: nothing but what is shown depends on it.
        let waiting = self.waiting.lock().remove(&number)?;
        let Body::Value(value) = &message.body else { return None };
        let site = value.as_str().and_then(|text| serde_json::from_str::<Site>(text).ok());
        // Nobody else may speak for it.
        let site = site.filter(|site| site.id == waiting.router);
        let _ = waiting.tell.send((waiting.router, site));
        None
    }

    /// Answers a request.
    pub(super) fn answer(&self, asked: Asked, site: &Site) {
        let text = serde_json::to_string(site).unwrap_or_default();
        if text.len() + 1024 > MAX_MESSAGE {
            return;
        }
        let properties = Properties {
            to: Some(asked.reply_to.as_str().into()),
            correlation_id: asked.correlation,
            ..Properties::default()
        };
        let message = encode(properties, Value::from(text));
        // Fails only while the router ends.
        let _ = self.worker.run(move || {
            if let Some(worker) = worker::current() {
                worker.amqp.inject(&message, None);
            }
        });
    }

    /// Asks routers, all at once, and waits until all have answered, or `limit` is over. `from`: this router, as they reach it.
    pub(super) async fn ask(&self, from: &str, targets: &[Target], network: bool, limit: Duration) -> Vec<Site> {
        let (tell, mut told) = mpsc::unbounded_channel();
        let mut numbers = Vec::with_capacity(targets.len());
        for target in targets {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            numbers.push(number);
            self.waiting.lock().insert(number, Waiting { router: target.id.clone(), tell: tell.clone() });
            let properties = Properties {
                to: Some(target.address().as_str().into()),
                reply_to: Some(format!("{from}/{ANSWERS}").as_str().into()),
                correlation_id: Some(Raw::from(&Value::Ulong(number))),
                ..Properties::default()
            };
            let message = encode(properties, Value::from(if network { WITH_NETWORK } else { "" }));
            let (router, tell) = (target.id.clone(), tell.clone());
            let _ = self.worker.run(move || {
                let Some(worker) = worker::current() else { return };
                // A router of another make has no such address, and one that is lost takes nothing.
                let report = move |state: Option<&DeliveryState>| {
                    if !matches!(state, None | Some(DeliveryState::Accepted)) {
                        let _ = tell.send((router, None));
                    }
                };
                worker.amqp.inject(&message, Some(Box::new(report)));
            });
        }
        drop(tell);
        let mut sites = Vec::with_capacity(targets.len());
        let mut heard = 0;
        let gather = async {
            while heard < targets.len() {
                let Some((_, site)) = told.recv().await else { return };
                heard += 1;
                sites.extend(site);
            }
        };
        // Those that are late will be shown the next time.
        let _ = tokio::time::timeout(limit, gather).await;
        let mut waiting = self.waiting.lock();
        for number in numbers {
            waiting.remove(&number);
        }
        sites
    }
}

fn encode(properties: Properties, body: Value) -> Bytes {
    let message = Message { properties: Some(properties), body: Body::Value(body), ..Message::default() };
    let mut bytes = Vec::with_capacity(message.encoded_len());
    message.encode(&mut bytes);
    bytes.into()
}
