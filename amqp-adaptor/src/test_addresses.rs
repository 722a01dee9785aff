//! Addresses for tests of the router from outside (`skrouterd -T`): links that end in the worker that has the connection, and of which the
//! core knows nothing.
//!
//! Their tokens have no generation, so the core finds nothing under them. Connections that have none pay nothing: it is looked for one only
//! where the core has found nothing, or where a link comes or goes.

use amqp_proto::connection::{Attached, End, LinkId, Payload, SendHead, Transfer};
use amqp_proto::message::Message;
use amqp_proto::{Attach, DeliveryState, Encode as _, Error, Role, SourceTerminus, Str, TargetTerminus, Value};
use bytes::Bytes;
use tokio::time::Duration;

use crate::conn::Conn;
use crate::egress::Conns;
use crate::worker::{AmqpAdaptor, Inner};

/// What all of them begin with.
const PREFIX: &str = "io.skupper.router.router/test/";

/// The token of their links. Another without a generation than that of links that wait for their answer, which is 0.
pub(crate) const TOKEN: u64 = 1;

/// So much of a message is looked at.
const MOST: usize = 64 * 1024;

/// A source makes so many messages before others get their turn, and none while the connection has so many bytes to be written.
const TURN: usize = 64;
const ENOUGH: usize = 64 * 1024;
/// How long it waits then.
const PAUSE: Duration = Duration::from_millis(1);

/// What an address does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behaviour {
    /// Attaches a link back, and answers when that was answered.
    Echo,
    /// Refuses links.
    Deny,
    /// Accepts messages.
    Sink,
    /// Rejects messages.
    Discard,
    /// Writes a line to the log, of the level that is the subject.
    Log,
    /// Crashes the router in the way that is the subject.
    Crash,
    /// Sends a message for each credit.
    Source {
        /// Settled.
        settled: bool,
    },
}

impl Behaviour {
    fn of(address: &str) -> Option<Self> {
        Some(match address.strip_prefix(PREFIX)? {
            "echo" => Self::Echo,
            "deny" => Self::Deny,
            "sink" => Self::Sink,
            "discard" => Self::Discard,
            "log" => Self::Log,
            "crash" => Self::Crash,
            "source" => Self::Source { settled: false },
            "source_ps" => Self::Source { settled: true },
            _ => return None,
        })
    }

    /// Why it does not take a link of a peer in this role.
    fn refuses(self, peer: Role) -> Option<&'static str> {
        match (self, peer) {
            (Self::Deny, _) => Some("this address refuses all links"),
            (Self::Source { .. }, Role::Sender) => Some("this address only sends"),
            (Self::Sink | Self::Discard | Self::Log | Self::Crash, Role::Receiver) => {
                Some("this address only receives")
            }
            _ => None,
        }
    }
}

/// The links of a connection to such addresses.
#[derive(Debug, Default)]
pub(crate) struct TestLinks(Vec<TestLink>);

#[derive(Debug)]
struct TestLink {
    link: LinkId,
    behaviour: Behaviour,
    /// The message that is arriving.
    bytes: Vec<u8>,
    /// Of an echo the other one; and how this one is answered, unless it was, or is ours.
    other: Option<LinkId>,
    answer: Option<Box<Attach>>,
    /// Messages that were sent, and whether somebody is sending more.
    sent: u32,
    sending: bool,
}

impl TestLink {
    const fn new(link: LinkId, behaviour: Behaviour) -> Self {
        Self { link, behaviour, bytes: Vec::new(), other: None, answer: None, sent: 0, sending: false }
    }
}

impl AmqpAdaptor {
    /// From now on there are addresses for tests of the router. One of them crashes it.
    pub fn offer_test_addresses(&self) {
        self.0.conns.borrow_mut().test_addresses = true;
    }
}

impl Conn {
    fn test_link(&mut self, link: LinkId) -> Option<&mut TestLink> {
        self.details.test_links.as_mut()?.0.iter_mut().find(|test| test.link == link)
    }

    fn add_test_link(&mut self, link: TestLink) {
        self.details.test_links.get_or_insert_default().0.push(link);
    }

