//! `counts` and `micro` run, briefly, and print what they should.
#![expect(clippy::expect_used, reason = "a test may end by it, in its helpers too")]

use std::process::Command;

use serde_json::Value;

fn benches(args: &[&str]) -> (Value, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_benches")).args(args).output().expect("run benches");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let json =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{args:?} printed no JSON: {e}\n{errors}"));
    (json, errors)
}

#[test]
fn counts_of_amqp_on_one_and_two_workers() {
    // The check itself is not for a test: it wants a release build and a machine that is not busy.
    let (json, errors) =
        benches(&["counts", "--only", "unsettled", "--seconds", "0.2", "--warm-up", "0.1", "--no-strace", "--json"]);
    let rows = json["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 2, "{errors}");
    for row in rows {
        assert!(row["units"].as_f64() > Some(100.0), "{row:#}");
        assert!(row["per_unit"]["writes"].as_f64() < Some(0.5), "writes are batched: {row:#}");
    }
    assert!(rows[1]["per_batch"]["locks"].as_f64() > Some(0.0), "workers talk through mailboxes: {:#}", rows[1]);
}

#[test]
fn counts_of_tcp() {
    let (json, errors) = benches(&[
        "counts",
        "--only",
        "tcp-requests",
        "--workers",
        "1",
        "--seconds",
        "0.2",
        "--warm-up",
        "0.1",
        "--no-strace",
        "--json",
    ]);
    let row = &json["rows"][0];
    assert!(row["units"].as_f64() > Some(10.0), "{errors}{row:#}");
    // A request is read and written once on its way there and once on its way back.
    let writes = row["per_unit"]["writes"].as_f64().expect("writes");
    assert!((1.9..2.1).contains(&writes), "{row:#}");
}

#[test]
fn every_operation_of_micro_runs() {
    let (json, errors) = benches(&["micro", "--sample-ms", "1", "--samples", "1", "--json"]);
    let operations = json["operations"].as_array().expect("operations");
    assert!(operations.len() > 20, "{errors}");
    for operation in operations {
        assert!(operation["ns"].as_f64() > Some(0.0), "{operation:#}");
    }
}
