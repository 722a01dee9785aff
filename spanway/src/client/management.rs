//! Requests to the management agent of a router, as any AMQP client can make them.

use std::time::{Duration, Instant};

use amqp_proto::connection::{Connection, End, Event, LinkId, Payload, SendHead};
use amqp_proto::message::{Body, Message, Properties};
use amqp_proto::{
    Attach, DeliveryState, Encode as _, Raw, Role, Source, SourceTerminus, Str, Target, TargetTerminus, Value,
};
use anyhow::{Result, anyhow, bail};
use bytes::Bytes;

use super::Client;
use crate::cli::messaging::ConnectArgs;

/// How long the agent may take to answer, unless --timeout says something else.
const LIMIT: Duration = Duration::from_secs(10);
/// Rows of one answer: the reference's agent has trouble with more.
const PAGE: usize = 500;
/// Credit for answers.
const CREDIT: u32 = 10;
/// The largest answer, in bytes.
const MAX_ANSWER: usize = 256 * 1024 * 1024;

/// Whose agent is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
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

    fn in_words(&self) -> String {
        match self {
            Self::Local => "the router".to_owned(),
            Self::Router(id) => format!("router {id}"),
            Self::Edge(id) => format!("edge router {id}"),
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
}

/// Entities as a QUERY answers them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Entities {
    /// Names of the attributes.
    pub(crate) columns: Vec<String>,
    /// A value for each attribute.
    pub(crate) rows: Vec<Vec<Value>>,
}

/// A connection to an agent.
#[derive(Debug)]
pub(crate) struct Manager {
    client: Client,
    whose: Whose,
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
    outcome: Option<DeliveryState>,
    parts: Vec<u8>,
    answers: Vec<Message>,
}

impl Manager {
    /// Connects, and makes links for requests and answers.
    ///
    /// # Errors
    /// What failed and what can be done about it.
    pub(crate) async fn connect(args: &ConnectArgs, command: &str, whose: Whose) -> Result<Self> {
        let mut client = Client::connect(args, command).await?;
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
        let state = State {
            sender,
            receiver,
            attached: false,
            reply_to: None,
            outcome: None,
            parts: Vec::new(),
            answers: Vec::new(),
        };
        let timeout = args.timeout.unwrap_or(LIMIT);
        let mut manager = Self { client, whose, sender, timeout, next: 0, state };
        manager
            .wait("did not attach the links for management", |state, _| state.attached && state.reply_to.is_some())
            .await?;
        manager.client.engine.grant(receiver, CREDIT);
        manager.wait("gave no credit for requests", |state, engine| engine.link_credit(state.sender) > 0).await?;
        Ok(manager)
    }

