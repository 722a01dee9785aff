//! Files, defaults and flags together.

use clap::Parser as _;

use super::*;
use crate::cli::{Cli, Command};

fn args(line: &[&str]) -> RunArgs {
    match Cli::try_parse_from(["spanway", "run"].iter().chain(line)).map(|cli| cli.command) {
        Ok(Command::Run(args)) => args,
        other => panic!("{other:?}"),
    }
}

fn file(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(name);
    std::fs::write(&path, text).expect("a file");
    let name = path.to_string_lossy().into_owned();
    (dir, name)
}

fn ports(configuration: &Configuration) -> Vec<u16> {
    configuration.listeners.iter().map(|listener| listener.port.number()).collect()
}

#[test]
fn without_a_file_there_are_defaults() {
    let c = load(&args(&[])).expect("the defaults");
    assert_eq!(ports(&c), [5672]);
    assert_eq!(c.listeners.first().map(|listener| listener.host.as_str()), Some("127.0.0.1"));
    assert_eq!(c.admins.first().map(|admin| admin.port.number()), Some(5680));
    assert!(c.router.id.as_deref().is_some_and(|id| id.starts_with("Standalone_")), "{:?}", c.router.id);
    let other = load(&args(&[])).expect("the defaults");
    assert_ne!(c.router.id, other.router.id, "made-up names differ");
}

#[test]
fn flags_replace_defaults_of_their_kind_and_add_to_files() {
    let line =
        ["--listen", "amqp://127.0.0.1:1", "--tcp-connector", "a=127.0.0.1:2", "--id", "A", "--mode", "interior"];
    let c = load(&args(&line)).expect("flags");
    assert_eq!((ports(&c), c.admins.len(), c.router.id.as_deref()), (vec![1], 1, Some("A")));
    let (_dir, name) = file("router.yml", "router: {id: F}\nlistener: {port: 9}\n");
    let c = load(&args(&[&["-c", &name][..], &line].concat())).expect("a file and flags");
    assert_eq!((ports(&c), c.admins.len(), c.router.id.as_deref()), (vec![9, 1], 0, Some("A")));
}

#[test]
fn the_name_of_a_file_says_its_syntax() {
    for (name, text) in [
        ("a.json", "[[\"listener\", {\"port\": 7}]]"),
        ("a.yaml", "listener:\n  port: 7\n"),
        ("a.conf", "listener {\n  port: 7\n}\n"),
        ("skrouterd", "listener {\n  port: 7\n}\n"),
    ] {
        let (_dir, name) = file(name, text);
        assert_eq!(load_file(&name).map(|c| ports(&c)).map_err(|error| error.to_string()), Ok(vec![7]));
    }
}

#[test]
fn tls_listeners_need_a_certificate() {
    let error = load(&args(&["--listen", "amqps://127.0.0.1:1"])).expect_err("no certificate");
    assert_eq!(error.to_string(), "--listen amqps://... needs --cert and --key");
    let c = load(&args(&["--listen", "amqps://127.0.0.1:1", "--cert", "c", "--key", "k"])).expect("TLS");
    assert!(c.listeners.iter().all(|listener| listener.require_ssl && listener.ssl_profile.is_some()));
}

#[test]
fn failures_have_the_texts_of_the_reference() {
    let error = load_file("/nonexistent/a.conf").expect_err("no file");
    assert_eq!(
        error.reference_text(),
        "Python: Exception: Cannot load configuration file /nonexistent/a.conf: No such file or directory"
    );
    let (_dir, name) = file("a.conf", "listener {\n  role: edge\n}\n");
    let error = load_file(&name).expect_err("a mistake");
    assert!(error.logs().is_empty());
    assert_eq!(
        error.reference_text(),
        format!(
            "Python: Exception: Cannot load configuration file {name}: role='standalone' not allowed to connect to or accept \
             connections from other routers. (line 2, column 9)"
        )
    );
}

