//! Runs the fuzz targets over their corpora, so that what a fuzzer once found stays found.

use std::{fs, path::Path};

use crate::fuzz;

fn run(target: &str, function: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files = 0;
    for entry in fs::read_dir(&directory).expect("corpus directory") {
        let path = entry.expect("directory entry").path();
        let bytes = fs::read(&path).expect("corpus file");
        function(&bytes);
        // Everything that begins like a file of the corpus, and one bit of it changed.
        for len in 0..bytes.len() {
            function(&bytes[..len]);
        }
        for bit in 0..bytes.len().min(256) * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            function(&changed);
        }
        files += 1;
    }
    assert!(files > 0, "{} is empty", directory.display());
}

#[test]
fn frames() {
    run("frame", fuzz::fuzz_frame);
}

#[test]
fn values() {
    run("value", fuzz::fuzz_value);
}

#[test]
fn messages() {
    run("message", fuzz::fuzz_message);
}
