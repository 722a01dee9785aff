//! `spanway trace`: the hops that deliveries to an address take.

mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};

use crate::cli::output::ReportFormat;
use crate::cli::trace::TraceArgs;
use crate::client::entities::Entities;
use crate::client::management::{Manager, Query, Request, Whose};
use crate::client::network::{Network, PEER, peers};
use crate::client::places::{self, Place};
use crate::client::report::print;
use crate::client::{Interrupts, block_on};

/// Requests whose shortest round trip counts.
const ROUNDS: usize = 5;

/// Does what the command line asks.
pub(crate) fn run(args: &TraceArgs) -> Result<()> {
    args.connect.check_or_exit();
    let trace = block_on(async {
        let mut interrupts = Interrupts::new()?;
        tokio::select! {
            trace = trace(args) => trace,
            () = interrupts.wait() => bail!("interrupted before all routers had answered"),
        }
    })?;
    print(&match args.output {
        ReportFormat::Table => show::table(&trace),
        ReportFormat::Json => show::json(&trace),
    })?;
    match trace.problems.first() {
        Some(problem) => bail!("{problem}"),
        None => Ok(()),
    }
}

/// The ways from one router to all consumers of an address.
#[derive(Debug)]
struct Trace {
    address: String,
    from: String,
    distribution: Option<String>,
    routes: Vec<Route>,
    problems: Vec<String>,
}

/// The way to one router with consumers.
#[derive(Debug)]
struct Route {
    hops: Vec<Hop>,
    /// What the network's routers say that the way costs, edges not counted.
    cost: u64,
}

/// A router on the way.
#[derive(Debug)]
struct Hop {
    id: String,
    consumers: u64,
    /// Deliveries that wait there for a consumer's credit.
    waiting: u64,
    /// Of the link that leads there; none for the first router and for edges.
    cost: Option<u64>,
    /// `None`: it did not answer.
    round_trip: Option<Duration>,
}

/// What is known of the network, as far as it was asked for.
struct Map<'a> {
    network: &'a Network,
    places: &'a [Place],
    /// `router.node` of each router that was asked.
    nodes: BTreeMap<String, Entities>,
    /// The interior routers of edge routers.
    uplinks: BTreeMap<String, String>,
    round_trips: BTreeMap<String, Option<Duration>>,
}

async fn trace(args: &TraceArgs) -> Result<Trace> {
    let mut manager = Manager::connect(&args.connect, "trace").await?;
    let network = Network::discover(&mut manager).await?;
    let places = places::find(&mut manager, &network, &args.address).await?;
    let here = network.members.first().map_or_else(String::new, |member| member.id.clone());
    let from = args.router.clone().unwrap_or(here);
    if network.member(&from).is_none() {
        bail!("there is no router {from} in this network; `spanway stat nodes` lists them");
    }
    let mut map = Map::new(&mut manager, &network, &places).await?;
    let mut trace = Trace {
        address: args.address.clone(),
        distribution: places.iter().find_map(Place::distribution),
        routes: Vec::new(),
        problems: Vec::new(),
        from: from.clone(),
    };
    for place in places.iter().filter(|place| place.entity.is_err()) {
        trace.problems.push(format!("router {} does not answer", place.member.id));
    }
    let destinations: Vec<String> =
        places.iter().filter(|place| place.consumers > 0).map(|place| place.member.id.clone()).collect();
    for to in &destinations {
        let ids = match map.way(&mut manager, &from, to).await {
            Ok(ids) => ids,
            Err(error) => {
                trace.problems.push(format!("{error:#}"));
                continue;
            }
        };
        let route = map.route(&mut manager, &ids).await?;
        // A router on the way that knows of no consumer ahead would give deliveries back.
        for (at, hop) in route.hops.iter().enumerate() {
            let place = places.iter().find(|place| place.member.id == hop.id);
            let knows = place.is_none_or(|place| place.entity.is_err() || place.leads());
            if !knows && at + 1 < route.hops.len() && !map.uplinks.contains_key(&hop.id) {
                trace.problems.push(format!(
                    "router {} is on the way to {to} and knows of no consumer of {}",
                    hop.id, args.address
                ));
            }
        }
        trace.routes.push(route);
    }
    if destinations.is_empty() {
        trace.problems.push(format!(
            "nobody receives from {}: start a consumer, or see `spanway check {}`",
            args.address, args.address
        ));
    }
    trace.routes.sort_by_key(|route| (route.cost, route.hops.len()));
    let _ = manager.close().await;
    Ok(trace)
}

