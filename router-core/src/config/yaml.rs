//! YAML. Every type of entity has a key at the top, in the singular with one entity or in the plural with a list:
//!
//! ```yaml
//! router:
//!   id: A
//! tcpListeners:
//!   - address: database
//!     host: 127.0.0.1
//!     port: 5432
//! ```
//!
//! A list at the top works as well: `- listener: {port: 5672}`, or the reference's pairs `[listener, {port: 5672}]`.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::source::{Attribute, ConfigError, Finding, Lines, MAX_DEPTH, Position, Section, camel_case};
use crate::entity::{EntityKind, Shortened, Value, nearest};

/// A piece of YAML and where it begins.
struct Node {
    position: Position,
    content: Content,
}

enum Content {
    /// Text, and whether it was written without quotes, so that `null` or `5` may mean what they look like.
    Scalar(String, bool),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

/// Reads a whole file.
pub(crate) fn parse(source: &str, text: &str) -> Result<Vec<Section>, ConfigError> {
    let lines = Lines::new(source, text);
    let mut findings = Vec::new();
    let mut sections = Vec::new();
    for document in documents(text, &lines)? {
        match document.content {
            Content::Map(entries) => {
                for (key, value) in entries {
                    top_level(&key, value, &mut sections, &mut findings);
                }
            }
            Content::List(items) => {
                for item in items {
                    list_item(item, &mut sections, &mut findings);
                }
            }
            Content::Scalar(text, true) if is_null(&text) => {}
            Content::Scalar(text, _) => findings.push(Finding::new(
                document.position,
                format!("expected entities by type (`router:`, `listeners:`, ...), found `{}`", Shortened(&text)),
            )),
        }
    }
    if findings.is_empty() { Ok(sections) } else { Err(ConfigError { findings }) }
}

/// `listener: {...}` or `listeners: [...]`.
fn top_level(key: &Node, value: Node, sections: &mut Vec<Section>, findings: &mut Vec<Finding>) {
    let Some(written) = key_text(key, findings) else {
        return;
    };
    let name = camel_case(&written);
    let kind = EntityKind::from_name(&name)
        .or_else(|| EntityKind::ALL.iter().copied().find(|kind| kind.descriptor().plural == name));
    let Some(kind) = kind else {
        let names = EntityKind::names().chain(EntityKind::ALL.iter().map(|kind| kind.descriptor().plural));
        let hint = nearest(&name, names).map(|near| format!("; did you mean `{near}`?"));
        findings.push(Finding::new(
            key.position.clone(),
            format!("unknown section `{}`{}", Shortened(&written), hint.unwrap_or_default()),
        ));
        return;
    };
    match value.content {
        Content::List(items) => {
            for item in items {
                let position = item.position.clone();
                section(kind.name(), position, item, sections, findings);
            }
        }
        _ => section(kind.name(), key.position.clone(), value, sections, findings),
    }
}

/// `- listener: {...}` or `- [listener, {...}]` or `- type: listener` with attributes beside.
fn list_item(item: Node, sections: &mut Vec<Section>, findings: &mut Vec<Finding>) {
    let position = item.position;
    let expected = "expected an entity: `- listener: {port: 5672}`";
    match item.content {
        Content::List(pair) => match <[Node; 2]>::try_from(pair) {
            Ok([name, attributes]) => {
                if let Some(name_text) = key_text(&name, findings) {
                    section(&camel_case(&name_text), name.position, attributes, sections, findings);
                }
            }
            Err(_) => findings.push(Finding::new(position, expected)),
        },
        Content::Map(mut entries) => {
            let typed =
                entries.iter().position(|(key, _)| matches!(&key.content, Content::Scalar(text, _) if text == "type"));
            if let Some(at) = typed {
                let (_, value) = entries.remove(at);
                if let Some(name) = key_text(&value, findings) {
                    let attributes = Node { position, content: Content::Map(entries) };
                    section(&camel_case(&name), value.position, attributes, sections, findings);
                }
            } else if entries.len() == 1 {
                for (key, value) in entries {
                    top_level(&key, value, sections, findings);
                }
            } else {
                findings.push(Finding::new(position, expected));
            }
        }
        Content::Scalar(..) => findings.push(Finding::new(position, expected)),
    }
}

fn section(name: &str, position: Position, node: Node, sections: &mut Vec<Section>, findings: &mut Vec<Finding>) {
    let entries = match node.content {
        Content::Map(entries) => entries,
        Content::Scalar(text, true) if is_null(&text) => Vec::new(),
        Content::Scalar(..) | Content::List(_) => {
            findings.push(Finding::new(node.position, format!("expected the attributes of a {name}, as a map")));
            return;
        }
    };
    let mut attributes = Vec::new();
    for (key, value) in entries {
        if let Some(attribute) = key_text(&key, findings) {
            attributes.push(Attribute {
                name: camel_case(&attribute),
                position: key.position,
                value_position: value.position.clone(),
                value: match value.content {
                    // The table knows the type; `no` may well be a name.
                    Content::Scalar(text, plain) if !(plain && is_null(&text)) => Value::String(text),
                    _ => to_value(value),
                },
            });
        }
    }
    sections.push(Section { name: name.to_owned(), position, attributes });
}

fn key_text(key: &Node, findings: &mut Vec<Finding>) -> Option<String> {
    match &key.content {
        Content::Scalar(text, _) => Some(text.clone()),
        _ => {
            findings.push(Finding::new(key.position.clone(), "expected a name"));
            None
        }
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// A value below an attribute, where no table says the type: YAML's core schema does.
fn to_value(node: Node) -> Value {
    match node.content {
        Content::Scalar(text, false) => Value::String(text),
        Content::Scalar(text, true) => match text.as_str() {
            plain if is_null(plain) => Value::Null,
            "true" | "True" | "TRUE" => Value::Bool(true),
            "false" | "False" | "FALSE" => Value::Bool(false),
            plain => {
                let numeric =
                    plain.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '-' | '+' | '.'));
                match (plain.parse::<i64>(), plain.parse::<f64>()) {
                    (Ok(number), _) => Value::Integer(number),
                    (_, Ok(number)) if numeric && number.is_finite() => Value::Float(number),
                    _ => Value::String(text),
                }
            }
        },
        Content::List(items) => Value::List(items.into_iter().map(to_value).collect()),
        Content::Map(entries) => {
            Value::Map(entries.into_iter().map(|(key, value)| (to_value(key).to_string(), to_value(value))).collect())
        }
    }
}

/// A collection that is being read. A map holds its keys and values in turn.
struct Open {
    position: Position,
    map: bool,
    items: Vec<Node>,
}

fn documents(text: &str, lines: &Lines<'_>) -> Result<Vec<Node>, ConfigError> {
    let at = |marker: &Marker| lines.at(marker.line(), marker.col() + 1);
    let mut documents = Vec::new();
    let mut stack: Vec<Open> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|error| Finding::new(at(error.marker()), format!("not YAML: {}", error.info())))?;
        let position = at(&span.start);
        let refuse =
            |what: &str| Err(ConfigError::from(Finding::new(position.clone(), format!("{what} are not supported"))));
        let finished = match event {
            Event::Alias(_) => return refuse("aliases"),
            Event::Scalar(_, _, anchor, _) | Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _)
                if anchor != 0 =>
            {
                return refuse("anchors");
            }
            Event::Scalar(_, _, _, Some(_)) | Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => {
                return refuse("tags");
            }
            Event::Scalar(text, style, ..) => {
                Some(Node { position, content: Content::Scalar(text.into_owned(), style == ScalarStyle::Plain) })
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                if stack.len() >= MAX_DEPTH {
                    return Err(Finding::new(position, format!("maps and lists may only nest {MAX_DEPTH} deep")).into());
                }
                stack.push(Open { position, map: matches!(event, Event::MappingStart(..)), items: Vec::new() });
                None
            }
            Event::SequenceEnd | Event::MappingEnd => stack.pop().map(|open| Node {
                position: open.position,
                content: if open.map { Content::Map(pairs(open.items)) } else { Content::List(open.items) },
            }),
            _ => None,
        };
        if let Some(node) = finished {
            match stack.last_mut() {
                Some(open) => open.items.push(node),
                None => documents.push(node),
            }
        }
    }
    Ok(documents)
}

fn pairs(items: Vec<Node>) -> Vec<(Node, Node)> {
    let mut items = items.into_iter();
    let mut pairs = Vec::new();
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        pairs.push((key, value));
    }
    pairs
}
