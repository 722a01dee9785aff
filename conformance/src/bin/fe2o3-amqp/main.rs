//! Conformance client on fe2o3-amqp. See clients/README.md for commands and output.

mod values;

use std::collections::HashMap;
use std::sync::Arc;

use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::link::delivery::Delivery;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::types::definitions::{Error, ErrorCondition, ReceiverSettleMode, SenderSettleMode};
use fe2o3_amqp::types::messaging::{
    AmqpValue, Body, Message, MessageId, Modified, Outcome, Properties, Source, Target,
};
use fe2o3_amqp::types::primitives::{Symbol, Value};
use fe2o3_amqp::{Connection, Receiver, Sendable, Sender, Session};
use serde_json::json;
use tokio::net::TcpStream;

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

struct Args(HashMap<String, String>);

impl Args {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
    fn text(&self, key: &str) -> &str {
        self.get(key).unwrap_or_default()
    }
    fn number(&self, key: &str, otherwise: usize) -> usize {
        self.get(key).map_or(otherwise, |text| text.parse().unwrap())
    }
    fn count(&self) -> usize {
        self.number("count", 1)
    }
    fn address(&self) -> &str {
        self.text("address")
    }
}

fn say(line: &serde_json::Value) {
    println!("{line}");
}

fn tls(args: &Args) -> Result<tokio_rustls::TlsConnector> {
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(args.text("ca"))? {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = match args.get("cert") {
        Some(cert) => {
            let chain = CertificateDer::pem_file_iter(cert)?.collect::<Result<Vec<_>, _>>()?;
            config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(args.text("key"))?)?
        }
        None => config.with_no_client_auth(),
    };
    Ok(Arc::new(config).into())
}

async fn connect(args: &Args) -> Result<(ConnectionHandle<()>, SessionHandle<()>)> {
    let host = args.get("host").unwrap_or("127.0.0.1");
    let stream = TcpStream::connect((host, args.text("port").parse::<u16>()?)).await?;
    let builder = Connection::builder().container_id("fe2o3").hostname(host);
    let mut connection = if args.get("tls").is_some() {
        let profile = if args.get("cert").is_some() { SaslProfile::External } else { SaslProfile::Anonymous };
        // TLS from the first byte, without AMQP's own TLS header.
        let builder = builder.scheme("amqps").domain(host).alt_tls_establishment(true).sasl_profile(profile);
        builder.tls_connector(tls(args)?).open_with_stream(stream).await?
    } else {
        builder.scheme("amqp").sasl_profile(SaslProfile::Anonymous).open_with_stream(stream).await?
    };
    let session = Session::begin(&mut connection).await?;
    Ok((connection, session))
}

/// What a command did is known by now. fe2o3-amqp 0.18 answers a flow of the router (the drain when the last consumer
/// went) even after it sent its own detach or end, which then ends the session with an error.
fn gone<E>(_: Result<(), E>) {}

async fn sender(session: &mut SessionHandle<()>, target: Option<&str>) -> Result<Sender> {
    let mut to = Target::builder();
    if let Some(address) = target {
        to = to.address(address);
    }
    let builder = Sender::builder().name(format!("sender-{}", std::process::id())).source("client");
    Ok(builder.target(to.build()).sender_settle_mode(SenderSettleMode::Mixed).attach(session).await?)
}

async fn receiver(session: &mut SessionHandle<()>, source: Source, credit: CreditMode) -> Result<Receiver> {
    let builder = Receiver::builder().name(format!("receiver-{}", std::process::id())).source(source);
    Ok(builder.receiver_settle_mode(ReceiverSettleMode::First).credit_mode(credit).attach(session).await?)
}

async fn ready(session: &mut SessionHandle<()>, args: &Args, credit: CreditMode) -> Result<Receiver> {
    let receiver = receiver(session, Source::builder().address(args.address()).build(), credit).await?;
    say(&json!({ "ready": true }));
    Ok(receiver)
}

fn text(delivery: &Delivery<Body<Value>>) -> Result<&str> {
    match delivery.body() {
        Body::Value(AmqpValue(Value::String(text))) => Ok(text),
        other => Err(format!("not a text: {other:?}").into()),
    }
}

