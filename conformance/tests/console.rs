//! The web console, and AMQP over WebSocket, in a real browser.

use std::collections::BTreeSet;
use std::path::Path;

use conformance::client::{Client, browser};
use conformance::http::admin;
use conformance::network::Plan;
use conformance::router::Config;
use serde_json::Value;

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

/// Texts of one column of a table.
fn column(rows: &Value, at: usize) -> Vec<&str> {
    rows.as_array().unwrap().iter().map(|row| row[at].as_str().unwrap()).collect()
}

/// Where to put screenshots, if somebody wants to look at them.
fn shots() -> Option<String> {
    std::env::var("SPANWAY_CONSOLE_SHOTS").ok()
}

#[test]
fn the_console_shows_the_network() {
    let connector = [("address", "web"), ("host", "127.0.0.1"), ("port", "9"), ("name", "web server")];
    let network = Plan::ring(4)
        .link("A", "C", 5)
        .edges()
        .section("admin", &[("host", "127.0.0.1"), ("port", "0")])
        .section("tcpConnector", &connector)
        .start();
    let mut config = Config::edge("E");
    config.listener(&[]);
    config.uplink(network.edge_port("B")).tcp_listener("nobody", &[]);
    let edge = config.start();
    let args = [("address", "orders/<b>new</b>"), ("count", "100000000")];
    let d = network.router("D");
    let _receiving = Client::ProtonPython.start(d.dir(), "recv", d.port, &args).ready();
    let _sending = Client::ProtonPython.start(edge.dir(), "send", edge.port, &args);
    let router = network.router("A");
    let url = format!("http://127.0.0.1:{}/", admin(router));
    let mut args = vec![("url", url.as_str()), ("routers", "5"), ("choose", "D")];
    let shots = shots();
    args.extend(shots.as_deref().map(|dir| ("shots", dir)));
    let seen = browser(router.dir(), "console", &args);

    assert_eq!(strings(&seen["errors"]), [""; 0], "the page has errors");
    let elsewhere =
        strings(&seen["requests"]).into_iter().filter(|asked| !asked.starts_with(&url) && *asked != "about:blank");
    assert_eq!(elsewhere.collect::<Vec<_>>(), [""; 0], "the page asks others");
    // What is shown is what /topology says.
    let topology = &seen["topology"];
    let ids: Vec<&str> = topology["routers"].as_array().unwrap().iter().map(|r| r["id"].as_str().unwrap()).collect();
    assert_eq!((strings(&seen["nodes"]), seen["from"].as_str()), (ids, Some("A")));
    let text = |value: &Value, key: &str| value[key].as_str().unwrap().to_owned();
    let links: BTreeSet<String> = topology["links"]
        .as_array()
        .unwrap()
        .iter()
        .map(|link| format!("{} {} {}", text(link, "a"), text(link, "b"), text(link, "role")))
        .collect();
    assert_eq!(strings(&seen["links"]).into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), links);
    assert_eq!(links.len(), 6);
    let addresses: BTreeSet<&str> = column(&seen["addresses"], 0).into_iter().collect();
    let services: BTreeSet<&str> = column(&seen["services"], 0).into_iter().collect();
    let all = topology["addresses"].as_array().unwrap().iter().map(|address| address["address"].as_str().unwrap());
    // Those of TCP services have a table of their own.
    let known: BTreeSet<&str> = all.filter(|address| !services.contains(address)).collect();
    // A name of an address is no HTML.
    assert!(addresses == known && addresses.contains("orders/<b>new</b>"), "{addresses:?} {known:?}");
    assert_eq!(services, BTreeSet::from(["nobody", "web"]));
    let problems = strings(&seen["problems"]);
    assert!(problems.iter().any(|problem| problem.starts_with("E: tcpListener/127.0.0.1:")), "{problems:?}");
    assert_eq!((&seen["overlaps"], &seen["overlaps_of_fifty"]), (&Value::from(0), &Value::from(0)));
    let orders = seen["addresses"].as_array().unwrap().iter().find(|row| row[0] == "orders/<b>new</b>").unwrap();
    assert_eq!((&orders[5], &orders[6]), (&Value::from("E"), &Value::from("D")), "{orders}");
    // Light and dark.
    assert_ne!(seen["light"][0], seen["dark"][0]);
    assert_ne!(seen["light"][1], seen["dark"][1]);
    // The keyboard reaches everything, says where it is, and stays there while the page is live.
    let focus = strings(&seen["focus"]);
    assert!(focus.contains(&"pause") && focus.contains(&"A B inter-router") && focus.last() == Some(&"D"), "{focus:?}");
    assert_ne!(seen["ring"], "rgba(0, 0, 0, 0)");
    assert!(text(&seen, "details").contains("orders/<b>new</b>"), "{}", seen["details"]);
    assert_eq!((seen["kept"].as_str(), seen["filter"].as_str()), (Some("D"), Some("filter")));
}

const PAGE: &str = r#"<!DOCTYPE html><script src="rhea.js"></script><script src="page.js"></script>"#;

const SCRIPT: &str = r"
const container = require('rhea');
const connect = container.websocket_connect(WebSocket);
const connection = container.connect({ connection_details: connect(`ws://${location.host}/`, ['amqp']), reconnect: false });
connection.open_receiver('from-browser');
const sender = connection.open_sender('from-browser');
let count = 0;
sender.once('sendable', () => { for (let n = 0; n < 20; n += 1) sender.send({ body: 'x'.repeat(n * 1000) }); });
container.on('message', (context) => {
  count += context.message.body.length;
  if (context.message.body.length === 19000) connection.close();
});
container.on('connection_close', () => { window.result = `${count} bytes`; });
container.on('disconnected', () => { window.result ??= 'disconnected'; });
";

#[test]
fn a_browser_speaks_amqp() {
    let mut config = Config::new();
    let root = config.dir().join("root");
    std::fs::create_dir(&root).unwrap();
    let rhea = conformance::client::installed("rhea").join("node_modules/rhea/dist/rhea.js");
    std::fs::copy(Path::new(&rhea), root.join("rhea.js")).unwrap();
    std::fs::write(root.join("index.html"), PAGE).unwrap();
    std::fs::write(root.join("page.js"), SCRIPT).unwrap();
    let port = config.listener(&[("http", "yes"), ("httpRootDir", root.to_str().unwrap())]);
    let router = config.start();
    let url = format!("http://127.0.0.1:{port}/");
    let seen = browser(router.dir(), "page", &[("url", url.as_str())]);
    assert_eq!(seen["result"], "190000 bytes", "{seen}");
}
