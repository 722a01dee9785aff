//! The web server of the demo: of all routers, only that of the shop knows where it is.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::Happened;

/// Opens a port and serves it for as long as the runtime lives.
pub(super) async fn serve(events: mpsc::Sender<Happened>) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("open a port for the web server")?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_connection(stream, events.clone()));
        }
    });
    Ok(address)
}

async fn serve_connection(stream: TcpStream, events: mpsc::Sender<Happened>) {
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        let told = format!("the web server answers {} {}", request.method(), request.uri().path());
        // If so much has happened that nobody keeps up, this is not told.
        let _ = events.try_send(Happened::Told("shop", told));
        async { Ok::<_, Infallible>(answer()) }
    });
    // Clients that hang up are no news.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

fn answer() -> Response<Full<Bytes>> {
    let text = "Hello from the web server of the shop.\n\
                You asked a port of the router in the east. The way here leads through the network, and nobody opened a port for it.\n";
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
