//! Opening and closing the listening sockets, on all workers, as addresses gain and lose their servers.
//!
//! The first worker decides. It opens the sockets of all workers at once and hands them out; jobs of one worker for another arrive in
//! order, so the others follow its decisions in order, too.

use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};
use std::time::Duration;

use transport::socket::{ListenError, ListenOptions, ListenerGroup, ListenerSet, TcpOptions, listen};
use transport::worker::spawn;

use super::TcpAdaptor;
use crate::listener::Listener;

/// Pauses between attempts to open a socket: the first is for sockets that other workers are just closing, the last for somebody
/// else's program.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_secs(1);

impl TcpAdaptor {
    /// Opens or closes the sockets of a listener if its addresses ask for it. Only the first worker does anything.
    pub(super) fn reconcile(self: &Rc<Self>, listener: &Rc<Listener>) {
        if self.index != 0 {
            return;
        }
        let wanted = listener.reachable() && !self.draining.get() && self.is_current(listener);
        if !wanted {
            self.close_everywhere(listener);
        } else if !listener.is_open() && !listener.is_failed() {
            if needs_resolver(&listener.config.host) {
                self.retry(listener, "resolving the host".to_owned());
                return;
            }
            match self.open_group(listener).map(|group| self.hand_out(listener, group)) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.retry(listener, error.to_string()),
                Err(error) => self.retry(listener, error.to_string()),
            }
        }
    }

    /// Is it still the listener of that name?
    fn is_current(&self, listener: &Rc<Listener>) -> bool {
        let state = self.state.borrow();
        state.listeners.get(&listener.config.name).is_some_and(|current| Rc::ptr_eq(current, listener))
    }

    fn options(&self, listener: &Listener) -> ListenOptions {
        ListenOptions {
            family: listener.config.family,
            backlog: listener.config.backlog,
            group: self.group.size(),
            tcp: TcpOptions { nodelay: true, keepalive: listener.config.flow.keepalive },
        }
    }

    fn open_group(&self, listener: &Listener) -> Result<ListenerGroup, ListenError> {
        listen(&listener.config.host, listener.port(), &self.options(listener))
    }

    /// Gives every worker its share of the sockets.
    fn hand_out(self: &Rc<Self>, listener: &Rc<Listener>, group: ListenerGroup) -> std::io::Result<()> {
        let local = group.addrs().to_vec();
        let mut sets = group.into_sets().into_iter();
        if let Some(own) = sets.next() {
            listener.open(self, own.into_acceptor()?, local.clone());
        }
        for (index, set) in sets.enumerate() {
            let name = listener.config.name.clone();
            self.group.tell(index + 1, move |adaptor| adaptor.adopt(name, set));
        }
        tracing::info!(listener = %listener.config.name, address = %Addrs(&local), "listening");
        Ok(())
    }

    /// Tries again and again to open the sockets, until it works or nobody wants it any more.
    fn retry(self: &Rc<Self>, listener: &Rc<Listener>, message: String) {
        if !needs_resolver(&listener.config.host) {
            tracing::warn!(listener = %listener.config.name, error = %message, "cannot listen, trying again");
        }
        let task = spawn("tcp listener retry", reopen(Rc::downgrade(self), Rc::downgrade(listener)));
        listener.fail(message, task);
    }

    /// Closes the sockets of a listener here and, on the first worker, on all others.
    pub(super) fn close_everywhere(&self, listener: &Listener) {
        let was_open = listener.is_open();
        listener.close();
        if self.index != 0 || !was_open {
            return;
        }
        tracing::info!(listener = %listener.config.name, "no longer listening");
        for index in 1..self.group.size() {
            let name = listener.config.name.clone();
            self.group.tell(index, move |adaptor| adaptor.close_adopted(&name));
        }
    }

    /// Takes over sockets that the first worker opened.
    fn adopt(self: &Rc<Self>, name: String, set: ListenerSet) {
        let listener = self.state.borrow().listeners.get(&name).cloned();
        match listener {
            Some(listener) => self.open_set(&listener, set),
            None => {
                self.state.borrow_mut().unclaimed.insert(name, set);
            }
        }
    }

    /// A listener was added: its sockets may be here already.
    pub(super) fn claim(self: &Rc<Self>, listener: &Rc<Listener>) {
        let set = self.state.borrow_mut().unclaimed.remove(&listener.config.name);
        if let Some(set) = set {
            self.open_set(listener, set);
        }
    }

    fn open_set(self: &Rc<Self>, listener: &Rc<Listener>, set: ListenerSet) {
        if self.draining.get() {
            return;
        }
        match set.into_acceptor() {
            Ok(acceptor) => listener.open(self, acceptor, Vec::new()),
            // The other workers have theirs; the kernel shares the clients among these.
            Err(error) => {
                tracing::error!(listener = %listener.config.name, worker = self.index, %error, "cannot accept on this worker")
            }
        }
    }

    fn close_adopted(&self, name: &str) {
        let mut state = self.state.borrow_mut();
        state.unclaimed.remove(name);
        if let Some(listener) = state.listeners.get(name) {
            listener.close();
        }
    }
}

async fn reopen(adaptor: Weak<TcpAdaptor>, listener: Weak<Listener>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let Some((adaptor, listener)) = adaptor.upgrade().zip(listener.upgrade()) else {
            return;
        };
        let group = if needs_resolver(&listener.config.host) {
            let (host, port, options) = (listener.config.host.clone(), listener.port(), adaptor.options(&listener));
            match tokio::task::spawn_blocking(move || listen(&host, port, &options)).await {
                Ok(outcome) => outcome,
                // The runtime is ending.
                Err(_) => return,
            }
        } else {
            adaptor.open_group(&listener)
        };
        match group {
            Ok(group) => match adaptor.hand_out(&listener, group) {
                // This task was aborted by that, but nothing of it is left to do.
                Ok(()) => return,
                Err(error) => listener.note(error.to_string()),
            },
            Err(error) => listener.note(error.to_string()),
        }
        drop((adaptor, listener));
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

fn needs_resolver(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    !bare.is_empty() && bare.parse::<IpAddr>().is_err()
}

/// Addresses for the log.
struct Addrs<'a>(&'a [SocketAddr]);

impl std::fmt::Display for Addrs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, addr) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{addr}")?;
        }
        Ok(())
    }
}
