//! The fuzz target over random scripts, and over its corpus.

use std::{fs, path::Path};

use proptest::prelude::*;

use crate::fuzz_engine::fuzz_engine;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_scripts(data in proptest::collection::vec(any::<u8>(), 0..1500)) {
        fuzz_engine(&data);
    }

    /// Scripts that begin where sessions and links are, and mostly make sense.
    #[test]
    fn random_traffic(
        shape in any::<u8>(),
        steps in proptest::collection::vec((prop_oneof![52u8..136, 160u8..220, any::<u8>()], proptest::collection::vec(0u8..=200, 0..14)), 0..150),
    ) {
        let mut data = vec![shape | 4];
        for (op, rest) in steps {
            data.push(op);
            data.extend(rest);
        }
        fuzz_engine(&data);
    }
}

#[test]
fn the_corpus() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/engine");
    let mut files = 0;
    for entry in fs::read_dir(&directory).expect("corpus directory") {
        let bytes = fs::read(entry.expect("directory entry").path()).expect("corpus file");
        for len in 0..=bytes.len() {
            fuzz_engine(&bytes[..len]);
        }
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            fuzz_engine(&changed);
        }
        files += 1;
    }
    assert!(files > 0, "{} is empty", directory.display());
}
