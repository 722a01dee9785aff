//! Requests to the management agent of a router, as any AMQP client can make them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use amqp_proto::connection::{Connection, End, Event, LinkId, Payload, SendHead};
use amqp_proto::message::{Body, Message, Properties};
use amqp_proto::{
    Attach, DeliveryState, Encode as _, Raw, Role, Source, SourceTerminus, Str, Target, TargetTerminus, Value,
};
use anyhow::{Result, anyhow, bail};
use bytes::Bytes;
use router_core::entity::TYPE_PREFIX;

use super::Client;
use super::entities::Entities;
use crate::cli::messaging::ConnectArgs;

/// How long the agent may take to answer, unless --timeout says something else.
const LIMIT: Duration = Duration::from_secs(10);
/// Rows of one answer: the reference's agent has trouble with more.
const PAGE: usize = 500;
/// An agent that is silent for so long is asked again, and how often at most.
const AGAIN: Duration = Duration::from_secs(2);
const REPEATS: usize = 3;
/// Credit for answers.
const CREDIT: u32 = 100;
/// The largest answer, in bytes.
const MAX_ANSWER: usize = 256 * 1024 * 1024;

/// Whose agent is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Whose {
    /// That of the router that is connected to.
    Local,
    /// That of an interior router of its network.
    Router(String),
    /// That of an edge router of its network.
    Edge(String),
}

impl Whose {
    fn address(&self) -> String {
        match self {
            Self::Local => "$management".to_owned(),
            Self::Router(id) => format!("_topo/0/{id}/$management"),
            Self::Edge(id) => format!("_edge/{id}/$management"),
        }
    }

    /// For messages.
    pub(crate) fn in_words(&self) -> String {
        match self {
            Self::Local => "the router".to_owned(),
            Self::Router(id) => format!("router {id}"),
            Self::Edge(id) => format!("edge router {id}"),
        }
    }

    fn undelivered(&self, state: &DeliveryState) -> anyhow::Error {
        let who = self.in_words();
        match (state, self) {
            (DeliveryState::Rejected(_), _) => anyhow!("{who} rejects requests to {}", self.address()),
            (_, Self::Local) => {
                anyhow!("the router has no management agent at {}: is it spanway or skrouterd?", self.address())
            }
            _ => anyhow!(
                "{who} cannot be reached from here; `spanway stat nodes` lists interior routers that can, and `spanway stat edges` the \
                edge routers of one"
            ),
        }
    }
}

/// What an agent answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// `statusCode`: 200 and the like for success.
    pub(crate) status: i64,
    /// `statusDescription`.
    pub(crate) description: String,
    /// The body; null if there is none.
    pub(crate) body: Value,
    /// From the request to the answer.
    pub(crate) took: Duration,
}

/// A request to an agent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    operation: &'static str,
    properties: Vec<(&'static str, Value)>,
    body: Value,
}

impl Request {
    /// One about the agent itself, without a body.
    pub(crate) fn new(operation: &'static str) -> Self {
        Self { operation, properties: Vec::new(), body: Value::Null }
    }

    /// With an application property.
    pub(crate) fn with(mut self, property: &'static str, value: impl Into<Value>) -> Self {
        self.properties.push((property, value.into()));
        self
    }

    /// With attributes as its body.
    pub(crate) fn body(mut self, attributes: Vec<(Value, Value)>) -> Self {
        self.body = Value::Map(attributes);
        self
    }

    /// It may be made again without harm.
    fn changes_nothing(&self) -> bool {
        self.operation == "QUERY" || self.operation == "READ" || self.operation.starts_with("GET-")
    }

