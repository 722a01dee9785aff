//! From the URL to an encrypted connection.

use std::io::ErrorKind;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use transport::Stream;
use transport::socket::{ConnectError, ConnectOptions, TcpOptions, connect};
use transport::stream::PlainStream;
use transport::tls::{CertificateFacts, HandshakeError, certificate_of};

use super::report::{Fault, Report};
use super::{LIMIT, deadline};
use crate::cli::messaging::ConnectArgs;
use crate::client::connect::tls_client;

/// A certificate of which less than this share of its life is left wants to be renewed.
const LATE: i64 = 10;

/// Asks for the addresses of the host.
pub(super) async fn resolve(args: &ConnectArgs) -> Result<String, Fault> {
    let host = &args.url.host;
    if host.parse::<std::net::IpAddr>().is_ok() {
        return Ok(format!("{host} is an address already"));
    }
    let lookup =
        tokio::time::timeout_at(deadline(args.timeout), tokio::net::lookup_host((host.as_str(), args.url.port)));
    let remedy = format!(
        "is {host} spelled right? Ask the system with `getent hosts {host}`; look at /etc/resolv.conf and /etc/hosts"
    );
    match lookup.await {
        Ok(Ok(found)) => {
            let mut found: Vec<String> = found.map(|place| place.ip().to_string()).collect();
            found.dedup();
            if found.is_empty() {
                return Err(Fault::new(format!("the name {host} has no address"), remedy));
            }
            Ok(format!("{host} is {}", found.join(", ")))
        }
        Ok(Err(error)) => Err(Fault::new(format!("the name {host} has no address: {error}"), remedy)),
        Err(_) => Err(Fault::new(
            format!("the name servers did not answer for {host}"),
            "can the name servers in /etc/resolv.conf be reached from here?",
        )),
    }
}

/// Connects.
pub(super) async fn tcp(args: &ConnectArgs) -> Result<(PlainStream, String), Fault> {
    match socket(args).await {
        Ok(socket) => {
            let peer = socket.peer_addr().map_or_else(|_| args.url.to_string(), |peer| peer.to_string());
            Ok((socket, format!("connected to {peer}")))
        }
        Err(error) => Err(unreachable(args, &error)),
    }
}

async fn socket(args: &ConnectArgs) -> Result<PlainStream, ConnectError> {
    let timeout = args.timeout.unwrap_or(LIMIT);
    let options = ConnectOptions { timeout, tcp: TcpOptions::default(), ..ConnectOptions::default() };
    connect(&args.url.host, args.url.port, &options).await
}

fn unreachable(args: &ConnectArgs, error: &ConnectError) -> Fault {
    let (host, port) = (&args.url.host, args.url.port);
    let remedy = match error {
        ConnectError::Refused { source, .. } if source.kind() == ErrorKind::ConnectionRefused => format!(
            "nothing listens on port {port} of {host}. Is the router running there (`spanway run`), and is this a port of its listeners \
            (`ss -tlnp` on that machine shows them)? A listener on 127.0.0.1 takes only programs of its own machine"
        ),
        ConnectError::TimedOut { .. } => format!(
            "{host} does not answer at all: is the machine up, and does no firewall or network policy drop what goes to port {port}?"
        ),
        _ => format!("is there a way from here to {host}? See `ip route get` with its address"),
    };
    Fault::new(error.to_string(), remedy)
}

