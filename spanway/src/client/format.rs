//! Entities for programs: every attribute, under its own name.

use amqp_proto::Value;
use serde_json::json;

use super::entities::{Entities, Line};
use super::show;

/// One array of objects. Attributes without a value are left out.
pub(crate) fn json(tables: &[&Entities]) -> String {
    pretty(&tables.iter().flat_map(|table| table.lines()).map(|line| object(&line)).collect())
}

/// An entity as an object, without the attributes that have no value.
pub(crate) fn object(line: &Line<'_>) -> serde_json::Value {
    let cells = line.columns.iter().zip(line.cells).filter(|(_, value)| !value.is_null());
    serde_json::Value::Object(cells.map(|(name, value)| (name.clone(), to_json(value))).collect())
}

/// JSON as it is printed.
pub(crate) fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

/// A value in the words of JSON; what JSON has no word for as text.
pub(crate) fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Boolean(truth) => json!(truth),
        Value::Float(number) => json!(number),
        Value::Double(number) => json!(number),
        Value::String(text) => json!(text.as_str()),
        Value::Symbol(text) => json!(text.as_str()),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(entries) => {
            let entry = |(key, value): &(Value, Value)| {
                (key.as_str().map_or_else(|| show::value(key), str::to_owned), to_json(value))
            };
            serde_json::Value::Object(entries.iter().map(entry).collect())
        }
        other => match (other.as_u64(), other.as_i64()) {
            (Some(number), _) => json!(number),
            (None, Some(number)) => json!(number),
            (None, None) => json!(show::value(other)),
        },
    }
}

/// A value in the words of AMQP.
pub(crate) fn from_json(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(truth) => Value::Boolean(truth),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::Long(number),
            (None, Some(number)) => Value::Ulong(number),
            (None, None) => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Value::from(text),
        serde_json::Value::Array(items) => Value::List(items.into_iter().map(from_json).collect()),
        serde_json::Value::Object(entries) => {
            Value::Map(entries.into_iter().map(|(key, value)| (Value::from(key), from_json(value))).collect())
        }
    }
}

/// Lines as RFC 4180 has them, with names in the first. Several types share one set of columns.
pub(crate) fn csv(tables: &[&Entities]) -> String {
    let mut columns: Vec<&str> = Vec::new();
    for name in tables.iter().flat_map(|table| &table.columns) {
        if !columns.contains(&name.as_str()) {
            columns.push(name);
        }
    }
    let mut text = line(columns.iter().map(|name| (*name).to_owned()));
    for table in tables {
        for row in &table.rows {
            text.push_str(&line(columns.iter().map(|name| {
                let at = table.columns.iter().position(|column| column == name);
                at.and_then(|at| row.get(at)).map_or_else(String::new, plain)
            })));
        }
    }
    text
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.map(|cell| quoted(&cell)).collect();
    format!("{}\r\n", cells.join(","))
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\r', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

/// A value as text without quotes.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(_) | Value::Symbol(_) => value.as_str().unwrap_or_default().to_owned(),
        Value::List(_) | Value::Map(_) => to_json(value).to_string(),
        other => show::value(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Entities {
        Entities {
            columns: vec!["name".into(), "count".into(), "list".into(), "none".into()],
            rows: vec![vec!["a,\"b\"".into(), 3_u64.into(), Value::List(vec!["x".into(), 1_i64.into()]), Value::Null]],
        }
    }

    #[test]
    fn json_has_what_has_a_value() {
        let parsed: serde_json::Value = serde_json::from_str(&json(&[&table()])).expect("valid");
        assert_eq!(parsed, json!([{"name": "a,\"b\"", "count": 3, "list": ["x", 1]}]));
        assert_eq!(json(&[]), "[]\n");
    }

    #[test]
    fn csv_is_quoted_where_needed() {
        assert_eq!(csv(&[&table()]), "name,count,list,none\r\n\"a,\"\"b\"\"\",3,\"[\"\"x\"\",1]\",\r\n");
        let other =
            Entities { columns: vec!["count".into(), "more".into()], rows: vec![vec![1_i64.into(), "m".into()]] };
        assert!(csv(&[&table(), &other]).ends_with(",1,,,m\r\n"));
    }
}
