//! The binary as a process, watched.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Longer than anything takes, even on a machine that is busy with other things.
const LIMIT: Duration = Duration::from_secs(60);

/// The binary with these arguments, whatever the environment says.
pub(crate) fn tool(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spanway"));
    command.args(arguments);
    for name in ["SPANWAY_URL", "SPANWAY_LOG", "SPANWAY_LOG_FORMAT", "SPANWAY_CONFIG"] {
        command.env_remove(name);
    }
    command
}

pub(crate) fn send(url: &str, arguments: &[&str]) -> Command {
    let mut command = tool(&["send", "--url", url]);
    command.args(arguments);
    command
}

pub(crate) fn recv(url: &str, arguments: &[&str]) -> Command {
    let mut command = tool(&["recv", "--url", url]);
    command.args(arguments);
    command
}

/// What a process prints, line by line.
struct Lines {
    from: Receiver<String>,
    /// All that was taken.
    taken: RefCell<String>,
}

impl Lines {
    /// Reads on a thread, so that no pipe fills up.
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let (sender, from) = channel();
        std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            loop {
                let mut line = Vec::new();
                match pipe.read_until(b'\n', &mut line) {
                    Ok(1..) if sender.send(String::from_utf8_lossy(&line).into_owned()).is_ok() => {}
                    _ => break,
                }
            }
        });
        Self { from, taken: RefCell::default() }
    }

    fn next(&self) -> String {
        match self.from.recv_timeout(LIMIT) {
            Ok(line) => {
                self.taken.borrow_mut().push_str(&line);
                line.trim_end_matches('\n').to_owned()
            }
            Err(error) => panic!("{error} after: {}", self.taken.borrow()),
        }
    }

    /// Everything until the end.
    fn all(&self) -> String {
        let mut taken = self.taken.borrow_mut();
        while let Ok(line) = self.from.recv_timeout(LIMIT) {
            taken.push_str(&line);
        }
        taken.clone()
    }
}

/// A process that is running. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<Lines>,
    stderr: Lines,
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// -1 for a signal.
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Running {
    pub(crate) fn start(command: Command) -> Self {
        let mut running = Self::start_unread(command, Stdio::piped());
        running.stdout = running.child.stdout.take().map(Lines::of);
        running
    }

    /// Nobody reads what it prints.
    pub(crate) fn start_unread(mut command: Command, stdout: Stdio) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(stdout).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let stdin = child.stdin.take();
        let stderr = Lines::of(child.stderr.take().expect("a pipe"));
        Self { child, stdin, stdout: None, stderr }
    }

    pub(crate) fn input(&mut self) -> &mut ChildStdin {
        self.stdin.as_mut().expect("not closed")
    }

    pub(crate) fn close_input(&mut self) {
        self.stdin = None;
    }

    /// The next line of the standard output.
    pub(crate) fn line(&self) -> String {
        self.stdout.as_ref().expect("it is read").next()
    }

    /// Waits until it says this on the standard error.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        loop {
            let line = self.stderr.next();
            if line.contains(text) {
                return line;
            }
        }
    }

    pub(crate) fn interrupt(&self) {
        self.signal("INT");
    }

    /// Sends a signal, by its name.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status().expect("a shell");
        assert!(status.success());
    }

    /// Waits for the end.
    pub(crate) fn end(self) -> Ended {
        self.end_with_memory().0
    }

    /// Waits for the end; with it comes the most memory that it was seen to use, in bytes.
    pub(crate) fn end_with_memory(mut self) -> (Ended, u64) {
        let limit = Instant::now() + LIMIT;
        let mut memory = 0;
        let status = loop {
            memory = memory.max(peak(self.child.id()));
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(Instant::now() < limit, "it does not end: {}", self.stderr.taken.borrow());
            std::thread::sleep(Duration::from_millis(2));
        };
        let stdout = self.stdout.as_ref().map(Lines::all).unwrap_or_default();
        (Ended { status: status.code().unwrap_or(-1), stdout, stderr: self.stderr.all() }, memory)
    }
}

/// The most memory that a process has used, in bytes; 0 if it is gone.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: Option<u64> = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kib.unwrap_or_default() * 1024
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A router on ports that were free.
pub(crate) struct Router {
    /// Where clients connect.
    pub(crate) url: String,
    /// HOST:PORT where other routers may link, if `--accept-links 127.0.0.2:0` is among the arguments.
    pub(crate) links: String,
    /// The same for edge routers and `--accept-edges 127.0.0.3:0`.
    pub(crate) edges: String,
    _process: Running,
    /// HOST:PORT of all listeners.
    places: Vec<String>,
}

impl Router {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With more arguments.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let mut all = vec!["run", "--listen", "amqp://127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1"];
        all.extend(arguments);
        let process = Running::start(tool(&all));
        let mut places = Vec::new();
        loop {
            let line = process.wait_for(" ");
            let place = line.split("Listening on ").nth(1).and_then(|rest| rest.split(' ').next());
            places.extend(place.map(str::to_owned));
            if line.contains("Operational") {
                break;
            }
        }
        let mut router =
            Self { url: String::new(), links: String::new(), edges: String::new(), _process: process, places };
        router.url = format!("amqp://{}", router.place("127.0.0.1"));
        router.links = router.place("127.0.0.2");
        router.edges = router.place("127.0.0.3");
        router
    }

    /// HOST:PORT of the listener on this address; empty if there is none.
    pub(crate) fn place(&self, host: &str) -> String {
        let found = self.places.iter().find(|place| place.rsplit_once(':').is_some_and(|(of, _)| of == host));
        found.cloned().unwrap_or_default()
    }
}
