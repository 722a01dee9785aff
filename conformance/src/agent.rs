//! A client of the management agent: what routers know of themselves and of each other, which is what tests wait for.

use std::time::{Duration, Instant};

use crate::process::wait_for;
use crate::raw::{Heard, Session, V, code};
use crate::router::PATIENCE;

const PROPERTIES: u64 = 0x73;
const APPLICATION_PROPERTIES: u64 = 0x74;
const BODY: u64 = 0x77;

/// Links of an agent's client.
const REPLIES: u32 = 0;
const REQUESTS: u32 = 1;

/// How long the agent of another router may take to answer. An answer is lost when that router has no way back at the moment, as one that has
/// just started and was found by us before it found us.
const ANSWER: Duration = Duration::from_secs(5);

/// A connection to the agent of a router. All methods panic when the router does not answer.
#[derive(Debug)]
pub struct Agent {
    session: Session,
    port: u16,
    address: String,
    reply_to: String,
    /// There was credit. There always is for one request at a time.
    ready: bool,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u64,
    /// What is wrong, or `OK`.
    pub description: String,
    /// The body.
    pub body: V,
}

/// A router of the network, as another one sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// Its id.
    pub id: String,
    /// The neighbour that leads to it; `None` for a neighbour, and for what cannot be reached.
    pub next_hop: Option<String>,
    /// What the way costs, 0 to the router itself; `None` when there is none.
    pub cost: Option<u64>,
    /// Its neighbours, as it told, in the order of ids.
    pub neighbours: Vec<String>,
}

/// An address, as a router sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// Consumers at this router.
    pub local: u64,
    /// Other routers that have consumers.
    pub remote: u64,
}

impl Agent {
    /// The agent of the router whose listener for clients is on `port` of 127.0.0.1.
    pub fn connect(port: u16) -> Self {
        Self::at(port, "$management")
    }

    /// The agent of another router of the network, asked through this one.
    pub fn of(port: u16, router: &str) -> Self {
        Self::at(port, &format!("_topo/0/{router}/$management"))
    }

    /// The agent of an edge router of the network, asked through this one.
    pub fn of_edge(port: u16, router: &str) -> Self {
        Self::at(port, &format!("_edge/{router}/$management"))
    }

    fn heard(&mut self) -> Heard {
        match self.session.listen(if self.is_remote() { ANSWER } else { PATIENCE }) {
            Heard::Ended => panic!("the router hung up on a client of its agent"),
            heard => heard,
        }
    }

    fn at(port: u16, address: &str) -> Self {
        let mut session = Session::begin(port);
        let reply_to = session.receiver(REPLIES, None, 1);
        session.sender(REQUESTS, Some(address));
        // The agent of a router that is not known yet has no credit to give.
        Self { session, port, address: address.to_owned(), reply_to, ready: false }
    }

    fn is_remote(&self) -> bool {
        self.address.starts_with('_')
    }

    /// Asks: application properties, and a body.
    pub fn ask(&mut self, properties: &[(&str, &str)], body: V) -> Answer {
        wait_for("an answer of an agent", PATIENCE, || {
            let answer = self.try_to_ask(properties, body.clone());
            if answer.is_none() {
                // Anew, so that an answer that is late after all finds nobody.
                *self = Self::at(self.port, &self.address);
            }
            answer
        })
    }

    /// `None` if another router does not answer.
    fn try_to_ask(&mut self, properties: &[(&str, &str)], body: V) -> Option<Answer> {
        let mut message = Vec::new();
        let nulls = [V::Null, V::Null, V::Null, V::Null];
        V::Desc(PROPERTIES, Box::new(V::List([&nulls[..], &[V::str(&self.reply_to)]].concat()))).write(&mut message);
        let pairs = properties.iter().map(|(key, value)| (V::str(key), V::str(value))).collect();
        V::Desc(APPLICATION_PROPERTIES, Box::new(V::Map(pairs))).write(&mut message);
        V::Desc(BODY, Box::new(body)).write(&mut message);
        while !self.ready {
            self.ready = matches!(self.heard(), Heard::Credit(REQUESTS, 1..));
        }
        self.session.send(REQUESTS, &message, false);
        let asked = Instant::now();
        let payload = loop {
            if self.is_remote() && asked.elapsed() > ANSWER {
                return None;
            }
            match self.heard() {
                Heard::Delivery(delivery) => {
                    self.session.accept(delivery.id);
                    break delivery.payload;
                }
                Heard::Outcome(_, _, state, _) => assert_eq!(state, Some(code::ACCEPTED), "the request was not taken"),
                _ => {}
            }
        };
        self.session.credit(REPLIES, 1);
        Some(answer(&payload))
    }