    fn encode(&self, id: u64, to: &str, reply_to: Option<&str>) -> Bytes {
        let mut application: Vec<(Value, Value)> = vec![("operation".into(), self.operation.into())];
        application.extend(self.properties.iter().map(|(name, value)| (Value::from(*name), value.clone())));
        let message = Message {
            properties: Some(Properties {
                to: Some(to.into()),
                reply_to: reply_to.map(Into::into),
                correlation_id: Some(Raw::from(&Value::from(id.to_string()))),
                ..Properties::default()
            }),
            application_properties: Some(Value::Map(application)),
            body: Body::Value(self.body.clone()),
            ..Message::default()
        };
        let mut bytes = Vec::with_capacity(message.encoded_len());
        message.encode(&mut bytes);
        bytes.into()
    }
}

/// Which entities are wanted, and what of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    /// The type's long name; empty for all types.
    pub(crate) entity_type: String,
    /// Names of attributes; empty for all.
    pub(crate) attributes: Vec<String>,
    /// At most so many.
    pub(crate) limit: Option<usize>,
}

impl Query {
    /// All attributes of all entities of a type of the router's, by its short name.
    pub(crate) fn all(entity_type: &str) -> Self {
        Self { entity_type: format!("{TYPE_PREFIX}{entity_type}"), ..Self::default() }
    }

    /// Some attributes of all entities of a type of the router's, by its short name.
    pub(crate) fn some(entity_type: &str, attributes: &[&str]) -> Self {
        Self { attributes: attributes.iter().map(|name| (*name).to_owned()).collect(), ..Self::all(entity_type) }
    }

    fn request(&self, offset: usize) -> Request {
        let count = self.limit.map_or(PAGE, |limit| limit.saturating_sub(offset).min(PAGE));
        let number = |n: usize| Value::Long(i64::try_from(n).unwrap_or(i64::MAX));
        let mut request = Request::new("QUERY").with("name", "self").with("type", "org.amqp.management");
        if !self.entity_type.is_empty() {
            request = request.with("entityType", self.entity_type.as_str());
        }
        let names = self.attributes.iter().map(|name| Value::from(name.as_str())).collect();
        request
            .with("offset", number(offset))
            .with("count", number(count))
            .body(vec![("attributeNames".into(), Value::List(names))])
    }

    fn in_words(&self) -> &str {
        if self.entity_type.is_empty() { "entities" } else { short(&self.entity_type) }
    }
}

/// The name of a type without the prefix that all of the router's have.
pub(crate) fn short(entity_type: &str) -> &str {
    entity_type.strip_prefix(TYPE_PREFIX).unwrap_or(entity_type)
}

/// A connection over which agents are asked.
#[derive(Debug)]
pub(crate) struct Manager {
    client: Client,
    sender: LinkId,
    timeout: Duration,
    next: u64,
    state: State,
}

/// What has come so far.
#[derive(Debug)]
struct State {
    sender: LinkId,
    receiver: LinkId,
    attached: bool,
    reply_to: Option<String>,
    parts: Vec<u8>,
    asked: HashMap<u64, Asked>,
}

/// A request that was sent.
#[derive(Debug)]
struct Asked {
    at: Instant,
    fate: Option<Fate>,
}

/// What became of a request.
#[derive(Debug)]
enum Fate {
    /// It was answered, and after how long.
    Answered(Box<Message>, Duration),
    /// It did not reach the agent.
    Undelivered(DeliveryState),
}

impl Manager {
    /// Connects, and makes links for requests and answers.
    ///
    /// # Errors
    /// What failed and what can be done about it.
    pub(crate) async fn connect(args: &ConnectArgs, command: &str) -> Result<Self> {
        let client = Client::connect(args, command).await?;
        Self::over(client, args, command).await
    }

