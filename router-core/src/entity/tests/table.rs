//! Properties of the table itself, and conversions of values.

use crate::entity::*;

#[test]
fn defaults_are_what_their_types_take() {
    for kind in EntityKind::ALL {
        for attribute in kind.descriptor().attributes {
            if let Some(default) = attribute.default {
                let converted = attribute.ty.convert(default.into());
                assert!(converted.is_ok(), "{}.{}: {converted:?}", kind.name(), attribute.name);
            }
            assert!(!attribute.paragraph().is_empty(), "{}.{} has no documentation", kind.name(), attribute.name);
        }
    }
}

#[test]
fn names_are_unique_and_found() {
    for kind in EntityKind::ALL {
        let descriptor = kind.descriptor();
        assert_eq!(EntityKind::from_name(descriptor.name), Some(*kind));
        assert_eq!(EntityKind::from_name(&descriptor.long_name()), Some(*kind));
        for alias in descriptor.aliases {
            assert_eq!(EntityKind::from_name(alias), Some(*kind));
        }
        let mut names: Vec<_> = COMMON_ATTRIBUTES.iter().chain(descriptor.attributes).map(|a| a.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "{}", descriptor.name);
    }
}

#[test]
fn typed_entities_and_records_are_two_views_of_the_same() {
    let listener =
        TcpListenerEntity { address: Some("a".to_owned()), idle_timeout_seconds: 7, ..TcpListenerEntity::default() };
    let record = Entity::from(&listener);
    assert_eq!(record.get("idleTimeoutSeconds"), Some(&Value::Integer(7)));
    assert_eq!(TcpListenerEntity::from(&record), listener);
}

#[test]
fn types_take_what_the_reference_takes() {
    let convert = |ty: Type, value: Value| ty.convert(value).ok();
    for (text, truth) in [("yes", true), ("ON", true), ("True", true), ("no", false), ("off", false), ("False", false)]
    {
        assert_eq!(convert(Type::Boolean, text.into()), Some(Value::Bool(truth)));
    }
    assert_eq!(convert(Type::Boolean, "1".into()), None);
    assert_eq!(convert(Type::Boolean, 1.into()), Some(Value::Bool(true)));
    assert_eq!(convert(u32::TYPE, " 5 ".into()), Some(Value::Integer(5)));
    assert_eq!(convert(u32::TYPE, (-1).into()), None);
    assert_eq!(convert(Mode::TYPE, "edge".into()), Some("edge".into()));
    assert_eq!(convert(Mode::TYPE, 2.into()), Some("edge".into()));
    assert_eq!(convert(Mode::TYPE, "1".into()), Some("interior".into()));
    assert_eq!(convert(Mode::TYPE, 3.into()), None);
    assert_eq!(convert(Type::String, 5.into()), Some("5".into()));
    assert_eq!(convert(Type::Port, 5.into()), Some("5".into()));
    assert_eq!(convert(Type::Port, "+5".into()), None);
    assert_eq!(convert(Type::Port, "".into()), None);
    assert_eq!(convert(Type::Properties, Value::Map(vec![("é".to_owned(), 1.into())])), None);
}

#[test]
fn levels_are_the_references() {
    use crate::config::levels::{LevelSet, Severity::*};
    let set = |text| LevelSet::parse(text).expect(text).expect("not default");
    assert_eq!(set("trace+"), set("debug+"));
    assert!(set("warn+").contains(Critical) && !set("warn+").contains(Info));
    assert!(set("debug,error").contains(Debug) && !set("debug,error").contains(Warning));
    assert_eq!(set("none").lowest(), None);
    assert_eq!(LevelSet::parse("default"), Ok(None));
    assert!(LevelSet::parse("+").is_err());
}

#[test]
fn nearest_names_are_near() {
    assert_eq!(nearest("hots", ["host", "port"]), Some("host"));
    assert_eq!(nearest("Host", ["host", "port"]), Some("host"));
    assert_eq!(nearest("zebra", ["host", "port"]), None);
    assert_eq!(nearest("", ["a"]), None);
}
