//! QUERY: many entities at once, as a table.

use std::collections::HashMap;

use amqp_proto::Value;
use router_core::management::{EntityType, Selector, all_attributes};

use super::Agent;
use super::request::Request;
use super::response::{Failure, Response};
use super::rows::{self, Row};
use super::values::names;

/// Answers a QUERY for entities of `selector`, or of all types.
pub(crate) async fn query(agent: &Agent, request: &Request, selector: Option<Selector>) -> Result<Response, Failure> {
    let columns = columns(request, selector)?;
    let places = places(&columns);
    let mut offset = request.number("offset")?.unwrap_or(0);
    let mut left = request.number("count")?.unwrap_or(usize::MAX);
    let mut results = Vec::new();
    for ty in EntityType::all().filter(|ty| selector.is_none_or(|selector| selector.selects(*ty))) {
        let (found, total) = rows::page(agent, ty, offset, left).await;
        offset = offset.saturating_sub(total);
        left = left.saturating_sub(found.len());
        // Entities that have none of the attributes are left out, as the reference does for most types.
        let shown = |cells: &Vec<Value>| lenient(selector) || cells.iter().any(|cell| !cell.is_null());
        results.extend(found.into_iter().map(|row| cells(row, &places, columns.len())).filter(shown).map(Value::List));
        if left == 0 {
            break;
        }
    }
    let attribute_names = names(columns.iter().map(String::as_str));
    Ok(Response::ok(Value::Map(vec![
        ("attributeNames".into(), attribute_names),
        ("results".into(), Value::List(results)),
    ])))
}

/// Where the values of each attribute go. A column may be asked for twice.
fn places(columns: &[String]) -> HashMap<&str, Vec<usize>> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, column) in columns.iter().enumerate() {
        places.entry(column).or_default().push(place);
    }
    places
}

/// Looks up the attributes that a row has, and not all columns: those of all types are some hundreds.
fn cells(row: Row, places: &HashMap<&str, Vec<usize>>, columns: usize) -> Vec<Value> {
    let mut cells = vec![Value::Null; columns];
    for (name, value) in row.into_attributes() {
        let Some((last, others)) = places.get(name).and_then(|places| places.split_last()) else { continue };
        for place in others {
            if let Some(cell) = cells.get_mut(*place) {
                *cell = value.clone();
            }
        }
        if let Some(cell) = cells.get_mut(*last) {
            *cell = value;
        }
    }
    cells
}

/// What is asked of types that the reference's core holds may be unknown: such columns are null.
fn lenient(selector: Option<Selector>) -> bool {
    matches!(selector, Some(Selector::One(ty)) if rows::of_core(ty))
}

/// Names of the columns: those asked for, or all.
fn columns(request: &Request, selector: Option<Selector>) -> Result<Vec<String>, Failure> {
    let asked = request.map()?.iter().find(|(key, _)| key.as_str() == Some("attributeNames")).map(|(_, value)| value);
    let wrong = || Failure::bad_request("attributeNames has to be a list of strings");
    let asked: Vec<String> = match asked {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::List(items)) => {
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<_>>().ok_or_else(wrong)?
        }
        Some(Value::Array(array)) => array
            .items()
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or_else(wrong)?,
        Some(_) => return Err(wrong()),
    };
    let known = match selector {
        Some(selector) => selector.attributes(),
        None => all_attributes(),
    };
    if asked.is_empty() {
        return Ok(known.into_iter().map(str::to_owned).collect());
    }
    if !lenient(selector) {
        let unknown: Vec<_> = asked.iter().filter(|name| !known.contains(&name.as_str())).collect();
        if !unknown.is_empty() {
            let list: Vec<_> = unknown.iter().map(|name| format!("'{name}'")).collect();
            let of_type = selector.map_or_else(String::new, |selector| format!(" for type {}", selector.long_name()));
            return Err(Failure::not_found(format!("Unknown attributes [{}]{of_type}.", list.join(", "))));
        }
    }
    Ok(asked)
}
