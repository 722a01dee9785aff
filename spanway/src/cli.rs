//! The command line.

pub(crate) mod agent;
pub(crate) mod check;
pub(crate) mod debug;
pub(crate) mod generate;
pub(crate) mod manage;
pub(crate) mod messaging;
pub(crate) mod output;
pub(crate) mod service;
pub(crate) mod skrouterd;
pub(crate) mod stat;
pub(crate) mod status;
pub(crate) mod top;
pub(crate) mod trace;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};
use router_core::config::Flag;

/// What `--version` and `skrouterd -v` print.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// A Virtual Application Network in one binary: applications reach each other by address, not by IP.
#[derive(Debug, Parser)]
#[command(
    name = "spanway",
    version = VERSION,
    styles = STYLES,
    arg_required_else_help = true,
    after_help = "Start with `spanway demo`; or with `spanway run`, and then `spanway recv greetings`, `spanway send greetings hello` and `spanway stat`.\n\
                  Exit status: 0 when all went well, 1 when something failed, 2 for mistakes in the command line."
)]
pub(crate) struct Cli {
    /// What to log.
    #[command(flatten)]
    pub(crate) log: LogArgs,

    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to log, for all commands.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Logging")]
pub(crate) struct LogArgs {
    /// How log lines look
    #[arg(long, global = true, value_enum, default_value_t, env = "SPANWAY_LOG_FORMAT", value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,

    /// What is logged: a level (`debug`, `info`, `warning`, `error`), or MODULE=LEVEL for a part of the router, such as
    /// TCP_ADAPTOR=debug; repeatable, and stronger than `log` entities of the configuration file
    #[arg(long = "log", global = true, env = "SPANWAY_LOG", value_name = "[MODULE=]LEVEL", value_delimiter = ',')]
    pub(crate) log_levels: Vec<LogLevel>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    #[default]
    Text,
    /// A JSON object per line
    Json,
    /// As skrouterd writes it
    Skrouterd,
}

/// `LEVEL` or `MODULE=LEVEL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogLevel {
    /// The module it is for.
    pub(crate) module: router_core::entity::LogModule,
    /// The `enable` attribute for that module.
    pub(crate) enable: String,
}

impl std::str::FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        use router_core::entity::{LogModule, nearest};
        let (module, level) = text.split_once('=').unwrap_or(("DEFAULT", text));
        let module = module.to_ascii_uppercase();
        let known = LogModule::from_tag(&module).ok_or_else(|| {
            let near = nearest(&module, LogModule::TAGS.iter().copied());
            match near {
                Some(near) => format!("unknown module `{module}`; did you mean `{near}`?"),
                None => format!("unknown module `{module}`; there are {}", LogModule::TAGS.join(", ")),
            }
        })?;
        // One level means that level and all above; whoever wants less can write a list of the reference's.
        let enable = if level.ends_with('+') || level == "none" { level.to_owned() } else { format!("{level}+") };
        router_core::config::levels::LevelSet::parse(&enable)?;
        Ok(Self { module: known, enable })
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a router
    ///
    /// Without a file, the router is standalone, takes AMQP on 127.0.0.1:5672 and answers probes on 127.0.0.1:5680.
    /// Flags add to the file, or to these defaults: --listen and --admin replace the default of the same kind.
    ///
    /// Two routers make a network when one runs with --accept-links and the other with --link. Any number of edge routers hang on a router
    /// with --accept-edges, each with --edge-link: they know nothing of the network and cost it nothing. So that several can run on one
    /// machine, routers with links take the next free port where one of those defaults is taken.
    ///
    /// SIGTERM and SIGINT drain: addresses are withdrawn, work in flight may finish, then the router ends.
    Run(RunArgs),
    /// Send messages to an address
    Send(messaging::SendArgs),
    /// Receive messages from an address
    Recv(messaging::RecvArgs),
    /// Show a site on one screen, and what is wrong with it
    Status(status::StatusArgs),
    /// Show what a router does: connections, links, addresses, counters
    Stat(stat::StatArgs),
    /// Show and change what a router has: listeners, connectors, addresses, logs, ...
    Manage(manage::ManageArgs),
    /// Watch a network live: routers, links and addresses with their rates, slowest first
    Top(top::TopArgs),
    /// Find out why messages do not arrive: goes their way step by step, and says what to do
    Check(check::CheckArgs),
    /// Show the hops that deliveries to an address take, how long each takes, and where its consumers are
    Trace(trace::TraceArgs),
    /// Collect what is needed to find a fault
    Debug(debug::DebugArgs),
    /// Print a script that completes command lines of spanway in a shell
    Completions(generate::CompletionsArgs),
    /// Write manual pages
    Man(generate::ManArgs),
    /// Show the services of the network, and where they are exposed and wanted
    Service(service::ServiceArgs),
    /// Run a small network on this machine to play with, and say what to try
    ///
    /// Three sites with a router each, a web server that only one of them knows, and receivers in two. It uses free ports, leaves routers
    /// that run alone, tells what happens in the network, and ends with Ctrl-C.
    Demo,
    /// Run a router with skrouterd's command line; also when started under the name `skrouterd`
    #[command(disable_help_flag = true, disable_version_flag = true)]
    Skrouterd {
        /// skrouterd's options; -h shows them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
        arguments: Vec<std::ffi::OsString>,
    },
}