fn message(text: impl Into<String>) -> Message<AmqpValue<Value>> {
    Message::builder().value(Value::String(text.into())).build()
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted(_) => "accepted".into(),
        Outcome::Released(_) => "released".into(),
        Outcome::Rejected(rejected) => match &rejected.error {
            Some(error) => {
                let condition = match &error.condition {
                    ErrorCondition::Custom(name) => name.to_string(),
                    other => format!("{other:?}"),
                };
                format!("rejected:{condition}:{}", error.description.as_deref().unwrap_or_default())
            }
            None => "rejected".into(),
        },
        Outcome::Modified(modified) => format!(
            "modified:failed={}:undeliverable={}",
            modified.delivery_failed.unwrap_or_default(),
            modified.undeliverable_here.unwrap_or_default()
        ),
        #[allow(unreachable_patterns, reason = "only with the library's transaction feature")]
        _ => "unknown".into(),
    }
}

async fn send(session: &mut SessionHandle<()>, args: &Args) -> Result<()> {
    let to: Vec<&str> = args.get("to").map(|to| to.split(',').collect()).unwrap_or_default();
    let settled = args.get("settled").is_some();
    let target = to.is_empty().then(|| args.address());
    let mut sender = sender(session, target).await?;
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut waiting = Vec::new();
    for i in 0..args.count() {
        let mut body = format!("m-{i}");
        while body.len() < args.number("size", 0) {
            body.push('.');
        }
        let mut message = message(body);
        if !to.is_empty() {
            message.properties = Some(Properties { to: Some(to[i % to.len()].into()), ..Properties::default() });
        }
        let sendable = Sendable::builder().message(message).settled(settled).build();
        waiting.push(sender.send_batchable(sendable).await?);
    }
    for one in waiting {
        let name = outcome(&one.await?);
        *seen.entry(name.split(':').next().unwrap_or_default().to_owned()).or_default() += 1;
    }
    let count = |name: &str| seen.get(name).copied().unwrap_or(0);
    say(&json!({
        "sent": args.count(), "accepted": count("accepted"), "rejected": count("rejected"),
        "released": count("released"), "modified": count("modified"),
    }));
    gone(sender.close().await);
    Ok(())
}

async fn recv(session: &mut SessionHandle<()>, args: &Args) -> Result<()> {
    let mut receiver = ready(session, args, CreditMode::Auto(100)).await?;
    let (mut ordered, mut bytes) = (true, 0);
    for i in 0..args.count() {
        let delivery = receiver.recv::<Body<Value>>().await?;
        let body = text(&delivery)?;
        ordered &= body.trim_end_matches('.') == format!("m-{i}");
        bytes += body.len();
        receiver.accept(&delivery).await?;
    }
    say(&json!({ "received": args.count(), "ordered": ordered, "bytes": bytes }));
    gone(receiver.close().await);
    Ok(())
}

async fn request(session: &mut SessionHandle<()>, args: &Args) -> Result<()> {
    let mut sender = sender(session, Some(args.address())).await?;
    let source = Source::builder().dynamic(true).build();
    let mut receiver = receiver(session, source, CreditMode::Auto(10)).await?;
    let reply_to = receiver.source().as_ref().and_then(|source| source.address.clone()).ok_or("no dynamic address")?;
    for i in 0..args.count() {
        let mut request = message(format!("q-{i}"));
        request.properties = Some(Properties {
            reply_to: Some(reply_to.clone()),
            correlation_id: Some(MessageId::Ulong(i as u64)),
            ..Properties::default()
        });
        sender.send(Sendable::from(request)).await?;
        let reply = receiver.recv::<Body<Value>>().await?;
        let id = reply.message().properties.as_ref().and_then(|properties| properties.correlation_id.clone());
        if text(&reply)? != format!("q-{i}!") || id != Some(MessageId::Ulong(i as u64)) {
            return Err(format!("reply {:?} to {id:?}", reply.body()).into());
        }
        receiver.accept(&reply).await?;
    }
    say(&json!({ "replies": args.count(), "reply_to": reply_to }));
    gone(receiver.close().await);
    gone(sender.close().await);
    Ok(())
}