/// Encrypts, if the URL asks for it.
pub(super) async fn tls(args: &ConnectArgs, socket: PlainStream, report: &mut Report) -> Result<Stream, Fault> {
    if !args.url.tls {
        report.skip("not asked for by amqp://");
        return Ok(Stream::from(socket));
    }
    let client = tls_client(args).map_err(|error| {
        Fault::new(format!("{error:#}"), "give PEM files that can be read to --ca, --cert and --key")
    })?;
    let handshake = tokio::time::timeout_at(deadline(args.timeout), client.connect(&args.url.host, socket));
    let error = match handshake.await {
        Ok(Ok(stream)) => {
            encrypted(args, &stream, report);
            return Ok(stream);
        }
        Ok(Err(error)) => error,
        Err(_) => {
            return Err(Fault::new(
                format!("{} took the connection and did not answer the TLS handshake", args.url),
                "is it a router's port? What listens there may be stuck, or wait for something else",
            ));
        }
    };
    Err(match &error {
        HandshakeError::Certificate(text) => certificate(args, text).await,
        HandshakeError::Protocol(_) | HandshakeError::Closed | HandshakeError::Stream(_) => not_tls(args, &error).await,
        HandshakeError::NoCertificate | HandshakeError::Refused(_) => refused(args, &error.to_string()),
        HandshakeError::ServerName(name) => {
            Fault::new(format!("`{name}` cannot be the name of a server"), "use a host name or an address in --url")
        }
    })
}

fn encrypted(args: &ConnectArgs, stream: &Stream, report: &mut Report) {
    let Some(tls) = stream.tls() else { return };
    let certificate = tls.peer_certificates().and_then(|chain| chain.first());
    let Some(facts) = certificate.and_then(|certificate| CertificateFacts::of(certificate)) else {
        report.ok(format!("{} {}", tls.protocol(), tls.cipher()));
        return;
    };
    let (now, end) = (now(), facts.not_after);
    let found = format!(
        "{} {}, certificate of {} by {}, for {}, until {}",
        tls.protocol(),
        tls.cipher(),
        facts.subject,
        facts.issuer,
        listed(&facts.names),
        date(end)
    );
    let life = (end - facts.not_before).max(1);
    if (end - now) < life / LATE {
        report.warn(found, "the certificate ends soon: renew it (README, Replacing certificates)");
    } else if args.no_verify_hostname && !facts.names.contains(&args.url.host) {
        report.warn(found, "the host's name is not checked: --no-verify-hostname");
    } else {
        report.ok(found);
    }
}

/// The router's certificate is not acceptable: looks at it.
async fn certificate(args: &ConnectArgs, text: &str) -> Fault {
    let looked = match socket(args).await {
        Ok(socket) => tokio::time::timeout_at(deadline(args.timeout), certificate_of(&args.url.host, socket)).await,
        Err(error) => return unreachable(args, &error),
    };
    let Ok(Ok(facts)) = looked else {
        return Fault::new(
            format!("the router's certificate is not acceptable: {text}"),
            "look at it with `openssl s_client`",
        );
    };
    rejected(args, text, &facts, now())
}

/// What is wrong with a certificate.
fn rejected(args: &ConnectArgs, text: &str, facts: &CertificateFacts, now: i64) -> Fault {
    let CertificateFacts { subject, issuer, names, not_before, not_after } = facts;
    let host = &args.url.host;
    if now > *not_after {
        return Fault::new(
            format!("the certificate of {subject} ended {}; the clock here says {}", date(*not_after), date(now)),
            "renew the router's certificate: write the new files and update its sslProfile (README, Replacing certificates).\n\
            If the clock is wrong, set it (`timedatectl`)",
        );
    }
    if now < *not_before {
        return Fault::new(
            format!("the certificate of {subject} begins {}; the clock here says {}", date(*not_before), date(now)),
            "is the clock of this machine right (`timedatectl`)? If it is, the one of the authority is ahead: make the certificate anew",
        );
    }
    if text.contains("valid for name") || text.contains("NotValidForName") {
        return Fault::new(
            format!("the certificate of {subject} is for {}, not for {host}", listed(names)),
            format!(
                "use one of its names in --url, or give the router a certificate for {host}; --no-verify-hostname takes it as it is"
            ),
        );
    }
    // A signature that does not fit is by an authority of the same name.
    if text.contains("UnknownIssuer") || text.contains("issuer") || text.contains("BadSignature") {
        let remedy = match &args.ca {
            None => format!("{issuer} is none of the system's authorities: name its certificate with --ca FILE"),
            Some(ca) => format!(
                "{} does not hold this {issuer}, or the router does not send the certificates between: is it the authority of this network?",
                ca.display()
            ),
        };
        return Fault::new(format!("the certificate of {subject} is by {issuer}, which is not trusted here"), remedy);
    }
    Fault::new(
        format!("the certificate of {subject} by {issuer} is not acceptable: {text}"),
        "give the router a certificate for servers by an authority that --ca names",
    )
}

