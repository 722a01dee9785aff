//! Routers between clients and servers: one of them, or a small network.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::compare::Run;
use crate::compare::path::{Certificate, NAMES, router_command, router_program};
use crate::process::{Process, free_port};
use crate::relay::Relay;

/// Which routers stand between clients and servers, senders and receivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// One router.
    One,
    /// Two interior routers that are linked.
    Two,
    /// Edge, interior, edge.
    Edges,
}

/// How the routers of a network are connected.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Link<'a> {
    Plain,
    /// With TLS.
    Tls(&'a Certificate),
    /// Through a relay that delays each way by this much.
    Delayed(Duration, Option<f64>),
}

impl Network {
    /// What it is called in front of a workload.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::One => "",
            Self::Two => "r2: ",
            Self::Edges => "eie: ",
        }
    }

    /// The routers from the client to the server: their modes and names.
    fn routers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::One => &[("standalone", "BENCH")],
            Self::Two => &[("interior", "A"), ("interior", "B")],
            Self::Edges => &[("edge", "A"), ("interior", "B"), ("edge", "C")],
        }
    }
}

/// Running routers of one program.
#[derive(Debug)]
pub(crate) struct Routers {
    pub(crate) name: &'static str,
    /// Where senders or clients connect.
    pub(crate) send: u16,
    /// Where receivers connect.
    pub(crate) receive: u16,
    processes: Vec<Process>,
    _relay: Option<Relay>,
}

impl Routers {
    /// CPU seconds of all of them.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.processes.iter().map(Process::cpu_seconds).sum()
    }

    /// Resident bytes of all of them.
    pub(crate) fn rss_bytes(&self) -> u64 {
        self.processes.iter().map(Process::rss_bytes).sum()
    }
}

/// Starts a network of every wanted program.
pub(crate) fn start_all(run: &Run<'_>, network: Network) -> Result<Vec<Routers>> {
    let mut all = Vec::new();
    for name in NAMES {
        let Some(program) = router_program(run, name).filter(|_| run.wants(name)) else { continue };
        all.push(start(run, name, &program, network)?);
    }
    Ok(all)
}

/// Starts a network of one program that takes AMQP clients. Addresses below `mc` are multicast.
pub(crate) fn start(run: &Run<'_>, name: &'static str, program: &Path, network: Network) -> Result<Routers> {
    let mut plan = Plan::new(network, Link::Plain)?;
    let send = free_port()?;
    let receive = if network == Network::One { send } else { free_port()? };
    plan.first()?.amqp(send);
    if network != Network::One {
        plan.last()?.amqp(receive);
    }
    plan.start(run, name, program, (send, receive))
}