    /// Makes links for requests and answers on a connection that is open.
    ///
    /// # Errors
    /// The router refuses them.
    pub(crate) async fn over(mut client: Client, args: &ConnectArgs, command: &str) -> Result<Self> {
        let session = client.engine.begin()?;
        let answers = Attach {
            name: Str::from(format!("spanway-{command}-answers")),
            role: Role::Receiver,
            source: Some(SourceTerminus::from(Source { dynamic: true, ..Source::default() })),
            target: Some(TargetTerminus::from(Target::default())),
            ..Attach::default()
        };
        let receiver = client.engine.attach(session, answers, 0)?;
        // Anonymous, so that the router tells what became of requests that cannot be delivered.
        let requests = Attach {
            name: Str::from(format!("spanway-{command}-requests")),
            role: Role::Sender,
            source: Some(SourceTerminus::from(Source::default())),
            target: Some(TargetTerminus::from(Target::default())),
            ..Attach::default()
        };
        let sender = client.engine.attach(session, requests, 0)?;
        let state =
            State { sender, receiver, attached: false, reply_to: None, parts: Vec::new(), asked: HashMap::new() };
        let timeout = args.timeout.unwrap_or(LIMIT);
        let mut manager = Self { client, sender, timeout, next: 0, state };
        manager
            .wait("did not attach the links for management", |state, _| state.attached && state.reply_to.is_some())
            .await?;
        manager.client.engine.grant(receiver, CREDIT);
        manager.wait("gave no credit for requests", |state, engine| engine.link_credit(state.sender) > 0).await?;
        Ok(manager)
    }

    /// Drives the connection until `done`.
    async fn wait(&mut self, failing: &str, done: impl Fn(&State, &Connection) -> bool) -> Result<()> {
        match self.drive(Instant::now() + self.timeout, done).await? {
            true => Ok(()),
            false => bail!("the router {failing} within {:?}", self.timeout),
        }
    }

    /// Drives the connection until `done`, or the deadline; tells which it was.
    async fn drive(&mut self, deadline: Instant, done: impl Fn(&State, &Connection) -> bool) -> Result<bool> {
        loop {
            let state = &mut self.state;
            self.client.read(|engine, event, block| state.on_event(engine, event, block))?;
            self.client.write();
            if done(&self.state, &self.client.engine) {
                return Ok(true);
            }
            if tokio::time::timeout_at(deadline.into(), self.client.ready()).await.is_err() {
                return Ok(false);
            }
        }
    }

    /// Makes a request and waits for its answer, whatever its status.
    ///
    /// # Errors
    /// The request could not be delivered, or nothing came back.
    pub(crate) async fn call(&mut self, whose: &Whose, request: Request) -> Result<Answer> {
        let mut answers = self.call_each(vec![(whose.clone(), request)]).await?;
        answers.pop().unwrap_or_else(|| Err(anyhow!("{} did not answer", whose.in_words())))
    }

    /// Makes requests to several agents at once, and waits for all answers. One that fails fails alone.
    ///
    /// # Errors
    /// The connection is lost.
    pub(crate) async fn call_each(&mut self, calls: Vec<(Whose, Request)>) -> Result<Vec<Result<Answer>>> {
        let mut answers = self.attempt(&calls).await?;
        // Where no interior router has an id, an edge router may.
        let edges = calls.iter().enumerate().filter_map(|(at, (whose, request))| match (whose, answers.get(at)) {
            (Whose::Router(id), Some(Attempt::Undelivered(_))) => {
                Some((at, (Whose::Edge(id.clone()), request.clone())))
            }
            _ => None,
        });
        let (places, edges): (Vec<usize>, Vec<_>) = edges.unzip();
        if !edges.is_empty() {
            for (at, attempt) in places.into_iter().zip(self.attempt(&edges).await?) {
                if let (Some(place), Attempt::Answered(_)) = (answers.get_mut(at), &attempt) {
                    *place = attempt;
                }
            }
        }
        let result = |((whose, _), attempt): (&(Whose, Request), Attempt)| match attempt {
            Attempt::Answered(answer) => answer,
            Attempt::Undelivered(state) => Err(whose.undelivered(&state)),
            Attempt::Silent => Err(anyhow!("{} did not answer within {:?}", whose.in_words(), self.timeout)),
        };
        Ok(calls.iter().zip(answers).map(result).collect())
    }

