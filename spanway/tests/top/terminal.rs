//! A program in a pseudo terminal, whose screen a terminal emulator keeps.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// Longer than anything takes, even on a machine that is busy with other things.
const LIMIT: Duration = Duration::from_secs(60);

/// The terminal. What runs in it is killed when dropped.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    /// Kept open, so that what the terminal is set to can be seen after the end.
    line: OwnedFd,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
}

impl Terminal {
    /// Starts the binary in a terminal of this size.
    pub(crate) fn start(arguments: &[&str], lines: u16, columns: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo terminal");
        grantpt(&master).expect("granted");
        unlockpt(&master).expect("unlocked");
        let name = ptsname(&master, Vec::new()).expect("a name");
        let line = open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("opened");
        let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&line, size).expect("a size");
        // `setsid` becomes the binary, in a session of its own, so that this terminal is its terminal, and not that in which the tests run.
        let mut command = Command::new("setsid");
        command.args(["--ctty", env!("CARGO_BIN_EXE_spanway")]).args(arguments);
        for name in ["SPANWAY_URL", "SPANWAY_LOG", "SPANWAY_LOG_FORMAT", "SPANWAY_CONFIG", "NO_COLOR"] {
            command.env_remove(name);
        }
        command.env("TERM", "xterm-256color");
        let side = || Stdio::from(line.try_clone().expect("a copy"));
        let child = command.stdin(side()).stdout(side()).stderr(side()).spawn().expect("the binary runs");
        let [lines, columns] = [lines, columns].map(|size| NonZero::new(size).expect("no size is 0"));
        let screen = vt100::Parser::new(lines, columns, 0);
        let keyboard = File::from(master);
        let mut display = keyboard.try_clone().expect("a copy");
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut block = vec![0; 64 * 1024];
            while let Ok(read @ 1..) = display.read(&mut block) {
                if sender.send(block.get(..read).unwrap_or_default().to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, keyboard, line, output, screen }
    }

    /// What is on the screen when it is what was waited for.
    pub(crate) fn wait_for(&mut self, done: impl Fn(&str) -> bool) -> String {
        let limit = Instant::now() + LIMIT;
        loop {
            let screen = self.screen.screen().contents();
            if done(&screen) {
                return screen;
            }
            let left = limit.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(error) => panic!("{error}, with this on the screen:\n{screen}"),
            }
        }
    }

    /// Gives the terminal another size, which the program is told by a signal.
    pub(crate) fn resize(&mut self, lines: u16, columns: u16) {
        let [rows, cols] = [lines, columns].map(|size| NonZero::new(size).expect("no size is 0"));
        self.screen.screen_mut().set_size(rows, cols);
        let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.line, size).expect("a size");
    }

    pub(crate) fn type_keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("typed");
    }

    /// Sends a signal to the binary, by its name.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status().expect("a shell");
        assert!(status.success());
    }

    /// It has ended, and the terminal is as it was: the first screen, with a cursor, in line mode.
    pub(crate) fn end_restored(&mut self, status: i32) {
        let limit = Instant::now() + LIMIT;
        let ended = loop {
            if let Some(ended) = self.child.try_wait().expect("a child") {
                break ended;
            }
            match self.output.recv_timeout(Duration::from_millis(2)) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(Duration::from_millis(2)),
            }
            assert!(Instant::now() < limit, "it does not end:\n{}", self.screen.screen().contents());
        };
        while let Ok(bytes) = self.output.recv_timeout(Duration::from_millis(50)) {
            self.screen.process(&bytes);
        }
        let screen = self.screen.screen();
        assert_eq!(ended.code(), Some(status), "{}", screen.contents());
        assert!(!screen.alternate_screen() && !screen.hide_cursor(), "{}", screen.contents());
        let modes = tcgetattr(&self.line).expect("a terminal").local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO), "{modes:?}");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
