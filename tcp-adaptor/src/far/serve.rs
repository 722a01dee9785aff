//! A stream from another router: finds a server for it and answers.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use router_core::OutletKey;
use router_core::egress::{DeliveryState, End};
use tokio::time::sleep;

use crate::adaptor::TcpAdaptor;
use crate::far::exchange::{Exchange, refuse};
use crate::far::head::{Head, HeadError};
use crate::far::links;
use crate::flow::{Flow, FlowInfo, PAUSES, Picked, pass};

/// The life of a flow that came from another router. `outlet` is the link on which its stream comes.
pub(crate) fn run(
    adaptor: Rc<TcpAdaptor>,
    slot: usize,
    info: Rc<FlowInfo>,
    stream: Rc<links::Flow>,
    outlet: OutletKey,
    address: String,
) -> impl Future<Output = ()> {
    let incoming = Incoming { adaptor: Rc::clone(&adaptor), stream, outlet: Some(outlet) };
    live(Flow::new(adaptor, slot, info), incoming, address)
}

async fn live(mut flow: Flow, mut incoming: Incoming, address: String) {
    let Some(mut exchange) = Box::pin(establish(&mut flow, &mut incoming, &address)).await else { return };
    drop((incoming, address));
    let meters = &flow.info.meters;
    match pass(&mut exchange, &mut flow.server, &meters.down, &meters.up).await {
        Ok(()) => flow.complete = true,
        Err(error) => {
            flow.info.failed(&error);
            tracing::debug!(flow = %flow.info.name(), %error, "flow reset");
        }
    }
}

/// A stream that was not answered. Dropping it refuses it.
struct Incoming {
    adaptor: Rc<TcpAdaptor>,
    stream: Rc<links::Flow>,
    outlet: Option<OutletKey>,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(outlet) = self.outlet.take() {
            let core = self.adaptor.directory();
            // No server has seen anything of it: its sender may try another. That is none if it was said otherwise before.
            refuse(&**core, &self.stream, &DeliveryState::modified(true, true));
            core.close_flow(None, Some(outlet));
        }
    }
}

impl Incoming {
    fn refuse(&self, state: &DeliveryState) {
        refuse(&**self.adaptor.directory(), &self.stream, state);
    }

    /// Waits until all sections are here. `None`: there is nothing to be served.
    async fn head(&self) -> Option<Head> {
        poll_fn(|cx| {
            self.stream.register(cx.waker());
            let (begun, end) = self.stream.said(|said| (said.begun, said.end));
            if end == End::Aborted {
                return Poll::Ready(None);
            }
            if !begun {
                return Poll::Pending;
            }
            let beginning = self.stream.beginning();
            match Head::parse(&beginning, end == End::Complete) {
                Ok(None) => Poll::Pending,
                Ok(Some((head, len))) if head.reply_to.is_some() => {
                    drop(beginning);
                    self.stream.advance(len);
                    Poll::Ready(Some(head))
                }
                Ok(Some(_)) | Err(HeadError::Foreign) => {
                    self.refuse(&DeliveryState::Released);
                    Poll::Ready(None)
                }
                Err(error @ HeadError::Malformed(_)) => {
                    tracing::debug!(%error, "rejected a stream");
                    self.refuse(&DeliveryState::rejected(None));
                    Poll::Ready(None)
                }
            }
        })
        .await
    }

    /// Waits until the client has gone.
    async fn gone(&self) {
        poll_fn(|cx| {
            self.stream.register(cx.waker());
            if self.stream.said(|said| said.end) == End::Aborted { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Finds a server and begins the answer. `None`: there is none, or the client has gone.
async fn establish(flow: &mut Flow, incoming: &mut Incoming, address: &str) -> Option<Exchange> {
    let head = incoming.head().await?;
    if let Some(identity) = &head.correlation {
        flow.adaptor.adopt_record(&flow.info, identity);
    }
    let mut tried = Vec::new();
    loop {
        let Picked::Server(key, connector) = flow.adaptor.pick_server(address, &mut tried)? else { return None };
        let alpn = head.alpn.as_ref().map(|alpn| vec![alpn.clone().into_bytes()]);
        let connected = {
            let mut connect = pin!(flow.connect(key, connector, head.origin, alpn));
            let mut gone = pin!(incoming.gone());
            poll_fn(|cx| match gone.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => connect.as_mut().poll(cx).map(Some),
            })
            .await?
        };
        if connected {
            break;
        }
    }
    flow.connected();
    let outlet = incoming.outlet.take()?;
    let mut exchange = Exchange::answer(flow.adaptor.directory(), Rc::clone(&incoming.stream), outlet, &head);
    for pause in PAUSES {
        if !exchange.has_no_way() {
            break;
        }
        sleep(pause).await;
        exchange.answer_again(&head);
    }
    Some(exchange)
}
