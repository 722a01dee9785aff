//! What a request asks for, and of whom: the agent itself, or an entity.

use amqp_proto::Value;
use router_core::entity::{EntityKind, LogEntity, NetworkEntity, Operation, OperationalKind, StoreError, Type};
use router_core::management::{Base, EntityType, Selector, TypeInfo, schema, types};

use super::Agent;
use super::query::query;
use super::request::Request;
use super::response::{Failure, Response};
use super::rows;
use super::values::{from_amqp, json, names, to_amqp};
use crate::logging;
use crate::router::entities::{ChangeError, network_id};
use crate::router::worker;

/// The name and identity of the agent.
const SELF: &str = "self";

/// Does what is asked for.
pub(crate) async fn perform(agent: &Agent, request: &Request) -> Result<Response, Failure> {
    let operation = request.operation().ok_or_else(|| Failure::bad_request("No 'operation' property"))?;
    let operation = operation.to_ascii_uppercase();
    match operation.as_str() {
        "READ" => read(agent, request).await,
        "CREATE" => create(agent, request).await,
        "UPDATE" | "DELETE" => change(agent, request, &operation).await,
        _ => of_node(agent, request, &operation).await,
    }
}

/// Reads the name of a type.
fn selector(name: &str) -> Result<Selector, Failure> {
    Selector::from_name(name).ok_or_else(|| Failure::bad_request(format!("No such entity type '{name}'")))
}

fn is_node(selector: Selector) -> bool {
    matches!(
        selector,
        Selector::Extending(Base::Management) | Selector::One(EntityType::Operational(OperationalKind::Management))
    )
}

fn not_offered(operation: &str, of: &str) -> Failure {
    Failure::not_implemented(format!("Operation '{operation}' not implemented for '{of}'"))
}

fn unnamed(requested: Option<Selector>) -> Failure {
    let what = requested.map_or_else(String::new, |ty| format!("{}: ", ty.long_name()));
    Failure::bad_request(format!("{what}No name or identity provided"))
}

/// What was logged last: module, level, text, file, line and seconds since 1970 of each entry.
fn recent_log(agent: &Agent, limit: Option<usize>) -> Value {
    let entries = agent.log.handle.recent(limit.unwrap_or(usize::MAX));
    let row = |entry: &logging::Entry| {
        let (file, line) = entry.place.map_or((Value::Null, Value::Null), |(file, line)| (file.into(), line.into()));
        let head = [entry.module.as_str(), entry.level.as_str(), &entry.text()].map(Value::from);
        Value::List(head.into_iter().chain([file, line, Value::Long(entry.time.as_second())]).collect())
    };
    Value::List(entries.iter().map(row).collect())
}

/// Operations of the agent.
async fn of_node(agent: &Agent, request: &Request, operation: &str) -> Result<Response, Failure> {
    let requested = request.text("type")?.map(selector).transpose()?;
    let entity_type = request.text("entityType")?.map(selector).transpose()?;
    let about_self = [request.text("name")?, request.text("identity")?].into_iter().flatten().all(|name| name == SELF);
    // As in the reference, `type` may stand for `entityType` in a QUERY.
    let meant = match (entity_type, requested) {
        (None, Some(ty)) if operation == "QUERY" && !is_node(ty) => Some(ty),
        (None, Some(ty)) if !is_node(ty) && about_self => return Err(unnamed(Some(ty))),
        (entity_type, _) => entity_type,
    };
    if !about_self {
        let (ty, _) = find(agent, request).await?;
        return Err(not_offered(operation, &ty.descriptor().long_name()));
    }
    let info = |value: fn(&TypeInfo) -> Value| {
        let entry = |info: TypeInfo| (Value::from(info.name.as_str()), value(&info));
        Response::ok(Value::Map(types(meant).into_iter().map(entry).collect()))
    };
    Ok(match operation {
        "QUERY" => return query(agent, request, meant).await,
        "GET-TYPES" => info(|info| names(info.bases.iter().copied())),
        "GET-ATTRIBUTES" => info(|info| names(info.attributes.iter().copied())),
        "GET-OPERATIONS" => info(|info| names(info.operations.iter().copied())),
        "GET-ANNOTATIONS" => Response::ok(Value::Map(Vec::new())),
        "GET-SCHEMA" => Response::ok(to_amqp(&schema())),
        "GET-JSON-SCHEMA" => Response::ok(json(&schema(), request.number("indent")?.is_some()).into()),
        "GET-LOG" => Response::ok(recent_log(agent, request.number("limit")?)),
        "GET-MGMT-NODES" => {
            let nodes = rows::nodes(agent);
            let ids = nodes.iter().filter_map(|node| node.get("id")).filter_map(Value::as_str);
            Response::ok(Value::List(ids.map(|id| format!("amqp:/_topo/0/{id}/$management").into()).collect()))
        }
        _ => return Err(not_offered(operation, "io.skupper.router.management")),
    })
}

