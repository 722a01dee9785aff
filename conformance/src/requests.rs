//! Requests to management agents, made by Proton's Python binding.

use std::path::Path;

use serde_json::{Value, json};

use crate::client::{Client, unique};

/// Sends requests to one address of the router on `port`, or each to its `to`; returns the answers.
///
/// # Panics
/// When one of them is not answered.
pub fn ask(dir: &Path, port: u16, address: Option<&str>, requests: &[Value]) -> Vec<Value> {
    let file = dir.join(format!("requests-{}", unique()));
    let lines: String = requests.iter().map(|request| format!("{request}\n")).collect();
    std::fs::write(&file, lines).unwrap();
    let path = file.display().to_string();
    let mut args = vec![("requests", path.as_str())];
    args.extend(address.map(|address| ("address", address)));
    let mut answers = Client::ProtonPython.run(dir, "manage", port, &args);
    assert_eq!(answers.pop(), Some(json!({"done": true})));
    assert_eq!(answers.len(), requests.len());
    answers
}

/// A QUERY of these attributes of all entities of a type.
pub fn query(ty: &str, attributes: &[&str]) -> Value {
    json!({
        "properties": {"operation": "QUERY", "name": "self", "type": "org.amqp.management",
                       "entityType": format!("io.skupper.router.{ty}")},
        "body": {"attributeNames": attributes},
    })
}

/// A request about the entity of a type with a name.
pub fn request(operation: &str, ty: &str, name: &str, attributes: Value) -> Value {
    let ty = format!("io.skupper.router.{ty}");
    json!({"properties": {"operation": operation, "type": ty, "name": name}, "body": attributes})
}
