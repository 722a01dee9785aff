//! The paths that traffic can take: which programs stand between client and server, and how they are configured.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::compare::Run;
use crate::compare::routers::{self, Link, Network, Routers};
use crate::process::{self, Process, free_port};

/// Every path there is, in the order of the tables.
pub(crate) const NAMES: &[&str] = &["direct", "haproxy", "nginx", "spanway", "skrouterd"];

/// Where the programs are.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) spanway: PathBuf,
    pub(crate) skrouterd: Option<PathBuf>,
    pub(crate) haproxy: Option<PathBuf>,
    pub(crate) nginx: Option<PathBuf>,
    pub(crate) wrk: Option<PathBuf>,
    pub(crate) iperf3: Option<PathBuf>,
    pub(crate) curl: Option<PathBuf>,
}

impl Tools {
    pub(crate) fn find(spanway: PathBuf) -> Self {
        Self {
            spanway,
            skrouterd: process::find("skrouterd"),
            haproxy: process::find("haproxy"),
            nginx: process::find("nginx"),
            wrk: process::find("wrk"),
            iperf3: process::find("iperf3"),
            curl: process::find("curl"),
        }
    }

    /// Names of the programs that are not there.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        [
            ("skrouterd", self.skrouterd.is_none()),
            ("haproxy", self.haproxy.is_none()),
            ("nginx", self.nginx.is_none()),
            ("wrk", self.wrk.is_none()),
            ("iperf3", self.iperf3.is_none()),
            ("curl", self.curl.is_none()),
        ]
        .into_iter()
        .filter_map(|(name, missing)| missing.then_some(name))
        .collect()
    }

    /// The folder of nginx's loadable modules, when its stream module is one.
    fn nginx_stream_module() -> Option<PathBuf> {
        ["/usr/lib/nginx/modules/ngx_stream_module.so", "/usr/share/nginx/modules/ngx_stream_module.so"]
            .iter()
            .map(PathBuf::from)
            .find(|p| p.exists())
    }
}

/// A certificate and its key, for the TLS workloads.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    /// Both in one file, as haproxy wants them.
    pub(crate) both: PathBuf,
}

impl Certificate {
    /// Makes a self-signed certificate for localhost in `dir`.
    pub(crate) fn make(dir: &Path) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        let (cert, key, both) = (dir.join("cert.pem"), dir.join("key.pem"), dir.join("both.pem"));
        let (cert_pem, key_pem) = (made.cert.pem(), made.signing_key.serialize_pem());
        std::fs::write(&cert, &cert_pem)?;
        std::fs::write(&key, &key_pem)?;
        std::fs::write(&both, format!("{cert_pem}{key_pem}"))?;
        Ok(Self { cert, key, both })
    }
}

/// A running path for TCP: the port that clients use, and the programs to account for (none when direct).
#[derive(Debug)]
pub(crate) struct TcpPath {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    pub(crate) between: Between,
}

/// The programs of a path.
#[derive(Debug)]
pub(crate) enum Between {
    Nothing,
    Proxy(Process),
    Routers(Routers),
}

impl TcpPath {
    /// Whether there is a program to account for.
    pub(crate) fn is_direct(&self) -> bool {
        matches!(self.between, Between::Nothing)
    }

    /// CPU seconds of what is in between.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        match &self.between {
            Between::Nothing => 0.0,
            Between::Proxy(process) => process.cpu_seconds(),
            Between::Routers(routers) => routers.cpu_seconds(),
        }
    }

    /// Resident bytes of what is in between.
    pub(crate) fn rss_bytes(&self) -> u64 {
        match &self.between {
            Between::Nothing => 0,
            Between::Proxy(process) => process.rss_bytes(),
            Between::Routers(routers) => routers.rss_bytes(),
        }
    }
}

/// Starts every wanted path from a client port of its own to `server`.
pub(crate) fn tcp_paths(run: &Run<'_>, server: u16, tls: Option<&Certificate>) -> Result<Vec<TcpPath>> {
    paths_over(run, NAMES, (Network::One, Link::Plain), server, tls)
}