    fn take_test_link(&mut self, link: LinkId) -> Option<TestLink> {
        let links = &mut self.details.test_links.as_mut()?.0;
        let at = links.iter().position(|test| test.link == link)?;
        Some(links.swap_remove(at))
    }
}

/// The peer attached a link. False if it is for another address.
pub(crate) fn attached(conns: &mut Conns, id: u32, attached: &Attached) -> bool {
    if !conns.test_addresses {
        return false;
    }
    let attach = &attached.attach;
    let address = match attach.role {
        Role::Sender => attach.target.as_ref().and_then(TargetTerminus::as_target).and_then(|t| t.address_str()),
        Role::Receiver => attach.source.as_ref().and_then(SourceTerminus::as_source).and_then(|s| s.address_str()),
    };
    let Some(behaviour) = address.and_then(Behaviour::of) else { return false };
    conns.touch(id);
    let Some(conn) = conns.get(id).filter(|conn| conn.key.is_some()) else { return false };
    if let Some(why) = behaviour.refuses(attach.role) {
        conn.engine.refuse_attach(attached.link, Error::new("qd:forbidden", why));
        return true;
    }
    if behaviour == Behaviour::Echo {
        conn.echo(attached);
        return true;
    }
    conn.add_test_link(TestLink::new(attached.link, behaviour));
    let answer = attached.answer(attach.source.clone(), attach.target.clone());
    conn.engine.accept_attach(attached.link, answer, TOKEN);
    if attach.role == Role::Sender {
        conn.engine.grant(attached.link, 1);
    }
    true
}

impl Conn {
    /// Attaches a link like that of the peer, in the other direction.
    fn echo(&mut self, attached: &Attached) {
        let attach = &attached.attach;
        let back = Attach {
            name: Str::from(format!("echo.{}", attach.name).as_str()),
            role: attach.role,
            source: attach.source.clone(),
            target: attach.target.clone(),
            ..Attach::default()
        };
        match self.engine.attach(attached.session, back, TOKEN) {
            Ok(other) => {
                let answer = Some(Box::new(attached.answer(None, None)));
                let here = TestLink::new(attached.link, Behaviour::Echo);
                self.add_test_link(TestLink { other: Some(other), answer, ..here });
                self.add_test_link(TestLink { other: Some(attached.link), ..TestLink::new(other, Behaviour::Echo) });
            }
            Err(error) => {
                self.engine.refuse_attach(attached.link, Error::new("qd:forbidden", error.to_string()));
            }
        }
    }
}

/// The peer answered a link of ours. False if it was none of these.
pub(crate) fn answered(conns: &mut Conns, id: u32, attached: &Attached) -> bool {
    let Some(conn) = conns.get(id) else { return false };
    let Some(here) = conn.test_link(attached.link) else { return false };
    if let Some(other) = here.other
        && let Some(answer) = conn.test_link(other).and_then(|there| there.answer.take())
    {
        let (source, target) = (attached.attach.source.clone(), attached.attach.target.clone());
        conn.engine.accept_attach(other, Attach { source, target, ..*answer }, TOKEN);
        conns.touch(id);
    }
    true
}

/// The peer detached such a link.
pub(crate) fn detached(conns: &mut Conns, id: u32, link: LinkId) {
    let Some(conn) = conns.get(id) else { return };
    let Some(gone) = conn.take_test_link(link) else { return };
    if let Some(other) = gone.other
        && conn.take_test_link(other).is_some()
    {
        conn.engine.detach(other, true, None);
        conns.touch(id);
    }
}

