//! Processes that crash, and what they say. Each is this program again, told by its environment how to die.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output};

use super::report::{Circumstances, Program};
use super::{corrupt_heap, fault, install};

const HOW: &str = "SPANWAY_TEST_CRASH";

fn crash(how: &str, more: &[(&str, &str)]) -> (Output, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "crash::tests::victim", "--nocapture"]).env(HOW, how).envs(more.iter().copied());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

fn recurse(depth: u64) -> u64 {
    let here = std::hint::black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { recurse(depth + 1) + here[(depth % 64) as usize] }
}

/// Not a test, but for those that start it in a process of its own.
#[test]
fn victim() {
    let Ok(how) = std::env::var(HOW) else { return };
    install("1.2.3", "skrouterd");
    match how.as_str() {
        "ABRT" => std::process::abort(),
        "SEGV" => fault(),
        "heap" => {
            for _ in 0..4 {
                std::thread::spawn(|| {
                    loop {
                        std::hint::black_box(vec![0_u8; 100]);
                    }
                });
            }
            corrupt_heap()
        }
        "stack" => std::process::exit(i32::from(recurse(0) == 0)),
        // SAFETY: it has no preconditions.
        "sent" => _ = unsafe { libc::kill(libc::getpid(), libc::SIGBUS) },
        other => panic!("{other}"),
    }
}

fn assert_report(said: &str, signal: &str) {
    for part in [
        "\n*** SKUPPER-ROUTER FATAL ERROR ***\nVersion: 1.2.3\n",
        &format!("\nSignal: {signal}\nProcess ID: "),
        " (skrouterd)\n",
        "\n!!! libunwind not present: backtrace unavailable !!!\n",
        "\n*** END ***\n",
    ] {
        assert_eq!(said.matches(part).count(), 1, "{part}: {said}");
    }
}

#[test]
fn crashes_are_reported_once_and_stay_what_they_are() {
    for (how, signal, name) in [
        ("ABRT", libc::SIGABRT, "6 SIGABRT"),
        ("SEGV", libc::SIGSEGV, "11 SIGSEGV"),
        ("sent", libc::SIGBUS, &*format!("{} SIGBUS", libc::SIGBUS)),
    ] {
        let (output, said) = crash(how, &[]);
        assert_eq!(output.status.signal(), Some(signal), "{how}: {said}");
        assert_report(&said, name);
        assert_eq!(said.contains("Fault address: 0x8\n"), how == "SEGV", "{said}");
    }
}

#[test]
fn many_threads_that_crash_make_one_report() {
    for _ in 0..5 {
        let (output, said) = crash("heap", &[]);
        assert!(matches!(output.status.signal(), Some(libc::SIGSEGV | libc::SIGABRT | libc::SIGBUS)), "{said}");
        assert_eq!(said.matches("*** END ***").count(), 1, "{said}");
    }
}

#[test]
fn an_overflow_of_the_stack_is_still_called_so() {
    let (output, said) = crash("stack", &[]);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{said}");
    assert_report(&said, "11 SIGSEGV");
    assert!(said.contains("has overflowed its stack"), "{said}");
}

#[test]
fn reports_can_be_turned_off() {
    let (output, said) = crash("ABRT", &[(super::DISABLED, "")]);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT));
    assert!(!said.contains("FATAL"), "{said}");
}

#[test]
fn what_does_not_fit_is_left_out() {
    let program = Program::new(&"v".repeat(9999), &"é".repeat(9999));
    let what = Circumstances { signal: 11, thread: i32::MIN, at: Some(usize::MAX), address: Some(0) };
    let text = program.report(&what, &[b'x'; 9999]);
    let text = String::from_utf8_lossy(text.as_bytes()).into_owned();
    assert!(text.contains("Thread ID: 2147483648 (xxxx"), "{text}");
    let text = program.report(&what, b"w0\0\0");
    let text = String::from_utf8_lossy(text.as_bytes()).into_owned();
    assert!(text.contains("(w0)\nFault address: 0x0\n") && text.contains("IP: 0xffffffffffffffff"), "{text}");
    assert!(text.ends_with("*** END ***\n"), "{text}");
}