/// The same through networks of routers. One haproxy is there to be compared with.
pub(crate) fn network_paths(run: &Run<'_>, network: (Network, Link<'_>), server: u16) -> Result<Vec<TcpPath>> {
    let names: Vec<&'static str> = NAMES.iter().copied().filter(|name| *name != "nginx").collect();
    paths_over(run, &names, network, server, None)
}

fn paths_over(
    run: &Run<'_>,
    names: &[&'static str],
    network: (Network, Link<'_>),
    server: u16,
    tls: Option<&Certificate>,
) -> Result<Vec<TcpPath>> {
    let mut paths = Vec::new();
    for name in names {
        if run.wants(name)
            && let Some(path) = start_tcp(run, name, network, server, tls).with_context(|| format!("start {name}"))?
        {
            paths.push(path);
        }
    }
    Ok(paths)
}

fn start_tcp(
    run: &Run<'_>,
    name: &'static str,
    network: (Network, Link<'_>),
    server: u16,
    tls: Option<&Certificate>,
) -> Result<Option<TcpPath>> {
    if let Some(program) = router_program(run, name) {
        let routers = routers::start_tcp(run, name, &program, network, server, tls)?;
        return Ok(Some(TcpPath { name, port: routers.send, between: Between::Routers(routers) }));
    }
    let port = free_port()?;
    let dir = run.scratch.path();
    let file = dir.join(format!("{name}-{port}.conf"));
    let command = match name {
        "direct" => {
            // Without TLS the server itself; with TLS there is no direct way to a server that speaks none.
            return Ok(tls.is_none().then_some(TcpPath { name, port: server, between: Between::Nothing }));
        }
        "haproxy" => {
            let Some(program) = &run.tools.haproxy else { return Ok(None) };
            let tls = tls.map(|t| format!("ssl crt {}", t.both.display())).unwrap_or_default();
            std::fs::write(
                &file,
                format!(
                    "global\n  nbthread 2\n  maxconn 9500\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  \
                     timeout server 1h\nlisten all\n  bind 127.0.0.1:{port} {tls}\n  server s 127.0.0.1:{server}\n"
                ),
            )?;
            let mut command = Command::new(program);
            command.arg("-db").arg("-f").arg(&file);
            command
        }
        "nginx" => {
            let Some(program) = &run.tools.nginx else { return Ok(None) };
            let module =
                Tools::nginx_stream_module().map(|m| format!("load_module {};\n", m.display())).unwrap_or_default();
            let listen = tls.map_or_else(
                || format!("listen 127.0.0.1:{port};"),
                |t| {
                    format!(
                        "listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {}; \
                         ssl_session_cache shared:S:1m;",
                        t.cert.display(),
                        t.key.display()
                    )
                },
            );
            std::fs::write(
                &file,
                format!(
                    "{module}daemon off; worker_processes 2; pid {dir}/nginx-{port}.pid; error_log stderr;\n\
                     events {{ worker_connections 20000; }}\n\
                     stream {{ tcp_nodelay on; server {{ {listen} proxy_pass 127.0.0.1:{server}; }} }}\n",
                    dir = dir.display()
                ),
            )?;
            let mut command = Command::new(program);
            command.arg("-c").arg(&file).arg("-p").arg(dir);
            command
        }
        _ => return Ok(None),
    };
    let mut process = Process::start(&format!("{name}-{port}"), command, dir)?;
    process.wait_port(port)?;
    Ok(Some(TcpPath { name, port, between: Between::Proxy(process) }))
}

/// The program of a path that is a router.
pub(crate) fn router_program(run: &Run<'_>, name: &str) -> Option<PathBuf> {
    match name {
        "spanway" => Some(run.tools.spanway.clone()),
        "skrouterd" => run.tools.skrouterd.clone(),
        _ => None,
    }
}

/// The command that starts a router with a configuration in the reference's syntax, which both understand.
pub(crate) fn router_command(name: &str, program: &Path, file: &Path) -> Command {
    let mut command = Command::new(program);
    if name == "spanway" {
        command.arg("skrouterd");
    }
    command.arg("-c").arg(file);
    command
}
