//! `spanway debug dump`: everything is in it, and no secret.
#![allow(clippy::expect_used, reason = "helpers of tests fail as tests do")]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "send_recv/process.rs"]
mod process;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use process::{Ended, Router, Running, tool};
use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;

fn dump(url: &str, file: &Path) -> Ended {
    Running::start(tool(&["debug", "dump", &file.to_string_lossy(), "--url", url, "--timeout", "60s"])).end()
}

/// The files of an archive by their paths.
fn files(archive: &Path) -> BTreeMap<String, String> {
    let file = std::fs::File::open(archive).expect("it is there");
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let entries = archive.entries().expect("a tar").map(|entry| {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").to_string_lossy().into_owned();
        let mut content = String::new();
        entry.read_to_string(&mut content).expect("text");
        (path, content)
    });
    entries.collect()
}

#[test]
fn everything_is_in_it_but_secrets() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["a.example".to_owned()]).expect("valid");
    std::fs::write(path("tls.crt"), params.self_signed(&key).expect("signed").pem()).expect("written");
    std::fs::write(path("tls.key"), key.serialize_pem()).expect("written");
    let configuration = serde_json::json!([
        ["router", {"mode": "interior", "id": "A"}],
        ["sslProfile", {"name": "tls", "certFile": path("tls.crt"), "privateKeyFile": path("tls.key"), "password": "pass:profile-secret-1"}],
        ["connector", {
            "name": "far", "host": "127.0.0.1", "port": "1", "role": "normal",
            "saslUsername": "somebody", "saslPassword": "sasl-secret-2", "saslMechanisms": "PLAIN",
            "openProperties": {"accessToken": "token-secret-3", "fine": "visible-4"}
        }],
        ["address", {"prefix": "news", "distribution": "multicast"}],
    ]);
    std::fs::write(path("a.json"), configuration.to_string()).expect("written");
    let a = Router::start_with(&[
        "--config",
        &path("a.json"),
        "--accept-links",
        "127.0.0.2:0",
        "--accept-edges",
        "127.0.0.3:0",
    ]);
    let _b = Router::start_with(&["--id", "B", "--link", &a.links]);
    let _e = Router::start_with(&["--id", "E", "--edge-link", &a.edges]);
    let archive = dir.path().join("dump.tar.gz");
    // Until all three are in the network.
    let files = loop {
        let ended = dump(&a.url, &archive);
        let files = files(&archive);
        if files.keys().filter(|path| path.ends_with("/log.txt")).count() == 3 && ended.status == 0 {
            assert!(ended.stderr.contains("secrets are removed"), "{}", ended.stderr);
            break files;
        }
    };
    let file =
        |path: &str| files.get(&format!("spanway-dump/{path}")).unwrap_or_else(|| panic!("{path}: {:?}", files.keys()));
    let json = |path: &str| serde_json::from_str::<Value>(file(path)).expect("valid");
    assert_eq!(json("about.json")["routers"].as_array().map(Vec::len), Some(3));
    assert_eq!(json("topology.json")["A"].as_array().map(Vec::len), Some(2));
    assert_eq!(json("routers/01-A/router.json")[0]["id"], "A");
    assert_eq!(json("routers/01-A/router.config.address.json")[0]["prefix"], "news");
    assert!(json("routers/01-A/routerMetrics.json")[0]["version"].is_string());
    assert!(json("routers/02-B/connection.json").as_array().is_some_and(|rows| !rows.is_empty()));
    assert_eq!(json("routers/03-E/router.json")[0]["mode"], "edge");
    assert!(file("routers/01-A/log.txt").contains("Operational"));
    let connector = json("routers/01-A/connector.json");
    assert_eq!(
        (&connector[0]["saslUsername"], &connector[0]["openProperties"]["fine"]),
        (&"somebody".into(), &"visible-4".into())
    );

    let key = std::fs::read_to_string(path("tls.key")).expect("read");
    let key: Vec<&str> = key.lines().filter(|line| !line.starts_with("-----")).collect();
    let secrets = ["profile-secret-1", "sasl-secret-2", "token-secret-3"].into_iter().chain(key);
    for secret in secrets.filter(|secret| !secret.is_empty()) {
        for (path, content) in &files {
            assert!(!content.contains(secret), "{path} has {secret}");
        }
    }
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(&archive).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_cannot_be_written_is_said() {
    let router = Router::start();
    let ended = dump(&router.url, Path::new("/no/such/directory/x.tar.gz"));
    assert!(ended.status == 1 && ended.stderr.contains("write /no/such/directory/x.tar.gz"), "{}", ended.stderr);
}
