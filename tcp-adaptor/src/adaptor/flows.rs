//! Sockets of flows at one moment, for management, which shows them as connections.

use super::TcpAdaptor;
use crate::flow::SocketInfo;
use crate::stats::SocketStatus;

impl TcpAdaptor {
    /// Numbers of the sockets of open flows of this worker, in no order.
    #[must_use]
    pub fn socket_ids(&self) -> Vec<u64> {
        let flows = self.flows.borrow();
        let sockets = flows.iter().flat_map(|(_, entry)| entry.info.client.iter().chain(entry.info.server.get()));
        sockets.map(|socket| socket.id).collect()
    }

    /// How many clients of listeners this worker has.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.flows.borrow().iter().filter(|(_, entry)| entry.info.client.is_some()).count()
    }

    /// Those sockets of this worker that have one of these numbers, which must be sorted.
    #[must_use]
    pub fn socket_statuses(&self, sorted: &[u64]) -> Vec<SocketStatus> {
        let wanted = |socket: &&SocketInfo| sorted.binary_search(&socket.id).is_ok();
        let mut statuses = Vec::new();
        for (_, entry) in self.flows.borrow().iter() {
            let info = &entry.info;
            if let (Some(client), Some(listener)) = (info.client.as_ref().filter(wanted), &info.listener) {
                statuses.push(SocketStatus {
                    id: client.id,
                    outgoing: false,
                    peer: client.peer.map_or_else(String::new, |peer| peer.to_string()),
                    name: listener.config.name.clone(),
                    address: listener.config.address.clone(),
                    since: client.since.into_std(),
                    tls: client.tls.get(),
                    bytes_in: info.meters.up.read.get(),
                    bytes_out: info.meters.down.written.get(),
                });
            }
            let connector = info.connector.borrow();
            if let (Some(server), Some(connector)) = (info.server.get().filter(wanted), connector.as_ref()) {
                let config = &connector.config;
                statuses.push(SocketStatus {
                    id: server.id,
                    outgoing: true,
                    peer: format!("{}:{}", config.host, config.port),
                    name: config.name.clone(),
                    address: config.address.clone(),
                    since: server.since.into_std(),
                    tls: server.tls.get(),
                    bytes_in: info.meters.down.read.get(),
                    bytes_out: info.meters.up.written.get(),
                });
            }
        }
        statuses
    }

    /// Resets the flow of this worker that has a socket with this number. True if there is one.
    pub fn reset_flow(&self, id: u64) -> bool {
        let is = |socket: &SocketInfo| socket.id == id;
        let flows = self.flows.borrow();
        let mut own = flows.iter().map(|(_, entry)| entry);
        let found = own.find(|entry| entry.info.client.iter().chain(entry.info.server.get()).any(is));
        // The task's future is dropped later, by the worker's loop: nothing here is re-entered.
        found.and_then(|entry| entry.task.as_ref()).map(|task| task.abort()).is_some()
    }
}
