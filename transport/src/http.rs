//! HTTP on a listener whose connections may become WebSocket (RFC 6455) for AMQP: one request a connection, and no bodies.

mod guard;

use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::rt::ReadBufCursor;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::TokioTimer;
use tungstenite::handshake::derive_accept_key;

use crate::stream::{Read, Stream, StreamError, WebSocketStream, Write};
pub use guard::misdirected;

/// Subprotocols that stand for AMQP: the registered one, and two that older clients offer.
const SUBPROTOCOLS: [&str; 3] = ["amqp", "binary", "AMQPWSB10"];

/// Largest head of a request, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// Most headers of a request.
const MAX_HEADERS: usize = 64;
/// How long a client may take for the head of its request, at most.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// How long it may take to read the answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// An answer.
pub type Page = Response<Full<Bytes>>;

/// What a listener answers to requests that ask for no WebSocket.
pub trait Pages: fmt::Debug + Send + Sync {
    /// The answer to GET or HEAD; the body is left out of that to HEAD.
    fn page(&self, path: &str) -> Pin<Box<dyn Future<Output = Page> + Send>>;
}

/// An HTTP listener.
#[derive(Clone, Debug)]
pub struct HttpSite {
    /// What it was configured to listen on.
    pub host: String,
    /// AMQP over WebSocket is taken.
    pub websockets: bool,
    /// Whose pages may use it, beside those of the same place: origins, or `*` (`websocketOrigins`).
    pub origins: Vec<String>,
    /// Everything else.
    pub pages: Arc<dyn Pages>,
}

/// Text as an answer.
#[must_use]
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Page {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Answers the request of a connection. The byte stream inside, if it became a WebSocket of AMQP.
///
/// `limit`: how long the head of the request may take, if that is less than 10 s.
pub async fn serve(stream: Stream, site: &HttpSite, limit: Option<Duration>) -> Option<Stream> {
    // Fails for connections that are gone.
    let local = stream.local_addr().ok()?.ip();
    let upgrade: RefCell<Option<OnUpgrade>> = RefCell::default();
    let service = hyper::service::service_fn(|request| async {
        let mut page = answer(request, site, local, &upgrade).await;
        if page.status() != StatusCode::SWITCHING_PROTOCOLS {
            page.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok::<_, Infallible>(page)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limit.map_or(HEAD_LIMIT, |limit| limit.min(HEAD_LIMIT)))
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(HttpStream(stream), service)
        .with_upgrades();
    match tokio::time::timeout(ANSWER_LIMIT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(target: "HTTP", "a request failed: {error}"),
        Err(_) => return None,
    }
    let upgraded = upgrade.take()?;
    let parts = upgraded.await.ok()?.downcast::<HttpStream>().ok()?;
    Some(Stream::WebSocket(Box::new(WebSocketStream::server(parts.io.0, &parts.read_buf))))
}

async fn answer(
    mut request: Request<Incoming>,
    site: &HttpSite,
    local: IpAddr,
    upgrade: &RefCell<Option<OnUpgrade>>,
) -> Page {
    if let Some(refusal) = misdirected(&request, &site.host, local) {
        return refusal;
    }
    if request.headers().contains_key(UPGRADE) && site.websockets {
        let response = guard::foreign(&request, &site.origins).unwrap_or_else(|| handshake(&request));
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            upgrade.replace(Some(hyper::upgrade::on(&mut request)));
        }
        return response;
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    site.pages.page(request.uri().path()).await
}

/// Whether a list of tokens in a header has this one. Case does not matter.
fn has_token(headers: &HeaderMap, name: &hyper::header::HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

fn tokens<'a>(headers: &'a HeaderMap, name: &hyper::header::HeaderName) -> impl Iterator<Item = &'a str> + use<'a> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(',')).map(str::trim)
}

/// The answer to a request for a WebSocket (RFC 6455 §4.2): 101, or why not.
fn handshake(request: &Request<Incoming>) -> Page {
    let headers = request.headers();
    let bad = |reason: &'static str| text(StatusCode::BAD_REQUEST, reason);
    if *request.method() != Method::GET || request.version() != Version::HTTP_11 {
        return bad("WebSocket begins with GET and HTTP/1.1\n");
    }
    if !has_token(headers, &UPGRADE, "websocket") || !has_token(headers, &CONNECTION, "upgrade") {
        return bad("the only upgrade is to websocket\n");
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let mut refusal = text(StatusCode::UPGRADE_REQUIRED, "the version of WebSocket is 13\n");
        refusal.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return refusal;
    }
    // 16 bytes in base64.
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24);
    let accept = key.and_then(|key| HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok());
    let Some(accept) = accept else { return bad("Sec-WebSocket-Key is missing or wrong\n") };
    let mut offered = tokens(headers, &SEC_WEBSOCKET_PROTOCOL);
    let chosen = offered.find_map(|offer| SUBPROTOCOLS.into_iter().find(|known| *known == offer));
    let Some(chosen) = chosen else { return bad("the subprotocol has to be amqp\n") };
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(chosen));
    response
}

/// A stream, as hyper wants it.
#[derive(Debug)]
pub struct HttpStream(Stream);

impl HttpStream {
    /// For a connection of hyper's.
    #[must_use]
    pub const fn new(stream: Stream) -> Self {
        Self(stream)
    }
}

fn failure(error: StreamError) -> io::Error {
    io::Error::other(error)
}

impl hyper::rt::Read for HttpStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut room: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let mut buffer = BytesMut::with_capacity(room.remaining().clamp(1, MAX_HEAD));
        loop {
            match self.0.try_read(&mut buffer) {
                Read::Data(_) => {
                    room.put_slice(&buffer);
                    return Poll::Ready(Ok(()));
                }
                Read::Eof => return Poll::Ready(Ok(())),
                Read::Failed(error) => return Poll::Ready(Err(failure(error))),
                Read::Blocked => std::task::ready!(self.0.poll_read_ready(cx)),
            }
        }
    }
}

impl hyper::rt::Write for HttpStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.0.try_write_vectored(&[IoSlice::new(data)]) {
                Write::Done(n) => return Poll::Ready(Ok(n)),
                Write::Failed(error) => return Poll::Ready(Err(failure(error))),
                Write::Blocked => std::task::ready!(self.0.poll_write_ready(cx)),
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.0.has_pending_output() {
            match self.0.try_flush() {
                Write::Done(_) => {}
                Write::Failed(error) => return Poll::Ready(Err(failure(error))),
                Write::Blocked => std::task::ready!(self.0.poll_write_ready(cx)),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.0.try_shutdown_write() {
                Write::Done(_) => return Poll::Ready(Ok(())),
                Write::Failed(error) => return Poll::Ready(Err(failure(error))),
                Write::Blocked => std::task::ready!(self.0.poll_write_ready(cx)),
            }
        }
    }
}
