//! From a connection to an open one, and to a link.

use std::time::{Duration, Instant};

use amqp_proto::connection::{Event, LinkId};
use amqp_proto::{Attach, Open, Role, Source, SourceTerminus, Str, Target, TargetTerminus};
use transport::Stream;

use super::path::{bracketed, refused, speaks_tls};
use super::report::{Fault, Report};
use super::{LIMIT, deadline};
use crate::cli::messaging::ConnectArgs;
use crate::client::Client;

/// For how long a router with a consumer may take to give credit: it asks others only when it has to.
const CREDIT: Duration = Duration::from_millis(1500);

/// Authenticates and opens.
pub(super) async fn open(args: &ConnectArgs, stream: Stream, report: &mut Report) -> Result<Client, Fault> {
    report.begin("SASL");
    let mut client = Client::start(args, "check", stream);
    let mut authenticated = false;
    let mut opened: Option<Box<Open>> = None;
    let until = deadline(args.timeout);
    client.write();
    while opened.is_none() {
        let read = client.read(|_, event, _| {
            match event {
                Event::Authenticated => authenticated = true,
                Event::Opened(open) => opened = Some(open),
                _ => {}
            }
            Ok(())
        });
        if authenticated && report.step() == Some("SASL") {
            report.ok(mechanism(args));
            report.begin("AMQP");
        }
        if let Err(error) = read {
            return Err(failed(args, &format!("{error:#}"), report).await);
        }
        if opened.is_none() {
            client.write();
            if tokio::time::timeout_at(until, client.ready()).await.is_err() {
                return Err(silent(args, authenticated).await);
            }
        }
    }
    // A router that refuses a client opens first, and says why in its close.
    client.write();
    if client.engine.is_closed() {
        return Err(Fault::new(format!("{} closed the connection", args.url), "the router's log says why"));
    }
    let Some(open) = opened else { return Err(silent(args, authenticated).await) };
    report.ok(in_words(&open));
    report.begin("version");
    version(&open, report);
    Ok(client)
}

fn mechanism(args: &ConnectArgs) -> String {
    match (&args.url.user, &args.cert) {
        (Some((user, _)), _) => format!("PLAIN as {user}"),
        (None, Some(_)) => "EXTERNAL with the certificate".to_owned(),
        (None, None) => "ANONYMOUS".to_owned(),
    }
}

fn in_words(open: &Open) -> String {
    let idle = open.idle_time_out.map_or_else(|| "no".to_owned(), |millis| format!("{:.0} s", f64::from(millis) / 1e3));
    format!(
        "open with container {}, frames up to {} bytes, {idle} idle timeout",
        open.container_id, open.max_frame_size
    )
}

/// What the peer says it is.
fn version(open: &Open, report: &mut Report) {
    let text = |key: &str| {
        let value = open.properties.as_ref()?.get(key)?.to_value().ok()?;
        value.as_str().map(str::to_owned)
    };
    match (text("product"), text("version")) {
        (Some(product), Some(version)) if product == "spanway" && version != crate::cli::VERSION => {
            report.ok(format!("{product} {version}; this program is {}", crate::cli::VERSION))
        }
        (Some(product), version) => {
            report.ok(format!("{product} {}", version.unwrap_or_default()).trim_end().to_owned())
        }
        (None, _) => report.skip("the peer does not say what it is"),
    }
}

/// The connection ended before it was open.
async fn failed(args: &ConnectArgs, text: &str, report: &mut Report) -> Fault {
    if let Some((_, offered)) = text.split_once("offers SASL ") {
        let offered = offered.split(", not ").next().unwrap_or_default();
        let mut ways = Vec::new();
        if offered.contains("PLAIN") {
            ways.push("a user and password: --url amqps://USER:PASSWORD@HOST");
        }
        if offered.contains("EXTERNAL") {
            ways.push("a certificate: --cert FILE --key FILE");
        }
        if offered.contains("ANONYMOUS") {
            ways.push("nothing: leave USER:PASSWORD, --cert and --key out");
        }
        let remedy = match ways.is_empty() {
            true => "the listener offers nothing that this program can do: look at its saslMechanisms".to_owned(),
            false => format!("the listener takes {}", ways.join(", or ")),
        };
        return Fault::new(format!("the router offers SASL {offered}, and {} was tried", mechanism(args)), remedy);
    }
    if text.contains("Authentication failed") {
        let remedy = match &args.url.user {
            Some((user, _)) => format!(
                "is the password of {user} right, and is {user} a user of this router? A `%` in it is written %25, a `@` %40"
            ),
            None => "is the certificate one that the router accepts?".to_owned(),
        };
        return Fault::new(format!("the router does not take {}", mechanism(args)), remedy);
    }
    if text.contains("alert") {
        report.begin("TLS");
        return refused(args, text);
    }
    if text.contains("closed the connection") {
        return closed(args, text);
    }
    not_amqp(args, text).await
}

