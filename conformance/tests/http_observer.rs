//! What collectors hear of the requests in TCP connections, and that nothing else changes.

use std::fs;
use std::io::Write;
use std::net::Shutdown;

use conformance::agent::Agent;
use conformance::certs::Certs;
use conformance::collector::*;
use conformance::http::{admin, get};
use conformance::ports::free_port;
use conformance::raw::V;
use conformance::tcp::nginx::BIG;
use conformance::tcp::peers::{Server, client, echo, read_n, read_to_end};
use conformance::tcp::{Nginx, curl, open_dir, pattern, run, wait_listening};
use conformance::{Config, Router};

/// Protocol, method, result, and bytes of both bodies of each request that has ended, sorted.
fn requests(collector: &Collector) -> Vec<(String, String, String, u64, u64)> {
    let ended = collector.all(REQUEST).into_iter().filter(|record| record.contains_key(&END));
    let mut requests: Vec<_> = ended
        .map(|record| {
            let text = |attribute| record.get(&attribute).and_then(V::text).unwrap_or_default().to_owned();
            let number = |attribute| said(record, attribute).unwrap_or(u64::MAX);
            (text(PROTOCOL), text(METHOD), text(RESULT), number(OCTETS), number(REVERSE))
        })
        .collect();
    requests.sort();
    requests
}

fn expected(requests: &[(&str, &str, &str, u64, u64)]) -> Vec<(String, String, String, u64, u64)> {
    let owned = |(protocol, method, result, up, down): &(&str, &str, &str, u64, u64)| {
        ((*protocol).to_owned(), (*method).to_owned(), (*result).to_owned(), *up, *down)
    };
    requests.iter().map(owned).collect()
}

/// Begins to collect, and waits until the flows of a listener are recorded.
fn collect(router: &Router, listener: &str, port: u16) -> Collector {
    let mut collector = Collector::start(router);
    collector.until("the listener", |c| c.find(LISTENER, NAME, listener).is_some());
    // The router looks once a second whether anybody collects flows.
    let probe = client(port);
    collector.until("flows", |c| !c.flows().is_empty());
    drop(probe);
    collector
}

/// The records' times are in order, within those of their flow, which is the listener's.
fn check_places(collector: &mut Collector, listener: &str) {
    // Of a flow may be told up to a second later than of what is in it.
    collector.until("the flows of the requests", |c| {
        c.all(REQUEST).iter().all(|request| c.records.contains_key(request[&PARENT].text().unwrap()))
    });
    let (listener, _) = collector.find(LISTENER, NAME, listener).unwrap();
    for request in collector.all(REQUEST) {
        let (kind, flow) = &collector.records[request[&PARENT].text().unwrap()];
        assert_eq!((*kind, flow[&PARENT].text()), (FLOW, Some(listener)));
        let [flow_start, start, end] = [said(flow, START), said(request, START), said(request, END)];
        assert!(flow_start <= start && start <= end, "{flow:?} {request:?}");
        if request.contains_key(&RESULT) {
            assert!(said(request, LATENCY) <= end.zip(start).map(|(end, start)| end - start), "{request:?}");
        }
    }
}

