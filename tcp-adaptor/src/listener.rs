//! A listener on one worker: the addresses it serves, and its share of the listening sockets.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use http_observer::Wanted;
use router_core::WatchKey;
use transport::socket::Acceptor;
use transport::worker::Task;

use crate::adaptor::TcpAdaptor;
use crate::config::ListenerConfig;
use crate::stats::{Counters, ListenerStatus, OperStatus, add};
use crate::targets::Candidate;

/// An address of a listener.
#[derive(Debug)]
pub(crate) struct Target {
    /// Name of the `listenerAddress`; none for the listener's own address.
    pub(crate) name: Option<Rc<str>>,
    /// Connections that reached a server of it.
    pub(crate) opened: Cell<u64>,
    pub(crate) address: Rc<str>,
    pub(crate) value: u64,
    pub(crate) watch: WatchKey,
    pub(crate) token: u64,
    pub(crate) reachable: bool,
}

/// The listening sockets of this worker.
#[derive(Debug, Default)]
enum Socket {
    #[default]
    Closed,
    /// Could not be opened; the task tries again. Only on the first worker.
    Failed {
        task: Task,
        message: String,
    },
    Open {
        task: Task,
        local: Vec<SocketAddr>,
    },
}

/// A `tcpListener`.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) config: ListenerConfig,
    pub(crate) counters: Counters,
    pub(crate) targets: RefCell<Vec<Target>>,
    /// What is looked for in new flows.
    pub(crate) observer: Cell<Option<Wanted>>,
    /// The port, once it is known.
    port: Cell<u16>,
    socket: RefCell<Socket>,
    /// No more clients once the queue is empty.
    stopping: Cell<bool>,
    accepting: RefCell<Option<Waker>>,
}

impl Listener {
    pub(crate) fn new(config: ListenerConfig) -> Self {
        Self {
            observer: Cell::new(config.observer),
            port: Cell::new(config.port),
            config,
            counters: Counters::default(),
            targets: RefCell::default(),
            socket: RefCell::default(),
            stopping: Cell::new(false),
            accepting: RefCell::default(),
        }
    }

    /// Has any of its addresses a server?
    pub(crate) fn reachable(&self) -> bool {
        self.targets.borrow().iter().any(|target| target.reachable)
    }

    /// The address for a connection, and the name of its `listenerAddress` if it has one.
    pub(crate) fn choose(
        &self,
        exhausted: &[Rc<str>],
        dice: &mut crate::targets::Dice,
    ) -> Option<(Rc<str>, Option<Rc<str>>)> {
        let targets = self.targets.borrow();
        let candidates = targets.iter().map(|target| Candidate {
            value: target.value,
            usable: target.reachable && !exhausted.contains(&target.address),
        });
        let index = crate::targets::choose(self.config.strategy, candidates, dice)?;
        targets.get(index).map(|target| (Rc::clone(&target.address), target.name.clone()))
    }

    /// A connection reached a server of the `listenerAddress` of this name.
    pub(crate) fn count_address(&self, name: &str) {
        let targets = self.targets.borrow();
        if let Some(target) = targets.iter().find(|target| target.name.as_deref() == Some(name)) {
            add(&target.opened, 1);
        }
    }

    /// The port to bind: that of the configuration, or the one that the system chose before.
    pub(crate) fn port(&self) -> u16 {
        self.port.get()
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(*self.socket.borrow(), Socket::Open { .. })
    }

    pub(crate) fn is_failed(&self) -> bool {
        matches!(*self.socket.borrow(), Socket::Failed { .. })
    }

    /// Accepts from now on.
    pub(crate) fn open(self: &Rc<Self>, adaptor: &Rc<TcpAdaptor>, acceptor: Acceptor, local: Vec<SocketAddr>) {
        if let Some(first) = local.first() {
            self.port.set(first.port());
        }
        let task = transport::worker::spawn("tcp listener", accept_loop(Rc::clone(adaptor), Rc::clone(self), acceptor));
        self.replace(Socket::Open { task, local });
    }

    /// Remembers that the sockets could not be opened, and who tries again.
    pub(crate) fn fail(&self, message: String, task: Task) {
        self.replace(Socket::Failed { task, message });
    }

    /// The last attempt to open the sockets failed, too.
    pub(crate) fn note(&self, error: String) {
        if let Socket::Failed { message, .. } = &mut *self.socket.borrow_mut()
            && *message != error
        {
            tracing::warn!(listener = %self.config.name, %error, "cannot listen, trying again");
            *message = error;
        }
    }

    /// Closes the sockets at once: clients are refused, those in the queue are reset.
    pub(crate) fn close(&self) {
        self.replace(Socket::Closed);
    }

    fn replace(&self, socket: Socket) {
        match self.socket.replace(socket) {
            Socket::Closed => {}
            Socket::Failed { task, .. } | Socket::Open { task, .. } => task.abort(),
        }
    }

    /// Accepts those who are in the queue already, then closes.
    pub(crate) fn stop(&self) {
        self.stopping.set(true);
        if self.is_failed() {
            self.close();
        }
        if let Some(waker) = self.accepting.take() {
            waker.wake();
        }
    }

    pub(crate) fn status(&self) -> ListenerStatus {
        let oper = match &*self.socket.borrow() {
            _ if self.stopping.get() => OperStatus::Draining,
            Socket::Closed => OperStatus::Unreachable,
            Socket::Failed { message, .. } => OperStatus::Failed { message: message.clone() },
            Socket::Open { local, .. } => OperStatus::Up { local: local.clone() },
        };
        let address = |target: &Target| Some((target.name.as_deref()?.to_owned(), target.opened.get()));
        let addresses = self.targets.borrow().iter().filter_map(address).collect();
        ListenerStatus { name: self.config.name.clone(), oper, totals: self.counters.totals(), addresses }
    }
}

async fn accept_loop(adaptor: Rc<TcpAdaptor>, listener: Rc<Listener>, mut acceptor: Acceptor) {
    loop {
        let accepted = {
            let mut accept = pin!(acceptor.accept());
            poll_fn(|cx| match accept.as_mut().poll(cx) {
                Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
                Poll::Pending if listener.stopping.get() => Poll::Ready(None),
                Poll::Pending => {
                    listener.accepting.replace(Some(cx.waker().clone()));
                    Poll::Pending
                }
            })
            .await
        };
        let Some((socket, peer)) = accepted else {
            return;
        };
        adaptor.admit(&listener, socket, peer);
    }
}