/// What is there does not speak TLS.
async fn not_tls(args: &ConnectArgs, error: &HandshakeError) -> Fault {
    if speaks_amqp(args).await {
        return Fault::new(
            format!("{} speaks AMQP without TLS", args.url),
            format!("use amqp://{}:{}, or give the listener an sslProfile", bracketed(&args.url.host), args.url.port),
        );
    }
    Fault::new(
        format!("{} does not speak TLS: {error}", args.url),
        "is this the port of a router's listener that has an sslProfile? Something else may listen there",
    )
}

/// Whether a router answers the header of plain AMQP in kind.
async fn speaks_amqp(args: &ConnectArgs) -> bool {
    let Ok(socket) = socket(args).await else { return false };
    let mut stream = Stream::from(socket);
    let ask = async {
        stream.write_all(b"AMQP\x03\x01\x00\x00").await.ok()?;
        let mut answer = BytesMut::with_capacity(64);
        while answer.len() < 4 {
            if stream.read_some(&mut answer).await.ok()? == 0 {
                break;
            }
        }
        Some(answer.starts_with(b"AMQP"))
    };
    tokio::time::timeout_at(deadline(args.timeout), ask).await.ok().flatten().unwrap_or(false)
}

/// The certificate that a port speaks TLS with, if it does.
pub(super) async fn speaks_tls(args: &ConnectArgs) -> Option<CertificateFacts> {
    let socket = socket(args).await.ok()?;
    tokio::time::timeout_at(deadline(args.timeout), certificate_of(&args.url.host, socket)).await.ok()?.ok()
}

/// The router does not take us, for our certificate or for want of one.
pub(super) fn refused(args: &ConnectArgs, text: &str) -> Fault {
    let remedy = match &args.cert {
        None => "the router wants a certificate: --cert FILE --key FILE, by an authority that it trusts".to_owned(),
        Some(cert) => format!(
            "is {} by an authority that the router trusts (caCertFile of its sslProfile), for clients, and valid now (`openssl x509 -in {} \
            -noout -issuer -dates`)?",
            cert.display(),
            cert.display()
        ),
    };
    Fault::new(format!("the router refuses the TLS connection: {text}"), remedy)
}

pub(super) fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "no host".to_owned() } else { names.join(", ") }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// A time in words: `2026-11-29 02:00 UTC`.
fn date(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| seconds.to_string(), |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(ca: Option<&str>) -> ConnectArgs {
        ConnectArgs {
            url: "amqps://router.example".parse().expect("valid"),
            ca: ca.map(Into::into),
            cert: None,
            key: None,
            no_verify_hostname: false,
            timeout: None,
        }
    }

    #[test]
    fn the_first_thing_wrong_with_a_certificate_is_told() {
        let facts = CertificateFacts {
            subject: "CN=r".to_owned(),
            issuer: "CN=ca".to_owned(),
            names: vec!["other.example".to_owned()],
            not_before: 1_000,
            not_after: 2_000,
        };
        let fault = |text: &str, now, ca| rejected(&args(ca), text, &facts, now);
        assert!(fault("", 2_001, None).found.contains("ended 1970-01-01 00:33 UTC; the clock here says"));
        assert!(fault("", 999, None).remedy.contains("clock of this machine"));
        let wrong_name = fault("certificate not valid for name \"router.example\"", 1_500, None);
        assert_eq!(wrong_name.found, "the certificate of CN=r is for other.example, not for router.example");
        assert!(fault("UnknownIssuer", 1_500, None).remedy.contains("--ca FILE"));
        assert!(fault("UnknownIssuer", 1_500, Some("ca.crt")).remedy.starts_with("ca.crt does not hold this CN=ca"));
        assert!(fault("odd", 1_500, None).found.ends_with("is not acceptable: odd"));
    }
}
