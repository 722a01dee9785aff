//! The reference's list form, which Skupper's controller writes: `[["router", {"id": "A"}], ["listener", {...}]]`;
//! and JSON inside the text form.

use jsonc_parser::ast::{self, ObjectPropName};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions};

use super::source::{Attribute, ConfigError, Finding, Lines, MAX_DEPTH, Position, Section, camel_case};
use crate::entity::Value;

/// JSON as the reference takes it: trailing commas do not hurt, nothing else beyond the standard.
const OPTIONS: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: true,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// Reads a whole file of the list form.
pub(crate) fn parse(source: &str, text: &str) -> Result<Vec<Section>, ConfigError> {
    let lines = Lines::new(source, text);
    let blanked = blank_comments(text);
    let root = parse_ast(&blanked, |offset| lines.position(offset))?;
    let expected = "expected a list of sections: [[\"router\", {\"id\": \"A\"}], ...]";
    let ast::Value::Array(list) = root else {
        return Err(Finding::new(lines.position(root.range().start), expected).into());
    };
    let mut sections = Vec::new();
    for entry in &list.elements {
        let at = |ranged: &dyn Ranged| lines.position(ranged.range().start);
        let ast::Value::Array(pair) = entry else {
            return Err(Finding::new(at(entry), "expected a section: [\"name\", {attributes}]").into());
        };
        let [ast::Value::StringLit(name), ast::Value::Object(attributes)] = pair.elements.as_slice() else {
            return Err(Finding::new(at(entry), "expected a section: [\"name\", {attributes}]").into());
        };
        let attributes = attributes.properties.iter().map(|property| {
            Ok(Attribute {
                name: camel_case(property.name.as_str()),
                position: at(property),
                value: to_value(&property.value, 1).map_err(|message| Finding::new(at(&property.value), message))?,
                value_position: at(&property.value),
            })
        });
        sections.push(Section {
            name: camel_case(&name.value),
            position: at(name),
            attributes: attributes.collect::<Result<_, Finding>>()?,
        });
    }
    Ok(sections)
}

/// Reads a JSON value inside another text; `position` maps offsets in `text` to the outer text.
pub(crate) fn parse_value(text: &str, position: impl Fn(usize) -> Position) -> Result<Value, Finding> {
    let value = parse_ast(text, &position)?;
    to_value(&value, 1).map_err(|message| Finding::new(position(value.range().start), message))
}

/// Replaces lines that begin with `#` by blanks, so that offsets stay what they are.
pub(crate) fn blank_comments(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with('#') {
            result.extend(line.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
        } else {
            result.push_str(line);
        }
    }
    result
}

fn parse_ast(text: &str, position: impl Fn(usize) -> Position) -> Result<ast::Value<'_>, Finding> {
    let parsed = jsonc_parser::parse_to_ast(text, &CollectOptions::default(), &OPTIONS)
        .map_err(|error| Finding::new(position(error.range().start), format!("not JSON: {}", error.kind())))?;
    parsed.value.ok_or_else(|| Finding::new(position(0), "expected JSON, found nothing"))
}

fn to_value(value: &ast::Value<'_>, depth: usize) -> Result<Value, String> {
    if depth > MAX_DEPTH {
        return Err(format!("maps and lists may only nest {MAX_DEPTH} deep"));
    }
    Ok(match value {
        ast::Value::NullKeyword(_) => Value::Null,
        ast::Value::BooleanLit(literal) => Value::Bool(literal.value),
        ast::Value::StringLit(literal) => Value::String(literal.value.clone().into_owned()),
        ast::Value::NumberLit(literal) => match (literal.value.parse::<i64>(), literal.value.parse::<f64>()) {
            (Ok(number), _) => Value::Integer(number),
            (_, Ok(number)) if number.is_finite() => Value::Float(number),
            _ => {
                return Err(format!("expected a number, found `{}`", crate::entity::Shortened(literal.value)));
            }
        },
        ast::Value::Array(array) => {
            Value::List(array.elements.iter().map(|item| to_value(item, depth + 1)).collect::<Result<_, _>>()?)
        }
        ast::Value::Object(object) => Value::Map(
            object
                .properties
                .iter()
                .map(|property| Ok((key(&property.name), to_value(&property.value, depth + 1)?)))
                .collect::<Result<_, String>>()?,
        ),
    })
}

fn key(name: &ObjectPropName<'_>) -> String {
    name.as_str().to_owned()
}
