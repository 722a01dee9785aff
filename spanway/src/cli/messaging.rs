//! Options of `spanway send` and `spanway recv`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::error::ErrorKind;

use crate::client::input::What;
use crate::client::url::Url;
use crate::client::writer::Place;

/// How to reach a router.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectArgs {
    /// The router: amqp://HOST:PORT, amqps://HOST:PORT, or either with USER:PASSWORD@ before the host
    #[arg(
        short,
        long,
        env = "SPANWAY_URL",
        hide_env_values = true,
        default_value = "amqp://127.0.0.1:5672",
        value_name = "URL"
    )]
    pub(crate) url: Url,

    /// Certificates (PEM) of the authorities that may vouch for the router [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,

    /// The certificate chain (PEM) to show to the router
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,

    /// The private key (PEM) for --cert
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// Take the router's certificate for whatever host it names
    #[arg(long)]
    pub(crate) no_verify_hostname: bool,

    /// Give up when nothing happened for this long, such as 10s or 500ms [default: wait for ever]
    #[arg(short, long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) timeout: Option<Duration>,
}

/// Options of `spanway send`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    spanway send greetings hello\n  \
    date | spanway send log -\n  \
    spanway send backups --file disk.img\n  \
    spanway send work '{}' --count 100000 --rate 5000 --summary\n\n\
    Texts are sent as AMQP strings, files and `-` as data.\n\
    Exit status: 0 when all messages were accepted (with --presettled: sent), 1 when not, 2 for mistakes in the command line.")]
pub(crate) struct SendArgs {
    /// The address to send to
    pub(crate) address: String,

    /// The body; `-` reads it from the standard input. Without a body and --file, each line of the standard input is a message
    #[arg(conflicts_with = "file")]
    pub(crate) body: Option<String>,

    /// Send a file of any size as one message, streamed
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// How often to send it
    #[arg(short = 'n', long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: u64,

    /// At most so many messages a second
    #[arg(long, value_name = "N", value_parser = parse_rate)]
    pub(crate) rate: Option<f64>,

    /// Send settled: faster, and nobody learns what became of the messages
    #[arg(long)]
    pub(crate) presettled: bool,

    /// Send durable messages
    #[arg(long)]
    pub(crate) durable: bool,

    /// The priority in the header, 0 to 9
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=9))]
    pub(crate) priority: Option<u8>,

    /// Print rate, latencies and outcomes at the end, on the standard error
    #[arg(long)]
    pub(crate) summary: bool,

    /// Print nothing but errors
    #[arg(short, long, conflicts_with = "summary")]
    pub(crate) quiet: bool,

    /// How to reach a router.
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// Options of `spanway recv`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    spanway recv greetings\n  \
    spanway recv log --count 1\n  \
    spanway recv backups --count 1 --file disk.img\n  \
    spanway recv work --count 100000 --quiet --summary\n\n\
    A message is accepted when it was written. Ctrl-C ends in order.\n\
    Exit status: 0 when all went well, 1 when something failed or --count was not reached (without --count: when --timeout ended it \
    before the first message), 2 for mistakes in the command line.")]
pub(crate) struct RecvArgs {
    /// The address to receive from
    pub(crate) address: String,

    /// End after so many messages [default: never]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// Write bodies to a file as they are, streamed, instead of printing a line for each; `-` is the standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// How many messages may be under way to us
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) credit: u32,

    /// Print rate and latencies at the end, on the standard error; latencies are fine-grained if `send` has --summary, too
    #[arg(long)]
    pub(crate) summary: bool,

    /// Do not print messages
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// How to reach a router.
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

impl ConnectArgs {
    /// What `clap` cannot check by itself.
    fn check(&self) -> Result<(), String> {
        let tls = [
            (self.ca.is_some(), "--ca"),
            (self.cert.is_some(), "--cert"),
            (self.no_verify_hostname, "--no-verify-hostname"),
        ];
        match tls.iter().find(|(given, _)| *given && !self.url.tls) {
            Some((_, option)) => Err(format!("{option} needs an encrypted connection: --url amqps://HOST:PORT")),
            None => Ok(()),
        }
    }

    /// Ends the program, with the status for mistakes in the command line, if the options do not fit each other.
    pub(crate) fn check_or_exit(&self) {
        if let Err(message) = self.check() {
            use clap::CommandFactory as _;
            crate::cli::Cli::command().error(ErrorKind::ArgumentConflict, message).exit();
        }
    }
}

impl SendArgs {
    /// What to send.
    pub(crate) fn what(&self) -> What {
        match (&self.file, self.body.as_deref()) {
            (Some(file), _) => What::File(file.clone()),
            (None, Some("-")) => What::Stdin,
            (None, Some(text)) => What::Text(text.to_owned()),
            (None, None) => What::Lines,
        }
    }
}

impl RecvArgs {
    /// Where bodies go; `None`: nowhere.
    pub(crate) fn place(&self) -> Option<Place> {
        match &self.file {
            Some(path) if path.as_os_str() == "-" => Some(Place::Stdout),
            Some(path) => Some(Place::File(path.clone())),
            None if self.quiet => None,
            None => Some(Place::Lines),
        }
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate: &f64| rate.is_finite() && *rate > 0.0)
        .ok_or_else(|| "expected a number above 0".to_owned())
}

/// Reads `500ms`, `10s`, `2m`, `1h`; a bare number means seconds.
fn parse_time(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let factor = match text.get(digits.len()..).unwrap_or_default() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("expected a time such as 500ms, 10s, 2m or 1h".to_owned()),
    };
    let number: f64 = digits.parse().map_err(|_| "expected a time such as 500ms, 10s, 2m or 1h".to_owned())?;
    Duration::try_from_secs_f64(number * factor).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