    async fn attempt(&mut self, calls: &[(Whose, Request)]) -> Result<Vec<Attempt>> {
        let first = self.next + 1;
        for (whose, request) in calls {
            self.next += 1;
            self.state.asked.insert(self.next, Asked { at: Instant::now(), fate: None });
            self.send(self.next, whose, request).await?;
        }
        let done = |state: &State, _: &Connection| state.asked.values().all(|asked| asked.fate.is_some());
        let deadline = Instant::now() + self.timeout;
        for _ in 0..REPEATS {
            let again = Instant::now() + AGAIN;
            if again >= deadline || self.drive(again, done).await? {
                break;
            }
            // While ways between routers change, requests and answers may be lost.
            for (id, (whose, request)) in (first..).zip(calls) {
                let open = self.state.asked.get(&id).is_some_and(|asked| asked.fate.is_none());
                if open && request.changes_nothing() {
                    self.send(id, whose, request).await?;
                }
            }
        }
        self.drive(deadline, done).await?;
        let fate = |id| self.state.asked.remove(&id).and_then(|asked| asked.fate);
        let attempts = (first..=self.next).map(fate).map(|fate| match fate {
            Some(Fate::Answered(message, took)) => Attempt::Answered(answer(*message, took)),
            Some(Fate::Undelivered(state)) => Attempt::Undelivered(state),
            None => Attempt::Silent,
        });
        Ok(attempts.collect())
    }

    async fn send(&mut self, id: u64, whose: &Whose, request: &Request) -> Result<()> {
        let message = request.encode(id, &whose.address(), self.state.reply_to.as_deref());
        let head = SendHead { token: id, ..SendHead::default() };
        let mut taken = 0;
        loop {
            let rest = message.slice(taken..);
            let sent = self.client.engine.send(self.sender, &head, &Payload::new(&rest), End::Complete);
            taken += sent.taken;
            if sent.done {
                return Ok(());
            }
            let sender = self.sender;
            self.wait("took no request", |_, engine| engine.room(sender) > 0).await?;
        }
    }

    /// Entities of one agent.
    ///
    /// # Errors
    /// The agent refuses the query, or does not answer.
    pub(crate) async fn query(&mut self, whose: &Whose, query: Query) -> Result<Entities> {
        let mut answers = self.query_each(&[(whose.clone(), query)]).await?;
        answers.pop().unwrap_or_else(|| Err(anyhow!("{} did not answer", whose.in_words())))
    }

    /// Entities of several agents or types at once, each page by page. One that fails fails alone.
    ///
    /// # Errors
    /// The connection is lost.
    pub(crate) async fn query_each(&mut self, queries: &[(Whose, Query)]) -> Result<Vec<Result<Entities>>> {
        let mut all: Vec<Result<Entities>> = queries.iter().map(|_| Ok(Entities::default())).collect();
        let mut open: Vec<usize> = (0..queries.len()).collect();
        while !open.is_empty() {
            let known = |at: usize| all.get(at).and_then(|so_far| so_far.as_ref().ok()).map_or(0, |e| e.rows.len());
            let page = |at: &usize| queries.get(*at).map(|(whose, query)| (whose.clone(), query.request(known(*at))));
            let answers = self.call_each(open.iter().filter_map(page).collect()).await?;
            let mut more = Vec::new();
            for (at, answer) in open.into_iter().zip(answers) {
                let (Some((whose, query)), Some(so_far)) = (queries.get(at), all.get_mut(at)) else { continue };
                match answer.and_then(|answer| answer.entities(whose, query)) {
                    Err(error) => *so_far = Err(error),
                    Ok(page) => {
                        if so_far.as_mut().is_ok_and(|so_far| add(so_far, page, query.limit)) {
                            more.push(at);
                        }
                    }
                }
            }
            open = more;
        }
        Ok(all)
    }

    /// Closes in order.
    ///
    /// # Errors
    /// The router closed with an error, or did not answer.
    pub(crate) async fn close(self) -> Result<()> {
        self.client.close().await
    }
}

/// What came of a request to one address.
enum Attempt {
    Answered(Result<Answer>),
    Undelivered(DeliveryState),
    Silent,
}

