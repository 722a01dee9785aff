//! Options of `spanway manage`.

use clap::{Args, Subcommand};

use router_core::entity::nearest;
use router_core::management::{EntityType, Selector};

use super::agent::AgentArgs;
use super::output::Format;

/// Options of `spanway manage`.
#[derive(Debug, Clone, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Examples:\n  \
    spanway manage query listener\n  \
    spanway manage query connection host container user\n  \
    spanway manage read log log/DEFAULT\n  \
    spanway manage create tcpListener name=db address=db host=127.0.0.1 port=15432\n  \
    spanway manage update log log/DEFAULT enable=debug+\n  \
    spanway manage delete tcpListener db --router B\n  \
    spanway manage create --stdin < entities.json\n\n\
    Types have the names in docs/reference/entities.md; `io.skupper.router.` in front may be left out. Works with skrouterd, too.\n\
    Exit status: 0 when it was done, 1 when not, 2 for mistakes in the command line."
)]
pub(crate) struct ManageArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) operation: Operation,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Operation {
    /// Show many entities
    Query(QueryArgs),
    /// Show one entity
    Read(OneArgs),
    /// Create an entity, or several with --stdin
    ///
    /// Without a type and attributes, or with --stdin, the standard input has them as JSON: an object, or an array of objects, each with `type` unless TYPE
    /// is given.
    Create(CreateArgs),
    /// Change attributes of an entity, or of several with --stdin
    Update(UpdateArgs),
    /// Delete an entity, or several with --stdin
    Delete(DeleteArgs),
    /// List types of entities, and which each extends
    GetTypes(AboutArgs),
    /// List the attributes of types
    GetAttributes(AboutArgs),
    /// List the operations of types
    GetOperations(AboutArgs),
    /// List annotations of types: there are none
    GetAnnotations(AboutArgs),
    /// List the agents of the network's interior routers
    GetMgmtNodes(NodeArgs),
    /// Show what was logged last
    GetLog(LogArgs),
}

/// Of whom, and how to show it.
#[derive(Debug, Clone, Args)]
pub(crate) struct NodeArgs {
    /// How to show it
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Format,

    /// Whose agent is asked.
    #[command(flatten)]
    pub(crate) agent: AgentArgs,
}

/// Options of `query`.
#[derive(Debug, Clone, Args)]
pub(crate) struct QueryArgs {
    /// The type [default: all types]
    #[arg(value_name = "TYPE", value_parser = type_name)]
    pub(crate) entity_type: Option<String>,

    /// Which attributes to show [default: all]
    #[arg(value_name = "ATTRIBUTE")]
    pub(crate) attributes: Vec<String>,

    /// Show at most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,

    /// Of whom, and how to show it.
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// Which entity.
#[derive(Debug, Clone, Args)]
pub(crate) struct OneArgs {
    /// The type
    #[arg(value_name = "TYPE", value_parser = type_name)]
    pub(crate) entity_type: Option<String>,

    /// Its name or identity
    #[arg(value_name = "NAME")]
    pub(crate) id: Option<String>,

    /// Its name, where an identity of another entity is the same
    #[arg(long, value_name = "NAME", conflicts_with = "id")]
    pub(crate) name: Option<String>,

    /// Its identity
    #[arg(long, value_name = "IDENTITY", conflicts_with = "id")]
    pub(crate) identity: Option<String>,

    /// Of whom, and how to show it.
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// Options of `create`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CreateArgs {
    /// The type
    #[arg(value_name = "TYPE", value_parser = type_name)]
    pub(crate) entity_type: Option<String>,

    /// Attributes; maps and lists as JSON
    #[arg(value_name = "NAME=VALUE", value_parser = attribute)]
    pub(crate) attributes: Vec<(String, String)>,

    /// Read a JSON object, or an array of objects, from the standard input
    #[arg(long, conflicts_with = "attributes")]
    pub(crate) stdin: bool,

    /// Of whom, and how to show it.
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// Options of `update`.
#[derive(Debug, Clone, Args)]
pub(crate) struct UpdateArgs {
    /// The type
    #[arg(value_name = "TYPE", value_parser = type_name)]
    pub(crate) entity_type: Option<String>,

    /// Its name or identity, and what to change: NAME=VALUE; maps and lists as JSON
    #[arg(value_name = "NAME|NAME=VALUE")]
    pub(crate) rest: Vec<String>,

    /// Its name, where an identity of another entity is the same
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Its identity
    #[arg(long, value_name = "IDENTITY", conflicts_with = "name")]
    pub(crate) identity: Option<String>,

    /// Read a JSON object, or an array of objects, from the standard input
    #[arg(long, conflicts_with_all = ["rest", "name", "identity"])]
    pub(crate) stdin: bool,

    /// Of whom, and how to show it.
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// Options of `delete`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DeleteArgs {
    /// Which.
    #[command(flatten)]
    pub(crate) one: OneArgs,

    /// Read a JSON object, or an array of objects, from the standard input
    #[arg(long, conflicts_with_all = ["id", "name", "identity"])]
    pub(crate) stdin: bool,
}

/// Options of operations about types.
#[derive(Debug, Clone, Args)]
pub(crate) struct AboutArgs {
    /// The type, or one that others extend [default: all types]
    #[arg(value_name = "TYPE", value_parser = type_name)]
    pub(crate) entity_type: Option<String>,

    /// Of whom, and how to show it.
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// Options of `get-log`.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogArgs {
    /// Show at most so many lines
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,

    /// Of whom, and how to show it.
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// Reads the name of a type, long or short, and gives the long one.
fn type_name(name: &str) -> Result<String, String> {
    // Links and routers are mostly meant when their types are named so.
    let selector = Selector::from_name(name).or_else(|| Selector::from_name(&format!("router.{name}")));
    if let Some(selector) = selector {
        return Ok(selector.long_name());
    }
    // Another router may know types that this program does not.
    if name.starts_with("io.") || name.starts_with("org.") {
        return Ok(name.to_owned());
    }
    let types: Vec<&str> = EntityType::all().map(|ty| ty.descriptor().name).collect();
    Err(match nearest(name, types.iter().copied()) {
        Some(near) => format!("there is no such type; did you mean `{near}`?"),
        None => format!("there is no such type; there are {}", types.join(", ")),
    })
}

/// Reads `NAME=VALUE`.
pub(crate) fn attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_short_names() {
        for (short, long) in [
            ("listener", "io.skupper.router.listener"),
            ("link", "io.skupper.router.router.link"),
            ("router.link", "io.skupper.router.router.link"),
            ("address", "io.skupper.router.router.config.address"),
            ("io.skupper.router.tcpListener", "io.skupper.router.tcpListener"),
            ("configurationEntity", "io.skupper.router.configurationEntity"),
            ("org.example.other", "org.example.other"),
        ] {
            assert_eq!(type_name(short).as_deref(), Ok(long), "{short}");
        }
        let error = type_name("tcpListner").expect_err("no such type");
        assert!(error.contains("did you mean `tcpListener`?"), "{error}");
        assert!(type_name("xyz").expect_err("no such type").contains("there are router, "));
    }

    #[test]
    fn attributes_have_a_name() {
        assert_eq!(attribute("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(attribute("=b").is_err() && attribute("b").is_err());
    }
}
