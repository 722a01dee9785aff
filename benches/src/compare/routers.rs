//! Routers that carry AMQP: one of them, or two that are linked.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;

use crate::compare::Run;
use crate::compare::path::{NAMES, router_command, router_program};
use crate::process::{Process, free_port};

/// Which routers stand between the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// One router.
    One,
    /// Two interior routers; senders are at the one, receivers at the other.
    Two,
}

impl Network {
    /// What it is called in front of a workload.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::One => "",
            Self::Two => "r2: ",
        }
    }
}

/// Running routers that AMQP clients can connect to.
#[derive(Debug)]
pub(crate) struct Routers {
    pub(crate) name: &'static str,
    /// Where senders connect.
    pub(crate) send: u16,
    /// Where receivers connect.
    pub(crate) receive: u16,
    processes: Vec<Process>,
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

/// Starts a network of one program. Addresses below `mc` are multicast.
pub(crate) fn start(run: &Run<'_>, name: &'static str, program: &Path, network: Network) -> Result<Routers> {
    let send = free_port()?;
    if network == Network::One {
        let mut config = Config::new("standalone", "BENCH");
        config.amqp(send);
        let processes = vec![config.start(run, name, program, send)?];
        return Ok(Routers { name, send, receive: send, processes });
    }
    let (receive, link) = (free_port()?, free_port()?);
    let mut far = Config::new("interior", "B");
    far.amqp(receive).accept_routers(link);
    let far = far.start(run, name, program, receive)?;
    let mut near = Config::new("interior", "A");
    near.amqp(send).connect_router(link, 1);
    let near = near.start(run, name, program, send)?;
    Ok(Routers { name, send, receive, processes: vec![near, far] })
}

/// A configuration in the reference's syntax, which both programs understand.
#[derive(Debug)]
pub(crate) struct Config {
    text: String,
}

impl Config {
    /// A router of this mode and name.
    pub(crate) fn new(mode: &str, id: &str) -> Self {
        let text = format!(
            "router {{\n  mode: {mode}\n  id: {id}\n}}\naddress {{\n  prefix: mc\n  distribution: multicast\n}}\n"
        );
        Self { text }
    }

    fn section(&mut self, name: &str, attributes: &[(&str, &str)]) -> &mut Self {
        let _ = writeln!(self.text, "{name} {{");
        for (key, value) in attributes {
            let _ = writeln!(self.text, "  {key}: {value}");
        }
        self.text.push_str("}\n");
        self
    }

    /// A listener for clients.
    pub(crate) fn amqp(&mut self, port: u16) -> &mut Self {
        self.listener(port, &[("idleTimeoutSeconds", "120")])
    }

    /// A listener for interior routers.
    pub(crate) fn accept_routers(&mut self, port: u16) -> &mut Self {
        self.listener(port, &[("role", "inter-router")])
    }

    fn listener(&mut self, port: u16, more: &[(&str, &str)]) -> &mut Self {
        let port = port.to_string();
        let mut attributes = vec![("host", "127.0.0.1"), ("port", port.as_str())];
        attributes.extend([("saslMechanisms", "ANONYMOUS"), ("authenticatePeer", "no")]);
        attributes.extend(more);
        self.section("listener", &attributes)
    }

    /// A connector to an interior router.
    pub(crate) fn connect_router(&mut self, port: u16, cost: u32) -> &mut Self {
        let (port, cost) = (port.to_string(), cost.to_string());
        self.section(
            "connector",
            &[
                ("host", "127.0.0.1"),
                ("port", port.as_str()),
                ("role", "inter-router"),
                ("cost", cost.as_str()),
                ("saslMechanisms", "ANONYMOUS"),
            ],
        )
    }

    /// Starts a router and waits until it listens on `port`.
    pub(crate) fn start(&self, run: &Run<'_>, name: &str, program: &Path, port: u16) -> Result<Process> {
        let file = run.scratch.path().join(format!("{name}-{port}.conf"));
        std::fs::write(&file, &self.text)?;
        let command = router_command(name, program, &file);
        let mut process = Process::start(&format!("{name}-{port}"), command, run.scratch.path())?;
        process.wait_port(port)?;
        Ok(process)
    }
}
