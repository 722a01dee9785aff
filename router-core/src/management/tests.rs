//! Names and relations of types.

use super::*;
use crate::entity::Value;

#[test]
fn types_are_found_by_every_name() {
    for ty in EntityType::all() {
        let descriptor = ty.descriptor();
        assert_eq!(EntityType::from_name(descriptor.name), Some(ty));
        assert_eq!(EntityType::from_name(&descriptor.long_name()), Some(ty));
        assert_eq!(Selector::from_name(&descriptor.long_name()), Some(Selector::One(ty)));
        let mut names: Vec<_> = ty.attributes().map(|attribute| attribute.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "{}", descriptor.name);
        assert!(ty.attributes().all(|attribute| !attribute.paragraph().is_empty()), "{}", descriptor.name);
    }
    assert_eq!(EntityType::from_name("io.skupper.router.nonsense"), None);
    assert_eq!(Selector::from_name(""), None);
}

#[test]
fn a_base_means_all_that_extend_it() {
    let selected = |name: &str| {
        let selector = Selector::from_name(name).expect("known");
        EntityType::all().filter(|ty| selector.selects(*ty)).count()
    };
    let all = EntityType::all().count();
    assert_eq!(selected("entity"), all);
    assert_eq!(selected("io.skupper.router.entity"), all);
    // Settings of vhost groups are configured with their vhost.
    assert_eq!(selected("configurationEntity"), EntityKind::ALL.len() + 1);
    assert_eq!(selected("operationalEntity"), OperationalKind::ALL.len() - 1);
    assert_eq!(selected("org.amqp.management"), 1);
    assert_eq!(selected("management"), 1);
}

#[test]
fn types_tell_what_they_extend() {
    let all = types(None);
    let bases = |name: &str| all.iter().find(|ty| ty.name == name).expect("known").bases.clone();
    assert_eq!(bases("io.skupper.router.entity"), Vec::<&str>::new());
    assert_eq!(
        bases("io.skupper.router.listener"),
        ["io.skupper.router.configurationEntity", "io.skupper.router.entity"]
    );
    assert_eq!(
        bases("io.skupper.router.management"),
        ["org.amqp.management", "io.skupper.router.operationalEntity", "io.skupper.router.entity"]
    );
    let one = types(Selector::from_name("router.link"));
    assert_eq!(one.len(), 1);
    assert_eq!(one[0].operations, ["READ"]);
    assert!(one[0].attributes.contains(&"deliveryCount"));
    assert!(types(Selector::from_name("operationalEntity")).iter().any(|ty| ty.name == "org.amqp.management"));
}

#[test]
fn attributes_of_all_types_are_named_once() {
    let names = all_attributes();
    assert_eq!(names[..3], ["name", "identity", "type"]);
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len());
}

#[test]
fn the_schema_has_every_type_and_attribute() {
    let get = |value: &Value, key: &str| match value {
        Value::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone()),
        _ => None,
    };
    let schema = schema();
    assert_eq!(get(&schema, "prefix"), Some("io.skupper.router".into()));
    let types = get(&schema, "entityTypes").expect("there are types");
    for ty in EntityType::all() {
        let entry = get(&types, ty.descriptor().name).expect("every type");
        let attributes = get(&entry, "attributes").expect("attributes");
        assert!(
            ty.attributes().all(|attribute| attribute.name == "type" || get(&attributes, attribute.name).is_some())
        );
    }
    let listener = get(&types, "listener").expect("listeners");
    let attributes = get(&listener, "attributes").expect("attributes");
    let cost = get(&attributes, "cost").expect("cost");
    assert_eq!(get(&cost, "type"), Some("integer".into()));
    assert_eq!(get(&cost, "default"), Some(1.into()));
    let role = get(&attributes, "role").expect("role");
    assert!(matches!(get(&role, "type"), Some(Value::List(tags)) if tags.len() == 6));
    let module = get(&types, "log").and_then(|log| get(&get(&log, "attributes")?, "module"));
    assert_eq!(module.and_then(|module| get(&module, "required")), Some(true.into()));
}
