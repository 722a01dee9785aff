//! Whatever a file holds, it is read or refused; nothing panics, and what is refused is refused with a place.

use proptest::prelude::*;

use crate::config::{Configuration, Syntax};

/// Pieces of files, so that noise gets beyond the first line.
const PIECES: &[&str] = &[
    "listener",
    "router",
    "tcpListener",
    "address",
    " {",
    "}",
    "\n",
    "\n",
    ": ",
    ":",
    "{",
    "[",
    "]",
    "\"",
    "'",
    "#",
    ",",
    "- ",
    "  ",
    "port",
    "host",
    "openProperties",
    "pattern",
    "5672",
    "amqp",
    "é",
    "\\",
    "\\u00",
    "\t",
    "\r\n",
    "&a",
    "*a",
    "!!x",
    "|",
    ">",
    "? ",
    "---",
    "null",
    "true",
    "1e999",
    "-",
    "[\"router\", {\"id\": \"A\"}]",
    "%YAML 1.2",
];

fn read(text: &str) {
    for syntax in [Syntax::Text, Syntax::Json, Syntax::Yaml] {
        if let Err(error) = Configuration::from_text("f", syntax, text) {
            assert!(!error.findings.is_empty());
            for finding in &error.findings {
                assert!(finding.to_string().starts_with('f'), "{finding}");
                assert!(!finding.to_string().contains('\n'), "{finding}");
            }
            let _ = error.reference_text("f");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn pieces_never_panic(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        read(&pieces.concat());
    }

    #[test]
    fn characters_never_panic(text in any::<String>()) {
        read(&text);
    }

    #[test]
    fn damaged_files_never_panic(at in 0_usize..600, cut in 0_usize..20, insert in ".{0,3}") {
        let file = "router {\n  id: A\n}\nlistener {\n  port: 5672\n  openProperties: {\n    \"a\": [1, {\"b\": true}],\n  }\n}\n\
                    address {\n  pattern: a/#\n}\n";
        let characters: Vec<char> = file.chars().collect();
        let at = at.min(characters.len());
        let end = (at + cut).min(characters.len());
        let damaged: String = characters[..at].iter().copied().chain(insert.chars()).chain(characters[end..].iter().copied()).collect();
        read(&damaged);
    }
}
