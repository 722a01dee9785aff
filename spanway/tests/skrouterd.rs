//! The binary in the place of skrouterd: exit codes and what it says, without starting a router.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// The binary under the name `skrouterd`.
fn skrouterd(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spanway"));
    command.arg0("skrouterd").args(arguments);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_and_version_exit_with_0() {
    let help = skrouterd(&["-h"]).output().expect("the binary runs");
    assert_eq!(help.status.code(), Some(0));
    assert!(text(&help.stdout).starts_with("Usage: skrouterd [OPTIONS]"), "{}", text(&help.stdout));
    let version = skrouterd(&["--version"]).output().expect("the binary runs");
    assert_eq!((version.status.code(), text(&version.stdout)), (Some(0), format!("{}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn mistakes_in_the_command_line_exit_with_1() {
    for arguments in [&["-x"][..], &["stray"], &["-c"]] {
        let refused = skrouterd(arguments).output().expect("the binary runs");
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}");
        assert!(text(&refused.stdout).starts_with("Usage: "), "{arguments:?}");
        assert!(!refused.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn mistakes_in_the_configuration_are_critical() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("a.conf"), "router {\n  mode: standalone\n}\nlistener {\n  role: edge\n}\n")
        .expect("a file");
    let failed = Command::new(env!("CARGO_BIN_EXE_spanway"))
        .args(["skrouterd", "-c", "a.conf"])
        .current_dir(dir.path())
        .output()
        .expect("the binary runs");
    assert_eq!(failed.status.code(), Some(1));
    let said = text(&failed.stderr);
    let expected = "Exception: Cannot load configuration file a.conf: role='standalone' not allowed to connect to or accept \
                    connections from other routers.";
    assert!(said.contains(&format!(" ROUTER (critical) Router start-up failed: Python: {expected}")), "{said}");
    assert!(said.contains(&format!("\nskrouterd: Python: {expected}")), "{said}");
}

#[test]
fn a_daemon_that_fails_tells_its_launcher() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("a.log");
    let pid = dir.path().join("pid");
    let config =
        format!("log {{\n  module: DEFAULT\n  outputFile: {}\n}}\ntcpConnector {{\n  port: 1\n}}\n", log.display());
    std::fs::write(dir.path().join("a.conf"), config).expect("a file");
    let failed = Command::new(env!("CARGO_BIN_EXE_spanway"))
        .arg0("skrouterd")
        .args(["-d", "-c", "a.conf", "-P", "pid"])
        .current_dir(dir.path())
        .output()
        .expect("the binary runs");
    assert_eq!(failed.status.code(), Some(1));
    let said = text(&failed.stderr);
    assert!(said.starts_with("skrouterd: Python: CError: Configuration: Address must be set"), "{said}");
    let log = std::fs::read_to_string(log).expect("the log");
    assert!(
        log.contains("ROUTER (critical) Router start-up failed: Python: CError: Configuration: Address must be set"),
        "{log}"
    );
    // Relative names hold, although the daemon works in `/`.
    let pid: u32 = std::fs::read_to_string(pid).expect("the pid file").trim().parse().expect("a number");
    assert_ne!(pid, 0);
}

#[test]
fn an_unknown_user_is_named() {
    let failed = skrouterd(&["-d", "-U", "no-such-user-here", "-c", "/dev/null"]).output().expect("the binary runs");
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(text(&failed.stderr), "Can't look up user no-such-user-here\n");
}

#[test]
fn configurations_can_be_checked() {
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_spanway")).arg("run").args(arguments).output().expect("the binary runs")
    };
    let valid = run(&["--check", "--tcp-listener", "a=127.0.0.1:1"]);
    assert_eq!(valid.status.code(), Some(0));
    assert!(text(&valid.stdout).starts_with("the configuration is valid: "), "{}", text(&valid.stdout));
    let invalid = run(&["--check", "--mode", "inner"]);
    assert_eq!(invalid.status.code(), Some(1));
    assert!(text(&invalid.stderr).starts_with("--mode inner: mode: expected one of"), "{}", text(&invalid.stderr));
    assert_eq!(run(&["--nonsense"]).status.code(), Some(2));
}

/// A process that is not our child; ended when the test is over, however it ends.
struct Daemon(u32);

impl Daemon {
    fn signal(&self, name: &str) {
        // The shell has `kill` built in; a program of that name need not be installed.
        let _ = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.0)]).status();
    }

    fn runs(&self) -> bool {
        std::path::Path::new(&format!("/proc/{}/exe", self.0)).read_link().is_ok()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.runs() {
            self.signal("KILL");
        }
    }
}

#[test]
fn a_daemon_is_ready_when_its_launcher_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("a.log");
    let config = format!(
        "log {{\n  module: DEFAULT\n  enable: info+\n  outputFile: {}\n}}\nlistener {{\n  host: 127.0.0.1\n  port: 0\n}}\n",
        log.display()
    );
    std::fs::write(dir.path().join("a.conf"), config).expect("a file");
    let launched =
        skrouterd(&["-d", "-c", "a.conf", "-P", "pid"]).current_dir(dir.path()).output().expect("the binary runs");
    assert_eq!(launched.status.code(), Some(0), "{}", text(&launched.stderr));
    let pid = std::fs::read_to_string(dir.path().join("pid")).expect("the pid file");
    let daemon = Daemon(pid.trim().parse().expect("a number"));
    let said = std::fs::read_to_string(&log).expect("the log");
    assert!(said.contains(&format!("Threads Running (process ID {})", daemon.0)), "{said}");
    assert!(said.contains(" SERVER (info) Operational, "), "{said}");
    assert!(daemon.runs());
    daemon.signal("TERM");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while daemon.runs() {
        assert!(std::time::Instant::now() < deadline, "it does not end: {said}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
