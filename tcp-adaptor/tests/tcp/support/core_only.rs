//! A core without AMQP: nobody attaches a link, so there is nothing to send.

use std::cell::RefCell;

use bytes::Bytes;
use router_core::egress::{DeliveryState, End, Error, Payload, SendHead, Sent};
use router_core::{
    Core, Egress, FlowPick, InletKey, LinkRef, OutKey, OutletKey, Reachability, ServerInfo, ServerKey, ServerPick,
    WatchKey, WorkerId, WorkerMsg,
};
use tcp_adaptor::Directory;

pub(crate) struct CoreOnly(RefCell<Core>);

impl CoreOnly {
    pub(crate) fn new(core: Core) -> Self {
        Self(RefCell::new(core))
    }
}

impl Directory for CoreOnly {
    fn add_server(&self, address: &str, info: ServerInfo) -> Option<ServerKey> {
        let mut core = self.0.borrow_mut();
        let key = core.add_server(address, info, &mut Nobody);
        core.end_batch(&mut Nobody);
        key
    }
    fn remove_server(&self, server: ServerKey) {
        let mut core = self.0.borrow_mut();
        core.remove_server(server, &mut Nobody);
        core.end_batch(&mut Nobody);
    }
    fn pick_server(&self, address: &str, exclude: &[ServerKey]) -> Option<ServerPick> {
        self.0.borrow_mut().pick_server(address, exclude)
    }
    fn server_closed(&self, server: ServerKey) {
        self.0.borrow_mut().server_closed(server);
    }
    fn watch(&self, address: &str, token: u64) -> Option<WatchKey> {
        self.0.borrow_mut().watch(address, token)
    }
    fn unwatch(&self, watch: WatchKey) {
        self.0.borrow_mut().unwatch(watch);
    }
    fn poll_reachability(&self) -> Option<Reachability> {
        self.0.borrow_mut().poll_reachability()
    }
    fn pick_flow(&self, address: &str, tried: &[ServerKey], hops: &[u32]) -> Option<FlowPick> {
        self.0.borrow_mut().pick_flow(address, tried, hops)
    }
    /// There are no other routers.
    fn attach_flow(&self, _: LinkRef, _: u32) -> Option<(OutletKey, String)> {
        None
    }
    fn begin_flow(&self, _: LinkRef, _: &str, _: u32, _: &Bytes) -> Option<InletKey> {
        None
    }
    fn begin_reply(&self, _: LinkRef, _: &str, _: Option<OutletKey>, _: &Bytes) -> Option<InletKey> {
        None
    }
    fn transfer(&self, _: InletKey, _: &Bytes, _: End) {}
    fn outcome(&self, _: OutKey, _: &DeliveryState, _: bool) {}
    fn flow_writable(&self, _: OutletKey) {}
    fn close_flow(&self, _: Option<InletKey>, _: Option<OutletKey>) {}
}

struct Nobody;

impl Egress for Nobody {
    fn send(&mut self, _: LinkRef, _: &SendHead, _: &Payload<'_>, _: End) -> Sent {
        Sent::default()
    }
    fn settle_in(&mut self, _: LinkRef, _: u32, _: Option<&DeliveryState>, _: bool) {}
    fn settle_out(&mut self, _: LinkRef, _: u32, _: Option<&DeliveryState>, _: bool) {}
    fn grant(&mut self, _: LinkRef, _: u32) {}
    fn drain_in(&mut self, _: LinkRef) {}
    fn drained_out(&mut self, _: LinkRef) {}
    fn detach(&mut self, _: LinkRef, _: Option<Error>) {}
    fn hold(&mut self, _: LinkRef, _: usize) {}
    fn release(&mut self, _: LinkRef, _: usize) {}
    /// Servers are added in every worker, so the workers need not tell each other of them.
    fn post(&mut self, _: WorkerId, _: WorkerMsg<'_>) {}
}
