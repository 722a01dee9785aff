//! From the command line to an open connection, and what to do where that fails.

use std::io::ErrorKind;
use std::sync::{Arc, Once};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use amqp_proto::Str;
use amqp_proto::connection::{ClientSasl, Config, Connection, Event, Side};
use anyhow::{Context as _, Result, anyhow, bail};
use transport::Stream;
use transport::socket::{ConnectError, ConnectOptions, TcpOptions, connect};
use transport::stream::PlainStream;
use transport::tls::{ClientOptions, HandshakeError, SslProfileSettings, TlsClient, TlsProfile};

use super::Client;
use super::report::note;
use crate::cli::messaging::ConnectArgs;

/// How long the router may take until the connection is open, unless --timeout says something else.
const LIMIT: Duration = Duration::from_secs(10);
/// Larger frames than most: fewer of them for large messages.
const FRAME: u32 = 64 * 1024;

impl Client {
    /// Connects, authenticates and opens. `command` becomes part of the container's name.
    ///
    /// # Errors
    /// What failed and what can be done about it.
    pub(crate) async fn connect(args: &ConnectArgs, command: &str) -> Result<Self> {
        let limit = args.timeout.unwrap_or(LIMIT);
        let deadline = Instant::now() + limit;
        let url = &args.url;
        let silent =
            || anyhow!("{url} accepted the connection but does not answer: is it an AMQP router?{}", tls_hint(args));
        let options = ConnectOptions { timeout: limit, tcp: TcpOptions::default(), ..ConnectOptions::default() };
        let socket = connect(&url.host, url.port, &options).await.map_err(|error| unreachable(args, error))?;
        let stream = if url.tls {
            tokio::time::timeout_at(deadline.into(), encrypt(args, socket)).await.map_err(|_| silent())??
        } else {
            Stream::from(socket)
        };
        let mut client = Self::start(args, command, stream);
        tokio::time::timeout_at(deadline.into(), client.open(args)).await.map_err(|_| silent())??;
        Ok(client)
    }

    /// The beginning of a connection over a stream: nothing was written or read.
    pub(crate) fn start(args: &ConnectArgs, command: &str, stream: Stream) -> Self {
        let config = Config {
            container_id: Str::from(container(command)),
            hostname: Some(Str::from(args.url.host.as_str())),
            max_frame_size: FRAME,
            ..Config::default()
        };
        let engine = Connection::new(config, Side::Client(sasl(args)), Instant::now());
        Self::new(engine, stream, args.url.to_string())
    }

    async fn open(&mut self, args: &ConnectArgs) -> Result<()> {
        let mut opened = false;
        self.write();
        while !opened {
            let read = self.read(|_, event, _| {
                opened |= matches!(event, Event::Opened(_));
                Ok(())
            });
            if let Err(error) = read {
                return Err(refused(args, error));
            }
            if !opened {
                self.write();
                self.ready().await;
            }
        }
        // A router that refuses a client opens first, and says why in its close.
        if self.engine.is_closed() {
            bail!("{} closed the connection", self.router);
        }
        Ok(())
    }
}

fn sasl(args: &ConnectArgs) -> ClientSasl {
    match &args.url.user {
        Some((username, password)) => {
            if !args.url.tls {
                // Once: who connects again may be drawing on the terminal.
                static WARNED: Once = Once::new();
                WARNED.call_once(|| {
                    note(format_args!(
                        "warning: the password goes to {} unencrypted; amqps:// would protect it",
                        args.url
                    ))
                });
            }
            ClientSasl::Plain { username: username.clone(), password: password.clone() }
        }
        None if args.cert.is_some() => ClientSasl::External { authzid: String::new() },
        None => ClientSasl::Anonymous,
    }
}

/// Unlike that of any other client: routers tell links apart by it.
fn container(command: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("spanway-{command}-{}-{:x}", std::process::id(), now.as_micros())
}

/// What --ca, --cert and --key ask for.
///
/// # Errors
/// A file cannot be used.
pub(crate) fn tls_client(args: &ConnectArgs) -> Result<Arc<TlsClient>> {
    let settings = SslProfileSettings {
        name: "command line".to_owned(),
        ca_cert_file: args.ca.clone(),
        cert_file: args.cert.clone(),
        private_key_file: args.key.clone(),
        ..SslProfileSettings::default()
    };
    let options = ClientOptions { verify_hostname: !args.no_verify_hostname, ..ClientOptions::default() };
    TlsProfile::load(&settings).and_then(|profile| profile.client(&options)).context("cannot use --ca, --cert or --key")
}

async fn encrypt(args: &ConnectArgs, socket: PlainStream) -> Result<Stream> {
    let tls = tls_client(args)?;
    tls.connect(&args.url.host, socket).await.map_err(|error| {
        let remedy = match &error {
            HandshakeError::Certificate(_) if args.ca.is_none() => {
                "; if its authority is not one of the system's, name it with --ca FILE"
            }
            HandshakeError::Certificate(_) => "; does --ca name its authority, and is the host the one that it names?",
            HandshakeError::Protocol(_) | HandshakeError::Closed | HandshakeError::Stream(_) => {
                "; does this port speak TLS? If not, use amqp://"
            }
            HandshakeError::NoCertificate | HandshakeError::Refused(_) if args.cert.is_none() => {
                "; it may want a certificate: --cert FILE --key FILE"
            }
            _ => "",
        };
        anyhow!("cannot connect to {}: {error}{remedy}", args.url)
    })
}

fn unreachable(args: &ConnectArgs, error: ConnectError) -> anyhow::Error {
    let url = &args.url;
    match &error {
        ConnectError::Refused { source, .. } if source.kind() == ErrorKind::ConnectionRefused => {
            anyhow!("cannot connect to {url}: connection refused; is a router running? Start one with `spanway run`")
        }
        ConnectError::Resolve { .. } => anyhow!("{error}; check the host in --url"),
        _ => anyhow!("{error}; check --url and the network"),
    }
}

fn tls_hint(args: &ConnectArgs) -> &'static str {
    if args.url.tls { "" } else { " If the port wants TLS, use amqps://" }
}

/// The connection ended before it was open.
fn refused(args: &ConnectArgs, error: anyhow::Error) -> anyhow::Error {
    let text = format!("{error:#}");
    let remedy = if text.contains("offers SASL") || text.contains("Authentication failed") {
        match (&args.url.user, &args.cert) {
            (Some(_), _) if text.contains("offers SASL") => {
                ": leave USER:PASSWORD out, or use a port that takes passwords"
            }
            (Some(_), _) => ": are user and password right?",
            (None, Some(_)) => ": is the certificate one that the router accepts?",
            (None, None) => ": give --url amqp://USER:PASSWORD@HOST, or --cert and --key",
        }
    } else if ["protocol header", "without", "was lost"].iter().any(|known| text.contains(known)) {
        if args.url.tls {
            ": is it an AMQP router?"
        } else {
            ": is it an AMQP router? If the port wants TLS, use amqps://"
        }
    } else {
        ""
    };
    anyhow!("{text}{remedy}")
}