/// A part of a message came on a link that the core does not know.
#[cold]
pub(crate) fn transfer(conns: &mut Conns, id: u32, transfer: &Transfer, block: &Bytes) {
    let Some(conn) = conns.get(id) else { return };
    let Some(link) = conn.test_link(transfer.link) else { return };
    let behaviour = link.behaviour;
    let payload = transfer.payload(block);
    let room = MOST.saturating_sub(link.bytes.len());
    if matches!(behaviour, Behaviour::Log | Behaviour::Crash) {
        link.bytes.extend_from_slice(payload.as_slice().get(..room.min(payload.len())).unwrap_or_default());
    }
    if transfer.more && !transfer.aborted {
        return;
    }
    let bytes = std::mem::take(&mut link.bytes);
    if !transfer.aborted {
        match behaviour {
            Behaviour::Log => log(&subject(bytes)),
            Behaviour::Crash => crash(&subject(bytes)),
            _ => {}
        }
        let state = match behaviour {
            Behaviour::Discard => DeliveryState::rejected(None),
            _ => DeliveryState::Accepted,
        };
        conn.engine.settle_incoming(transfer.link, transfer.delivery_id, Some(&state), true);
    }
    if behaviour != Behaviour::Echo {
        conn.engine.grant(transfer.link, 1);
    }
}

fn subject(message: Vec<u8>) -> String {
    let message = Message::decode(&message.into()).ok();
    let subject = message.and_then(|message| message.properties?.subject);
    subject.map(|subject| subject.as_str().to_owned()).unwrap_or_default()
}

fn log(level: &str) {
    const TEXT: &str = "A message for the log came from a test";
    match level {
        "CRITICAL" => tracing::error!(target: "ROUTER", critical = true, "{TEXT}"),
        "ERROR" => tracing::error!(target: "ROUTER", "{TEXT}"),
        "WARNING" => tracing::warn!(target: "ROUTER", "{TEXT}"),
        "INFO" => tracing::info!(target: "ROUTER", "{TEXT}"),
        _ => tracing::debug!(target: "ROUTER", "{TEXT}"),
    }
}

fn crash(how: &str) {
    tracing::error!(target: "ROUTER", critical = true, "A test crashes this router: {how}");
    match how {
        "ABORT" => std::process::abort(),
        "SEGV" => transport::crash::fault(),
        "HEAP" => transport::crash::corrupt_heap(),
        _ => {}
    }
}

/// A link that the core does not know has credit.
#[cold]
pub(crate) fn credit(conns: &mut Conns, id: u32, link: LinkId) {
    let Some(test) = conns.get(id).and_then(|conn| conn.test_link(link)) else { return };
    if matches!(test.behaviour, Behaviour::Source { .. }) && !std::mem::replace(&mut test.sending, true) {
        transport::worker::spawn("test source", produce(id, link));
    }
}

/// Sends for as long as there is credit.
async fn produce(id: u32, link: LinkId) {
    while let Some(inner) = Inner::current() {
        let sent = {
            let mut conns = inner.conns.borrow_mut();
            conns.touch(id);
            // The connection may be gone meanwhile, and its number be that of another.
            conns.get(id).and_then(|conn| conn.produce(link))
        };
        inner.write_dirty();
        match sent {
            None => return,
            Some(0) => tokio::time::sleep(PAUSE).await,
            Some(_) => tokio::task::yield_now().await,
        }
    }
}

impl Conn {
    /// Some messages of a source. `None` if it has no credit any more.
    fn produce(&mut self, link: LinkId) -> Option<usize> {
        let credit = self.engine.link_credit(link);
        let test = self.details.test_links.as_mut()?.0.iter_mut().find(|test| test.link == link)?;
        let Behaviour::Source { settled } = test.behaviour else { return None };
        if credit == 0 {
            test.sending = false;
            return None;
        }
        let head = SendHead { settled, ..SendHead::default() };
        let mut sent = 0;
        while sent < TURN && self.engine.output().len() < ENOUGH {
            let message = numbered(test.sent);
            let done = self.engine.send(link, &head, &Payload::new(&message), End::Complete);
            if !done.started {
                break;
            }
            test.sent = test.sent.wrapping_add(1);
            sent += 1;
        }
        Some(sent)
    }
}

fn numbered(number: u32) -> Bytes {
    let properties = Value::Map(vec![(Value::from("sequence"), Value::Uint(number))]);
    let message = Message { application_properties: Some(properties), ..Message::value(format!("Sequence: {number}")) };
    let mut bytes = Vec::with_capacity(message.encoded_len());
    message.encode(&mut bytes);
    bytes.into()
}
