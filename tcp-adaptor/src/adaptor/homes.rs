//! Which worker has a flow: that which has the connection to the neighbour, as long as it is not much busier than the one that accepted.
//!
//! An edge router has one connection to its interior router, and the clients of a listener come to all workers. Each part of a flow that is
//! not on the connection's worker costs two wake-ups of another thread: 25 µs of CPU for a request and its answer (November 2026).

use std::net::SocketAddr;
use std::rc::Rc;

use transport::PlainStream;

use super::TcpAdaptor;
use crate::listener::Listener;

/// A worker that has so many more flows than another gets no more from it: a few flows stay together, many are spread.
const MORE: usize = 8;

impl TcpAdaptor {
    /// Takes an accepted client, here or on the worker where its flow is better off.
    pub(crate) fn admit(self: &Rc<Self>, listener: &Rc<Listener>, socket: PlainStream, peer: SocketAddr) {
        let Some(home) = self.home(listener) else { return self.start_flow(listener, socket, peer) };
        // Fails only if the kernel does not let go of the socket, which closes it.
        let Ok(socket) = socket.into_inner().into_std() else { return };
        let name = listener.config.name.clone();
        self.group.tell(home, move |there| {
            let listener = there.state.borrow().listeners.get(&name).cloned();
            // A listener that was removed meanwhile has closed its queue, too.
            if let (Some(listener), Ok(socket)) = (listener, tokio::net::TcpStream::from_std(socket)) {
                there.start_flow(&listener, PlainStream::new(socket), peer);
            }
        });
    }

    /// Another worker that should have the next flow of this listener.
    fn home(&self, listener: &Listener) -> Option<usize> {
        if self.group.size() == 1 || self.draining.get() {
            return None;
        }
        let targets = listener.targets.borrow();
        let target = targets.iter().find(|target| target.reachable)?;
        let home = self.core.flow_home(&target.address).filter(|home| *home != self.index)?;
        (self.group.flows(home) < self.group.flows(self.index) + MORE).then_some(home)
    }
}
