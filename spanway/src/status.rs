//! `spanway status`: a site on one screen, and what is wrong.

mod problems;
mod show;

use anyhow::{Result, bail};

use crate::cli::output::ReportFormat;
use crate::cli::status::StatusArgs;
use crate::client::entities::{Entities, Line};
use crate::client::management::{Manager, Query, Whose};
use crate::client::report::{Count, print};
use crate::client::{Interrupts, block_on};
use problems::Problem;

/// Does what the command line asks.
pub(crate) fn run(args: &StatusArgs) -> Result<()> {
    args.agent.connect.check_or_exit();
    let status = block_on(async {
        let mut interrupts = Interrupts::new()?;
        tokio::select! {
            status = collect(args) => status,
            () = interrupts.wait() => bail!("interrupted before the router answered"),
        }
    })?;
    print(&match args.output {
        ReportFormat::Table => show::table(&status),
        ReportFormat::Json => show::json(&status),
    })?;
    match status.problems.len() {
        0 => Ok(()),
        n => bail!("{} found", Count(n as u64, "problem")),
    }
}

/// What is known of a site.
#[derive(Debug)]
struct Status {
    router: Entities,
    metrics: Entities,
    links: Vec<Link>,
    nodes: Vec<Node>,
    services: Vec<Service>,
    problems: Vec<Problem>,
}

/// A link to another router.
#[derive(Debug)]
struct Link {
    up: bool,
    peer: String,
    /// `edge` and so on.
    role: String,
    /// Who connected: `in` if it was the other.
    dir: String,
    place: String,
    security: String,
    uptime: String,
    /// Why it is down.
    message: String,
}

/// Another router of the network.
#[derive(Debug)]
struct Node {
    id: String,
    /// There is a way to it.
    reached: bool,
    cost: Option<u64>,
}

/// An address that clients use, or a port for one.
#[derive(Debug)]
struct Service {
    address: String,
    /// Its distribution, or `tcp`.
    kind: String,
    /// Here, and routers that have some.
    consumers: u64,
    remote: u64,
    senders: u64,
    waiting: u64,
    deliveries_in: u64,
    deliveries_out: u64,
    /// Ports of TCP listeners, and servers of TCP connectors.
    places: Vec<String>,
}

impl Service {
    fn served(&self) -> bool {
        self.consumers + self.remote > 0
    }

    /// Somebody sends, or would, and nobody receives.
    fn waits(&self) -> bool {
        !self.served() && (self.senders > 0 || self.waiting > 0)
    }
}

/// Types of entities that are asked for.
const TYPES: [&str; 11] = [
    "router",
    "routerMetrics",
    "connection",
    "connector",
    "router.node",
    "router.address",
    "router.link",
    "tcpListener",
    "tcpConnector",
    "router.config.autoLink",
    "sslProfile",
];

/// The entities of a router by type.
struct Seen(Vec<(&'static str, Entities)>);

impl Seen {
    fn of(&self, ty: &str) -> impl Iterator<Item = Line<'_>> {
        self.0.iter().filter(move |(other, _)| *other == ty).flat_map(|(_, entities)| entities.lines())
    }
}

async fn collect(args: &StatusArgs) -> Result<Status> {
    let whose = args.agent.whose();
    let mut manager = Manager::connect(&args.agent.connect, "status").await?;
    let queries: Vec<(Whose, Query)> = TYPES.iter().map(|ty| (whose.clone(), Query::all(ty))).collect();
    let mut seen = Seen(Vec::new());
    for (ty, entities) in TYPES.iter().zip(manager.query_each(&queries).await?) {
        // Without the router itself there is nothing to show; older agents may lack others.
        match entities {
            Ok(entities) => seen.0.push((ty, entities)),
            Err(error) if *ty == "router" => return Err(error),
            Err(_) => {}
        }
    }
    let _ = manager.close().await;
    let only = |ty: &str| seen.0.iter().find(|(other, _)| *other == ty).map(|(_, entities)| entities.clone());
    let (links, nodes, services) = (links(&seen), nodes(&seen), services(&seen));
    let problems = problems::find(&seen, &links, &nodes, &services);
    Ok(Status {
        router: only("router").unwrap_or_default(),
        metrics: only("routerMetrics").unwrap_or_default(),
        links,
        nodes,
        services,
        problems,
    })
}

const BETWEEN_ROUTERS: [&str; 3] = ["inter-router", "edge", "inter-edge"];

fn links(seen: &Seen) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    for line in seen.of("connection").filter(|line| BETWEEN_ROUTERS.contains(&line.str("role"))) {
        let peer = line.text("container");
        // Connections for data beside the first tell nothing new.
        if links.iter().any(|link| link.peer == peer && link.role == line.str("role") && link.dir == line.str("dir")) {
            continue;
        }
        links.push(Link {
            up: true,
            peer,
            role: line.text("role"),
            dir: line.text("dir"),
            place: line.text("host"),
            security: if line.yes("isEncrypted") { line.text("sslProto") } else { "none".to_owned() },
            uptime: line.since("uptimeSeconds"),
            message: String::new(),
        });
    }
    for line in seen.of("connector").filter(|line| line.str("connectionStatus") != "SUCCESS") {
        links.push(Link {
            up: false,
            peer: "-".to_owned(),
            role: line.text("role"),
            dir: "out".to_owned(),
            place: format!("{}:{}", line.text("host"), line.text("port")),
            security: if line.get("sslProfile").is_null() { "none".to_owned() } else { "TLS".to_owned() },
            uptime: "-".to_owned(),
            message: line.text("connectionMsg"),
        });
    }
    links
}

fn nodes(seen: &Seen) -> Vec<Node> {
    // One that is known and has no cost cannot be reached.
    let other = seen.of("router.node").filter(|line| line.str("nextHop") != "(self)");
    other
        .map(|line| Node { id: line.text("id"), reached: !line.get("cost").is_null(), cost: line.get("cost").as_u64() })
        .collect()
}

fn services(seen: &Seen) -> Vec<Service> {
    let mut services: Vec<Service> = Vec::new();
    for line in seen.of("router.address") {
        let Some(address) = line.client_address("key") else { continue };
        services.push(Service {
            address: address.to_owned(),
            kind: line.text("distribution"),
            consumers: line.number("subscriberCount") + line.number("containerCount"),
            remote: line.number("remoteCount"),
            senders: line.number("senderCount"),
            waiting: line.number("waitingCount"),
            deliveries_in: line.number("deliveriesIngress"),
            deliveries_out: line.number("deliveriesEgress"),
            places: Vec::new(),
        });
    }
    for (ty, arrow) in [("tcpListener", "port"), ("tcpConnector", "to")] {
        for line in seen.of(ty) {
            let place = format!("{arrow} {}:{}", line.text("host"), line.text("port"));
            let address = line.str("address");
            match services.iter_mut().find(|service| service.address == address) {
                Some(service) => {
                    service.kind = "tcp".to_owned();
                    service.places.push(place);
                }
                None => services.push(Service {
                    address: address.to_owned(),
                    kind: "tcp".to_owned(),
                    consumers: 0,
                    remote: 0,
                    senders: 0,
                    waiting: 0,
                    deliveries_in: 0,
                    deliveries_out: 0,
                    places: vec![place],
                }),
            }
        }
    }
    // What is in trouble first, then what is used most.
    services.sort_by(|a, b| {
        let rank =
            |service: &Service| (!service.waits(), std::cmp::Reverse(service.deliveries_in + service.deliveries_out));
        rank(a).cmp(&rank(b)).then_with(|| a.address.cmp(&b.address))
    });
    services
}
