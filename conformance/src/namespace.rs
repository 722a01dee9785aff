//! Hosts in network namespaces: each with addresses, firewall rules and a loopback of its own, all on one network.
//!
//! A test says what it does in [`isolated`]. That starts the same test once more, in namespaces of its own (of users, if it is not run
//! by root; of mounts and of networks), where it may make hosts. They are gone with its process, however it ends, and cannot meet those
//! of other tests.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::process::Process;

/// Says to a test that it is where it wants to be.
const INSIDE: &str = "SPANWAY_CONFORMANCE_ISOLATED";
/// No test in namespaces takes longer.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs `test` in namespaces of its own. `name` is the name of the test function, with its modules.
///
/// # Panics
/// When it fails, and when there can be no namespaces here.
pub fn isolated(name: &str, test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        prepare();
        return test();
    }
    // The binary of the router is built before, where there is a network to fetch from.
    let router = crate::router::spanway();
    let dir = tempfile::Builder::new().prefix("spanway-netns-").tempdir().unwrap();
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "--net", "--"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    command.env(INSIDE, "1").env("SPANWAY_CONFORMANCE_BUILT", router);
    let mut process = Process::start("isolated", dir.path(), &mut command);
    let status = process.wait(LIMIT);
    let output = process.output();
    assert!(
        status.success() && output.contains("1 passed"),
        "{name} failed in its namespaces ({status}). If it could not make them: it needs root, or a kernel that lets users have \
         namespaces (sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns), and ip and nft.\n{output}"
    );
    print!("{output}");
}

fn prepare() {
    // `ip netns` keeps names here, and nobody else is to see them.
    run(Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/run"]));
    run(Command::new("ip").args(["link", "set", "lo", "up"]));
}

/// Names that every host knows.
pub fn names(names: &[(&str, &str)]) {
    let lines: String = names.iter().map(|(name, address)| format!("{address} {name}\n")).collect();
    std::fs::write("/run/hosts", format!("127.0.0.1 localhost\n{lines}")).unwrap();
    run(Command::new("mount").args(["--bind", "/run/hosts", "/etc/hosts"]));
}

fn run(command: &mut Command) {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; `./test` installs what is needed"));
    assert!(output.status.success(), "{command:?}: {}{}", output.status, String::from_utf8_lossy(&output.stderr));
}

/// A host.
#[derive(Debug)]
pub struct Host {
    name: String,
    /// Its address on the network that all share.
    pub address: String,
}

/// Makes hosts on one network, 10.77.0.0/24. The switch between them is the namespace of the test.
pub fn hosts<const N: usize>(names: [&str; N]) -> [Host; N] {
    run(Command::new("ip").args(["link", "add", "switch", "type", "bridge"]));
    run(Command::new("ip").args(["link", "set", "switch", "up"]));
    let mut number = 0;
    names.map(|name| {
        number += 1;
        let host = Host { name: name.to_owned(), address: format!("10.77.0.{number}") };
        let port = format!("port{number}");
        run(Command::new("ip").args(["netns", "add", name]));
        run(Command::new("ip").args(["link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", name]));
        run(Command::new("ip").args(["link", "set", &port, "master", "switch", "up"]));
        host.ip(&["addr", "add", &format!("{}/24", host.address), "dev", "eth0"]);
        host.ip(&["link", "set", "eth0", "up"]);
        host.ip(&["link", "set", "lo", "up"]);
        host
    })
}

impl Host {
    /// Runs `f` on this host: sockets that it makes and programs that it starts are of this host, and stay so.
    pub fn on<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        let path = PathBuf::from("/run/netns").join(&self.name);
        std::thread::scope(|scope| {
            let there = scope.spawn(move || {
                let namespace = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                f()
            });
            there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn ip(&self, args: &[&str]) {
        run(Command::new("ip").args(["-n", &self.name]).args(args));
    }

    /// One more address, on a network that no other host sees.
    pub fn private(&self, address: &str) {
        self.ip(&["addr", "add", address, "dev", "lo"]);
    }

    /// Adds rules for what comes in, in the words of nft: `tcp flags & (syn|ack) == syn drop`.
    pub fn rule(&self, rule: &str) {
        let chain = "type filter hook input priority 0; policy accept;";
        let rules = format!("table inet test {{\nchain input {{\n{chain}\n{rule}\n}}\n}}\n");
        self.nft(&rules);
    }

    /// Drops everything that comes from another host, in both directions, without a word to anybody.
    pub fn partition(&self, from: &Self) {
        let (other, us) = (&from.address, &self.address);
        self.rule(&format!("ip saddr {other} drop"));
        from.rule(&format!("ip saddr {us} drop"));
    }

    /// Takes all rules away.
    pub fn heal(&self) {
        self.nft("flush ruleset");
    }

    fn nft(&self, rules: &str) {
        run(Command::new("ip").args(["netns", "exec", &self.name, "nft", rules]));
    }
}