/// Options of `spanway run`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "Examples:\n  \
        spanway run\n  \
        spanway run -c router.yaml\n  \
        spanway run --listen amqp://0.0.0.0:5672 --id A\n  \
        spanway run --accept-links 127.0.0.1:55671\n  \
        spanway run --link 127.0.0.1:55671\n  \
        spanway run --edge-link 127.0.0.1:45671\n  \
        spanway run --tcp-listener db=127.0.0.1:15432 --tcp-connector db=10.0.0.7:5432\n  \
        spanway run --listen amqps://0.0.0.0:5671 --cert tls.crt --key tls.key\n  \
        spanway run -c skrouterd.json --check\n\n\
        Files may be YAML (.yaml, .yml), the JSON of Skupper's controller (.json), or the text of skrouterd.conf (all others).\n\
        docs/reference/entities.md lists everything that can be set.")]
pub(crate) struct RunArgs {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", env = "SPANWAY_CONFIG")]
    pub(crate) config: Option<String>,

    /// The router's name in its network
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,

    /// standalone, interior or edge [default: standalone, or what the links need]
    #[arg(long, value_name = "MODE")]
    pub(crate) mode: Option<String>,

    /// How many worker threads carry traffic [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,

    /// Take AMQP connections: amqp://HOST:PORT, or amqps://HOST:PORT with --cert and --key; repeatable
    #[arg(long, value_name = "URL", value_parser = Flag::listen)]
    pub(crate) listen: Vec<Flag>,

    /// Take links of other routers, which makes this one a member of a network: HOST:PORT, or amqps://HOST:PORT with --cert,
    /// --key and --ca, over which they have to show a certificate; repeatable [default port: 55671]
    #[arg(long, value_name = "HOST:PORT", value_parser = Flag::accept_links)]
    pub(crate) accept_links: Vec<Flag>,

    /// Link to another router, which makes this one a member of its network: HOST:PORT, or amqps://HOST:PORT with --cert, --key
    /// and --ca; repeatable [default port: 55671]
    #[arg(long, value_name = "HOST:PORT", value_parser = Flag::link)]
    pub(crate) link: Vec<Flag>,

    /// Take links of edge routers, for which this one is the way into the network: HOST:PORT, or amqps://HOST:PORT as above;
    /// repeatable [default port: 45671]
    #[arg(long, value_name = "HOST:PORT", value_parser = Flag::accept_edges)]
    pub(crate) accept_edges: Vec<Flag>,

    /// Be an edge router: link to an interior router that takes edges. Given several times, one link is used and the others stand by:
    /// HOST:PORT, or amqps://HOST:PORT as above [default port: 45671]
    #[arg(long, value_name = "HOST:PORT", value_parser = Flag::edge_link)]
    pub(crate) edge_link: Vec<Flag>,

    /// Take TCP connections for an address: ADDRESS=HOST:PORT; repeatable
    #[arg(long, value_name = "ADDRESS=HOST:PORT", value_parser = Flag::tcp_listener)]
    pub(crate) tcp_listener: Vec<Flag>,

    /// Serve an address by a TCP server: ADDRESS=HOST:PORT; repeatable
    #[arg(long, value_name = "ADDRESS=HOST:PORT", value_parser = Flag::tcp_connector)]
    pub(crate) tcp_connector: Vec<Flag>,

    /// Answer /livez, /readyz, /metrics and /topology: HOST:PORT; repeatable
    #[arg(long, value_name = "HOST:PORT", value_parser = Flag::admin)]
    pub(crate) admin: Vec<Flag>,

    /// Push metrics and spans to an OpenTelemetry collector, with OTLP over HTTP: http://HOST:PORT or https://HOST:PORT. The environment variable
    /// OTEL_EXPORTER_OTLP_ENDPOINT says the same; docs/telemetry.md tells about others
    #[arg(long, value_name = "URL", value_parser = Flag::otlp)]
    pub(crate) otlp: Option<Flag>,

    /// The certificate chain (PEM) for amqps:// listeners and links
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<String>,

    /// The private key (PEM) for --cert
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<String>,

    /// Certificates (PEM) of the authorities whose clients are trusted by amqps:// listeners, and other routers by links
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) ca: Option<String>,

    /// End when the standard input does, as those do that are started by another program and must not outlive it
    #[arg(long, hide = true)]
    pub(crate) until_stdin_ends: bool,

    /// Check the configuration, say what is wrong with it, and end
    #[arg(long)]
    pub(crate) check: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn mistakes_in_values_are_explained() {
        let error = Cli::try_parse_from(["spanway", "run", "--tcp-listener", "db"]).map(|_| ()).expect_err("no target");
        assert!(error.to_string().contains("expected ADDRESS=HOST:PORT"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn options_of_skrouterd_pass_through() {
        let cli =
            Cli::try_parse_from(["spanway", "skrouterd", "-c", "x", "-h", "--version"]).expect("all are skrouterd's");
        let Command::Skrouterd { arguments } = cli.command else { panic!("{cli:?}") };
        assert_eq!(arguments, ["-c", "x", "-h", "--version"]);
    }
}
