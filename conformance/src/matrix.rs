//! The type matrix: one message per AMQP type and encoding, and what each client must see of it.

use std::path::{Path, PathBuf};

use crate::client::Client;

/// Scalars: name of the case, AMQP type, canonical text. Clients read them from a file.
/// Floating point numbers are the bits of the value as a double; decimals are their bits.
pub const SCALARS: &[(&str, &str, &str)] = &[
    ("null", "null", ""),
    ("true", "boolean", "true"),
    ("false", "boolean", "false"),
    ("ubyte-0", "ubyte", "0"),
    ("ubyte-255", "ubyte", "255"),
    ("ushort-0", "ushort", "0"),
    ("ushort-65535", "ushort", "65535"),
    ("uint-0", "uint", "0"),
    ("uint-255", "uint", "255"),
    ("uint-256", "uint", "256"),
    ("uint-max", "uint", "4294967295"),
    ("ulong-0", "ulong", "0"),
    ("ulong-255", "ulong", "255"),
    ("ulong-256", "ulong", "256"),
    ("ulong-max", "ulong", "18446744073709551615"),
    ("byte-min", "byte", "-128"),
    ("byte-max", "byte", "127"),
    ("short-min", "short", "-32768"),
    ("short-max", "short", "32767"),
    ("int-small", "int", "-5"),
    ("int-min", "int", "-2147483648"),
    ("int-max", "int", "2147483647"),
    ("long-small", "long", "-5"),
    ("long-min", "long", "-9223372036854775808"),
    ("long-max", "long", "9223372036854775807"),
    ("float", "float", "3ff8000000000000"),
    ("float-max", "float", "47efffffe0000000"),
    ("double-pi", "double", "400921fb54442d18"),
    ("double-infinite", "double", "7ff0000000000000"),
    ("decimal32", "decimal32", "3200004b"),
    ("decimal64", "decimal64", "31a000000000004b"),
    ("decimal128", "decimal128", "303e000000000000000000000000004b"),
    ("char", "char", "20ac"),
    ("char-wide", "char", "1f600"),
    ("timestamp", "timestamp", "1700000000123"),
    ("timestamp-0", "timestamp", "0"),
    ("uuid", "uuid", "00112233-4455-6677-8899-aabbccddeeff"),
    ("binary-empty", "binary", ""),
    ("binary", "binary", "00ff10"),
    ("string-empty", "string", ""),
    ("string-utf8", "string", "grüße €😀"),
    ("symbol", "symbol", "sym:bol"),
];

/// What the clients build themselves: name and canonical text of the body.
pub const STRUCTURED: &[(&str, &str)] = &[
    ("list-empty", "list:[]"),
    ("list", "list:[int:1,string:a,boolean:true,list:[ulong:2]]"),
    ("map", "map:{string:k=int:1,string:n=list:[int:2]}"),
    ("array-int", "array:[int:1,int:2,int:3]"),
    ("array-symbol", "array:[symbol:a,symbol:bc]"),
    ("described", "described:ulong:4660|string:x"),
    ("data", "data:0001ff"),
    ("sequence", "sequence:[int:1,string:a]"),
];

/// The case with every field of header and properties, as `(field, text)`.
pub const PROPERTIES: &[(&str, &str)] = &[
    ("durable", "true"),
    ("priority", "7"),
    ("ttl", "3600000"),
    ("message-id", "ulong:77"),
    ("user-id", "user"),
    ("to", "to-field"),
    ("reply-to", "reply-field"),
    ("correlation-id", "string:corr"),
    ("content-type", "text/plain"),
    ("content-encoding", "identity"),
    ("expiry", "4102444800000"),
    ("creation", "1700000000000"),
    ("group-id", "group"),
    ("group-sequence", "5"),
    ("reply-to-group-id", "reply-group"),
    ("b", "boolean:true"),
    ("s", "string:text"),
];

/// Strings and binaries longer than 255 bytes, which need the wide encodings.
fn long_cases() -> [(&'static str, &'static str, String); 2] {
    [("binary-300", "binary", "ab".repeat(300)), ("string-300", "string", "s".repeat(300))]
}

/// All scalars.
pub fn scalars() -> Vec<(&'static str, &'static str, String)> {
    let short = SCALARS.iter().map(|(name, kind, text)| (*name, *kind, (*text).to_owned()));
    short.chain(long_cases()).collect()
}

/// Writes the scalars to a file for the clients.
pub fn write_cases(dir: &Path) -> PathBuf {
    let path = dir.join("cases.tsv");
    let lines: String = scalars().iter().map(|(name, kind, text)| format!("{name}\t{kind}\t{text}\n")).collect();
    std::fs::write(&path, lines).unwrap();
    path
}

/// The canonical body of a case; `None` for the case `properties`.
pub fn expected_body(name: &str) -> Option<String> {
    if let Some((_, kind, text)) = scalars().into_iter().find(|case| case.0 == name) {
        return Some(format!("{kind}:{text}"));
    }
    STRUCTURED.iter().find(|case| case.0 == name).map(|case| case.1.to_owned())
}

/// The names of all cases.
pub fn names() -> Vec<&'static str> {
    let scalars = scalars().into_iter().map(|case| case.0);
    scalars.chain(STRUCTURED.iter().map(|case| case.0)).chain(["properties"]).collect()
}

/// The body that a client gives a case, when it is not the value: JMS carries scalars as properties only.
pub fn substitute_body(client: Client, name: &str) -> Option<&'static str> {
    let (_, kind, _) = scalars().into_iter().find(|case| case.0 == name)?;
    (client == Client::QpidJms && kind != "string").then_some("string:jms")
}

/// Cases that a client cannot send, because its library has no way to write them.
pub fn cannot_send(client: Client) -> &'static [&'static str] {
    match client {
        Client::ProtonPython | Client::ProtonCpp | Client::Fe2o3 => &[],
        // A described value as body: its descriptor replaces the section's.
        Client::Rhea => &["described"],
        Client::GoAmqp => &["decimal32", "decimal64", "decimal128", "char", "char-wide", "described"],
        // What JMS offers; the header and properties are its own (destination, ids, times).
        Client::QpidJms => &[
            "null",
            "ubyte-0",
            "ubyte-255",
            "ushort-0",
            "ushort-65535",
            "uint-0",
            "uint-255",
            "uint-256",
            "uint-max",
            "ulong-0",
            "ulong-255",
            "ulong-256",
            "ulong-max",
            "decimal32",
            "decimal64",
            "decimal128",
            "char-wide",
            "char",
            "uuid",
            "timestamp",
            "timestamp-0",
            "binary-empty",
            "binary",
            "binary-300",
            "symbol",
            "list",
            "array-int",
            "array-symbol",
            "described",
            "properties",
        ],
    }
}

/// Cases that a client cannot read.
pub fn cannot_read(client: Client) -> &'static [&'static str] {
    match client {
        Client::ProtonPython | Client::ProtonCpp | Client::Rhea | Client::Fe2o3 => &[],
        // Symbols are shown as strings; the library refuses a message with a char or decimal as a whole.
        Client::GoAmqp => &["decimal32", "decimal64", "decimal128", "char", "char-wide", "symbol", "described"],
        // A Java char has 16 bits; an absent body is an empty bytes message; a symbol or described value is no object
        // of JMS.
        Client::QpidJms => &["null", "char-wide", "symbol", "described"],
    }
}
