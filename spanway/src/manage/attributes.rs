//! Attributes as users write them, in the types that agents expect.

use std::io::Read as _;

use amqp_proto::Value;
use anyhow::{Context as _, Result, anyhow, bail};
use router_core::entity::{Type, parse_bool};
use router_core::management::EntityType;

use crate::cli::manage::attribute;
use crate::client::format::{from_json, plain};

/// Names and values.
pub(super) type Attributes = Vec<(String, Value)>;

/// A name and a value as they were written.
pub(super) type Written = (String, String);

/// Gives each value the type that the entity's description says. What is not described stays text, and what does not fit goes to the agent as it
/// is, which says what it expected.
pub(super) fn typed(entity_type: Option<&str>, attributes: &[Written]) -> Attributes {
    let described = entity_type.and_then(EntityType::from_name);
    let value = |(name, text): &Written| {
        let attribute = described.and_then(|ty| ty.attributes().find(|attribute| attribute.name == name));
        (name.clone(), attribute.map_or_else(|| Value::from(text.as_str()), |attribute| convert(attribute.ty, text)))
    };
    attributes.iter().map(value).collect()
}

fn convert(ty: Type, text: &str) -> Value {
    let converted = match ty {
        Type::Integer { .. } => text.trim().parse().ok().map(Value::Long),
        Type::Boolean => parse_bool(text).map(Value::Boolean),
        Type::List | Type::Map | Type::Properties => serde_json::from_str(text).ok().map(from_json),
        Type::String | Type::Secret | Type::Path | Type::Port | Type::Enum(_) => None,
    };
    converted.unwrap_or_else(|| Value::from(text))
}

/// Takes the one that names the entity out of arguments of which the others are attributes.
pub(super) fn split(arguments: &[String]) -> Result<(Option<String>, Vec<Written>)> {
    let mut rest = arguments.iter();
    let mut id = None;
    let mut attributes = Vec::new();
    // Identities may have a `=`, so only the first argument can be one, if what is before the `=` is no name of an attribute.
    for (at, argument) in rest.by_ref().enumerate() {
        match attribute(argument) {
            Ok((name, value)) if at > 0 || name.chars().all(char::is_alphanumeric) => attributes.push((name, value)),
            _ if at == 0 => id = Some(argument.clone()),
            Ok(_) => bail!("`{argument}` is no attribute: names have letters only"),
            Err(expected) => bail!("`{argument}`: {expected}"),
        }
    }
    Ok((id, attributes))
}

/// Reads an object or an array of objects from the standard input.
pub(super) fn from_stdin() -> Result<Vec<Attributes>> {
    let mut text = String::new();
    std::io::stdin().lock().read_to_string(&mut text).context("read the standard input")?;
    objects(&text)
}

fn objects(text: &str) -> Result<Vec<Attributes>> {
    let expected = "expected a JSON object or an array of objects on the standard input";
    let value: serde_json::Value = serde_json::from_str(text).with_context(|| expected.to_owned())?;
    let items = match value {
        serde_json::Value::Array(items) => items,
        one => vec![one],
    };
    if items.is_empty() {
        bail!("{expected}; the array is empty");
    }
    let object = |item| match item {
        serde_json::Value::Object(entries) => {
            Ok(entries.into_iter().map(|(name, value)| (name, from_json(value))).collect())
        }
        other => Err(anyhow!("{expected}, found {other}")),
    };
    items.into_iter().map(object).collect()
}

/// The value of an attribute.
pub(super) fn get<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a Value> {
    attributes.iter().find(|(other, _)| other == name).map(|(_, value)| value)
}

/// All but some.
pub(super) fn without(mut attributes: Attributes, names: &[&str]) -> Attributes {
    attributes.retain(|(name, _)| !names.contains(&name.as_str()));
    attributes
}

/// The type that the command line or the entity itself names, as its long name.
pub(super) fn type_of(given: Option<&str>, attributes: &Attributes) -> Result<Option<String>> {
    let own = get(attributes, "type").map(plain);
    let own = own.map(|name| EntityType::from_name(&name).map_or(name, |ty| ty.descriptor().long_name()));
    match (given, own) {
        (Some(given), Some(own)) if given != own => bail!("TYPE is {given}, but an object says {own}"),
        (Some(given), _) => Ok(Some(given.to_owned())),
        (None, own) => Ok(own),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_types_that_are_described() {
        let pairs = [("cost", "7"), ("name", "7"), ("stripAnnotations", "no"), ("openProperties", "{\"a\": 1}")];
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let typed = typed(Some("io.skupper.router.connector"), &pairs);
        let map = Value::Map(vec![("a".into(), 1_i64.into())]);
        assert_eq!(
            typed.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>(),
            [Value::Long(7), "7".into(), "no".into(), map]
        );
        let wrong = super::typed(Some("connector"), &[("cost".to_owned(), "much".to_owned())]);
        assert_eq!(wrong[0].1, "much".into(), "the agent says what is wrong");
    }

    #[test]
    fn the_first_argument_may_name_the_entity() {
        let strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let (id, attributes) = split(&strings(&["log/DEFAULT", "enable=info+"])).expect("fine");
        assert_eq!((id.as_deref(), attributes.len()), (Some("log/DEFAULT"), 1));
        let (id, attributes) = split(&strings(&["enable=info+"])).expect("fine");
        assert_eq!((id, attributes.len()), (None, 1));
        assert!(split(&strings(&["a", "b"])).is_err());
    }

    #[test]
    fn objects_are_read() {
        assert_eq!(objects("{\"a\": true}").expect("one")[0], [("a".to_owned(), Value::Boolean(true))]);
        assert_eq!(objects("[{}, {}]").expect("two").len(), 2);
        for wrong in ["", "[]", "3", "[3]", "{"] {
            assert!(format!("{:#}", objects(wrong).expect_err(wrong)).contains("expected a JSON object"), "{wrong}");
        }
    }
}