impl<'a> Map<'a> {
    async fn new(manager: &mut Manager, network: &'a Network, places: &'a [Place]) -> Result<Self> {
        let mut uplinks: BTreeMap<String, String> =
            network.members.iter().filter_map(|member| Some((member.id.clone(), member.uplink.clone()?))).collect();
        // The router that is connected to may be an edge router itself.
        let connections = manager.query(&Whose::Local, Query::some("connection", &PEER)).await?;
        if let (Some(here), Some(uplink)) =
            (network.members.first(), peers(&connections, "edge", "out").into_iter().next())
        {
            uplinks.insert(here.id.clone(), uplink);
        }
        Ok(Self { network, places, nodes: BTreeMap::new(), uplinks, round_trips: BTreeMap::new() })
    }

    fn whose(&self, id: &str) -> Result<Whose> {
        let member =
            self.network.member(id).ok_or_else(|| anyhow!("router {id} is a next hop and not in the network"))?;
        Ok(member.whose.clone())
    }

    /// Ids of the routers on the way.
    async fn way(&mut self, manager: &mut Manager, from: &str, to: &str) -> Result<Vec<String>> {
        let mut ids = vec![from.to_owned()];
        if from == to {
            return Ok(ids);
        }
        let mut at = from.to_owned();
        if let Some(uplink) = self.uplinks.get(from) {
            at.clone_from(uplink);
            ids.push(at.clone());
        }
        // An edge router is reached through its uplink.
        let target = self.uplinks.get(to).cloned().unwrap_or_else(|| to.to_owned());
        let mut seen = BTreeSet::from([at.clone()]);
        while at != target {
            let next = self.next_hop(manager, &at, &target).await?;
            if !seen.insert(next.clone()) {
                bail!(
                    "the ways to {target} run in a circle: {} then {next}; do the routers agree on the network?",
                    ids.join(", ")
                );
            }
            ids.push(next.clone());
            at = next;
        }
        if target != to {
            ids.push(to.to_owned());
        }
        Ok(ids)
    }

    async fn next_hop(&mut self, manager: &mut Manager, at: &str, target: &str) -> Result<String> {
        if !self.nodes.contains_key(at) {
            let nodes = manager.query(&self.whose(at)?, Query::all("router.node")).await?;
            self.nodes.insert(at.to_owned(), nodes);
        }
        let nodes = self.nodes.get(at).ok_or_else(|| anyhow!("router {at} does not answer"))?;
        let node = nodes.lines().find(|node| node.str("id") == target);
        let node = node.ok_or_else(|| anyhow!("router {at} knows no way to {target}"))?;
        // Neighbours have none.
        Ok(match node.str("nextHop") {
            "" => target.to_owned(),
            hop => hop.to_owned(),
        })
    }

    fn cost(&self, from: &str, to: &str) -> Option<u64> {
        self.nodes.get(from)?.lines().find(|node| node.str("id") == to)?.get("cost").as_u64()
    }

    async fn route(&mut self, manager: &mut Manager, ids: &[String]) -> Result<Route> {
        let mut hops: Vec<Hop> = Vec::new();
        for id in ids {
            let place = self.places.iter().find(|place| place.member.id == *id);
            hops.push(Hop {
                id: id.clone(),
                consumers: place.map_or(0, |place| place.consumers),
                waiting: place.map_or(0, |place| place.number("waitingCount")),
                cost: hops.last().and_then(|before| self.cost(&before.id, id)),
                round_trip: self.round_trip(manager, id).await?,
            });
        }
        Ok(Route { cost: hops.iter().filter_map(|hop| hop.cost).sum(), hops })
    }

    async fn round_trip(&mut self, manager: &mut Manager, id: &str) -> Result<Option<Duration>> {
        if let Some(known) = self.round_trips.get(id) {
            return Ok(*known);
        }
        let whose = self.whose(id)?;
        let mut shortest: Option<Duration> = None;
        for _ in 0..ROUNDS {
            // What is answered does not matter.
            let Ok(answer) = manager.call(&whose, Request::new("GET-MGMT-NODES")).await else { break };
            shortest = Some(shortest.map_or(answer.took, |so_far| so_far.min(answer.took)));
        }
        self.round_trips.insert(id.to_owned(), shortest);
        Ok(shortest)
    }
}
