//! A peer that sends and receives frames, so that a test reads as a script.

use std::{
    collections::VecDeque,
    io::IoSlice,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    Encode, Error, Performative, Source, SourceTerminus, Target,
    connection::*,
    frame::{FrameHeader, ProtocolId, write_amqp},
    performative::{self, Attach, Begin, DeliveryTag, Flow, Open, Role},
};

/// An event with its payload copied.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) event: Event,
    pub(super) payload: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Peer {
    /// The engine under test.
    pub(super) engine: Connection,
    pub(super) now: Instant,
    pub(super) events: VecDeque<Seen>,
    /// Answer `open` and attach events as a polite owner would.
    pub(super) polite: bool,
}

pub(super) fn limits() -> Limits {
    Limits::default()
}

pub(super) fn config() -> Config {
    Config { container_id: "engine".into(), ..Config::default() }
}

impl Peer {
    pub(super) fn raw(config: Config, side: Side) -> Self {
        let now = super::beginning();
        Self { engine: Connection::new(config, side, now), now, events: VecDeque::new(), polite: true }
    }

    /// The engine is a server that accepted a bare AMQP header and `open`.
    pub(super) fn opened() -> Self {
        Self::opened_with(config())
    }

    pub(super) fn opened_with(config: Config) -> Self {
        Self::opened_as(config, Open { container_id: "peer".into(), ..Open::default() })
    }

    pub(super) fn opened_as(config: Config, open: Open) -> Self {
        let mut peer = Self::raw(config, Side::Server(ServerSasl { allow_bare: true, ..ServerSasl::default() }));
        peer.bytes(&ProtocolId::Amqp.header());
        peer.send(0, &open);
        assert!(matches!(peer.event(), Event::Opened(_)));
        assert_eq!(peer.take_header(), ProtocolId::Amqp.header());
        assert!(matches!(peer.recv(), (0, Performative::Open(_), _)));
        peer
    }

    /// As [`Peer::opened`], with a session on channel 0.
    pub(super) fn with_session() -> Self {
        Self::with_session_as(config(), 1000)
    }

    pub(super) fn with_session_as(config: Config, window: u32) -> Self {
        let mut peer = Self::opened_with(config);
        peer.begin(0, window);
        peer
    }

    pub(super) fn begin(&mut self, channel: u16, window: u32) -> SessionId {
        self.send(
            channel,
            &Begin { next_outgoing_id: 0, incoming_window: window, outgoing_window: 1000, ..Begin::default() },
        );
        let Event::SessionBegun { session, by: Initiator::Peer } = self.event() else { panic!() };
        let (_, Performative::Begin(begin), _) = self.recv() else { panic!() };
        assert_eq!(begin.remote_channel, Some(channel));
        session
    }

    /// Attaches a link on channel 0 with handle `handle`; `role` is the peer's.
    pub(super) fn attach(&mut self, handle: u32, role: Role) -> LinkId {
        self.attach_as(attach(handle, role))
    }

    pub(super) fn attach_as(&mut self, attach: Attach) -> LinkId {
        self.send(0, &attach);
        let Event::Attached(attached) = self.event() else { panic!() };
        assert!(!attached.answer);
        let (_, Performative::Attach(answer), _) = self.recv() else { panic!() };
        assert_eq!(answer.name, attach.name);
        assert_eq!(answer.role, attach.role.other());
        attached.link
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let block = Bytes::copy_from_slice(bytes);
        let mut pos = 0;
        while let Some(event) = self.engine.handle_input(&block, &mut pos, self.now) {
            match &event {
                Event::Opened(_) if self.polite => self.engine.open(),
                Event::Attached(attached) if self.polite && !attached.answer => {
                    let answer = attached.answer(attached.attach.source.clone(), attached.attach.target.clone());
                    self.engine.accept_attach(attached.link, answer, 7);
                }
                _ => {}
            }
            let payload = match &event {
                Event::Transfer(t) => t.payload(&block).as_slice().to_vec(),
                _ => Vec::new(),
            };
            self.events.push_back(Seen { event, payload });
        }
        assert_eq!(pos, block.len(), "whole frames are taken");
        self.engine.flush();
    }

    pub(super) fn send<T: Encode>(&mut self, channel: u16, performative: &T) {
        let mut out = Vec::new();
        write_amqp(&mut out, channel, performative, 0);
        self.bytes(&out);
    }

    pub(super) fn transfer(&mut self, transfer: performative::Transfer, payload: &[u8]) {
        let mut out = Vec::new();
        write_amqp(&mut out, 0, &transfer, payload.len());
        out.extend_from_slice(payload);
        self.bytes(&out);
    }

    /// The next event.
    pub(super) fn event(&mut self) -> Event {
        self.seen().event
    }

    pub(super) fn seen(&mut self) -> Seen {
        self.events.pop_front().expect("an event")
    }

    pub(super) fn no_event(&self) {
        assert!(self.events.is_empty(), "{:?}", self.events);
    }

