//! PostgreSQL: a cluster of its own, without Unix sockets, as a user without privileges.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::ports::free_port;
use crate::process::Process;

use super::{Outcome, open_dir, run};

/// A running server with the database `postgres`, where everyone is trusted. Dropping it ends it.
#[derive(Debug)]
pub struct Postgres {
    /// The postmaster.
    pub process: Process,
    /// Its port on 127.0.0.1.
    pub port: u16,
    dir: TempDir,
}

impl Postgres {
    /// Makes a cluster and starts it.
    pub fn start() -> Self {
        let dir = open_dir();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        let user = unprivileged(dir.path());
        if let Some((uid, gid)) = user {
            chown(&data, Some(uid), Some(gid)).unwrap();
        }
        let mut initdb = Command::new(program("initdb"));
        initdb.args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"]);
        run(dir.path(), become_user(initdb.arg(&data), user)).success();
        let port = free_port();
        let mut server = Command::new(program("postgres"));
        server.arg("-D").arg(&data).args(["-F", "-h", "127.0.0.1", "-p", &port.to_string()]);
        for setting in ["unix_socket_directories=", "shared_buffers=16MB", "max_connections=20"] {
            server.args(["-c", setting]);
        }
        let mut process = Process::start("postgres", dir.path(), become_user(&mut server, user));
        process.wait_output("ready to accept connections", crate::router::PATIENCE);
        Self { process, port, dir }
    }

    /// A psql with `sql`, through `port`.
    pub fn psql(&self, port: u16, sql: &str) -> Command {
        let mut command = Command::new(program("psql"));
        command.args(["--no-psqlrc", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--command", sql]);
        self.connection(&mut command, port);
        command
    }

    /// Runs SQL through `port`.
    pub fn query(&self, port: u16, sql: &str) -> Outcome {
        run(self.dir.path(), &mut self.psql(port, sql))
    }

    /// A pgbench through `port`.
    ///
    /// # Panics
    /// When it fails, or one of its transactions.
    #[track_caller]
    pub fn pgbench(&self, port: u16, args: &[&str]) -> String {
        let mut command = Command::new(program("pgbench"));
        self.connection(command.args(args), port);
        let output = run(self.dir.path(), &mut command).success();
        assert!(!output.contains("aborted"), "{output}");
        output
    }

    /// What a pgbench of one second with four clients through `port` counts as transactions.
    ///
    /// # Panics
    /// When one of them failed.
    #[track_caller]
    pub fn bench(&self, port: u16) -> u64 {
        let output = self.pgbench(port, &["--client=4", "--time=1", "--no-vacuum"]);
        assert!(output.contains("number of failed transactions: 0 "), "{output}");
        let count = output.lines().find_map(|line| line.strip_prefix("number of transactions actually processed: "));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or_else(|| panic!("no count in {output}"))
    }

    fn connection(&self, command: &mut Command, port: u16) {
        for (key, value) in [("PGHOST", "127.0.0.1"), ("PGUSER", "postgres"), ("PGDATABASE", "postgres")] {
            command.env(key, value);
        }
        // Its own TLS is not what is tested, and differs between clusters.
        command.env("PGPORT", port.to_string()).env("PGSSLMODE", "disable").env("PGCONNECT_TIMEOUT", "30");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The postmaster takes its children along; killed, it would leave them to notice.
        self.process.signal(Signal::QUIT);
        let end = Instant::now() + Duration::from_secs(10);
        while self.process.exit_status().is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Who runs the server when the tests run as root, which PostgreSQL does not allow: the package's own user.
fn unprivileged(ours: &Path) -> Option<(u32, u32)> {
    if fs::metadata(ours).unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let fields = |line: &str| {
        let mut fields = line.strip_prefix("postgres:")?.split(':').skip(1).map(|field| field.parse().ok());
        Some((fields.next()??, fields.next()??))
    };
    Some(users.lines().find_map(fields).expect("the package postgresql made the user postgres"))
}

fn become_user(command: &mut Command, user: Option<(u32, u32)>) -> &mut Command {
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid).current_dir("/");
    }
    command
}

/// Debian keeps the server's programs out of PATH, by version.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin").join(name))))
        .filter(|(_, path)| path.exists())
        .collect();
    found.sort();
    found.pop().map_or_else(|| PathBuf::from(name), |(_, path)| path)
}
