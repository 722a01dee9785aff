//! Networks of real routers: their shape in a few lines, each connection through a relay if it is to be broken.

use std::collections::{BTreeMap, BTreeSet};

use crate::agent::{Agent, Node};
use crate::ports::free_port;
use crate::process::wait_for;
use crate::relay::{Line, Relay};
use crate::router::{Config, PATIENCE, Router};

/// What a network is to be. Routers are named `A`, `B`, ... in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    ids: Vec<String>,
    links: Vec<Link>,
    router: Vec<(String, String)>,
    sections: Vec<(String, Vec<(String, String)>)>,
    relayed: bool,
    edges: bool,
}

/// A connection between two routers.
#[derive(Clone, Debug)]
struct Link {
    /// The router that connects, and the one that is connected to.
    from: usize,
    to: usize,
    cost: u32,
    line: Line,
}

impl Plan {
    /// Routers without connections.
    pub fn routers(count: usize) -> Self {
        let id = |n: usize| char::from(b'A' + u8::try_from(n).unwrap()).to_string();
        // Few threads: networks of tests share a small machine.
        let router = vec![("workerThreads".to_owned(), "2".to_owned())];
        Self { ids: (0..count).map(id).collect(), router, ..Self::default() }
    }

    /// The ids of its routers.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// A - B - C - ...
    pub fn line(count: usize) -> Self {
        (1..count).fold(Self::routers(count), |plan, n| plan.between(n - 1, n, 1, Line::default()))
    }

    /// A line whose ends are connected.
    pub fn ring(count: usize) -> Self {
        Self::line(count).between(count - 1, 0, 1, Line::default())
    }

    /// Everybody connects to A.
    pub fn star(count: usize) -> Self {
        (1..count).fold(Self::routers(count), |plan, n| plan.between(n, 0, 1, Line::default()))
    }

    /// Everybody is connected with everybody.
    pub fn mesh(count: usize) -> Self {
        let pairs = (0..count).flat_map(|to| (to + 1..count).map(move |from| (from, to)));
        pairs.fold(Self::routers(count), |plan, (from, to)| plan.between(from, to, 1, Line::default()))
    }

    /// One more connection: who connects, whom to, and what it costs.
    #[must_use]
    pub fn link(self, from: &str, to: &str, cost: u32) -> Self {
        let (from, to) = (self.at(from), self.at(to));
        self.between(from, to, cost, Line::default())
    }

    fn between(mut self, from: usize, to: usize, cost: u32, line: Line) -> Self {
        self.links.push(Link { from, to, cost, line });
        self
    }

    fn at(&self, id: &str) -> usize {
        self.ids.iter().position(|other| other == id).unwrap_or_else(|| panic!("no router {id}"))
    }

    /// Every connection goes through a relay, which can break it.
    #[must_use]
    pub fn relayed(self) -> Self {
        self.lines(Line::default())
    }

    /// Every connection goes through a relay that makes it such a line.
    #[must_use]
    pub fn lines(mut self, line: Line) -> Self {
        self.relayed = true;
        self.links.iter_mut().for_each(|link| link.line = line);
        self
    }

    /// Every router takes edge routers.
    #[must_use]
    pub fn edges(mut self) -> Self {
        self.edges = true;
        self
    }

    /// An attribute of every router.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.router.push((name.to_owned(), value.to_owned()));
        self
    }

    /// An entity that every router has.
    #[must_use]
    pub fn section(mut self, name: &str, attributes: &[(&str, &str)]) -> Self {
        let attributes = attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.sections.push((name.to_owned(), attributes));
        self
    }

    /// Addresses under `prefix` are distributed so.
    #[must_use]
    pub fn distribution(self, prefix: &str, distribution: &str) -> Self {
        self.section("address", &[("prefix", prefix), ("distribution", distribution)])
    }

    /// Starts everything and waits until every router knows the way to every other.
    pub fn start(self) -> Network {
        let ports = |_: &Link| free_port();
        let accepting: Vec<u16> = self.links.iter().map(ports).collect();
        let relays = match self.relayed {
            true => self.links.iter().zip(&accepting).map(|(link, port)| Relay::start(*port, link.line)).collect(),
            false => Vec::new(),
        };
        let clients = self.ids.iter().map(|_| free_port()).collect();
        let edges = self.ids.iter().filter(|_| self.edges).map(|_| free_port()).collect();
        let costs = self.links.iter().map(|link| Some(link.cost)).collect();
        let mut network = Network { routers: BTreeMap::new(), plan: self, accepting, clients, edges, relays, costs };
        for id in network.plan.ids.clone() {
            network.start(&id);
        }
        network.converge();
        network
    }
}

