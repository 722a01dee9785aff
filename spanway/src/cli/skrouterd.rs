//! skrouterd's command line, option by option as `getopt_long` reads it there.

use std::ffi::OsString;

use lexopt::Arg;

use crate::cli::VERSION;

/// Where skrouterd looks without `-c`.
const DEFAULT_CONFIG: &str = "/etc/skupper-router/skrouterd.conf";

/// All long options and whether they take a value. Any unambiguous beginning will do.
const LONG: &[(&str, char)] = &[
    ("config", 'c'),
    ("include", 'I'),
    ("daemon", 'd'),
    ("pidfile", 'P'),
    ("user", 'U'),
    ("help", 'h'),
    ("version", 'v'),
    ("test-hooks", 'T'),
];

/// What skrouterd was asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SkrouterdArgs {
    /// `-c`: the configuration file.
    pub(crate) config: String,
    /// `-d`: become a daemon.
    pub(crate) daemon: bool,
    /// `-P`: where the daemon's process id goes.
    pub(crate) pid_file: Option<String>,
    /// `-U`: who the daemon becomes.
    pub(crate) user: Option<String>,
    /// `-T`: the addresses that the reference's tests use.
    pub(crate) test_hooks: bool,
}

/// What came of reading the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// Run a router.
    Run(SkrouterdArgs),
    /// Print this on the standard output and exit with 0.
    Print(String),
    /// Print the first on the standard error, the second on the standard output, and exit with 1.
    Refuse(String, String),
}

/// Reads skrouterd's options. `program` is how messages call it.
pub(crate) fn parse(program: &str, arguments: impl IntoIterator<Item = OsString>) -> Parsed {
    let mut args = SkrouterdArgs {
        config: DEFAULT_CONFIG.to_owned(),
        daemon: false,
        pid_file: None,
        user: None,
        test_hooks: false,
    };
    let mut strays = Vec::new();
    let mut parser = lexopt::Parser::from_args(arguments);
    let refuse = |message: String| Parsed::Refuse(format!("{program}: {message}\n"), usage(program));
    loop {
        let short = match parser.next() {
            Ok(None) => break,
            Ok(Some(Arg::Value(stray))) => {
                strays.push(stray.to_string_lossy().into_owned());
                continue;
            }
            Ok(Some(Arg::Short(short))) => short,
            Ok(Some(Arg::Long(name))) => match long(name) {
                Ok(short) => short,
                Err(message) => return refuse(message),
            },
            Err(error) => return refuse(error.to_string()),
        };
        let value = match short {
            'c' | 'I' | 'P' | 'U' => match parser.value() {
                Ok(value) => value.to_string_lossy().into_owned(),
                Err(_) => return refuse(format!("option requires an argument -- '{short}'")),
            },
            _ => String::new(),
        };
        match short {
            'c' => args.config = value,
            // The directory of the reference's Python library; there is none here.
            'I' => {}
            'P' => args.pid_file = Some(value),
            'U' => args.user = Some(value),
            'd' => args.daemon = true,
            'T' => args.test_hooks = true,
            'h' => return Parsed::Print(usage(program)),
            'v' => return Parsed::Print(format!("{VERSION}\n")),
            unknown => return refuse(format!("invalid option -- '{unknown}'")),
        }
    }
    if strays.is_empty() {
        Parsed::Run(args)
    } else {
        Parsed::Refuse(format!("Unexpected arguments: {}\n\n", strays.join(" ")), usage(program))
    }
}

fn long(written: &str) -> Result<char, String> {
    let exact = LONG.iter().find(|(name, _)| *name == written);
    let mut candidates = LONG.iter().filter(|(name, _)| name.starts_with(written));
    match (exact, candidates.next(), candidates.next()) {
        (Some((_, short)), ..) | (None, Some((_, short)), None) => Ok(*short),
        (None, Some(_), Some(_)) => Err(format!("option '--{written}' is ambiguous")),
        (None, None, _) => Err(format!("unrecognized option '--{written}'")),
    }
}

fn usage(program: &str) -> String {
    format!(
        "Usage: {program} [OPTIONS]\n\n  \
         -c, --config=PATH ({DEFAULT_CONFIG})\n                             \
         Load configuration from file at PATH\n  \
         -I, --include=PATH\n                             \
         Accepted and ignored\n  \
         -d, --daemon               Run process as a SysV-style daemon\n  \
         -P, --pidfile              If daemon, the file for the stored daemon pid\n  \
         -U, --user                 If daemon, the username to run as\n  \
         -T, --test-hooks           Enable internal system testing features\n  \
         -v, --version              Print the version of the router\n  \
         -h, --help                 Print this help\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Parsed {
        parse("skrouterd", line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn options_come_short_long_joined_and_cut_short() {
        let expected = SkrouterdArgs {
            config: "a.conf".to_owned(),
            daemon: true,
            pid_file: Some("p".to_owned()),
            user: Some("u".to_owned()),
            test_hooks: true,
        };
        for line in [
            "-c a.conf -I x -d -P p -U u -T",
            "-ca.conf -dT -Pp -Uu",
            "--config=a.conf --include x --daemon --pidfile p --user=u --test-hooks",
            "--conf a.conf --dae --pid p --us u --test",
        ] {
            assert_eq!(run(line), Parsed::Run(expected.clone()), "{line}");
        }
    }

    #[test]
    fn help_and_version_go_to_stdout() {
        assert!(matches!(run("-h"), Parsed::Print(text) if text.starts_with("Usage: skrouterd [OPTIONS]")));
        assert_eq!(run("--version"), Parsed::Print(format!("{VERSION}\n")));
    }

    #[test]
    fn mistakes_are_refused_with_usage() {
        for (line, message) in [
            ("-x", "invalid option -- 'x'"),
            ("--nope", "unrecognized option '--nope'"),
            ("-c", "option requires an argument -- 'c'"),
            ("stray -T", "Unexpected arguments: stray"),
        ] {
            let Parsed::Refuse(error, usage) = run(line) else { panic!("{line} was taken") };
            assert!(error.contains(message), "{line}: {error}");
            assert!(usage.starts_with("Usage: "));
        }
    }
}