/// Starts a network of one program that takes TCP connections at one end for a server at the other.
pub(crate) fn start_tcp(
    run: &Run<'_>,
    name: &'static str,
    program: &Path,
    (network, link): (Network, Link<'_>),
    server: u16,
    tls: Option<&Certificate>,
) -> Result<Routers> {
    let mut plan = Plan::new(network, link)?;
    let port = free_port()?;
    plan.first()?.tcp_listener(port, tls);
    plan.last()?.tcp_connector(server);
    plan.start(run, name, program, (port, port))
}

/// Routers that are to be started, from the client to the server.
#[derive(Debug)]
struct Plan {
    network: Network,
    configs: Vec<Config>,
    relay: Option<Relay>,
}

impl Plan {
    fn new(network: Network, link: Link<'_>) -> Result<Self> {
        let mut configs: Vec<Config> = network.routers().iter().map(|(mode, id)| Config::new(mode, id)).collect();
        let accepting = free_port()?;
        let relay = match link {
            Link::Delayed(delay, rate) => Some(Relay::start_at(accepting, delay, rate)?),
            Link::Plain | Link::Tls(_) => None,
        };
        let tls = match link {
            Link::Tls(certificate) => Some(certificate),
            Link::Plain | Link::Delayed(..) => None,
        };
        let port = relay.as_ref().map_or(accepting, Relay::port);
        match (network, &mut configs[..]) {
            (Network::Two, [near, far]) => {
                near.connector("inter-router", port, 1, tls);
                far.listener("inter-router", accepting, tls);
            }
            (Network::Edges, [near, middle, far]) => {
                near.connector("edge", port, 1, tls);
                middle.listener("edge", accepting, tls);
                far.connector("edge", port, 1, tls);
            }
            _ => {}
        }
        Ok(Self { network, configs, relay })
    }

    fn first(&mut self) -> Result<&mut Config> {
        self.configs.first_mut().context("a network has routers")
    }

    fn last(&mut self) -> Result<&mut Config> {
        self.configs.last_mut().context("a network has routers")
    }

    /// Starts them and waits for the ports at both ends.
    fn start(self, run: &Run<'_>, name: &'static str, program: &Path, (send, receive): (u16, u16)) -> Result<Routers> {
        let mut processes = Vec::new();
        for config in &self.configs {
            processes.push(config.start(run, name, program)?);
        }
        // What listens for a server elsewhere may only do so when it knows that there is one.
        processes.first_mut().context("a network has routers")?.wait_port(send)?;
        if self.network != Network::One && receive != send {
            processes.last_mut().context("a network has routers")?.wait_port(receive)?;
        }
        Ok(Routers { name, send, receive, processes, _relay: self.relay })
    }
}

/// A configuration in the reference's syntax, which both programs understand.
#[derive(Debug)]
pub(crate) struct Config {
    id: String,
    text: String,
}

impl Config {
    /// A router of this mode and name.
    pub(crate) fn new(mode: &str, id: &str) -> Self {
        let mut config = Self { id: id.to_owned(), text: String::new() };
        config.section("router", &[("mode", mode), ("id", id)]);
        config.section("address", &[("prefix", "mc"), ("distribution", "multicast")]);
        config
    }

    fn section(&mut self, name: &str, attributes: &[(&str, &str)]) -> &mut Self {
        let _ = writeln!(self.text, "{name} {{");
        for (key, value) in attributes {
            let _ = writeln!(self.text, "  {key}: {value}");
        }
        self.text.push_str("}\n");
        self
    }

    /// A profile, and the attributes that use it.
    fn profile(&mut self, tls: Option<&Certificate>) -> &'static [(&'static str, &'static str)] {
        let Some(certificate) = tls else { return &[] };
        if !self.text.contains("sslProfile {") {
            let (cert, key) = (certificate.cert.display().to_string(), certificate.key.display().to_string());
            let files = [("caCertFile", cert.as_str()), ("certFile", cert.as_str()), ("privateKeyFile", key.as_str())];
            self.section("sslProfile", &[&[("name", "tls")], &files[..]].concat());
        }
        &[("sslProfile", "tls")]
    }

    /// A listener for AMQP clients.
    pub(crate) fn amqp(&mut self, port: u16) -> &mut Self {
        self.listener("normal", port, None)
    }

    /// A listener for connections of this role.
    pub(crate) fn listener(&mut self, role: &str, port: u16, tls: Option<&Certificate>) -> &mut Self {
        let tls = self.profile(tls);
        let port = port.to_string();
        let mut attributes = vec![("host", "127.0.0.1"), ("port", port.as_str()), ("role", role)];
        attributes.extend([("saslMechanisms", "ANONYMOUS"), ("authenticatePeer", "no"), ("idleTimeoutSeconds", "120")]);
        attributes.extend(tls);
        if !tls.is_empty() {
            attributes.push(("requireSsl", "yes"));
        }
        self.section("listener", &attributes)
    }

    /// A connector of this role.
    pub(crate) fn connector(&mut self, role: &str, port: u16, cost: u32, tls: Option<&Certificate>) -> &mut Self {
        let tls = self.profile(tls);
        let (port, cost) = (port.to_string(), cost.to_string());
        let mut attributes = vec![("host", "127.0.0.1"), ("port", port.as_str()), ("role", role)];
        attributes.extend([("cost", cost.as_str()), ("saslMechanisms", "ANONYMOUS")]);
        attributes.extend(tls);
        if !tls.is_empty() {
            attributes.push(("verifyHostname", "no"));
        }
        self.section("connector", &attributes)
    }

    fn tcp_listener(&mut self, port: u16, tls: Option<&Certificate>) -> &mut Self {
        let tls = self.profile(tls);
        let port = port.to_string();
        let mut attributes = vec![("host", "127.0.0.1"), ("port", port.as_str()), ("address", "svc")];
        attributes.extend(tls);
        attributes.push(("observer", "none"));
        self.section("tcpListener", &attributes)
    }

    fn tcp_connector(&mut self, port: u16) -> &mut Self {
        let port = port.to_string();
        self.section("tcpConnector", &[("host", "127.0.0.1"), ("port", port.as_str()), ("address", "svc")])
    }

    /// Starts a router.
    pub(crate) fn start(&self, run: &Run<'_>, name: &str, program: &Path) -> Result<Process> {
        let label = format!("{name}-{}-{}", self.id, free_port()?);
        let file = run.scratch.path().join(format!("{label}.conf"));
        std::fs::write(&file, &self.text)?;
        Process::start(&label, router_command(name, program, &file), run.scratch.path())
    }
}
