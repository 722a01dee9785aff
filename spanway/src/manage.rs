//! `spanway manage`: requests to a management agent.

mod attributes;
mod output;

use amqp_proto::Value;
use anyhow::{Context as _, Result, anyhow, bail};

use crate::cli::manage::{CreateArgs, DeleteArgs, ManageArgs, NodeArgs, OneArgs, Operation, QueryArgs, UpdateArgs};
use crate::client::entities::Entities;
use crate::client::management::{Answer, Manager, Query, Request, Whose, short};
use crate::client::report::print;
use crate::client::{Interrupts, block_on};
use attributes::{Attributes, from_stdin, split};
use output::Shown;

/// Does what the command line asks.
pub(crate) fn run(args: &ManageArgs) -> Result<()> {
    let operation = &args.operation;
    let node = operation.node();
    node.agent.connect.check_or_exit();
    // Before anything is asked: mistakes in the input change nothing.
    let tasks = tasks(operation)?;
    block_on(async {
        let mut interrupts = Interrupts::new()?;
        tokio::select! {
            done = perform(node, tasks) => done,
            () = interrupts.wait() => bail!("interrupted before the router answered"),
        }
    })
}

impl Operation {
    fn node(&self) -> &NodeArgs {
        match self {
            Self::Query(args) => &args.node,
            Self::Read(args) => &args.node,
            Self::Create(args) => &args.node,
            Self::Update(args) => &args.node,
            Self::Delete(args) => &args.one.node,
            Self::GetTypes(args)
            | Self::GetAttributes(args)
            | Self::GetOperations(args)
            | Self::GetAnnotations(args) => &args.node,
            Self::GetMgmtNodes(args) => args,
            Self::GetLog(args) => &args.node,
        }
    }
}

