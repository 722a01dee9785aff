//! The way to a collector: requests of OTLP over HTTP, one at a time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use prost::Message as _;
use router_core::entity::OtlpEndpoint;
use transport::http::HttpStream;
use transport::socket::{ConnectError, ConnectOptions, connect};
use transport::tls::{HandshakeError, TlsClient};

use super::proto::Response;
use crate::cli::VERSION;

/// How long a request may take, with everything that it needs: the default of OpenTelemetry.
const LIMIT: Duration = Duration::from_secs(10);

/// How much of an answer is read.
const LARGEST_ANSWER: usize = 64 * 1024;

/// The longest pause that a collector may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum PushError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No TLS.
    #[error("TLS: {0}")]
    Tls(#[from] HandshakeError),
    /// The connection ended, or its HTTP is wrong.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// It took too long.
    #[error("no answer within {} s", LIMIT.as_secs())]
    Late,
    /// The collector has no time; it may say for how long.
    #[error("it answers {0}")]
    Busy(StatusCode, Option<Duration>),
    /// The collector does not want it: it would not want it again either.
    #[error("it answers {0}{1}")]
    Refused(StatusCode, Reason),
}

/// What a collector says of a refusal.
#[derive(Debug)]
pub(super) struct Reason(String);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}

impl PushError {
    /// The same may be tried again later.
    pub(super) const fn is_passing(&self) -> bool {
        !matches!(self, Self::Refused(..))
    }

    /// Not before so long.
    pub(super) const fn pause(&self) -> Option<Duration> {
        match self {
            Self::Busy(_, pause) => *pause,
            _ => None,
        }
    }
}

/// A collector, and the connection to it.
#[derive(Debug)]
pub(super) struct Collector {
    endpoint: OtlpEndpoint,
    tls: Option<Arc<TlsClient>>,
    headers: HeaderMap,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Collector {
    /// `headers`: beside those that every request has. Those that cannot be sent are left out; their check has refused them.
    pub(super) fn new(endpoint: OtlpEndpoint, tls: Option<Arc<TlsClient>>, headers: &[(String, String)]) -> Self {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            if let (Ok(name), Ok(mut value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
                value.set_sensitive(true);
                all.insert(name, value);
            }
        }
        for (name, value) in [
            (HOST, endpoint.authority()),
            (CONTENT_TYPE, "application/x-protobuf".to_owned()),
            (ACCEPT, "application/x-protobuf".to_owned()),
            (USER_AGENT, format!("spanway/{VERSION}")),
        ] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                all.insert(name, value);
            }
        }
        Self { endpoint, tls, headers: all, connection: None }
    }

    /// Where a signal (`metrics`, `traces`) goes.
    pub(super) fn url(&self, signal: &str) -> String {
        let scheme = if self.endpoint.tls { "https" } else { "http" };
        format!("{scheme}://{}{}/v1/{signal}", self.endpoint.authority(), self.endpoint.path)
    }

    /// Sends a request. Answers what the collector has to say though it took it.
    ///
    /// # Errors
    /// [`PushError`].
    pub(super) async fn push(&mut self, signal: &str, body: Bytes) -> Result<Option<String>, PushError> {
        let pushed = tokio::time::timeout(LIMIT, self.try_to_push(signal, body)).await.unwrap_or(Err(PushError::Late));
        if pushed.is_err() {
            self.connection = None;
        }
        pushed
    }

    async fn try_to_push(&mut self, signal: &str, body: Bytes) -> Result<Option<String>, PushError> {
        if let Some(connection) = self.connection.take().filter(SendRequest::is_ready) {
            match self.exchange(connection, signal, body.clone()).await {
                // The collector may have closed what was idle at this very moment.
                Err(PushError::Http(_)) => {}
                answered => return answered,
            }
        }
        let connection = self.connect().await?;
        self.exchange(connection, signal, body).await
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, PushError> {
        let OtlpEndpoint { host, port, .. } = &self.endpoint;
        let socket = connect(host, *port, &ConnectOptions { timeout: LIMIT, ..ConnectOptions::default() }).await?;
        let stream = match &self.tls {
            Some(tls) => tls.connect(host, socket).await?,
            None => socket.into(),
        };
        let (connection, driver) = handshake(HttpStream::new(stream)).await?;
        // Ends with the connection. What goes wrong there fails the request.
        tokio::spawn(async move { drop(driver.await) });
        Ok(connection)
    }

    async fn exchange(
        &mut self,
        mut connection: SendRequest<Full<Bytes>>,
        signal: &str,
        body: Bytes,
    ) -> Result<Option<String>, PushError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        // A path that is none has been refused by its check.
        *request.uri_mut() = format!("{}/v1/{signal}", self.endpoint.path).parse().unwrap_or_default();
        request.headers_mut().clone_from(&self.headers);
        let answer = connection.send_request(request).await?;
        let status = answer.status();
        let pause = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let pause = pause.map(|seconds| Duration::from_secs(seconds).min(LONGEST_PAUSE));
        // An answer that is too long, or cut, says nothing more; then there is no other request on this connection.
        let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await.map(|body| body.to_bytes());
        if body.is_ok() {
            self.connection = Some(connection);
        }
        let body = body.unwrap_or_default();
        if status.is_success() {
            let partial = Response::decode(body).ok().and_then(|response| response.partial_success);
            let said = partial.filter(|partial| partial.rejected > 0 || !partial.error_message.is_empty());
            return Ok(
                said.map(|partial| format!("{} refused: {}", partial.rejected, printable(&partial.error_message)))
            );
        }
        match status.as_u16() {
            408 | 429 | 502 | 503 | 504 => Err(PushError::Busy(status, pause)),
            _ => Err(PushError::Refused(status, Reason(printable(&String::from_utf8_lossy(&body))))),
        }
    }
}

/// What may go into a log line.
fn printable(text: &str) -> String {
    text.trim().chars().take(200).map(|c| if c.is_control() { '.' } else { c }).collect()
}
