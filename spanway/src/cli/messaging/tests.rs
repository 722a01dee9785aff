use clap::Parser as _;

use super::*;
use crate::cli::{Cli, Command};

fn parse(line: &str) -> Result<Command, clap::Error> {
    Cli::try_parse_from(line.split(' ')).map(|cli| cli.command)
}

fn send(line: &str) -> SendArgs {
    match parse(line).expect(line) {
        Command::Send(args) => args,
        other => panic!("{other:?}"),
    }
}

fn recv(line: &str) -> RecvArgs {
    match parse(line).expect(line) {
        Command::Recv(args) => args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn sources_of_bodies() {
    assert!(matches!(send("spanway send a").what(), What::Lines));
    assert!(matches!(send("spanway send a -").what(), What::Stdin));
    assert!(matches!(send("spanway send a hi").what(), What::Text(text) if text == "hi"));
    assert!(matches!(send("spanway send a -f x").what(), What::File(path) if path == std::path::Path::new("x")));
}

#[test]
fn places_of_bodies() {
    assert!(matches!(recv("spanway recv a").place(), Some(Place::Lines)));
    assert!(recv("spanway recv a -q").place().is_none());
    assert!(matches!(recv("spanway recv a --file -").place(), Some(Place::Stdout)));
    assert!(matches!(recv("spanway recv a -q --file x").place(), Some(Place::File(_))));
}

#[test]
fn all_options_of_send() {
    let args = send(
        "spanway send a b -n 3 --rate 0.5 --presettled --durable --priority 9 --summary --url amqps://u:p@h:1 --timeout 500ms",
    );
    assert_eq!((args.count, args.rate, args.priority), (3, Some(0.5), Some(9)));
    assert!(args.presettled && args.durable && args.summary);
    assert_eq!(args.connect.url.to_string(), "amqps://h:1");
    assert_eq!(args.connect.timeout, Some(Duration::from_millis(500)));
}

#[test]
fn times_have_units() {
    for (text, millis) in [("1", 1000), ("1.5s", 1500), ("20ms", 20), ("2m", 120_000), ("1h", 3_600_000)] {
        assert_eq!(parse_time(text), Ok(Duration::from_millis(millis)), "{text}");
    }
    for text in ["", "s", "1d", "-1s", "1 s", "nans"] {
        assert!(parse_time(text).is_err(), "{text}");
    }
}

#[test]
fn mistakes_end_with_status_2() {
    for (line, expected) in [
        ("spanway send", "<ADDRESS>"),
        ("spanway send a b --file x", "cannot be used with"),
        ("spanway send a b -n 0", "0 is not in 1.."),
        ("spanway send a b --rate 0", "expected a number above 0"),
        ("spanway send a b --rate inf", "expected a number above 0"),
        ("spanway send a b --priority 10", "10 is not in 0..=9"),
        ("spanway send a b --summary --quiet", "cannot be used with"),
        ("spanway send a b --url h:1", "did you mean `amqp://h:1`?"),
        ("spanway send a b --cert x", "--key"),
        ("spanway send a b --timeout soon", "expected a time such as"),
        ("spanway recv a --credit 0", "0 is not in 1.."),
        ("spanway recv a -n 0", "0 is not in 1.."),
    ] {
        let error = parse(line).map(|command| panic!("{line}: {command:?}")).unwrap_or_else(|error| error);
        assert!(error.to_string().contains(expected), "{line}: {error}");
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn options_of_tls_need_tls() {
    for option in ["--ca x", "--cert x --key y", "--no-verify-hostname"] {
        let args = recv(&format!("spanway recv a --url amqp://h {option}"));
        let error = args.connect.check().expect_err(option);
        assert!(error.contains("amqps://"), "{error}");
        assert_eq!(recv(&format!("spanway recv a --url amqps://h {option}")).connect.check(), Ok(()));
    }
}
