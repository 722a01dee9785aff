//! Reads along with the bytes of a flow, for records of the requests in it (`http_observer`).
//!
//! Only flows that begin while somebody collects records have one. It sees what the flow's task has read, and changes nothing; whatever it does not
//! understand ends it. From then on, and in bodies whose length is known, bytes may go by unseen again, through a pipe.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use http_observer::{Observer, Protocol, Request, Side, Wanted};
use router_core::vanflow::MAX_FLOWS;

use crate::listener::Listener;
use crate::record::MAX_ENDED;
use crate::stats::add;

/// What is new of a request in a flow.
#[derive(Debug, Clone)]
pub struct RequestReport {
    /// Its number, which no flow of this worker has.
    pub number: u64,
    /// That of the flow.
    pub flow: u64,
    /// The request.
    pub request: Request,
}

/// What a worker keeps of requests that are not told yet.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    next: Cell<u64>,
    /// Open ones that have been told of: no more than the router may tell of, so that a look at them stays short.
    open: Cell<usize>,
    ended: RefCell<Vec<RequestReport>>,
    left_out: Cell<u64>,
}

impl Requests {
    /// The next number of a flow or a request.
    pub(crate) fn number(&self) -> u64 {
        self.next.replace(self.next.get() + 1)
    }

    /// Nobody wants to know any more.
    pub(crate) fn clear(&self) {
        self.open.set(0);
        self.left_out.set(0);
        self.ended.take();
    }

    /// Those that have ended, and how many there were beside them.
    pub(crate) fn take(&self) -> (Vec<RequestReport>, u64) {
        (self.ended.take(), self.left_out.take())
    }

    fn end(&self, flow: u64, request: Request) {
        if request.number.is_some() {
            self.open.set(self.open.get().saturating_sub(1));
        }
        let mut ended = self.ended.borrow_mut();
        if ended.len() < MAX_ENDED {
            let number = request.number.unwrap_or_else(|| self.number());
            ended.push(RequestReport { number, flow, request });
        } else {
            add(&self.left_out, 1);
        }
    }
}

/// Who reads along with a flow.
#[derive(Debug)]
pub(crate) struct Tap {
    /// The number of the flow.
    flow: u64,
    listener: Rc<Listener>,
    requests: Rc<Requests>,
    observer: RefCell<Observer>,
    /// What was counted already: requests, and those of them that nothing is known of.
    counted: Cell<(u64, u64)>,
}

impl Tap {
    pub(crate) fn new(wanted: Wanted, flow: u64, listener: Rc<Listener>, requests: Rc<Requests>) -> Self {
        let observer = RefCell::new(Observer::new(wanted));
        Self { flow, listener, requests, observer, counted: Cell::default() }
    }

    pub(crate) fn saw(&self, side: Side, bytes: &[u8]) {
        self.with(|observer| observer.observe(side, bytes, Instant::now()));
    }

    pub(crate) fn unseen(&self, side: Side) -> u64 {
        self.observer.borrow().unseen(side)
    }

    pub(crate) fn skip(&self, side: Side, n: usize) {
        self.with(|observer| observer.skip(side, n as u64, Instant::now()));
    }

    pub(crate) fn end(&self, side: Side) {
        self.with(|observer| observer.end(side, Instant::now()));
    }

    /// The flow is over, or nobody wants to know any more.
    pub(crate) fn finish(&self) {
        self.with(|observer| observer.finish(Instant::now()));
    }

    pub(crate) fn protocol(&self) -> Option<Protocol> {
        self.observer.borrow().protocol()
    }

    fn with(&self, act: impl FnOnce(&mut Observer)) {
        let observer = &mut *self.observer.borrow_mut();
        if observer.is_over() {
            return;
        }
        act(observer);
        if let Some(stop) = observer.stopped() {
            tracing::debug!(listener = %self.listener.config.name, reason = %stop, "the flow is not observed any more");
        }
        let (begun, left_out) = self.counted.replace((observer.begun(), observer.left_out()));
        add(&self.listener.counters.requests, observer.begun() - begun);
        add(&self.requests.left_out, observer.left_out() - left_out);
        if observer.has_ended() {
            observer.take_ended().for_each(|request| self.requests.end(self.flow, request));
        }
    }

    /// Adds what is new of open requests.
    pub(crate) fn poll(&self, reports: &mut Vec<RequestReport>) {
        for request in self.observer.borrow_mut().open().filter(|request| request.changed) {
            if request.number.is_none() && self.requests.open.get() >= MAX_FLOWS {
                continue;
            }
            let number = *request.number.get_or_insert_with(|| {
                self.requests.open.set(self.requests.open.get() + 1);
                self.requests.number()
            });
            request.changed = false;
            reports.push(RequestReport { number, flow: self.flow, request: request.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use http_observer::{Side, Wanted};

    use super::{MAX_ENDED, Requests, Tap};
    use crate::config::ListenerConfig;
    use crate::listener::Listener;

    #[test]
    fn what_waits_to_be_told_is_bounded() {
        let requests = Rc::new(Requests::default());
        let listener = Rc::new(Listener::new(ListenerConfig::new("l", "a", "", 0)));
        let tap = Tap::new(Wanted::Http1, 0, Rc::clone(&listener), Rc::clone(&requests));
        requests.number();
        let many = MAX_ENDED + 100;
        let mut open = Vec::new();
        for _ in 0..many {
            tap.saw(Side::Client, b"GET / HTTP/1.1\r\n\r\n");
            tap.saw(Side::Server, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
        tap.saw(Side::Client, b"GET / HTTP/1.1\r\n\r\n");
        tap.poll(&mut open);
        tap.poll(&mut open);
        assert_eq!(open.len(), 1, "it is told once, as long as nothing is new");
        let (ended, left_out) = requests.take();
        assert_eq!((ended.len(), left_out), (MAX_ENDED, 100));
        let mut numbers: Vec<u64> = ended.iter().chain(&open).map(|report| report.number).collect();
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq(1..=MAX_ENDED as u64 + 1), "no number twice");
        tap.finish();
        assert_eq!(requests.take().0[0].number, open[0].number);
        assert_eq!(listener.counters.requests.get(), many as u64 + 1);
    }
}
