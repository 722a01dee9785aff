//! The examples that come with Proton's Python binding, unmodified, against `spanway run`.
//!
//! They have `localhost:5672` built in, so they run in a network namespace, where that port is free.

use std::path::Path;
use std::process::Command;

use conformance::router::{foreign_router, spanway};
use conformance::{PATIENCE, Process};

/// Debian's package libqpid-proton11-dev-examples.
const EXAMPLES: &str = "/usr/share/proton/examples/python";

/// `$1` the router, `$2` the directory for its output.
const SCRIPT: &str = r#"
set -eu
ip link set lo up
"$1" run > "$2/run.log" 2>&1 &
router=$!
trap 'kill $router; wait $router || true' EXIT
until (: < /dev/tcp/127.0.0.1/5672) 2> /dev/null; do kill -0 $router; done

example() { /usr/bin/python3 -W ignore "$@"; }

echo "helloworld: $(example helloworld.py)"

example simple_recv.py --messages 50 > "$2/recv.log" &
receiver=$!
example simple_send.py --messages 50
wait $receiver
echo "received: $(wc -l < "$2/recv.log")"

example server.py > /dev/null 2>&1 &
server=$!
example client.py
echo "blocking client:"
example sync_client.py
kill $server
wait $server || true
echo "all done"
"#;

#[test]
fn proton_python_examples() {
    if foreign_router().is_some() {
        eprintln!("about `spanway run`");
        return;
    }
    assert!(Path::new(EXAMPLES).is_dir(), "{EXAMPLES} is missing: run `conformance/install`");
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    // As root of a user namespace of its own, so that no privilege is needed; with its process namespace everything in it
    // ends.
    command.args([
        "--user",
        "--map-root-user",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "bash",
        "-c",
        SCRIPT,
        "examples",
    ]);
    command.arg(spanway()).arg(dir.path()).current_dir(EXAMPLES);
    let mut all = Process::start("examples", dir.path(), &mut command);
    let status = all.wait(PATIENCE);
    let output = all.output();
    assert!(status.success(), "{status}\n{output}\n{}", std::fs::read_to_string(dir.path().join("run.log")).unwrap());
    for expected in [
        "helloworld: Hello World!",
        "all messages confirmed",
        "received: 50",
        "Twas brillig, and the slithy toves => TWAS BRILLIG, AND THE SLITHY TOVES",
        "all done",
    ] {
        assert!(output.contains(expected), "no {expected:?} in\n{output}");
    }
    // Both clients asked all four lines.
    assert_eq!(output.matches("=> AND THE MOME RATHS OUTGRABE").count(), 2, "{output}");
}