#[test]
fn curl_and_nginx_over_both_versions() {
    let dir = open_dir();
    let (nginx, content) = Nginx::with_big(dir.path(), None);
    let big = BIG as u64;
    let mut config = Config::new();
    config.listener(&[]);
    config.section("admin", &[("host", "127.0.0.1"), ("port", "0")]);
    config.tcp_connector("one", nginx.plain, &[]).tcp_connector("two", nginx.h2, &[]);
    let one = config.tcp_listener("one", &[("name", "one")]);
    let two = config.tcp_listener("two", &[("name", "two"), ("observer", "http2")]);
    let router = config.start_tcp(&[one, two]);
    let mut collector = collect(&router, "one", one);
    let copy = dir.path().join("copy");
    for (port, version) in [(one, "--http1.1"), (two, "--http2-prior-knowledge")] {
        let url = format!("http://127.0.0.1:{port}");
        let (small, name) = (format!("{url}/small"), format!("{url}/name"));
        let get = |urls: &[&str]| {
            let mut get = curl(urls[0]);
            get.args([version, "--header", "X-Forwarded-For: 10.1.2.3, 10.4.5.6"]).args(&urls[1..]);
            run(dir.path(), &mut get).success()
        };
        if port == one {
            assert_eq!(get(&[&small, &name]), "small\nnginx");
        } else {
            // curl 7.88 fails with a second request over a connection of HTTP/2 that it began with prior knowledge, whoever serves it.
            assert_eq!([get(&[&small]), get(&[&name])], ["small\n", "nginx"]);
        }
        run(dir.path(), curl(&small).args([version, "--head"])).success();
        run(dir.path(), curl(&format!("{url}/big")).arg(version).arg("--output").arg(&copy)).success();
        assert!(fs::read(&copy).unwrap() == content, "the download differs");
        run(dir.path(), curl(&format!("{url}/put/big")).arg(version).arg("--upload-file").arg(&copy)).success();
        assert!(fs::read(dir.path().join("nginx/www/put/big")).unwrap() == content, "the upload differs");
        fs::remove_file(dir.path().join("nginx/www/put/big")).unwrap();
        let mut missing = curl(&format!("{url}/missing"));
        assert!(!run(dir.path(), missing.arg(version)).status.success());
    }
    let missing = |c: &Collector, protocol: &str| {
        let requests = requests(c);
        let found = requests.iter().find(|request| request.0 == protocol && request.2 == "404");
        found.map_or(0, |request| request.4)
    };
    let of = |protocol, missing| {
        [
            (protocol, "GET", "200", 0, 5),
            (protocol, "GET", "200", 0, 6),
            (protocol, "GET", "200", 0, big),
            (protocol, "GET", "404", 0, missing),
            (protocol, "HEAD", "200", 0, 0),
            (protocol, "PUT", "201", big, 0),
        ]
    };
    collector.until("all requests", |c| {
        let all = [of("HTTP/1.1", missing(c, "HTTP/1.1")), of("HTTP/2", missing(c, "HTTP/2"))].concat();
        requests(c) == expected(&all)
    });
    // Both bodies of what was not found came with a page.
    assert!(missing(&collector, "HTTP/1.1") > 0 && missing(&collector, "HTTP/2") > 0);
    let forwarded = collector.all(REQUEST).into_iter().filter(|request| request.contains_key(&SOURCE_HOST));
    let hosts: Vec<_> = forwarded.map(|request| request[&SOURCE_HOST].text().unwrap()).collect();
    assert_eq!(hosts, ["10.1.2.3"; 4]);
    for request in collector.all(REQUEST) {
        let two = request[&PROTOCOL].text() == Some("HTTP/2");
        assert_eq!((request.contains_key(&STREAM), request.contains_key(&REASON)), (two, !two), "{request:?}");
    }
    collector.until("requests are counted", |c| {
        ["one", "two"].iter().all(|name| {
            let (_, listener) = c.find(LISTENER, NAME, name).unwrap();
            said(listener, REQUEST_COUNT) == Some(6)
        })
    });
    // A connection that is open counts as what it carries.
    let mut open = client(one);
    open.write_all(b"GET /name HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    read_n(&mut open, 15);
    let metrics = get(admin(&router), "/metrics").body;
    let value = |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    assert_eq!(value("qdr_http1_service_connections"), Some(1), "{metrics}");
    assert_eq!(value("qdr_http2_service_connections"), Some(0), "{metrics}");
}

#[test]
fn through_two_routers_and_within_tls() {
    let dir = open_dir();
    let certs = Certs::new(dir.path(), "good");
    let (nginx, content) = Nginx::with_big(dir.path(), None);
    let (mut a, mut b) = (Config::interior("A"), Config::interior("B"));
    a.listener(&[]);
    b.listener(&[]);
    let between = free_port();
    a.accept_routers(between);
    b.connect_router(between);
    b.tcp_connector("svc", nginx.plain, &[]);
    a.ssl_profile("tls", &certs, Some(&certs.server));
    let port = a.tcp_listener("svc", &[("name", "front"), ("sslProfile", "tls")]);
    let (a, _b) = (a.start(), b.start());
    wait_listening(port);
    let mut collector = collect(&a, "front", port);
    let url = format!("https://127.0.0.1:{port}");
    let copy = dir.path().join("copy");
    run(dir.path(), curl(&format!("{url}/big")).args(["--insecure", "--http1.1"]).arg("--output").arg(&copy)).success();
    assert!(fs::read(&copy).unwrap() == content, "the download differs");
    let mut put = curl(&format!("{url}/put/big"));
    put.args(["--insecure", "--http1.1", "--header", "Transfer-Encoding: chunked"]).arg("--upload-file").arg(&copy);
    run(dir.path(), &mut put).success();
    assert!(fs::read(dir.path().join("nginx/www/put/big")).unwrap() == content, "the upload differs");
    let big = BIG as u64;
    let all = expected(&[("HTTP/1.1", "GET", "200", 0, big), ("HTTP/1.1", "PUT", "201", big, 0)]);
    collector.until("both requests", |c| requests(c) == all);
    check_places(&mut collector, "front");
}

#[test]
fn an_observer_is_changed_for_new_connections() {
    let dir = open_dir();
    let nginx = Nginx::start(dir.path(), "nginx", None);
    let mut config = Config::new();
    config.tcp_connector("svc", nginx.plain, &[]);
    let port = config.tcp_listener("svc", &[("name", "front"), ("observer", "none")]);
    config.listener(&[]);
    let router = config.start_tcp(&[port]);
    let mut collector = collect(&router, "front", port);
    let mut asks = curl(&format!("http://127.0.0.1:{port}/name"));
    let mut agent = Agent::connect(router.port);
    // Of these, only what http1 and auto see.
    for (observer, method) in [("none", "GET"), ("http2", "GET"), ("http1", "GET"), ("auto", "HEAD")] {
        let changed = agent.update("tcpListener", "front", vec![(V::str("observer"), V::str(observer))]);
        assert_eq!(changed.status, 200, "{changed:?}");
        assert_eq!(agent.rows("tcpListener", &["observer"])[0][0].text(), Some(observer));
        let arguments: &[&str] = if method == "HEAD" { &["--head"] } else { &[] };
        run(dir.path(), asks.args(arguments)).success();
    }
    let seen = expected(&[("HTTP/1.1", "GET", "200", 0, 5), ("HTTP/1.1", "HEAD", "200", 0, 0)]);
    collector.until("two requests", |c| c.flows().len() == 5 && requests(c) == seen);
    check_places(&mut collector, "front");
}

/// Whatever the bytes are, they pass as they are.
#[test]
fn what_is_not_http_passes() {
    let server = Server::start();
    let mut config = Config::new();
    config.tcp_connector("svc", server.port, &[]).tcp_connector("first", echo("220 hello "), &[]);
    let port = config.tcp_listener("svc", &[("name", "front")]);
    let first = config.tcp_listener("first", &[("name", "first")]);
    config.listener(&[]);
    let router = config.start_tcp(&[port, first]);
    let mut collector = collect(&router, "front", port);
    drop(server.accept());
    let begin = "GET / HTTP/1.1\r\n\r\n";
    for (said, answered) in [
        (pattern(1 << 20), pattern(3 << 20)),
        (format!("{begin}\u{0}\u{1}").into_bytes(), b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n".to_vec()),
        ([begin.as_bytes(), &vec![b'x'; 1 << 20]].concat(), b"HTTP/1.1 101 Go\r\n\r\n".to_vec()),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\0".to_vec(), pattern(1 << 20)),
        ([b"GET /".as_slice(), &vec![b'x'; 1 << 20]].concat(), Vec::new()),
    ] {
        let (mut near, mut far) = (client(port), server.accept());
        let mut speaker = near.try_clone().unwrap();
        let says = said.clone();
        let saying = std::thread::spawn(move || {
            speaker.write_all(&says).unwrap();
            speaker.shutdown(Shutdown::Write).unwrap();
        });
        assert!(read_to_end(&mut far) == said);
        let answer = answered.clone();
        let answering = std::thread::spawn(move || far.write_all(&answer).unwrap());
        assert!(read_to_end(&mut near) == answered);
        saying.join().unwrap();
        answering.join().unwrap();
    }
    let mut greeted = client(first);
    assert_eq!(read_n(&mut greeted, 10), b"220 hello ");
    greeted.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    greeted.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut greeted), b"GET / HTTP/1.1\r\n\r\n");
    // The probe, and those above.
    collector.until("all flows", |c| c.flows().iter().filter(|flow| flow.contains_key(&END)).count() == 7);
    // Those that began like requests are told as far as they are understood.
    let seen = expected(&[("HTTP/1.1", "GET", "", 0, 0), ("HTTP/1.1", "GET", "", 0, 0)]);
    collector.until("requests that came to nothing", |c| requests(c) == seen);
}