    /// The values of attributes of all entities of a type.
    pub fn rows(&mut self, ty: &str, attributes: &[&str]) -> Vec<Vec<V>> {
        let entity_type = format!("io.skupper.router.{ty}");
        let properties = [
            ("operation", "QUERY"),
            ("type", "org.amqp.management"),
            ("name", "self"),
            ("entityType", entity_type.as_str()),
        ];
        let names = V::List(attributes.iter().map(|name| V::str(name)).collect());
        let answer = self.ask(&properties, V::Map(vec![(V::str("attributeNames"), names)]));
        assert_eq!(answer.status, 200, "{answer:?}");
        let V::Map(body) = answer.body else { panic!("an answer without a map") };
        let results = body.into_iter().find_map(|(key, value)| (key.text() == Some("results")).then_some(value));
        let Some(V::List(rows)) = results else { panic!("an answer without results") };
        let cells = |row| if let V::List(cells) = row { cells } else { panic!("a row that is no list") };
        rows.into_iter().map(cells).collect()
    }

    /// UPDATE of the entity of a type with a name.
    pub fn update(&mut self, ty: &str, name: &str, attributes: Vec<(V, V)>) -> Answer {
        self.operation("UPDATE", ty, name, attributes)
    }

    /// CREATE.
    pub fn create(&mut self, ty: &str, name: &str, attributes: Vec<(V, V)>) -> Answer {
        self.operation("CREATE", ty, name, attributes)
    }

    /// DELETE.
    pub fn delete(&mut self, ty: &str, name: &str) -> Answer {
        self.operation("DELETE", ty, name, Vec::new())
    }

    fn operation(&mut self, operation: &str, ty: &str, name: &str, attributes: Vec<(V, V)>) -> Answer {
        let ty = format!("io.skupper.router.{ty}");
        self.ask(&[("operation", operation), ("type", ty.as_str()), ("name", name)], V::Map(attributes))
    }

    /// The routers of the network, in the order of ids.
    pub fn nodes(&mut self) -> Vec<Node> {
        let rows = self.rows("router.node", &["id", "nextHop", "cost", "linkState"]);
        let node = |row: Vec<V>| Node {
            id: row[0].text().unwrap().to_owned(),
            next_hop: row[1].text().filter(|hop| *hop != "(self)").map(str::to_owned),
            cost: if row[1].text() == Some("(self)") { Some(0) } else { row[2].number() },
            neighbours: names(&row[3]),
        };
        let mut nodes: Vec<Node> = rows.into_iter().map(node).collect();
        nodes.sort();
        nodes
    }

    /// The consumers of an address.
    pub fn address(&mut self, address: &str) -> Address {
        let key = format!("M{address}");
        let rows = self.rows("router.address", &["key", "subscriberCount", "remoteCount"]);
        let row = rows.iter().find(|row| row[0].text() == Some(&key));
        let number = |row: &Vec<V>, at: usize| row[at].number().unwrap_or(0);
        row.map(|row| Address { local: number(row, 1), remote: number(row, 2) }).unwrap_or_default()
    }

    /// Waits until an address has so many consumers here and so many other routers that have some.
    pub fn wait_address(&mut self, address: &str, local: u64, remote: u64) {
        let wanted = Address { local, remote };
        wait_for(&format!("{wanted:?} of {address}"), PATIENCE, || (self.address(address) == wanted).then_some(()));
    }
}

fn names(list: &V) -> Vec<String> {
    let V::List(items) = list else { return Vec::new() };
    let mut names: Vec<String> = items.iter().filter_map(V::text).map(str::to_owned).collect();
    names.sort();
    names
}

fn answer(mut payload: &[u8]) -> Answer {
    let mut answer = Answer { status: 0, description: String::new(), body: V::Null };
    while !payload.is_empty() {
        match V::read(&mut payload) {
            V::Desc(APPLICATION_PROPERTIES, map) => {
                let V::Map(pairs) = *map else { panic!("application properties are a map") };
                for (key, value) in pairs {
                    match key.text() {
                        Some("statusCode") => answer.status = value.number().unwrap(),
                        Some("statusDescription") => value.text().unwrap().clone_into(&mut answer.description),
                        _ => {}
                    }
                }
            }
            V::Desc(BODY, body) => answer.body = *body,
            _ => {}
        }
    }
    answer
}