/// The entity that a request is about.
async fn find(agent: &Agent, request: &Request) -> Result<(EntityType, rows::Row), Failure> {
    let requested = request.text("type")?.map(selector).transpose()?;
    let (name, identity) = (request.text("name")?, request.text("identity")?);
    if name.is_none() && identity.is_none() {
        return Err(unnamed(requested));
    }
    rows::find(agent, requested, name, identity).await
}

async fn read(agent: &Agent, request: &Request) -> Result<Response, Failure> {
    let requested = request.text("type")?.map(selector).transpose()?;
    let unnamed = request.text("name")?.is_none() && request.text("identity")?.is_none();
    if unnamed && requested.is_none_or(is_node) {
        return Ok(Response::ok(rows::management().into_map()));
    }
    let (_, row) = find(agent, request).await?;
    Ok(Response::ok(row.into_map()))
}

/// The attributes of a request to create something.
fn attributes(request: &Request) -> Result<Vec<(String, router_core::entity::Value)>, Failure> {
    let mut attributes = Vec::new();
    for (key, value) in request.map()? {
        let key = key.as_str().ok_or_else(|| Failure::bad_request("Names of attributes have to be strings"))?;
        let value = from_amqp(value).ok_or_else(|| {
            Failure::bad_request(format!("Attribute '{key}' has a value of a type that is not known here"))
        })?;
        attributes.push((key.to_owned(), value));
    }
    Ok(attributes)
}

async fn create(agent: &Agent, request: &Request) -> Result<Response, Failure> {
    let mut attributes = attributes(request)?;
    for key in ["type", "name"] {
        let Some(property) = request.text(key)? else { continue };
        match attributes.iter().find(|(name, _)| name == key) {
            Some((_, value)) if value.as_str() == Some(property) => {}
            Some(_) => return Err(Failure::bad_request(format!("Conflicting values for '{key}'"))),
            None => attributes.push((key.to_owned(), property.into())),
        }
    }
    if attributes.iter().any(|(name, _)| name == "identity") {
        return Err(Failure::bad_request("'identity' attribute cannot be specified"));
    }
    let named = attributes.iter().find(|(name, _)| name == "type").and_then(|(_, value)| value.as_str());
    let ty = selector(named.ok_or_else(|| Failure::bad_request("No 'type' attribute"))?)?;
    let Selector::One(EntityType::Configured(kind)) = ty else {
        return Err(not_offered("CREATE", &ty.long_name()));
    };
    if !kind.descriptor().offers(Operation::Create) {
        return Err(not_offered("CREATE", &ty.long_name()));
    }
    attributes.retain(|(name, _)| name != "type");
    let entity = agent.running.create_from(kind, attributes, &agent.workers).await?;
    tracing::info!(target: "AGENT", "Created {} {}", kind.name(), entity.name());
    let (_, row) = rows::find(agent, Some(ty), None, Some(entity.identity())).await?;
    Ok(Response::created(row.into_map()))
}

/// UPDATE and DELETE.
async fn change(agent: &Agent, request: &Request, operation: &str) -> Result<Response, Failure> {
    if let Some("io.skupper.router.connection" | "connection") = request.text("type")?
        && let Some(identity) = request.text("identity")?.filter(|identity| identity.parse::<u64>().is_err())
    {
        return Err(Failure::bad_request(format!("identity: expected the number of a connection, found `{identity}`")));
    }
    let (ty, row) = find(agent, request).await?;
    let long_name = ty.descriptor().long_name();
    let kind = match ty {
        EntityType::Operational(OperationalKind::Connection) if operation == "UPDATE" => {
            return update_connection(agent, request, &row).await;
        }
        EntityType::Operational(OperationalKind::Connection) => {
            return Err(Failure::forbidden("Forbidden: a connection is closed with UPDATE adminStatus=deleted"));
        }
        EntityType::Operational(OperationalKind::Link) => {
            return Err(Failure::forbidden("Forbidden: a link ends with what attached it, or with its connection"));
        }
        EntityType::Operational(_) => return Err(not_offered(operation, &long_name)),
        EntityType::Configured(kind) => kind,
    };
    if operation == "UPDATE" && kind.descriptor().offers(Operation::Update) {
        return update(agent, request, kind, &row).await;
    }
    if operation != "DELETE" || !kind.descriptor().offers(Operation::Delete) {
        return Err(not_offered(operation, &long_name));
    }
    let name = row.get("name").and_then(Value::as_str).unwrap_or_default();
    agent.running.delete(kind, name, &agent.workers).await?;
    tracing::info!(target: "AGENT", "Deleted {} {name}", kind.name());
    Ok(Response::no_content())
}

