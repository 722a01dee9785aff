//! Values of attributes, in the words of AMQP and of the entity model.

use amqp_proto::Value;
use router_core::entity;

/// To AMQP.
pub(crate) fn to_amqp(value: &entity::Value) -> Value {
    match value {
        entity::Value::Null => Value::Null,
        entity::Value::Bool(truth) => Value::Boolean(*truth),
        entity::Value::Integer(number) => Value::Long(*number),
        entity::Value::Float(number) => Value::Double(*number),
        entity::Value::String(text) => Value::from(text.as_str()),
        entity::Value::List(items) => Value::List(items.iter().map(to_amqp).collect()),
        entity::Value::Map(entries) => {
            Value::Map(entries.iter().map(|(key, item)| (Value::from(key.as_str()), to_amqp(item))).collect())
        }
    }
}

/// From AMQP, as far as the entity model has a word for it.
pub(crate) fn from_amqp(value: &Value) -> Option<entity::Value> {
    Some(match value {
        Value::Null => entity::Value::Null,
        Value::Boolean(truth) => entity::Value::Bool(*truth),
        Value::Float(number) => entity::Value::Float((*number).into()),
        Value::Double(number) => entity::Value::Float(*number),
        Value::String(_) | Value::Symbol(_) => entity::Value::String(value.as_str()?.to_owned()),
        Value::List(items) => entity::Value::List(items.iter().map(from_amqp).collect::<Option<_>>()?),
        Value::Map(entries) => {
            let entry = |(key, item): &(Value, Value)| Some((key.as_str()?.to_owned(), from_amqp(item)?));
            entity::Value::Map(entries.iter().map(entry).collect::<Option<_>>()?)
        }
        number => entity::Value::Integer(number.as_i64()?),
    })
}

/// As JSON, on one line or, with `pretty`, on many.
pub(crate) fn json(value: &entity::Value, pretty: bool) -> String {
    fn convert(value: &entity::Value) -> serde_json::Value {
        match value {
            entity::Value::Null => serde_json::Value::Null,
            entity::Value::Bool(truth) => (*truth).into(),
            entity::Value::Integer(number) => (*number).into(),
            entity::Value::Float(number) => (*number).into(),
            entity::Value::String(text) => text.as_str().into(),
            entity::Value::List(items) => items.iter().map(convert).collect(),
            entity::Value::Map(entries) => {
                serde_json::Value::Object(entries.iter().map(|(key, item)| (key.clone(), convert(item))).collect())
            }
        }
    }
    let value = convert(value);
    if pretty { format!("{value:#}") } else { value.to_string() }
}

/// A count. Beyond what a long holds there is nothing to count.
pub(crate) fn count(number: u64) -> Value {
    Value::Long(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Text, or null if it is empty.
pub(crate) fn text(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { Value::from(text) }
}

/// A list of texts.
pub(crate) fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> Value {
    Value::List(names.into_iter().map(Value::from).collect())
}
