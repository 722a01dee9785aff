//! Lines and where they go.

use router_core::config::{Configuration, Syntax};
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use crate::cli::LogLevel;

struct Logged {
    _dir: tempfile::TempDir,
    dir: std::path::PathBuf,
    handle: LogHandle,
    _guard: tracing::subscriber::DefaultGuard,
}

impl Logged {
    /// Logs of this thread go where the entities say; `DIR` in them stands for a directory of the test.
    fn new(args: &LogArgs, entities: &str) -> Self {
        let temporary = tempfile::tempdir().expect("a directory");
        let dir = temporary.path().to_path_buf();
        let text = entities.replace("DIR", &dir.to_string_lossy());
        let c = Configuration::from_text("f", Syntax::Yaml, &text).expect("entities");
        let handle = LogHandle::new(Settings::new(args.log_format));
        configure(&handle, args, &c.logs, Some(&c.router)).expect("log files");
        let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(handle.layer()));
        // Other tests of this process may have asked for less in the meantime.
        tracing::callsite::rebuild_interest_cache();
        Self { _dir: temporary, dir, handle, _guard: guard }
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.dir.join(file)).unwrap_or_default()
    }
}

/// Replaces digits, so that times can be compared.
fn shape(line: &str) -> String {
    line.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
}

#[test]
fn lines_of_the_reference() {
    let logged = Logged::new(&reference_args(), "log: {module: DEFAULT, enable: info+, outputFile: DIR/a.log}");
    tracing::info!(target: "SERVER", "Operational, {} Threads Running (process ID {})", 4, 77);
    tracing::debug!(target: "SERVER", "not logged");
    tracing::error!(target: "ROUTER", critical = true, "Router start-up failed: {}", "x\ny");
    tracing::warn!(target: "tcp_adaptor::listener", port = 5, why = "taken", "cannot listen");
    let log = logged.read("a.log");
    let lines: Vec<_> = log.lines().collect();
    let [operational, failed, fields] = lines.as_slice() else { panic!("{log}") };
    assert!(operational.ends_with(" SERVER (info) Operational, 4 Threads Running (process ID 77)"), "{operational}");
    let time = shape(operational).split(" SERVER").next().unwrap_or_default().replace('-', "+");
    assert_eq!(time, "0000+00+00 00:00:00.000000 +0000");
    assert!(failed.ends_with(" ROUTER (critical) Router start-up failed: x\\ny"), "{failed}");
    assert!(fields.ends_with(" TCP_ADAPTOR (warning) cannot listen port=5 why=taken"), "{fields}");
}

#[test]
fn modules_have_their_own_settings() {
    let logged = Logged::new(
        &reference_args(),
        "logs:\n\
         - {module: DEFAULT, enable: none, outputFile: DIR/a.log, includeTimestamp: no}\n\
         - {module: SERVER, enable: debug, includeSource: yes}\n\
         - {module: POLICY, enable: critical, outputFile: DIR/b.log}\n",
    );
    tracing::debug!(target: "SERVER", "seen");
    tracing::info!(target: "SERVER", "only debug is");
    tracing::error!(target: "AGENT", "nothing is");
    tracing::error!(target: "POLICY", "only critical is");
    tracing::error!(target: "POLICY", critical = true, "seen");
    let line = logged.read("a.log");
    assert!(line.starts_with("SERVER (debug) seen ("), "{line}");
    assert!(shape(&line).contains(concat!(file!(), ":0")), "{line}");
    assert_eq!(logged.read("b.log"), "POLICY (critical) seen\n");
    let kept: Vec<_> = logged.handle.recent(10).iter().map(|entry| entry.text()).collect();
    assert_eq!(kept, ["seen", "seen"]);
    assert_eq!(logged.handle.recent(1).len(), 1);
}

#[test]
fn settings_change_while_the_log_runs() {
    let args = reference_args();
    let entities = |enable: &str| {
        format!("log: {{module: DEFAULT, enable: {enable}, outputFile: DIR/a.log, includeTimestamp: no}}")
    };
    let logged = Logged::new(&args, &entities("error+"));
    let mut lines = Vec::new();
    for enable in ["error+", "debug+", "error+"] {
        let text = entities(enable).replace("DIR", &logged.dir.to_string_lossy());
        let c = Configuration::from_text("f", Syntax::Yaml, &text).expect("entities");
        configure(&logged.handle, &args, &c.logs, None).expect("log files");
        tracing::debug!(target: "SERVER", "{enable}");
        lines.push(enable);
    }
    assert_eq!(logged.read("a.log"), "SERVER (debug) debug+\n");
}

#[test]
fn json_and_human_lines() {
    let json = LogArgs { log_format: LogFormat::Json, log_levels: Vec::new() };
    let logged = Logged::new(&json, "log: {module: DEFAULT, outputFile: DIR/a.log}");
    tracing::info!(target: "SERVER", level = "mine", name = "a\"b", "hello");
    let line: serde_json::Value = serde_json::from_str(&logged.read("a.log")).expect("JSON");
    let get = |name: &str| line.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
    assert_eq!((get("level"), get("module"), get("message")), ("info".into(), "SERVER".into(), "hello".into()));
    assert_eq!((get("field_level"), get("name")), ("mine".into(), "a\"b".into()));
    assert!(get("time").ends_with('Z'), "{line}");
    drop(logged);

    let logged = Logged::new(&LogArgs::default(), "log: {module: DEFAULT, outputFile: DIR/a.log}");
    tracing::warn!(target: "SERVER", port = 5, "hello");
    let line = logged.read("a.log");
    assert_eq!(shape(&line), "00:00:00.000 warning  SERVER hello port=0\n");
}

#[test]
fn flags_are_stronger_than_entities() {
    let log_levels = ["error", "SERVER=debug"].iter().map(|text| text.parse::<LogLevel>().expect("a level")).collect();
    let args = LogArgs { log_format: LogFormat::Skrouterd, log_levels };
    let logged = Logged::new(
        &args,
        "logs: [{module: DEFAULT, enable: debug+, outputFile: DIR/a.log, includeTimestamp: no}, {module: AGENT, enable: debug+}]",
    );
    tracing::info!(target: "AGENT", "no");
    tracing::debug!(target: "SERVER", "yes");
    assert_eq!(logged.read("a.log"), "SERVER (debug) yes\n");
}

#[test]
fn levels_of_flags_are_checked() {
    for (text, expected) in [
        ("SERVR=debug", "did you mean `SERVER`?"),
        ("SERVER=loud", "expected levels"),
        ("inof", "did you mean `info`?"),
    ] {
        let error = text.parse::<LogLevel>().expect_err(text);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn times_can_have_another_format() {
    let logged = Logged::new(
        &reference_args(),
        "router: {timestampFormat: '%Y/%m %%06lu', timestampsInUTC: yes}\nlog: {module: DEFAULT, outputFile: DIR/a.log}",
    );
    tracing::info!(target: "SERVER", "x");
    assert_eq!(shape(&logged.read("a.log")), "0000/00 000000 SERVER (info) x\n");
}

#[test]
fn a_log_file_that_cannot_be_opened_is_named() {
    let text = "log: {module: DEFAULT, outputFile: /nonexistent/a.log}";
    let c = Configuration::from_text("f", Syntax::Yaml, text).expect("entities");
    let handle = LogHandle::new(Settings::new(LogFormat::Text));
    let error = configure(&handle, &LogArgs::default(), &c.logs, None).expect_err("no directory");
    assert!(error.to_string().starts_with("Failed to open log file '/nonexistent/a.log'"), "{error}");
}