/// A running network.
#[derive(Debug)]
pub struct Network {
    /// Those that run, by id. Ended before the relays.
    routers: BTreeMap<String, Router>,
    plan: Plan,
    /// The port of each link's listener.
    accepting: Vec<u16>,
    /// The port for clients of each router.
    clients: Vec<u16>,
    /// The port for edge routers of each router, if they take any.
    edges: Vec<u16>,
    /// One for each link, if there are any.
    relays: Vec<Relay>,
    /// What each link costs; `None` while it is broken.
    costs: Vec<Option<u32>>,
}

impl Network {
    /// A router that runs.
    ///
    /// # Panics
    /// When it does not.
    pub fn router(&self, id: &str) -> &Router {
        self.routers.get(id).unwrap_or_else(|| panic!("router {id} does not run"))
    }

    /// The port for clients of a router, whether it runs or not.
    pub fn port(&self, id: &str) -> u16 {
        self.clients[self.plan.at(id)]
    }

    /// The port of a router for edge routers.
    ///
    /// # Panics
    /// When the plan has none.
    pub fn edge_port(&self, id: &str) -> u16 {
        self.edges[self.plan.at(id)]
    }

    /// Those that run.
    pub fn routers(&self) -> impl Iterator<Item = (&str, &Router)> {
        self.routers.iter().map(|(id, router)| (id.as_str(), router))
    }

    /// A client of a router's agent.
    pub fn agent(&self, id: &str) -> Agent {
        Agent::connect(self.router(id).port)
    }

    /// The number of the link between two routers.
    fn link(&self, one: &str, other: &str) -> usize {
        let (one, other) = (self.plan.at(one), self.plan.at(other));
        let between = |link: &Link| (link.from, link.to) == (one, other) || (link.from, link.to) == (other, one);
        self.plan.links.iter().position(between).expect("there is a link between them")
    }

    /// The relay between two routers.
    ///
    /// # Panics
    /// When the plan has none.
    pub fn relay(&self, one: &str, other: &str) -> &Relay {
        &self.relays[self.link(one, other)]
    }

    /// Resets the connections between two routers, and all that they try to make.
    pub fn cut(&mut self, one: &str, other: &str) {
        let link = self.link(one, other);
        self.relays[link].cut();
        self.costs[link] = None;
    }

    /// The line between two routers goes silent.
    pub fn silence(&mut self, one: &str, other: &str) {
        let link = self.link(one, other);
        self.relays[link].pause();
        self.costs[link] = None;
    }

    /// Ends what `cut` or `silence` did.
    pub fn mend(&mut self, one: &str, other: &str) {
        let link = self.link(one, other);
        self.relays[link].restore();
        self.relays[link].resume();
        self.costs[link] = Some(self.plan.links[link].cost);
    }

    /// The link between two routers has another cost from now on, for what is expected of the network.
    pub fn cost_is(&mut self, one: &str, other: &str, cost: u32) {
        let link = self.link(one, other);
        self.plan.links[link].cost = cost;
        self.costs[link] = Some(cost);
    }

    /// SIGKILL.
    pub fn kill(&mut self, id: &str) {
        self.routers.remove(id).unwrap_or_else(|| panic!("router {id} does not run")).process.kill();
    }

