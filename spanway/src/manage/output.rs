//! How answers are shown.

use amqp_proto::Value;

use crate::cli::output::Format;
use crate::client::entities::Entities;
use crate::client::format::{self, object, plain, pretty, to_json};
use crate::client::management::short;
use crate::client::table::{Align, aligned, shown};

/// What came of one task.
pub(super) enum Shown {
    /// One entity.
    One(Entities),
    /// Entities of a type; with `named`, of which only some attributes were asked for.
    Many { entities: Entities, named: bool },
    /// Entities of all types.
    Overview(Entities),
    /// The entity, in words, is gone.
    Deleted(String),
    /// What an agent tells of itself, and what it is.
    Facts { body: Value, what: &'static str },
}

/// Everything as text. `several` were asked for in one go.
pub(super) fn write(all: Vec<Shown>, several: bool, output: Format) -> String {
    match output {
        Format::Table => all.iter().map(Shown::table).collect::<Vec<_>>().join(if several { "\n" } else { "" }),
        Format::Json if several => pretty(&all.iter().filter_map(Shown::json).collect()),
        Format::Json => all.iter().filter_map(Shown::json).map(|value| pretty(&value)).collect(),
        Format::Csv => {
            let tables: Vec<Entities> = all.into_iter().filter_map(Shown::entities).collect();
            if tables.is_empty() { String::new() } else { format::csv(&tables.iter().collect::<Vec<_>>()) }
        }
    }
}

impl Shown {
    fn json(&self) -> Option<serde_json::Value> {
        Some(match self {
            Self::One(entities) => entities.lines().next().map_or(serde_json::Value::Null, |line| object(&line)),
            Self::Many { entities, .. } | Self::Overview(entities) => {
                entities.lines().map(|line| object(&line)).collect()
            }
            Self::Deleted(_) => return None,
            Self::Facts { body, .. } => to_json(body),
        })
    }

    fn entities(self) -> Option<Entities> {
        match self {
            Self::One(entities) | Self::Many { entities, .. } | Self::Overview(entities) => Some(entities),
            Self::Deleted(_) => None,
            Self::Facts { body, what } => Some(facts(&body, what)),
        }
    }

    fn table(&self) -> String {
        match self {
            Self::One(entities) | Self::Many { entities, named: false } => blocks(entities),
            Self::Many { entities, named: true } => {
                let columns: Vec<&str> = entities.columns.iter().map(String::as_str).collect();
                table(entities, &columns)
            }
            Self::Overview(entities) => table(entities, &["type", "name", "identity"]),
            Self::Deleted(what) => format!("deleted {what}\n"),
            Self::Facts { body, what } => {
                let entities = facts(body, what);
                let columns: Vec<&str> = entities.columns.iter().map(String::as_str).collect();
                match entities.rows.is_empty() {
                    true => "none\n".to_owned(),
                    false => table(&entities, &columns),
                }
            }
        }
    }
}

fn table(entities: &Entities, columns: &[&str]) -> String {
    if entities.rows.is_empty() {
        return "none\n".to_owned();
    }
    let number = |name: &str| {
        let mut values = entities.lines().map(|line| line.get(name)).filter(|value| !value.is_null()).peekable();
        values.peek().is_some() && values.all(|value| value.as_i64().is_some())
    };
    let heads: Vec<(&str, Align)> =
        columns.iter().map(|name| (*name, if number(name) { Align::Right } else { Align::Left })).collect();
    let cell = |name: &str, text: String| if name == "type" { short(&text).to_owned() } else { text };
    let rows: Vec<Vec<String>> =
        entities.lines().map(|line| columns.iter().map(|name| cell(name, line.text(name))).collect()).collect();
    aligned(&heads, &rows)
}

/// A line for each attribute that has a value, an empty line between entities.
fn blocks(entities: &Entities) -> String {
    if entities.rows.is_empty() {
        return "none\n".to_owned();
    }
    let block = |line: crate::client::entities::Line<'_>| {
        let set: Vec<_> = line.columns.iter().zip(line.cells).filter(|(_, value)| !value.is_null()).collect();
        let width = set.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        set.iter().map(|(name, value)| format!("{name:<width$}  {}\n", shown(&plain(value)))).collect::<String>()
    };
    entities.lines().map(block).collect::<Vec<_>>().join("\n")
}

