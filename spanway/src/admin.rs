//! The port for operators.
//!
//! | path | answer |
//! |---|---|
//! | `/` | the web console ([`crate::console`]) |
//! | `/livez` | 200 while the process runs |
//! | `/readyz` | 200 when the router is configured, listens, and has its links; else 503 and what is missing. `?exclude=links` leaves links out, `?verbose` tells all that was looked at |
//! | `/metrics` | metrics for Prometheus: docs/reference/metrics.md |
//! | `/topology` | the network as JSON: docs/reference/topology.md |
//!
//! A port on loopback is closed to other names than its own: pages of other places would read it through browsers on this machine otherwise.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use router_core::entity::AdminEntity;
use tokio::net::{TcpListener, lookup_host};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use transport::http::{Page, misdirected};

use crate::observe::Check;

/// What can be asked for.
const PATHS: [&str; 4] = ["/livez", "/readyz", "/metrics", "/topology"];

/// How many connections are served at a time; more wait to be accepted.
const MAX_CONNECTIONS: usize = 64;
/// How long a client may take for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection takes requests for so long. A client that reads no answers would keep it for ever otherwise, and 64 of them the probes out.
const CONNECTION_LIMIT: Duration = Duration::from_secs(120);
/// How long the last answer may take after that.
const LAST_ANSWER: Duration = Duration::from_secs(10);

/// What the admin port asks the router.
pub(crate) trait AdminSource: Send + Sync + 'static {
    /// Everything that has to be so for the router to be ready.
    fn ready(&self) -> impl Future<Output = Vec<Check>> + Send;

    /// Metrics in the format of Prometheus.
    fn metrics(&self) -> impl Future<Output = String> + Send;

    /// The network as JSON.
    fn topology(&self) -> impl Future<Output = String> + Send;
}

/// Opens the sockets of an admin port: all addresses that its host stands for.
///
/// # Errors
/// The host is unknown, or an address cannot be listened on.
pub(crate) async fn bind(admin: &AdminEntity) -> io::Result<Vec<TcpListener>> {
    // Dual stack: on Linux `::` takes IPv4 as well.
    let host = if admin.host.is_empty() { "::" } else { admin.host.as_str() };
    let mut listeners = Vec::new();
    for address in lookup_host((host, admin.port.number())).await? {
        listeners.push(TcpListener::bind(address).await?);
    }
    Ok(listeners)
}

/// Serves a socket until `shutdown` is done. `host`: what it was configured to listen on. Must run inside a tokio runtime; never use one of a worker.
pub(crate) async fn serve<S: AdminSource>(
    listener: TcpListener,
    host: Arc<str>,
    source: Arc<S>,
    shutdown: impl Future<Output = ()>,
) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = async {
            let permit = permits.clone().acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut shutdown => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (host, source) = (Arc::clone(&host), Arc::clone(&source));
                tokio::spawn(async move {
                    serve_connection(stream, peer, &host, source).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(target: "HTTP", "admin port cannot accept: {error}");
                // Out of descriptors, most likely: trying again at once would spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve_connection<S: AdminSource>(stream: tokio::net::TcpStream, peer: SocketAddr, host: &str, source: Arc<S>) {
    // Fails for connections that are gone.
    let Ok(local) = stream.local_addr() else { return };
    let service = hyper::service::service_fn(|request| answer(request, host, local.ip(), Arc::clone(&source)));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let mut served = timeout(CONNECTION_LIMIT, connection.as_mut()).await;
    if served.is_err() {
        connection.as_mut().graceful_shutdown();
        served = timeout(LAST_ANSWER, connection).await;
    }
    if let Ok(Err(error)) = served {
        tracing::debug!(target: "HTTP", "admin connection from {peer}: {error}");
    }
}

async fn answer<S: AdminSource>(
    request: Request<Incoming>,
    host: &str,
    local: IpAddr,
    source: Arc<S>,
) -> Result<Page, Infallible> {
    if let Some(refusal) = misdirected(&request, host, local) {
        return Ok(refusal);
    }
    let path = request.uri().path();
    let file = crate::console::file(path);
    if file.is_none() && !PATHS.contains(&path) {
        return Ok(text(StatusCode::NOT_FOUND, format!("there are / (console), {}\n", PATHS.join(", "))));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(response);
    }
    if let Some(file) = file {
        return Ok(file);
    }
    Ok(match path {
        "/livez" => text(StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => readiness(source.ready().await, request.uri().query().unwrap_or_default()),
        "/metrics" => of_type(text(StatusCode::OK, source.metrics().await), crate::observe::CONTENT_TYPE),
        _ => of_type(text(StatusCode::OK, source.topology().await), "application/json"),
    })
}

/// What probes are told, in the form that Kubernetes' own programs have.
fn readiness(mut checks: Vec<Check>, query: &str) -> Page {
    let has = |wanted: &str| query.split('&').any(|parameter| parameter == wanted);
    if has("exclude=links") {
        checks.retain(|check| !check.is_link);
    }
    let failed = checks.iter().any(|check| check.result.is_err());
    let mut body = String::new();
    for check in &checks {
        match &check.result {
            Ok(()) if has("verbose") => body.push_str(&format!("[+] {}: ok\n", check.name)),
            Ok(()) => {}
            Err(why) if has("verbose") => body.push_str(&format!("[-] {}: {why}\n", check.name)),
            Err(why) => body.push_str(&format!("not ready: {}: {why}\n", check.name)),
        }
    }
    if !failed {
        body.push_str("ok\n");
    }
    text(if failed { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }, body)
}

fn of_type(mut response: Page, media_type: &'static str) -> Page {
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

fn text(status: StatusCode, body: String) -> Page {
    crate::http::fresh(transport::http::text(status, body))
}

#[cfg(test)]
mod tests;