async fn respond(session: &mut SessionHandle<()>, args: &Args) -> Result<()> {
    let mut sender = sender(session, None).await?;
    let mut receiver = ready(session, args, CreditMode::Auto(10)).await?;
    for _ in 0..args.count() {
        let request = receiver.recv::<Body<Value>>().await?;
        let asked = request.message().properties.clone().ok_or("a request without properties")?;
        let mut reply = message(format!("{}!", text(&request)?));
        reply.properties =
            Some(Properties { to: asked.reply_to, correlation_id: asked.correlation_id, ..Properties::default() });
        receiver.accept(&request).await?;
        sender.send(Sendable::from(reply)).await?;
    }
    say(&json!({ "answered": args.count() }));
    gone(receiver.close().await);
    gone(sender.close().await);
    Ok(())
}

async fn outcomes_send(session: &mut SessionHandle<()>, args: &Args) -> Result<()> {
    let mut sender = sender(session, Some(args.address())).await?;
    let mut seen = serde_json::Map::new();
    for name in ["accept", "reject", "release", "modify"] {
        let got = sender.send(Sendable::from(message(name))).await?;
        seen.insert(name.to_owned(), outcome(&got).into());
    }
    say(&json!({ "outcomes": seen }));
    gone(sender.close().await);
    Ok(())
}

async fn outcomes_recv(session: &mut SessionHandle<()>, args: &Args) -> Result<()> {
    let mut receiver = ready(session, args, CreditMode::Auto(10)).await?;
    for _ in 0..4 {
        let delivery = receiver.recv::<Body<Value>>().await?;
        match text(&delivery)? {
            "accept" => receiver.accept(&delivery).await?,
            "reject" => {
                let condition = ErrorCondition::Custom(Symbol::from("test:rejected"));
                let error = Error { condition, description: Some("as told".to_owned()), info: None };
                receiver.reject(&delivery, error).await?;
            }
            "release" => receiver.release(&delivery).await?,
            _ => {
                let modified =
                    Modified { delivery_failed: Some(true), undeliverable_here: Some(true), message_annotations: None };
                receiver.modify(&delivery, modified).await?;
            }
        }
    }
    say(&json!({ "handled": 4 }));
    gone(receiver.close().await);
    Ok(())
}

async fn types_send(session: &mut SessionHandle<()>, args: &Args) -> Result<()> {
    let mut sender = sender(session, Some(args.address())).await?;
    for (name, message) in values::matrix(args.text("cases"))? {
        if args.text("skip").split(',').any(|skip| skip == name) {
            continue;
        }
        say(&json!({ "sent": name }));
        let got = outcome(&sender.send(Sendable::from(message)).await?);
        if got != "accepted" {
            return Err(format!("{name}: {got}").into());
        }
    }
    say(&json!({ "done": true }));
    gone(sender.close().await);
    Ok(())
}

async fn types_recv(session: &mut SessionHandle<()>, args: &Args) -> Result<()> {
    let mut receiver = ready(session, args, CreditMode::Auto(10)).await?;
    for _ in 0..args.count() {
        let delivery = receiver.recv::<Body<Value>>().await?;
        say(&values::describe(delivery.message()));
        receiver.accept(&delivery).await?;
    }
    say(&json!({ "done": true }));
    gone(receiver.close().await);
    Ok(())
}

async fn run(command: &str, args: &Args) -> Result<()> {
    let (mut connection, mut session) = connect(args).await?;
    let session = &mut session;
    match command {
        "send" => send(session, args).await?,
        "recv" => recv(session, args).await?,
        "request" => request(session, args).await?,
        "respond" => respond(session, args).await?,
        "outcomes-send" => outcomes_send(session, args).await?,
        "outcomes-recv" => outcomes_recv(session, args).await?,
        "types-send" => types_send(session, args).await?,
        "types-recv" => types_recv(session, args).await?,
        _ => return Err("unknown command".into()),
    }
    gone(session.end().await);
    gone(connection.close().await);
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut all = std::env::args().skip(1);
    let command = all.next().unwrap_or_default();
    let pairs = all.filter_map(|arg| arg.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())));
    if let Err(error) = run(&command, &Args(pairs.collect())).await {
        say(&json!({ "error": error.to_string() }));
        std::process::exit(1);
    }
}
