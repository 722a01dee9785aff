//! Sites in virtual time that lose messages and agree on their services all the same; see `conformance services --help`.

use clap::Parser;
use conformance::catalogue::{Options, run};

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    options: Options,
}

fn holds(args: &str) {
    let args = std::iter::once("services").chain(args.split_whitespace());
    let report = run(&Cli::try_parse_from(args).unwrap().options);
    assert!(report.failures.is_empty(), "{}", report.text());
}

#[test]
fn all_sites_agree() {
    for seed in 0..4 {
        holds(&format!("--sites {} --services 500 --loss {} --seed {seed}", 5 + seed * 7, seed * 5));
    }
}

#[test]
fn sites_beyond_a_hundred_say_less_and_agree() {
    holds("--sites 220 --services 440");
}