    pub(super) fn take_bytes(&mut self, n: usize) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 64];
        let filled = self.engine.output().chunks(&mut slices);
        let bytes: Vec<u8> = slices[..filled].iter().flat_map(|s| s.iter().copied()).take(n).collect();
        self.engine.output_mut().advance(bytes.len());
        bytes
    }

    pub(super) fn take_header(&mut self) -> [u8; 8] {
        self.take_bytes(8).try_into().expect("a protocol header")
    }

    /// The next frame of the engine.
    pub(super) fn recv(&mut self) -> (u16, Performative, Vec<u8>) {
        self.engine.flush();
        self.try_recv().expect("a frame")
    }

    pub(super) fn try_recv(&mut self) -> Option<(u16, Performative, Vec<u8>)> {
        let head = self.take_bytes(4);
        if head.is_empty() {
            return None;
        }
        let size = u32::from_be_bytes(head.clone().try_into().unwrap()) as usize;
        let mut frame = head;
        frame.extend(self.take_bytes(size - 4));
        let block = Bytes::from(frame);
        let header = FrameHeader::parse(&block, u32::MAX).unwrap().unwrap();
        assert_eq!(header.size, block.len());
        if header.is_empty() {
            return self.try_recv();
        }
        let (performative, payload) = Performative::decode(&block, header.body_range(0)).unwrap();
        Some((header.channel, performative, block[payload].to_vec()))
    }

    pub(super) fn quiet(&mut self) {
        self.engine.flush();
        let frame = self.try_recv();
        assert!(frame.is_none(), "{frame:?}");
    }

    pub(super) fn recv_flow(&mut self) -> Flow {
        match self.recv() {
            (_, Performative::Flow(flow), _) => *flow,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn recv_transfer(&mut self) -> (performative::Transfer, Vec<u8>) {
        match self.recv() {
            (_, Performative::Transfer(transfer), payload) => (*transfer, payload),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn recv_disposition(&mut self) -> performative::Disposition {
        match self.recv() {
            (_, Performative::Disposition(d), _) => *d,
            other => panic!("{other:?}"),
        }
    }

    /// The engine must have closed the connection for this reason, and keep saying so.
    pub(super) fn expect_close(&mut self, condition: &str, says: &str) {
        let error = loop {
            match self.recv() {
                (0, Performative::Close(close), _) => break close.error.expect("an error"),
                (_, Performative::Open(_) | Performative::Begin(_) | Performative::Attach(_), _) => {}
                other => panic!("{other:?}"),
            }
        };
        check(&error, condition, says);
        let Event::Closed(closed) = self.event() else { panic!() };
        assert_eq!(closed.by, Initiator::Local);
        assert_eq!(closed.error.as_ref(), Some(&error));
        self.no_event();
        assert!(self.engine.is_closed());
        self.bytes(b"more input of any kind");
        let Event::Closed(again) = self.event() else { panic!() };
        assert_eq!(again, closed);
        self.no_event();
        self.quiet();
    }

    /// The engine must have ended the session on channel 0 for this reason, after `links` links in it.
    pub(super) fn expect_end(&mut self, links: usize, condition: &str, says: &str) {
        let (_, Performative::End(end), _) = self.recv() else { panic!() };
        check(&end.error.expect("an error"), condition, says);
        for _ in 0..links {
            let Event::Detached { by: Initiator::Local, closed: true, error: Some(error), .. } = self.event() else {
                panic!()
            };
            assert_eq!(error.condition, condition);
        }
        let Event::SessionEnded { by: Initiator::Local, error: Some(error), .. } = self.event() else { panic!() };
        check(&error, condition, says);
        self.no_event();
        // What comes until the peer's end is discarded, and the connection goes on.
        self.send(0, &Flow { handle: Some(77), ..Flow::default() });
        self.transfer(first(77, 900), b"x");
        self.quiet();
        self.send(0, &performative::End::default());
        self.no_event();
        self.quiet();
        self.begin(0, 10);
    }

    /// The engine must have detached a link for this reason.
    pub(super) fn expect_detach(&mut self, condition: &str, says: &str) {
        let (_, Performative::Detach(detach), _) = self.recv() else { panic!() };
        assert!(detach.closed);
        check(&detach.error.expect("an error"), condition, says);
        let Event::Detached { by: Initiator::Local, closed: true, error: Some(error), .. } = self.event() else {
            panic!()
        };
        check(&error, condition, says);
    }

    pub(super) fn later(&mut self, by: Duration) {
        self.now += by;
    }
}

#[track_caller]
pub(super) fn check(error: &Error, condition: &str, says: &str) {
    assert_eq!(error.condition, condition, "{error}");
    let description = error.description.as_ref().expect("a description").as_str();
    assert!(description.contains(says), "{description:?} does not say {says:?}");
}

pub(super) fn attach(handle: u32, role: Role) -> Attach {
    Attach {
        name: format!("link-{handle}").as_str().into(),
        handle,
        role,
        source: Some(SourceTerminus::from(Source::at("a"))),
        target: Some(Target::at("b").into()),
        initial_delivery_count: (role == Role::Sender).then_some(0),
        ..Attach::default()
    }
}

/// The only transfer of a delivery.
pub(super) fn first(handle: u32, delivery_id: u32) -> performative::Transfer {
    performative::Transfer {
        handle,
        delivery_id: Some(delivery_id),
        delivery_tag: Some(DeliveryTag::from_u64(u64::from(delivery_id))),
        message_format: Some(0),
        ..performative::Transfer::default()
    }
}

/// Credit for a link on which the engine sends.
pub(super) fn credit(handle: u32, count: u32, credit: u32) -> Flow {
    Flow {
        next_incoming_id: Some(0),
        incoming_window: 1000,
        outgoing_window: 1000,
        handle: Some(handle),
        delivery_count: Some(count),
        link_credit: Some(credit),
        ..Flow::default()
    }
}
