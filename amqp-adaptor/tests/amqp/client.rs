//! A blocking client.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use amqp_proto::connection::{
    Attached, ClientSasl, Config, Connection, End, Event, LinkId, Payload, SaslResponse, SendHead, ServerSasl,
    SessionId, Side,
};
use amqp_proto::sasl::SaslCode;
use amqp_proto::{Attach, DeliveryState, Error, Open, Role, Source, Str, Symbols, Target};
use bytes::Bytes;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::router::LIMIT;

trait Io: Read + Write + Send {}
impl<T: Read + Write + Send> Io for T {}

/// A connection with one session, and what it saw.
pub(crate) struct Client {
    pub(crate) engine: Connection,
    io: Box<dyn Io>,
    rest: Vec<u8>,
    pub(crate) session: Option<SessionId>,
    /// Receivers settle with this at once; without it not at all.
    pub(crate) outcome: Option<DeliveryState>,
    pub(crate) attached: usize,
    pub(crate) detached: Vec<Option<Error>>,
    /// Complete deliveries.
    pub(crate) received: Vec<Vec<u8>>,
    pub(crate) aborted: usize,
    partial: Vec<u8>,
    /// Transfer frames.
    pub(crate) frames: usize,
    /// What became of what was sent.
    pub(crate) outcomes: Vec<Option<DeliveryState>>,
    pub(crate) opened: bool,
    /// What the peer said of itself.
    pub(crate) open: Option<Box<Open>>,
    /// As a server: links that the peer attached; they are answered at once if `answers`.
    pub(crate) offered: Vec<Attached>,
    pub(crate) answers: bool,
    pub(crate) sasl: Option<Box<SaslResponse>>,
    pub(crate) closed: Option<Option<Error>>,
    pub(crate) eof: bool,
}

pub(crate) fn config() -> Config {
    Config { container_id: Str::from("client"), idle_timeout: None, ..Config::default() }
}

pub(crate) fn dial(port: u16) -> TcpStream {
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    socket
}

impl Client {
    pub(crate) fn new(port: u16) -> Self {
        let mut client = Self::raw(Box::new(dial(port)), ClientSasl::None, config());
        client.begin();
        client
    }

    pub(crate) fn plain(port: u16, sasl: ClientSasl) -> Self {
        Self::raw(Box::new(dial(port)), sasl, config())
    }

    /// A client that bears this much silence.
    pub(crate) fn with_idle_timeout(port: u16, idle: Duration) -> Self {
        let config = Config { idle_timeout: Some(idle), ..config() };
        let mut client = Self::raw(Box::new(dial(port)), ClientSasl::None, config);
        client.begin();
        client
    }

    pub(crate) fn tls(port: u16, tls: Arc<ClientConfig>, sasl: ClientSasl) -> Self {
        let session = ClientConnection::new(tls, ServerName::try_from("localhost").unwrap()).unwrap();
        Self::raw(Box::new(StreamOwned::new(session, dial(port))), sasl, config())
    }

    /// A client that says this of itself.
    pub(crate) fn saying(port: u16, config: Config) -> Self {
        let mut client = Self::raw(Box::new(dial(port)), ClientSasl::Anonymous, config);
        client.begin();
        client
    }

    /// The other side: what a server does that a connector has connected to.
    pub(crate) fn server(socket: TcpStream, config: Config, mechanisms: &[&str]) -> Self {
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        let mechanisms = mechanisms.iter().copied().collect::<Symbols>();
        Self::on_side(Box::new(socket), Side::Server(ServerSasl { mechanisms, allow_bare: false }), config)
    }

    fn raw(io: Box<dyn Io>, sasl: ClientSasl, config: Config) -> Self {
        Self::on_side(io, Side::Client(sasl), config)
    }

    fn on_side(io: Box<dyn Io>, side: Side, config: Config) -> Self {
        Self {
            engine: Connection::new(config, side, Instant::now()),
            io,
            rest: Vec::new(),
            session: None,
            outcome: Some(DeliveryState::Accepted),
            attached: 0,
            detached: Vec::new(),
            received: Vec::new(),
            aborted: 0,
            partial: Vec::new(),
            frames: 0,
            outcomes: Vec::new(),
            opened: false,
            open: None,
            offered: Vec::new(),
            answers: true,
            sasl: None,
            closed: None,
            eof: false,
        }
    }

    /// Waits for the open and begins a session.
    pub(crate) fn begin(&mut self) {
        self.wait("open", |c| c.opened);
        self.session = self.engine.begin().ok();
    }

    pub(crate) fn attach(&mut self, attach: Attach) -> LinkId {
        let link = self.engine.attach(self.session.unwrap(), attach, 0).unwrap();
        let attached = self.attached;
        self.wait("attach", |c| c.attached > attached);
        link
    }

    pub(crate) fn sender(&mut self, address: &str) -> LinkId {
        self.attach(sender(address, address))
    }

    pub(crate) fn receiver(&mut self, address: &str, credit: u32) -> LinkId {
        let link = self.attach(receiver(address, address));
        self.engine.grant(link, credit);
        self.write();
        link
    }