#[test]
fn late_failures_go_to_the_configured_log() {
    let (_dir, name) =
        file("a.conf", "log {\n  module: DEFAULT\n  outputFile: x.log\n}\ntcpConnector {\n  port: 1\n}\n");
    let error = load_file(&name).expect_err("a mistake");
    assert_eq!(error.reference_text(), "Python: CError: Configuration: Address must be set (line 5, column 1)");
    let files: Vec<_> = error.logs().iter().filter_map(|log| log.output_file.as_deref()).collect();
    assert_eq!(files, ["x.log"]);
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a.conf");
    std::fs::write(&path, [0xff, 0xfe]).expect("a file");
    let error = load_file(&path.to_string_lossy()).expect_err("not text");
    assert!(error.to_string().contains("it is not UTF-8"), "{error}");
}

#[test]
fn links_make_an_interior_router() {
    let c = load(&args(&["--link", "127.0.0.1:9"])).expect("a link");
    assert_eq!((c.router.mode, c.connectors.len()), (Mode::Interior, 1));
    let other = load(&args(&["--accept-links", "127.0.0.1:9"])).expect("links");
    assert_ne!(c.router.id, other.router.id, "made-up names differ");
    let (_dir, name) = file("a.yaml", "router: {id: A}\n");
    assert_eq!(load(&args(&["-c", &name, "--link", "h"])).map(|c| c.router.mode).ok(), Some(Mode::Interior));
}

#[test]
fn links_of_other_modes_are_refused() {
    let error = load(&args(&["--link", "h", "--mode", "edge"])).expect_err("both modes");
    assert_eq!(
        error.to_string(),
        "--link makes this an interior router, but --mode says `edge`: say `interior`, or nothing, there"
    );
    let (_dir, name) = file("a.yaml", "router: {id: A, mode: standalone}\n");
    let error = load(&args(&["-c", &name, "--accept-links", "h"])).expect_err("both modes");
    assert!(error.to_string().contains(&format!("{name} says `standalone`")), "{error}");
    let error = load(&args(&["--link", "amqps://h", "--cert", "c", "--key", "k"])).expect_err("no authority");
    assert!(error.to_string().contains("--ca"), "{error}");
}

#[test]
fn edge_links_make_an_edge_router() {
    let c = load(&args(&["--edge-link", "127.0.0.1:9", "--edge-link", "h"])).expect("two links");
    assert_eq!((c.router.mode, c.connectors.len()), (Mode::Edge, 2));
    let c = load(&args(&["--accept-edges", "127.0.0.1", "--accept-links", "127.0.0.1"])).expect("an interior router");
    assert_eq!(c.router.mode, Mode::Interior);
    assert!(ports(&c).ends_with(&[55671, 45671]), "{:?}", ports(&c));
    for flag in ["--link", "--accept-links", "--accept-edges"] {
        let error = load(&args(&["--edge-link", "h", flag, "h"])).expect_err("two modes");
        assert!(error.to_string().contains(&format!("leave out {flag}")), "{error}");
    }
    let error = load(&args(&["--edge-link", "h", "--mode", "interior"])).expect_err("another mode");
    assert!(error.to_string().starts_with("--edge-link makes this an edge router, but --mode says"), "{error}");
}

#[test]
fn ports_that_are_taken_are_left_to_others_in_a_network() {
    // Whether or not something on this machine has the defaults, from here on something has them.
    let _held = [5672, 5680].map(|port| std::net::TcpListener::bind(("127.0.0.1", port)));
    let c = load(&args(&["--link", "127.0.0.1:9"])).expect("a link");
    let admin = c.admins.first().map(|admin| admin.port.number()).expect("an admin port");
    assert!(!ports(&c).contains(&5672) && admin != 5680, "{:?} {admin}", ports(&c));
    let c = load(&args(&["--link", "127.0.0.1:9", "--listen", "127.0.0.1:5672"])).expect("a link");
    assert_eq!(ports(&c), [5672], "what was asked for stays");
}
