//! Requests over real sockets.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::*;

#[derive(Default)]
struct Router {
    ready: AtomicBool,
}

impl AdminSource for Router {
    async fn ready(&self) -> Vec<Check> {
        let result = if self.ready.load(Ordering::Relaxed) { Ok(()) } else { Err("refused".to_owned()) };
        vec![
            Check { name: "configured".to_owned(), is_link: false, result: Ok(()) },
            Check { name: "link east".to_owned(), is_link: true, result },
        ]
    }

    async fn metrics(&self) -> String {
        "spanway_up 1\n".to_owned()
    }

    async fn topology(&self) -> String {
        "{}".to_owned()
    }
}

/// Runs a test against a served port, and ends the server.
async fn with_server(test: impl AsyncFnOnce(SocketAddr, Arc<Router>)) {
    let router = Arc::new(Router::default());
    let admin = AdminEntity::default();
    let free =
        AdminEntity { port: router_core::entity::AttributeType::from_value(&"0".into()).expect("a port"), ..admin };
    let mut listeners = bind(&free).await.expect("a socket");
    let listener = listeners.pop().expect("a socket");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, free.host.as_str().into(), router.clone(), async {
        let _ = stopped.await;
    }));
    test(address, router).await;
    let _ = stop.send(());
    server.await.expect("the server ends");
    assert!(TcpStream::connect(address).await.is_err(), "the port is closed");
}

async fn request(address: SocketAddr, head: &str) -> String {
    send(address, &format!("{head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).await
}

async fn send(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(text.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    answer
}

fn runtime(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(test);
}

#[test]
fn probes_and_metrics_answer() {
    runtime(with_server(async |address, router: Arc<Router>| {
        assert!(request(address, "GET /livez").await.starts_with("HTTP/1.1 200 OK"));
        let starting = request(address, "GET /readyz").await;
        assert!(
            starting.starts_with("HTTP/1.1 503") && starting.ends_with("\r\nnot ready: link east: refused\n"),
            "{starting}"
        );
        let verbose = request(address, "GET /readyz?verbose").await;
        assert!(verbose.ends_with("\r\n[+] configured: ok\n[-] link east: refused\n"), "{verbose}");
        let local = request(address, "GET /readyz?exclude=links&verbose").await;
        assert!(local.starts_with("HTTP/1.1 200 OK") && local.ends_with("\r\n[+] configured: ok\nok\n"), "{local}");
        router.ready.store(true, Ordering::Relaxed);
        assert!(request(address, "GET /readyz").await.starts_with("HTTP/1.1 200 OK"));
        let metrics = request(address, "GET /metrics").await;
        assert!(metrics.contains("content-type: text/plain; version=0.0.4\r\n"), "{metrics}");
        assert!(metrics.ends_with("\r\nspanway_up 1\n"), "{metrics}");
        let topology = request(address, "GET /topology").await;
        assert!(topology.contains("content-type: application/json\r\n"), "{topology}");
    }));
}

#[test]
fn other_requests_are_refused() {
    runtime(with_server(async |address, _| {
        assert!(request(address, "GET /other").await.starts_with("HTTP/1.1 404"));
        assert!(request(address, "POST /").await.starts_with("HTTP/1.1 405"));
        let console = request(address, "GET /").await;
        assert!(
            console.starts_with("HTTP/1.1 200 OK") && console.contains("content-security-policy: default-src 'none'"),
            "{console}"
        );
        let post = request(address, "POST /livez").await;
        assert!(post.starts_with("HTTP/1.1 405") && post.contains("allow: GET, HEAD\r\n"), "{post}");
        assert!(request(address, "HEAD /livez").await.ends_with("\r\n\r\n"));
        // Noise and a client that leaves do not disturb the next one.
        let mut noise = TcpStream::connect(address).await.expect("connected");
        noise.write_all(b"AMQP\x00\x01\x00\x00").await.expect("sent");
        drop(noise);
        assert!(request(address, "GET /livez").await.starts_with("HTTP/1.1 200 OK"));
    }));
}

#[test]
fn pages_of_other_places_get_nothing_through_a_name_of_their_own() {
    runtime(with_server(async |address, _| {
        for path in ["/", "/console.js", "/topology", "/metrics", "/livez", "/other"] {
            let text =
                format!("GET {path} HTTP/1.1\r\nHost: evil.example:{}\r\nConnection: close\r\n\r\n", address.port());
            let answer = send(address, &text).await;
            assert!(answer.starts_with("HTTP/1.1 421 Misdirected Request") && answer.contains("localhost"), "{answer}");
        }
        let literal = format!("GET /topology HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        assert!(send(address, &literal).await.starts_with("HTTP/1.1 200 OK"));
        assert!(send(address, "GET /readyz?exclude=links HTTP/1.0\r\n\r\n").await.starts_with("HTTP/1.0 200 OK"));
    }));
}