/// One thing to ask for.
#[derive(Debug)]
enum Task {
    Query(Query),
    /// An operation on one entity.
    One {
        operation: &'static str,
        which: Which,
        attributes: Attributes,
    },
    /// An operation of the agent; the name of what a table's second column holds.
    Node(Request, &'static str),
}

/// Which entity.
#[derive(Debug, Clone)]
struct Which {
    entity_type: Option<String>,
    id: Id,
}

#[derive(Debug, Clone)]
enum Id {
    /// It is new, or the only one of its type.
    None,
    Name(String),
    Identity(String),
    /// One of the two.
    Either(String),
}

fn tasks(operation: &Operation) -> Result<Vec<Task>> {
    let about = |operation, ty: &Option<String>, what| {
        let request = Request::new(operation);
        vec![Task::Node(ty.iter().fold(request, |request, ty| request.with("entityType", ty.as_str())), what)]
    };
    Ok(match operation {
        Operation::Query(args) => vec![Task::Query(query(args))],
        Operation::Read(args) => vec![Task::One { operation: "READ", which: args.which(), attributes: Vec::new() }],
        Operation::Create(args) => create(args)?,
        Operation::Update(args) => update(args)?,
        Operation::Delete(args) => delete(args)?,
        Operation::GetTypes(args) => about("GET-TYPES", &args.entity_type, "extends"),
        Operation::GetAttributes(args) => about("GET-ATTRIBUTES", &args.entity_type, "attribute"),
        Operation::GetOperations(args) => about("GET-OPERATIONS", &args.entity_type, "operation"),
        Operation::GetAnnotations(args) => about("GET-ANNOTATIONS", &args.entity_type, "annotation"),
        Operation::GetMgmtNodes(_) => vec![Task::Node(Request::new("GET-MGMT-NODES"), "agent")],
        Operation::GetLog(args) => {
            let request = Request::new("GET-LOG");
            let limit = args.limit.map(|limit| Value::Long(limit.into()));
            vec![Task::Node(limit.into_iter().fold(request, |request, limit| request.with("limit", limit)), "log")]
        }
    })
}

fn query(args: &QueryArgs) -> Query {
    Query {
        entity_type: args.entity_type.clone().unwrap_or_default(),
        attributes: args.attributes.clone(),
        limit: args.limit.map(|limit| limit as usize),
    }
}

impl OneArgs {
    fn which(&self) -> Which {
        let id = match (&self.id, &self.name, &self.identity) {
            (_, Some(name), _) => Id::Name(name.clone()),
            (_, None, Some(identity)) => Id::Identity(identity.clone()),
            (Some(id), None, None) => Id::Either(id.clone()),
            (None, None, None) => Id::None,
        };
        Which { entity_type: self.entity_type.clone(), id }
    }
}

fn create(args: &CreateArgs) -> Result<Vec<Task>> {
    let ty = args.entity_type.as_deref();
    let entities = if args.stdin || args.attributes.is_empty() {
        from_stdin()?
    } else {
        vec![attributes::typed(ty, &args.attributes)]
    };
    let task = |attributes: Attributes| {
        let which = Which { entity_type: attributes::type_of(ty, &attributes)?, id: Id::None };
        if which.entity_type.is_none() {
            bail!("which type? Name it, or have \"type\" in each object of the standard input");
        }
        Ok(Task::One { operation: "CREATE", which, attributes: attributes::without(attributes, &["type"]) })
    };
    entities.into_iter().map(task).collect()
}

fn update(args: &UpdateArgs) -> Result<Vec<Task>> {
    let ty = args.entity_type.as_deref();
    if args.stdin || (args.rest.is_empty() && args.name.is_none() && args.identity.is_none()) {
        return from_stdin()?.into_iter().map(|attributes| of_object(ty, "UPDATE", attributes)).collect();
    }
    let (id, changes) = split(&args.rest)?;
    let id = match (id, &args.name, &args.identity) {
        (Some(id), None, None) => Id::Either(id),
        (None, Some(name), _) => Id::Name(name.clone()),
        (None, None, Some(identity)) => Id::Identity(identity.clone()),
        (None, None, None) => Id::None,
        (Some(id), ..) => bail!("`{id}` names an entity, and so does --name or --identity: which is meant?"),
    };
    if changes.is_empty() {
        bail!("what is to change? Add NAME=VALUE");
    }
    let which = Which { entity_type: args.entity_type.clone(), id };
    Ok(vec![Task::One { operation: "UPDATE", which, attributes: attributes::typed(ty, &changes) }])
}

fn delete(args: &DeleteArgs) -> Result<Vec<Task>> {
    if args.stdin {
        let ty = args.one.entity_type.as_deref();
        return from_stdin()?.into_iter().map(|attributes| of_object(ty, "DELETE", attributes)).collect();
    }
    let which = args.one.which();
    if matches!(which.id, Id::None) {
        bail!("which one? Add its name or identity, as `spanway manage query {}` shows it", args.one.in_words());
    }
    Ok(vec![Task::One { operation: "DELETE", which, attributes: Vec::new() }])
}

impl OneArgs {
    fn in_words(&self) -> &str {
        self.entity_type.as_deref().map_or("TYPE", short)
    }
}

/// An entity that an object of the standard input tells which it is.
fn of_object(ty: Option<&str>, operation: &'static str, attributes: Attributes) -> Result<Task> {
    let entity_type = attributes::type_of(ty, &attributes)?;
    let text = |key: &str| attributes::get(&attributes, key).and_then(Value::as_str).map(str::to_owned);
    let id = match (text("identity"), text("name")) {
        (Some(identity), _) => Id::Identity(identity),
        (None, Some(name)) => Id::Name(name),
        (None, None) => Id::None,
    };
    let attributes = match operation {
        "DELETE" => Vec::new(),
        _ => attributes::without(attributes, &["type", "name", "identity"]),
    };
    Ok(Task::One { operation, which: Which { entity_type, id }, attributes })
}

async fn perform(args: &NodeArgs, tasks: Vec<Task>) -> Result<()> {
    let whose = args.agent.whose();
    let mut manager = Manager::connect(&args.agent.connect, "manage").await?;
    let several = tasks.len();
    let mut done = Vec::new();
    let mut failed = None;
    for task in tasks {
        match run_task(&mut manager, &whose, task).await {
            Ok(shown) => done.push(shown),
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    // Everything is here; how the router says goodbye does not matter.
    let _ = manager.close().await;
    let succeeded = done.len();
    print(&output::write(done, several > 1, args.output))?;
    match failed {
        Some(error) if several > 1 => {
            Err(error).with_context(|| format!("{succeeded} of {several} were done, then it failed"))
        }
        Some(error) => Err(error),
        None => Ok(()),
    }
}

async fn run_task(manager: &mut Manager, whose: &Whose, task: Task) -> Result<Shown> {
    match task {
        Task::Query(query) => {
            let named = !query.attributes.is_empty();
            // Attributes of all types beside each other would say little to people; programs get all of them.
            let overview = query.entity_type.is_empty() && query.attributes.is_empty();
            let entities = manager.query(whose, query).await?;
            Ok(if overview { Shown::Overview(entities) } else { Shown::Many { entities, named } })
        }
        Task::One { operation, which, attributes } => one(manager, whose, operation, which, attributes).await,
        Task::Node(request, what) => {
            let answer = manager.call(whose, request).await?;
            succeeded(&answer, "do that").map_err(|error| anyhow!("{} {error}", whose.in_words()))?;
            Ok(Shown::Facts { body: answer.body, what })
        }
    }
}

async fn one(
    manager: &mut Manager,
    whose: &Whose,
    operation: &'static str,
    which: Which,
    attributes: Attributes,
) -> Result<Shown> {
    let attempts: Vec<Vec<(&'static str, String)>> = match &which.id {
        Id::None => vec![Vec::new()],
        Id::Name(name) => vec![vec![("name", name.clone())]],
        Id::Identity(identity) => vec![vec![("identity", identity.clone())]],
        // The reference does not find some types by name.
        Id::Either(id) => vec![vec![("identity", id.clone())], vec![("name", id.clone())]],
    };
    let mut answer = None;
    for ids in attempts {
        let mut request = Request::new(operation);
        if let Some(ty) = &which.entity_type {
            request = request.with("type", ty.as_str());
        }
        if operation == "CREATE"
            && let Some(name) = attributes::get(&attributes, "name")
        {
            // The reference takes no other name than this.
            request = request.with("name", name.clone());
        }
        request = ids.into_iter().fold(request, |request, (key, id)| request.with(key, id));
        let body = attributes.iter().map(|(name, value)| (Value::from(name.as_str()), value.clone())).collect();
        let next = manager.call(whose, request.body(body)).await?;
        let found = next.status < 400;
        // What the first attempt was told is mostly the better answer, unless it only was not found.
        if found || answer.as_ref().is_none_or(|first: &Answer| first.status == 404) {
            answer = Some(next);
        }
        if found {
            break;
        }
    }
    let answer = answer.ok_or_else(|| anyhow!("{} did not answer", whose.in_words()))?;
    let named = match &which.id {
        Id::None => attributes::get(&attributes, "name").and_then(Value::as_str).unwrap_or_default(),
        Id::Name(id) | Id::Identity(id) | Id::Either(id) => id,
    };
    let what = format!("{} {named}", which.entity_type.as_deref().map_or("entity", short));
    let what = what.trim_end();
    let verb = operation.to_ascii_lowercase();
    succeeded(&answer, &format!("{verb} {what}")).map_err(|error| {
        let hint = match (answer.status, &which.entity_type) {
            (404, Some(ty)) => {
                format!("; `spanway manage query {} name identity` lists those that there are", short(ty))
            }
            (404, None) => "; `spanway manage query` lists what there is".to_owned(),
            _ => String::new(),
        };
        anyhow!("{} {error}{hint}", whose.in_words())
    })?;
    Ok(match operation {
        "DELETE" => Shown::Deleted(what.to_owned()),
        _ => Shown::One(Entities::of_map(answer.body)),
    })
}

fn succeeded(answer: &Answer, what: &str) -> Result<()> {
    if (200..300).contains(&answer.status) {
        return Ok(());
    }
    bail!("cannot {what}: {} {}", answer.status, answer.description)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_name_the_status() {
        let answer =
            Answer { status: 400, description: "Bad".to_owned(), body: Value::Null, took: std::time::Duration::ZERO };
        let error = succeeded(&answer, "read x").expect_err("refused");
        assert_eq!(error.to_string(), "cannot read x: 400 Bad");
    }
}
