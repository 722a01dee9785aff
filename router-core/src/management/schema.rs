//! The whole table as a map, in the shape of the reference's schema: what GET-SCHEMA and GET-JSON-SCHEMA answer.

use super::{Base, EntityType};
use crate::entity::{AttributeDescriptor, COMMON_ATTRIBUTES, TYPE_PREFIX, Type, Value};

/// Operations of the agent beyond those that any management node has. The reference's profiler is left out: it is Python's.
pub(super) const AGENT_OPERATIONS: &[&str] = &["GET-SCHEMA", "GET-JSON-SCHEMA", "GET-LOG"];

/// `{prefix, entityTypes: {short name: {attributes, operations, description, ...}}}`.
pub fn schema() -> Value {
    let bases = Base::ALL.into_iter().map(|base| (base.short_name().to_owned(), of_base(base)));
    let types = EntityType::all().map(|ty| (ty.descriptor().name.to_owned(), of_type(ty)));
    map([
        ("prefix", TYPE_PREFIX.trim_end_matches('.').into()),
        ("entityTypes", Value::Map(bases.chain(types).collect())),
    ])
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> Value {
    Value::List(names.into_iter().map(Value::from).collect())
}

fn of_base(base: Base) -> Value {
    let attributes = COMMON_ATTRIBUTES.iter().filter(|attribute| attribute.name != "type");
    map([
        ("attributes", Value::Map(attributes.map(|attribute| (attribute.name.to_owned(), of(attribute))).collect())),
        ("operations", list(base.operations().iter().copied())),
        ("fullyQualifiedType", base.long_name().into()),
    ])
}

fn of_type(ty: EntityType) -> Value {
    let descriptor = ty.descriptor();
    let attributes = ty.attributes().filter(|attribute| attribute.name != "type");
    let mut entry = vec![
        ("attributes".to_owned(), Value::Map(attributes.map(|a| (a.name.to_owned(), of(a))).collect())),
        ("operations".to_owned(), list(ty.operations())),
        ("description".to_owned(), descriptor.paragraph().into()),
        ("fullyQualifiedType".to_owned(), descriptor.long_name().into()),
    ];
    if descriptor.singleton {
        entry.push(("singleton".to_owned(), true.into()));
    }
    Value::Map(entry)
}

fn of(attribute: &AttributeDescriptor) -> Value {
    let ty = match attribute.ty {
        Type::Enum(tags) => list(tags.iter().copied()),
        other => other.schema_name().into(),
    };
    let mut entry = vec![("type".to_owned(), ty), ("description".to_owned(), attribute.paragraph().into())];
    let default = attribute.default.and_then(|default| attribute.ty.convert(default.into()).ok());
    if let Some(default) = default.filter(|default| *default != Value::Null) {
        entry.push(("default".to_owned(), default));
    }
    let unique = matches!(attribute.name, "name" | "identity");
    let hidden = attribute.ty == Type::Secret;
    for (flag, set) in [
        ("required", attribute.required),
        ("unique", unique),
        ("hidden", hidden),
        ("create", attribute.create),
        ("update", attribute.update),
    ] {
        if set {
            entry.push((flag.to_owned(), true.into()));
        }
    }
    Value::Map(entry)
}