/// What agents tell of themselves as rows.
fn facts(body: &Value, what: &str) -> Entities {
    match body {
        Value::Map(entries) => {
            let mut rows = Vec::new();
            for (key, value) in entries {
                let ty = Value::from(short(&plain(key)).to_owned());
                match value.as_list() {
                    Some([]) | None => rows.push(vec![ty, Value::Null]),
                    Some(items) => {
                        rows.extend(items.iter().map(|item| vec![ty.clone(), short(&plain(item)).to_owned().into()]));
                    }
                }
            }
            Entities { columns: vec!["type".to_owned(), what.to_owned()], rows }
        }
        Value::List(lines) if what == "log" => {
            let columns = ["time", "module", "level", "text", "place"];
            Entities {
                columns: columns.iter().map(|name| (*name).to_owned()).collect(),
                rows: lines.iter().map(log_line).collect(),
            }
        }
        Value::List(items) => {
            Entities { columns: vec![what.to_owned()], rows: items.iter().map(|item| vec![item.clone()]).collect() }
        }
        other => Entities { columns: vec![what.to_owned()], rows: vec![vec![other.clone()]] },
    }
}

/// An entry of a log: module, level, text, file, line, and seconds since 1970.
fn log_line(entry: &Value) -> Vec<Value> {
    let at = |index: usize| entry.as_list().and_then(|items| items.get(index)).unwrap_or(&Value::Null);
    let time = at(5).as_i64().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let time = time.map_or(Value::Null, |time| Value::from(time.to_string()));
    let place = match (at(3).as_str(), at(4).as_i64()) {
        (Some(file), Some(line)) => Value::from(format!("{file}:{line}")),
        (Some(file), None) => Value::from(file),
        (None, _) => Value::Null,
    };
    vec![time, at(0).clone(), at(1).clone(), at(2).clone(), place]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entities() -> Entities {
        let row = |name: &str, port: Value| vec![name.into(), port];
        Entities {
            columns: vec!["name".to_owned(), "port".to_owned()],
            rows: vec![row("a", 1_i64.into()), row("bcd", Value::Null)],
        }
    }

    #[test]
    fn one_is_an_object_and_many_are_an_array() {
        let one = Entities { rows: vec![entities().rows[0].clone()], ..entities() };
        let text = write(vec![Shown::One(one)], false, Format::Json);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("valid"), json!({"name": "a", "port": 1}));
        let text = write(vec![Shown::Many { entities: entities(), named: true }], false, Format::Json);
        let many = serde_json::from_str::<serde_json::Value>(&text).expect("valid");
        assert_eq!(many, json!([{"name": "a", "port": 1}, {"name": "bcd"}]));
    }

    #[test]
    fn tables_and_blocks_are_aligned() {
        let named = Shown::Many { entities: entities(), named: true };
        assert_eq!(write(vec![named], false, Format::Table), "name  port\na        1\nbcd      -\n");
        let blocks = Shown::Many { entities: entities(), named: false };
        assert_eq!(write(vec![blocks], false, Format::Table), "name  a\nport  1\n\nname  bcd\n");
    }

    #[test]
    fn agents_tell_of_types_and_logs() {
        let body =
            Value::Map(vec![("io.skupper.router.log".into(), Value::List(vec!["READ".into(), "UPDATE".into()]))]);
        let text = Shown::Facts { body, what: "operation" }.table();
        assert_eq!(text, "type  operation\nlog   READ\nlog   UPDATE\n");
        let entry = vec!["SERVER".into(), "info".into(), "x".into(), Value::Null, Value::Null, Value::Long(0)];
        let text = Shown::Facts { body: Value::List(vec![Value::List(entry)]), what: "log" }.table();
        assert!(text.contains("1970-01-01T00:00:00Z  SERVER  info   x"), "{text}");
    }
}
