//! Many small networks in virtual time, each broken in every way; see `conformance simulate --help`.

use std::time::Duration;

use clap::Parser;
use conformance::simulate::{Options, Report, run};

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    options: Options,
}

fn simulate(args: &str) -> Report {
    let args = std::iter::once("simulate").chain(args.split_whitespace());
    run(&Cli::try_parse_from(args).unwrap().options).unwrap()
}

fn holds(args: &str) {
    let report = simulate(args);
    assert!(report.failures.is_empty(), "{args}\n{}", report.text());
}

const ALL: &str = "links:2,silent:1,deaf:2,routers:1,restarts:2,partitions:1,costs:2,churn:5";

#[test]
fn random_networks_recover() {
    for seed in 0..24 {
        let routers = 3 + seed % 14;
        let cost = 1 + seed % 3;
        holds(&format!("--routers {routers} --addresses 60 --edges 10 --max-cost {cost} --faults {ALL} --seed {seed}"));
    }
}

#[test]
fn rings_recover() {
    for seed in 0..8 {
        holds(&format!("--topology ring --routers {} --addresses 30 --faults {ALL} --seed {seed}", 3 + seed * 2));
    }
}

#[test]
fn stars_recover() {
    for seed in 0..8 {
        holds(&format!("--topology star --routers {} --addresses 30 --faults {ALL} --seed {seed}", 2 + seed * 2));
    }
}

#[test]
fn meshes_recover() {
    for seed in 0..6 {
        holds(&format!("--topology mesh --routers {} --addresses 30 --faults {ALL} --seed {seed}", 3 + seed * 2));
    }
}

/// Whatever is lost while a link comes up, addresses are known as soon as routers that hear one another have said so once: a HELLO that was
/// lost costs its interval of a second.
#[test]
fn what_is_lost_while_a_link_comes_up_is_asked_for_at_once() {
    for (seed, topology) in
        (0..).zip(["ring --routers 2", "ring --routers 4", "random --routers 9", "mesh --routers 6"])
    {
        let report = simulate(&format!("--topology {topology} --addresses 5 --faults deaf:40 --seed {seed}"));
        assert!(report.failures.is_empty(), "{topology}\n{}", report.text());
        let up = report.phases.iter().find(|phase| phase.name == "link up, deaf").unwrap();
        let longest = up.took.iter().max().unwrap();
        assert!(*longest < Duration::from_millis(1500), "{topology}: {longest:?}\n{}", report.text());
    }
}

#[test]
fn a_seed_gives_the_same_run_and_another_seed_another() {
    let once = |seed| {
        let report = simulate(&format!("--routers 12 --faults {ALL} --seed {seed}"));
        let mut json = report.json();
        for of_the_machine in ["cpuSeconds", "tableCpuSeconds", "memoryMiB"] {
            json.as_object_mut().unwrap().remove(of_the_machine);
        }
        json
    };
    assert_eq!(once(1), once(1));
    assert_ne!(once(1)["digest"], once(2)["digest"]);
}

/// Messages that one event costs a router must not grow with the square of the network.
#[test]
fn a_full_mesh_floods_each_change_once() {
    let report = simulate("--topology mesh --routers 24 --addresses 0 --faults links:1");
    let closed = report.phases.iter().find(|phase| phase.name == "link closed").unwrap();
    // Both ends tell 23 neighbours their link state and their number, and some HELLOs fall into the time that is measured.
    assert!(closed.messages < 24 * 60, "{}", report.text());
}

#[test]
fn wrong_options_say_what_is_wrong() {
    let wrong = |args: &str| {
        let args = std::iter::once("simulate").chain(args.split_whitespace());
        match Cli::try_parse_from(args) {
            Err(error) => error.to_string(),
            Ok(cli) => run(&cli.options).unwrap_err(),
        }
    };
    assert!(wrong("--faults earthquake:1").contains("links, silent, deaf, routers"));
    assert!(wrong("--faults links:many").contains("links:3"));
    assert!(wrong("--routers 1").contains("2 routers"));
    assert!(wrong("--latency fast").contains("1..20"));
    assert!(wrong("--topology torus").contains("ring"));
}
