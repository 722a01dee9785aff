//! Servers of addresses, and watches.

use std::sync::atomic::Ordering::Relaxed;

use super::Core;
use crate::{
    Reachability, ServerInfo, ServerKey, ServerPick, Treatment, WatchKey,
    core::slots::Key,
    egress::Egress,
    server::{Server, Watch, reachability_event},
};

impl Core {
    /// Adds a server of an address. Do so in each worker, with the same counter. `None` if the address is empty.
    pub fn add_server(&mut self, address: &str, info: ServerInfo, eg: &mut impl Egress) -> Option<ServerKey> {
        let address = self.named(address)?;
        let key = self.servers.insert(Server { address: Some(address), info, mine: 0 });
        if let Some(a) = self.addresses.get_mut(address) {
            a.servers.push(key);
        }
        self.destinations_changed(address, eg);
        Some(ServerKey(key))
    }

    /// Removes a server. Its connections stay counted until they are closed.
    pub fn remove_server(&mut self, key: ServerKey, eg: &mut impl Egress) {
        let Some(server) = self.servers.get_mut(key.0) else { return };
        let address = server.address.take();
        if server.mine == 0 {
            self.servers.remove(key.0);
        }
        let Some(address) = address else { return };
        if let Some(a) = self.addresses.get_mut(address) {
            a.servers.retain(|server| *server != key.0);
        }
        self.destinations_changed(address, eg);
        self.forget_address(address);
    }

    /// Chooses a server, none of `exclude`, and counts one connection more for it.
    ///
    /// `closest` takes them in turn; everything else takes the one with the fewest open connections for its weight, in turn among equals. One
    /// that fails comes last.
    pub fn pick_server(&mut self, address: &str, exclude: &[ServerKey]) -> Option<ServerPick> {
        let address = self.existing(address)?;
        if self.addresses.get(address)?.treatment == Treatment::Unavailable {
            return None;
        }
        self.take_server(address, exclude)
    }

    /// A connection to a server that was picked here was closed, or could not be opened.
    pub fn server_closed(&mut self, key: ServerKey) {
        let Some(server) = self.servers.get_mut(key.0) else { return };
        if server.mine == 0 {
            return;
        }
        server.mine -= 1;
        server.info.open.fetch_sub(1, Relaxed);
        if server.mine == 0 && server.address.is_none() {
            self.servers.remove(key.0);
        }
    }

    /// Tells whether the address can be reached, now and from now on, through [`poll_reachability`](Self::poll_reachability).
    /// Servers, and AMQP consumers of all workers, count. `None` if the address is empty.
    pub fn watch(&mut self, address: &str, token: u64) -> Option<WatchKey> {
        let address = self.named(address)?;
        let key = self.watches.insert(Watch { address, token });
        let a = self.addresses.get_mut(address)?;
        a.watches.push(key);
        self.reachability.extend(reachability_event(&self.watches, key, a.reachable));
        self.demand_changed(address);
        Some(WatchKey(key))
    }

    /// Ends a watch.
    pub fn unwatch(&mut self, key: WatchKey) {
        let Some(watch) = self.watches.remove(key.0) else { return };
        self.reachability.retain(|event| event.watch != key);
        if let Some(a) = self.addresses.get_mut(watch.address) {
            a.watches.retain(|other| *other != key.0);
        }
        self.demand_changed(watch.address);
        self.forget_address(watch.address);
    }

    /// Whether the address of a watch can be reached now.
    pub fn is_reachable(&self, key: WatchKey) -> bool {
        let address = self.watches.get(key.0).and_then(|watch| self.addresses.get(watch.address));
        address.is_some_and(|address| address.reachable)
    }

    /// The next change of reachability. Poll until `None` after each batch of calls.
    pub fn poll_reachability(&mut self) -> Option<Reachability> {
        self.reachability.pop_front()
    }

    /// The address of this text, made if there is none.
    fn named(&mut self, text: &str) -> Option<Key> {
        let mut name = std::mem::take(&mut self.name);
        let key = self.syntax.key(text, &mut name).map(|_| self.address(&name, false));
        self.name = name;
        key
    }
}