    pub(crate) fn send(&mut self, link: LinkId, body: &[u8], settled: bool) {
        let body = Bytes::copy_from_slice(body);
        let (head, mut from) = (SendHead { settled, ..SendHead::default() }, 0);
        self.wait("room to send", |c| {
            let sent = c.engine.send(link, &head, &Payload::range(&body, from, body.len()), End::Complete);
            from += sent.taken;
            c.write();
            sent.done
        });
    }

    /// Begins a delivery and leaves it there.
    pub(crate) fn send_part(&mut self, link: LinkId, body: &[u8]) {
        let body = Bytes::copy_from_slice(body);
        self.wait("room to send", |c| {
            let sent = c.engine.send(link, &SendHead::default(), &Payload::new(&body), End::More);
            c.write();
            sent.done
        });
    }

    pub(crate) fn wait(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            assert!(
                start.elapsed() < LIMIT,
                "no {what}: {} received, {} settled, closed {:?}, detached {:?}",
                self.received.len(),
                self.outcomes.len(),
                self.closed,
                self.detached
            );
            self.step();
        }
    }

    /// Accepts a link that the peer attached, with credit if it sends.
    pub(crate) fn answer(&mut self, attached: &Attached) {
        let answer = attached.answer(attached.attach.source.clone(), attached.attach.target.clone());
        self.engine.accept_attach(attached.link, answer, 0);
        if attached.link.role() == Role::Receiver {
            self.engine.grant(attached.link, 250);
        }
    }

    pub(crate) fn close(mut self) {
        self.engine.close(None);
        self.wait("close", |c| c.closed.is_some());
    }

    /// Writes everything.
    pub(crate) fn write(&mut self) {
        self.engine.flush();
        let output = self.engine.output_mut();
        while !output.is_empty() {
            let mut slices = [std::io::IoSlice::new(&[]); 16];
            let filled = output.chunks(&mut slices);
            match self.io.write_vectored(&slices[..filled]) {
                Ok(n) => output.advance(n),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                // Reading tells.
                Err(_) => output.advance(usize::MAX),
            }
        }
        let _ = self.io.flush();
    }

    /// Writes, reads what is there (waiting a little), acts.
    pub(crate) fn step(&mut self) {
        self.write();
        if self.eof {
            return;
        }
        let mut buffer = vec![0; 64 * 1024];
        let n = match self.io.read(&mut buffer) {
            Ok(0) => {
                self.eof = true;
                return;
            }
            Ok(n) => n,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return,
            Err(_) => {
                self.eof = true;
                return;
            }
        };
        let mut input = std::mem::take(&mut self.rest);
        input.extend_from_slice(&buffer[..n]);
        let block = Bytes::from(input);
        let (now, mut pos) = (Instant::now(), 0);
        while let Some(event) = self.engine.handle_input(&block, &mut pos, now) {
            self.on_event(event, &block);
        }
        self.rest = block[pos..].to_vec();
        self.write();
    }

    fn on_event(&mut self, event: Event, block: &Bytes) {
        match event {
            Event::Opened(open) => {
                self.engine.open();
                self.opened = true;
                self.open = Some(open);
            }
            Event::Sasl(response) => {
                self.engine.sasl_outcome(SaslCode::Ok);
                self.sasl = Some(response);
            }
            Event::Attached(attached) => {
                self.attached += 1;
                if !attached.answer {
                    if self.answers {
                        self.answer(&attached);
                    }
                    self.offered.push(*attached);
                }
            }
            Event::Detached { error, .. } => self.detached.push(error.map(|e| *e)),
            Event::Closed(closed) => self.closed = Some(closed.error),
            Event::Transfer(t) => {
                self.frames += 1;
                if t.first {
                    self.partial.clear();
                }
                self.partial.extend_from_slice(t.payload(block).as_slice());
                if t.aborted {
                    self.aborted += 1;
                } else if !t.more {
                    self.received.push(std::mem::take(&mut self.partial));
                    if let Some(state) = self.outcome.as_ref().filter(|_| !t.settled) {
                        self.engine.settle_incoming(t.link, t.delivery_id, Some(state), true);
                    }
                }
            }
            Event::Disposition(mut d) => {
                while self.engine.next_disposed(&mut d).is_some() {
                    // A router that has not finished is told before, without settling.
                    self.outcomes.extend(d.settled.then(|| d.state.clone()));
                }
            }
            _ => {}
        }
    }
}

pub(crate) fn sender(name: &str, address: &str) -> Attach {
    Attach {
        name: Str::from(name),
        role: Role::Sender,
        source: Some(Source::default().into()),
        target: Some(Target::at(address).into()),
        ..Attach::default()
    }
}

pub(crate) fn receiver(name: &str, address: &str) -> Attach {
    Attach {
        name: Str::from(name),
        role: Role::Receiver,
        source: Some(Source::at(address).into()),
        target: Some(Target::default().into()),
        ..Attach::default()
    }
}

/// A message of a data section with a number and this much content behind it.
pub(crate) fn message(number: u32, size: u32) -> Vec<u8> {
    let mut message = vec![0x00, 0x53, 0x75, 0xb0];
    message.extend_from_slice(&(size + 4).to_be_bytes());
    message.extend_from_slice(&number.to_be_bytes());
    message.resize(message.len() + size as usize, 7);
    message
}

pub(crate) fn number(message: &[u8]) -> u32 {
    u32::from_be_bytes(message[8..12].try_into().unwrap())
}