    /// Starts a router that does not run, with the ports that it had.
    pub fn start(&mut self, id: &str) {
        let at = self.plan.at(id);
        let mut attributes = vec![("mode", "interior"), ("id", id)];
        attributes.extend(self.plan.router.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        let mut config = Config::router(&attributes);
        config.listener_on(self.clients[at], &[]);
        if let Some(port) = self.edges.get(at) {
            config.accept_edges(*port);
        }
        for (name, attributes) in &self.plan.sections {
            let attributes: Vec<_> = attributes.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            config.section(name, &attributes);
        }
        for (n, link) in self.plan.links.iter().enumerate() {
            let name = format!("{}-{}", self.plan.ids[link.from], self.plan.ids[link.to]);
            let cost = link.cost.to_string();
            let port = if link.to == at {
                self.accepting[n]
            } else {
                self.relays.get(n).map_or(self.accepting[n], |r| r.port)
            };
            let port = port.to_string();
            let mut attributes = vec![
                ("name", name.as_str()),
                ("host", "127.0.0.1"),
                ("port", port.as_str()),
                ("role", "inter-router"),
                ("saslMechanisms", "ANONYMOUS"),
            ];
            if link.to == at {
                attributes.push(("authenticatePeer", "no"));
                config.section("listener", &attributes);
            } else if link.from == at {
                // The larger one of both sides' costs counts.
                attributes.push(("cost", cost.as_str()));
                config.section("connector", &attributes);
            }
        }
        self.routers.insert(id.to_owned(), config.start());
    }

    /// What a router has to know of the others: those that can be reached, and at which cost.
    fn reachable(&self, from: &str) -> BTreeMap<String, u64> {
        let runs = |at: usize| self.routers.contains_key(&self.plan.ids[at]);
        let mut costs = BTreeMap::from([(self.plan.at(from), 0)]);
        // As often as there are routers: no way is longer.
        for _ in &self.plan.ids {
            for (link, cost) in self.plan.links.iter().zip(&self.costs) {
                let Some(cost) = cost.filter(|_| runs(link.from) && runs(link.to)) else { continue };
                for (near, far) in [(link.from, link.to), (link.to, link.from)] {
                    if let Some(way) = costs.get(&near).map(|way| way + u64::from(cost)) {
                        let known = costs.entry(far).or_insert(way);
                        *known = way.min(*known);
                    }
                }
            }
        }
        costs.into_iter().map(|(at, cost)| (self.plan.ids[at].clone(), cost)).collect()
    }

    /// The routers that a router has a link to.
    fn neighbours(&self, id: &str) -> Vec<String> {
        let at = self.plan.at(id);
        let links = self.plan.links.iter().zip(&self.costs).filter(|(_, cost)| cost.is_some());
        let others = links.filter_map(|(link, _)| match (link.from == at, link.to == at) {
            (true, _) => Some(link.to),
            (_, true) => Some(link.from),
            _ => None,
        });
        let ids = others.map(|other| self.plan.ids[other].clone()).filter(|id| self.routers.contains_key(id));
        ids.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Waits until every router knows all links between those that it can reach, what it costs to reach them, and that there is no way to
    /// the others. Only then do all take the same of equal ways.
    pub fn converge(&self) {
        for id in self.routers.keys() {
            self.converge_at(id);
        }
    }

    /// The same of one router.
    pub fn converge_at(&self, id: &str) {
        let wanted = self.reachable(id);
        let wanted: BTreeMap<String, (u64, Vec<String>)> =
            wanted.into_iter().map(|(id, cost)| (id.clone(), (cost, self.neighbours(&id)))).collect();
        let mut agent = self.agent(id);
        let mut last = Vec::new();
        let converged = |last: &mut Vec<Node>, agent: &mut Agent| {
            *last = agent.nodes();
            let known = last.iter().filter_map(|node| Some((node.id.clone(), (node.cost?, node.neighbours.clone()))));
            known.collect::<BTreeMap<_, _>>() == wanted
        };
        let end = std::time::Instant::now() + PATIENCE;
        wait_for("routes", PATIENCE * 2, || {
            let done = converged(&mut last, &mut agent);
            assert!(done || std::time::Instant::now() < end, "{id} does not get to know {wanted:?}: {last:?}");
            done.then_some(())
        });
    }

    /// Waits until a router knows of consumers of an address: here, and how many other routers.
    pub fn wait_address(&self, id: &str, address: &str, local: u64, remote: u64) {
        self.agent(id).wait_address(address, local, remote);
    }
}