/// Adds a page to what is known, and tells whether there may be more.
fn add(all: &mut Entities, page: Entities, limit: Option<usize>) -> bool {
    let (got, known) = (page.rows.len(), all.rows.len());
    // An agent that does not know pages answers everything again.
    if known > 0 && all.rows.get(..got) == Some(&page.rows) {
        return false;
    }
    all.columns = page.columns;
    all.rows.extend(page.rows);
    if let Some(limit) = limit {
        all.rows.truncate(limit);
    }
    got >= PAGE && limit.is_none_or(|limit| all.rows.len() < limit)
}

impl State {
    fn on_event(&mut self, engine: &mut Connection, event: Event, block: &Bytes) -> Result<()> {
        match event {
            Event::Attached(attached) if attached.link == self.sender => {
                self.attached = attached.attach.target.is_some();
            }
            Event::Attached(attached) if attached.link == self.receiver => {
                let source = attached.attach.source.as_ref().and_then(SourceTerminus::as_source);
                self.reply_to = source.and_then(|source| source.address_str()).map(str::to_owned);
            }
            Event::Detached { link, error, .. } if link == self.sender || link == self.receiver => match error {
                Some(error) => bail!("the router refuses links for management: {error}"),
                None => bail!("the router refuses links for management"),
            },
            Event::Disposition(mut disposition) => {
                while let Some(disposed) = engine.next_disposed(&mut disposition) {
                    if disposition.outgoing {
                        let state = disposition.state.clone().unwrap_or(DeliveryState::Accepted);
                        if state != DeliveryState::Accepted
                            && let Some(asked) = self.asked.get_mut(&disposed.token)
                        {
                            asked.fate.get_or_insert(Fate::Undelivered(state));
                        }
                        if !disposition.settled {
                            engine.settle_outgoing(disposed.link, disposed.delivery_id, None, true);
                        }
                    }
                }
            }
            Event::Transfer(transfer) => {
                if transfer.first {
                    self.parts.clear();
                }
                self.parts.extend_from_slice(transfer.payload(block).as_slice());
                if self.parts.len() > MAX_ANSWER {
                    bail!("the answer is larger than {MAX_ANSWER} bytes");
                }
                if !transfer.more && !transfer.aborted {
                    let bytes = Bytes::from(std::mem::take(&mut self.parts));
                    self.on_answer(Message::decode(&bytes)?);
                    engine.settle_incoming(self.receiver, transfer.delivery_id, Some(&DeliveryState::Accepted), true);
                }
                if !transfer.more {
                    engine.grant(self.receiver, 1);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn on_answer(&mut self, message: Message) {
        let id = message.properties.as_ref().and_then(|properties| properties.correlation_id.as_ref());
        let id = id.and_then(|raw| raw.to_value().ok()).and_then(|id| id.as_str()?.parse().ok());
        if let Some(asked) = id.and_then(|id: u64| self.asked.get_mut(&id)) {
            let took = asked.at.elapsed();
            asked.fate = Some(Fate::Answered(Box::new(message), took));
        }
    }
}

fn answer(message: Message, took: Duration) -> Result<Answer> {
    let properties = message.application_properties.unwrap_or(Value::Null);
    let status = properties.get("statusCode").and_then(Value::as_i64);
    Ok(Answer {
        status: status.ok_or_else(|| anyhow!("the agent's answer has no statusCode"))?,
        description: properties.get("statusDescription").and_then(Value::as_str).unwrap_or_default().to_owned(),
        body: match message.body {
            Body::Value(body) => body,
            _ => Value::Null,
        },
        took,
    })
}

impl Answer {
    /// As that to a query.
    fn entities(self, whose: &Whose, query: &Query) -> Result<Entities> {
        if self.status != 200 {
            bail!("{} cannot list {}: {}", whose.in_words(), query.in_words(), self.description);
        }
        let nonsense = || anyhow!("{} answered a query for {} with nonsense", whose.in_words(), query.in_words());
        Entities::decode(self.body).ok_or_else(nonsense)
    }
}