/// Changes attributes of an entity whose changes can be put to work.
async fn update(agent: &Agent, request: &Request, kind: EntityKind, row: &rows::Row) -> Result<Response, Failure> {
    let mut attributes = attributes(request)?;
    attributes.retain(|(name, _)| name != "type");
    let identity = row.get("identity").and_then(Value::as_str).unwrap_or_default();
    let entity = agent.running.update(kind, identity, attributes, |store| match kind {
        EntityKind::Log => {
            let logs: Vec<LogEntity> = store.query(Some(EntityKind::Log)).map(LogEntity::from).collect();
            logging::configure(&agent.log.handle, &agent.log.args, &logs, Some(&agent.router.configured))
        }
        EntityKind::Network => {
            let network = store.query(Some(EntityKind::Network)).map(NetworkEntity::from).next();
            let id = network.as_ref().and_then(network_id);
            for worker in &agent.workers {
                let id = id.clone();
                // A worker that is gone needs no name.
                let _ = worker.run(move || {
                    if let Some(worker) = worker::current() {
                        worker.amqp.with_core(|core, _| core.set_network_id(id));
                    }
                });
            }
            Ok(())
        }
        // What can be changed of the others is only kept, or put to work below.
        _ => Ok(()),
    })?;
    if kind == EntityKind::TcpListener {
        agent.running.set_observer(&entity, &agent.workers).await?;
    }
    let ty = Selector::One(EntityType::Configured(kind));
    let (_, row) = rows::find(agent, Some(ty), None, Some(identity)).await?;
    Ok(Response::ok(row.into_map()))
}

/// Closes a connection, if that is what its new `adminStatus` says, or has its frames logged.
async fn update_connection(agent: &Agent, request: &Request, row: &rows::Row) -> Result<Response, Failure> {
    let mut close = false;
    let mut trace = None;
    let between_routers = ["inter-router", "inter-router-data", "edge", "inter-edge"];
    let role = row.get("role").and_then(Value::as_str).unwrap_or_default();
    for (name, value) in attributes(request)? {
        let same = row.get(&name).and_then(from_amqp).as_ref() == Some(&value);
        match (name.as_str(), value.as_str()) {
            ("adminStatus", Some("deleted")) if between_routers.contains(&role) => {
                return Err(Failure::forbidden("Connections between routers cannot be closed; delete their connector"));
            }
            ("adminStatus", Some("deleted")) if request.restricted => {
                return Err(Failure::forbidden("Forbidden: the policy does not let this user close connections"));
            }
            ("adminStatus", Some("deleted")) => close = true,
            ("adminStatus", Some("enabled")) => {}
            ("adminStatus", _) => {
                return Err(Failure::bad_request(format!("adminStatus: expected enabled or deleted, found `{value}`")));
            }
            ("enableProtocolTrace", _) => match Type::Boolean.convert(value) {
                Ok(value) => trace = value.as_bool(),
                Err(message) => return Err(Failure::bad_request(format!("{name}: {message}"))),
            },
            _ if same => {}
            _ => return Err(Failure::bad_request(format!("Cannot update attribute '{name}' in UPDATE"))),
        }
    }
    let identity = row.get("identity").and_then(Value::as_str).unwrap_or_default();
    let mut row = row.clone();
    if let Some(on) = trace {
        if !rows::trace_connection(agent, identity, on).await && on {
            let message = "enableProtocolTrace: only connections of AMQP have frames";
            return Err(Failure::not_implemented(message));
        }
        row.set("enableProtocolTrace", on);
    }
    if close {
        rows::close_connection(agent, identity).await;
        row.set("adminStatus", "deleted");
    }
    Ok(Response::ok(row.into_map()))
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Store(error) => error.into(),
            ChangeError::Inactive(reason) => Self::not_implemented(reason),
            ChangeError::Work(error) => Self::bad_request(format!("{error:#}")),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(error.status(), error.to_string())
    }
}