fn closed(args: &ConnectArgs, text: &str) -> Fault {
    let remedy = if text.contains("unencrypted") {
        format!("the port wants TLS: use amqps://{}:{}", bracketed(&args.url.host), args.url.port)
    } else if text.contains("unauthorized") || text.contains("not-allowed") || text.contains("policy") {
        "the router's policy does not let us in: give the user (or certificate) the right to connect there".to_owned()
    } else if text.contains("resource-limit") {
        "the router has as many connections as it takes: close some, or raise its limits".to_owned()
    } else {
        "is this a port for clients? A listener's `role` has to be `normal`. The router's log says more".to_owned()
    };
    Fault::new(text, remedy)
}

/// What is there does not speak AMQP as we do.
async fn not_amqp(args: &ConnectArgs, text: &str) -> Fault {
    if !args.url.tls
        && let Some(certificate) = speaks_tls(args).await
    {
        return Fault::new(
            format!("{} speaks TLS, with the certificate of {}", args.url, certificate.subject),
            format!(
                "use amqps://{}:{}, with --ca FILE if its authority ({}) is none of the system's",
                bracketed(&args.url.host),
                args.url.port,
                certificate.issuer
            ),
        );
    }
    Fault::new(
        format!("what listens at {} does not speak AMQP 1.0: {text}", args.url),
        format!(
            "is {} the port of a router's listener? `ss -tlnp` on that machine shows which program listens there",
            args.url.port
        ),
    )
}

async fn silent(args: &ConnectArgs, authenticated: bool) -> Fault {
    if authenticated {
        return Fault::new(
            format!("{} took the credentials, and then did not open the connection", args.url),
            "the router is stuck or very busy: look at its log and its CPU",
        );
    }
    not_amqp(args, "it took the connection and does not answer").await
}

/// Attaches a sender to an address, sees whether it gets credit, and takes it away again.
pub(super) async fn may_send(client: &mut Client, args: &ConnectArgs, address: &str) -> Result<String, Fault> {
    let lost = |error: &dyn std::fmt::Display| Fault::new(error.to_string(), "the router's log says why");
    let session = client.engine.begin().map_err(|error| lost(&error))?;
    let attach = Attach {
        name: Str::from("spanway-check"),
        role: Role::Sender,
        source: Some(SourceTerminus::from(Source::default())),
        target: Some(TargetTerminus::from(Target { address: Some(address.into()), ..Target::default() })),
        ..Attach::default()
    };
    let link = client.engine.attach(session, attach, 0).map_err(|error| lost(&error))?;
    let mut probe = Probe { link, attached: false, ended: None };
    let until = deadline(args.timeout);
    if !probe.drive(client, until, |probe, _| probe.attached || probe.ended.is_some()).await.map_err(|e| lost(&e))? {
        return Err(Fault::new(
            format!("the router did not answer the attach to {address} within {:?}", args.timeout.unwrap_or(LIMIT)),
            "the router is stuck or very busy: look at its log and its CPU",
        ));
    }
    let until = (Instant::now() + CREDIT).into();
    // A refusal may come right after an attach that promised nothing.
    let credit = |probe: &Probe, client: &Client| client.engine.link_credit(link) > 0 || probe.ended.is_some();
    let _ = probe.drive(client, until, credit).await.map_err(|e| lost(&e))?;
    if let Some(error) = probe.ended {
        return Err(Fault::new(
            format!("the router does not let us send to {address}: {error}"),
            format!(
                "ask for the right to send to {address} for {}, or use an address that may be used; `unavailable` addresses refuse everybody",
                mechanism(args)
            ),
        ));
    }
    let credit = client.engine.link_credit(link);
    client.engine.detach(link, true, None);
    client.write();
    Ok(match credit {
        0 => "may send, but gets no credit".to_owned(),
        credit => format!("may send, with a credit of {credit}"),
    })
}

/// A link that is only there to see what the router says.
struct Probe {
    link: LinkId,
    attached: bool,
    ended: Option<String>,
}

impl Probe {
    async fn drive(
        &mut self,
        client: &mut Client,
        until: tokio::time::Instant,
        done: impl Fn(&Self, &Client) -> bool,
    ) -> anyhow::Result<bool> {
        loop {
            client.read(|_, event, _| {
                match event {
                    Event::Attached(attached) if attached.link == self.link => {
                        self.attached = attached.attach.target.is_some();
                    }
                    Event::Detached { link, error, .. } if link == self.link => {
                        self.ended =
                            Some(error.map_or_else(|| "without a reason".to_owned(), |error| error.to_string()));
                    }
                    _ => {}
                }
                Ok(())
            })?;
            client.write();
            if done(self, client) {
                return Ok(true);
            }
            if tokio::time::timeout_at(until, client.ready()).await.is_err() {
                return Ok(false);
            }
        }
    }
}