    /// Drives the connection until `done`.
    async fn wait(&mut self, failing: &str, done: impl Fn(&State, &Connection) -> bool) -> Result<()> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let state = &mut self.state;
            self.client.read(|engine, event, block| state.on_event(engine, event, block))?;
            self.client.write();
            if done(&self.state, &self.client.engine) {
                return Ok(());
            }
            if tokio::time::timeout_at(deadline.into(), self.client.ready()).await.is_err() {
                bail!("{} {failing} within {:?}", self.whose.in_words(), self.timeout);
            }
        }
    }

    /// Makes a request and waits for its answer, whatever its status.
    ///
    /// # Errors
    /// The request could not be delivered, or nothing came back.
    pub(crate) async fn call(&mut self, operation: &str, properties: &[(&str, Value)], body: Value) -> Result<Answer> {
        if let Some(answer) = self.attempt(operation, properties, body.clone()).await? {
            return answer;
        }
        let asked = self.undelivered();
        let Whose::Router(id) = &self.whose else { return Err(asked) };
        // No interior router has this id: an edge router may.
        self.whose = Whose::Edge(id.clone());
        self.attempt(operation, properties, body).await?.unwrap_or(Err(asked))
    }

    /// `None`: the request was not delivered.
    async fn attempt(
        &mut self,
        operation: &str,
        properties: &[(&str, Value)],
        body: Value,
    ) -> Result<Option<Result<Answer>>> {
        self.next += 1;
        let id = Value::from(self.next.to_string());
        let mut application: Vec<(Value, Value)> = vec![("operation".into(), operation.into())];
        application.extend(properties.iter().map(|(name, value)| (Value::from(*name), value.clone())));
        let message = Message {
            properties: Some(Properties {
                to: Some(self.whose.address().as_str().into()),
                reply_to: self.state.reply_to.as_deref().map(Into::into),
                correlation_id: Some(Raw::from(&id)),
                ..Properties::default()
            }),
            application_properties: Some(Value::Map(application)),
            body: Body::Value(body),
            ..Message::default()
        };
        let mut bytes = Vec::with_capacity(message.encoded_len());
        message.encode(&mut bytes);
        self.state.outcome = None;
        self.send(bytes.into()).await?;
        let is_answer = |message: &Message| {
            let correlation = message.properties.as_ref().and_then(|properties| properties.correlation_id.as_ref());
            correlation.and_then(|raw| raw.to_value().ok()).as_ref() == Some(&id)
        };
        self.wait("did not answer", |state, _| {
            state.answers.iter().any(is_answer)
                || state.outcome.as_ref().is_some_and(|state| *state != DeliveryState::Accepted)
        })
        .await?;
        let found = self.state.answers.iter().position(is_answer).map(|at| self.state.answers.swap_remove(at));
        self.state.answers.clear();
        Ok(found.map(answer))
    }

    async fn send(&mut self, message: Bytes) -> Result<()> {
        let head = SendHead { token: self.next, ..SendHead::default() };
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

    fn undelivered(&self) -> anyhow::Error {
        let who = self.whose.in_words();
        match (&self.state.outcome, &self.whose) {
            (Some(DeliveryState::Rejected(_)), _) => anyhow!("{who} rejects requests to {}", self.whose.address()),
            (_, Whose::Local) => {
                anyhow!("the router has no management agent at {}: is it spanway or skrouterd?", self.whose.address())
            }
            _ => anyhow!(
                "{who} cannot be reached from here; `spanway stat nodes` lists interior routers that can, and `spanway stat edges` the \
                edge routers of one"
            ),
        }
    }

    /// All entities of a type, at most `limit`, with all their attributes.
    ///
    /// # Errors
    /// The agent refuses the query, or does not answer.
    pub(crate) async fn query(&mut self, entity_type: &str, limit: Option<usize>) -> Result<Entities> {
        let mut all = Entities::default();
        loop {
            let count = limit.map_or(PAGE, |limit| limit.saturating_sub(all.rows.len()).min(PAGE));
            let properties = [
                ("name", Value::from("self")),
                ("type", Value::from("org.amqp.management")),
                ("entityType", Value::from(format!("io.skupper.router.{entity_type}"))),
                ("offset", Value::Long(i64::try_from(all.rows.len())?)),
                ("count", Value::Long(i64::try_from(count)?)),
            ];
            let body = Value::Map(vec![("attributeNames".into(), Value::List(Vec::new()))]);
            let answer = self.call("QUERY", &properties, body).await?;
            if answer.status != 200 {
                bail!("{} cannot list {entity_type}: {}", self.whose.in_words(), answer.description);
            }
            let (columns, rows) = table(answer.body)
                .ok_or_else(|| anyhow!("{} answered a query for {entity_type} with nonsense", self.whose.in_words()))?;
            let (got, known) = (rows.len(), all.rows.len());
            // An agent that does not know pages answers everything again.
            if known > 0 && all.rows.get(..got) == Some(&rows) {
                return Ok(all);
            }
            all.columns = columns;
            all.rows.extend(rows);
            if got < PAGE || limit.is_some_and(|limit| all.rows.len() >= limit) {
                if let Some(limit) = limit {
                    all.rows.truncate(limit);
                }
                return Ok(all);
            }
        }
    }

    /// Closes in order.
    ///
    /// # Errors
    /// The router closed with an error, or did not answer.
    pub(crate) async fn close(self) -> Result<()> {
        self.client.close().await
    }
}

impl State {
    fn on_event(&mut self, engine: &mut Connection, event: Event, block: &Bytes) -> Result<()> {
        match event {
            Event::Attached(attached) if attached.link == self.sender => {
                self.attached = attached.attach.target.is_some();
            }
            Event::Attached(attached) => {
                let source = attached.attach.source.as_ref().and_then(SourceTerminus::as_source);
                self.reply_to = source.and_then(|source| source.address_str()).map(str::to_owned);
            }
            Event::Detached { error, .. } => match error {
                Some(error) => bail!("the router refuses links for management: {error}"),
                None => bail!("the router refuses links for management"),
            },
            Event::Disposition(mut disposition) => {
                while let Some(disposed) = engine.next_disposed(&mut disposition) {
                    if disposition.outgoing {
                        self.outcome = Some(disposition.state.clone().unwrap_or(DeliveryState::Accepted));
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
                    self.answers.push(Message::decode(&bytes)?);
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
}

fn answer(message: Message) -> Result<Answer> {
    let properties = message.application_properties.unwrap_or(Value::Null);
    let status = properties.get("statusCode").and_then(Value::as_i64);
    Ok(Answer {
        status: status.ok_or_else(|| anyhow!("the agent's answer has no statusCode"))?,
        description: properties.get("statusDescription").and_then(Value::as_str).unwrap_or_default().to_owned(),
        body: match message.body {
            Body::Value(body) => body,
            _ => Value::Null,
        },
    })
}

/// Columns and rows of the body of a QUERY's answer.
fn table(body: Value) -> Option<(Vec<String>, Vec<Vec<Value>>)> {
    let columns = body.get("attributeNames")?.as_list()?;
    let columns = columns.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()?;
    let Value::Map(entries) = body else { return None };
    let results = entries.into_iter().find(|(key, _)| key.as_str() == Some("results"))?.1;
    let Value::List(results) = results else { return None };
    let row = |result| match result {
        Value::List(cells) => Some(cells),
        _ => None,
    };
    Some((columns, results.into_iter().map(row).collect::<Option<_>>()?))
}
