//! Files, flags and checks, by syntax. What messages say and where they point is part of what is tested.

mod checks;
mod flags;
mod json;
mod noise;
mod text;
mod yaml;

use super::{Configuration, Syntax};
use crate::entity::EntityKind;

/// A configuration that has to be accepted.
fn accept(syntax: Syntax, text: &str) -> Configuration {
    match Configuration::from_text("test.conf", syntax, text) {
        Ok(configuration) => configuration,
        Err(error) => panic!("refused: {error}"),
    }
}

/// All messages about a configuration that has to be refused, one per line.
fn refuse(syntax: Syntax, text: &str) -> String {
    match Configuration::from_text("test.conf", syntax, text) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.to_string(),
    }
}

/// The value of an attribute of the first entity of a type, as text.
fn value(configuration: &Configuration, kind: EntityKind, attribute: &str) -> String {
    let entity = configuration.entities.iter().find(|entity| entity.kind() == kind);
    entity.and_then(|entity| entity.get(attribute)).map_or_else(|| "unset".to_owned(), ToString::to_string)
}
