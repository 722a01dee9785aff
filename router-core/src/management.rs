//! What management knows about types of entities: their names, which extends which, and what can be done with each.
//!
//! The agent itself is the program's, because most of what it tells is spread over workers.

mod schema;
#[cfg(test)]
mod tests;

pub use schema::schema;

use crate::entity::{
    AttributeDescriptor, COMMON_ATTRIBUTES, EntityDescriptor, EntityKind, OperationalKind, TYPE_PREFIX,
};

/// The address of the agent, as clients write it.
pub const ADDRESS: &str = "$management";

/// Where requests of those come who may not close connections (`allowAdminStatusUpdate`). Nobody gains anything by naming it.
pub const RESTRICTED_ADDRESS: &str = "_local/$management:restricted";

/// The type of whatever answers requests that are about no entity.
pub const MANAGEMENT_NODE: &str = "org.amqp.management";

/// Operations of the agent itself, beyond those of entities.
pub const NODE_OPERATIONS: &[&str] =
    &["READ", "QUERY", "GET-TYPES", "GET-ANNOTATIONS", "GET-OPERATIONS", "GET-ATTRIBUTES", "GET-MGMT-NODES"];

/// A type that entities of a running router have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityType {
    /// Can be configured.
    Configured(EntityKind),
    /// Is only there while the router runs.
    Operational(OperationalKind),
}

impl EntityType {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let configured = EntityKind::ALL.iter().map(|kind| Self::Configured(*kind));
        configured.chain(OperationalKind::ALL.iter().map(|kind| Self::Operational(*kind)))
    }

    /// Finds a type by its long or short name, or an alias.
    pub fn from_name(name: &str) -> Option<Self> {
        let short = name.strip_prefix(TYPE_PREFIX).unwrap_or(name);
        let operational = OperationalKind::ALL.iter().find(|kind| kind.descriptor().name == short);
        operational.map(|kind| Self::Operational(*kind)).or_else(|| EntityKind::from_name(name).map(Self::Configured))
    }

    /// Its row of the table.
    pub const fn descriptor(self) -> &'static EntityDescriptor {
        match self {
            Self::Configured(kind) => kind.descriptor(),
            Self::Operational(kind) => kind.descriptor(),
        }
    }

    /// All its attributes: `name`, `identity`, `type`, and its own.
    pub fn attributes(self) -> impl Iterator<Item = &'static AttributeDescriptor> {
        COMMON_ATTRIBUTES.iter().chain(self.descriptor().attributes)
    }

    /// Names of the operations that it offers.
    pub fn operations(self) -> Vec<&'static str> {
        match self {
            Self::Operational(OperationalKind::Management) => [schema::AGENT_OPERATIONS, NODE_OPERATIONS].concat(),
            // What every type has comes last, as in the reference.
            _ => {
                let mut names: Vec<_> =
                    self.descriptor().operations.iter().map(|operation| operation.as_str()).collect();
                let read_first = names.first() == Some(&"READ");
                names.rotate_left(usize::from(read_first));
                names
            }
        }
    }

    /// The types that it extends, the nearest first.
    const fn base(self) -> Base {
        match self {
            Self::Configured(_) => Base::Configuration,
            Self::Operational(OperationalKind::Management) => Base::Management,
            Self::Operational(OperationalKind::VhostUserGroupSettings) => Base::Configuration,
            Self::Operational(_) => Base::Operational,
        }
    }
}

/// A type that others extend and no entity has as its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// Every entity.
    Entity,
    /// What can be configured.
    Configuration,
    /// What is only there while the router runs.
    Operational,
    /// The agent.
    Management,
}

impl Base {
    const ALL: [Self; 4] = [Self::Entity, Self::Configuration, Self::Operational, Self::Management];

    /// Its name in requests.
    pub const fn long_name(self) -> &'static str {
        match self {
            Self::Entity => "io.skupper.router.entity",
            Self::Configuration => "io.skupper.router.configurationEntity",
            Self::Operational => "io.skupper.router.operationalEntity",
            Self::Management => MANAGEMENT_NODE,
        }
    }

    /// Its name without the reference's prefix.
    fn short_name(self) -> &'static str {
        self.long_name().strip_prefix(TYPE_PREFIX).unwrap_or_else(|| self.long_name())
    }

    const fn parent(self) -> Option<Self> {
        match self {
            Self::Entity => None,
            Self::Configuration | Self::Operational => Some(Self::Entity),
            Self::Management => Some(Self::Operational),
        }
    }

    /// Itself and what it extends, the nearest first.
    fn line(self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self), |base| base.parent())
    }

    const fn operations(self) -> &'static [&'static str] {
        match self {
            Self::Entity => &[],
            Self::Configuration | Self::Operational => &["READ"],
            Self::Management => NODE_OPERATIONS,
        }
    }
}

/// What a request means by the name of a type: one, or all that extend a base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selector {
    /// A type of entities.
    One(EntityType),
    /// All types that extend it.
    Extending(Base),
}

impl Selector {
    /// Reads the name of a type, long or short.
    pub fn from_name(name: &str) -> Option<Self> {
        let short = name.strip_prefix(TYPE_PREFIX).unwrap_or(name);
        let base = Base::ALL.into_iter().find(|base| base.short_name() == short);
        base.map(Self::Extending).or_else(|| EntityType::from_name(name).map(Self::One))
    }

    /// Whether entities of a type are meant.
    pub fn selects(self, ty: EntityType) -> bool {
        match self {
            Self::One(one) => one == ty,
            Self::Extending(base) => ty.base().line().any(|other| other == base),
        }
    }

    /// The long name.
    pub fn long_name(self) -> String {
        match self {
            Self::One(ty) => ty.descriptor().long_name(),
            Self::Extending(base) => base.long_name().to_owned(),
        }
    }

    /// Names of the attributes that all entities meant by this have.
    pub fn attributes(self) -> Vec<&'static str> {
        match self {
            Self::One(ty) => ty.attributes().map(|attribute| attribute.name).collect(),
            Self::Extending(_) => COMMON_ATTRIBUTES.iter().map(|attribute| attribute.name).collect(),
        }
    }
}

/// Names of all attributes of any type, in the order of the table.
pub fn all_attributes() -> Vec<&'static str> {
    let mut seen = std::collections::BTreeSet::new();
    let names = EntityType::all().flat_map(|ty| ty.attributes().map(|attribute| attribute.name));
    names.filter(|name| seen.insert(*name)).collect()
}

/// One type as GET-TYPES, GET-ATTRIBUTES and GET-OPERATIONS show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeInfo {
    /// Its long name.
    pub name: String,
    /// Long names of the types that it extends, the nearest first.
    pub bases: Vec<&'static str>,
    /// Names of its attributes.
    pub attributes: Vec<&'static str>,
    /// Names of its operations.
    pub operations: Vec<&'static str>,
}

/// All types, those included that no entity has as its own. With a selector, those that it means, itself included.
pub fn types(selector: Option<Selector>) -> Vec<TypeInfo> {
    let mut types = Vec::new();
    for base in Base::ALL {
        let meant = match selector {
            None => true,
            Some(Selector::One(_)) => false,
            Some(Selector::Extending(other)) => base.line().any(|line| line == other),
        };
        if meant {
            types.push(TypeInfo {
                name: base.long_name().to_owned(),
                bases: base.line().skip(1).map(Base::long_name).collect(),
                attributes: COMMON_ATTRIBUTES.iter().map(|attribute| attribute.name).collect(),
                operations: base.operations().to_vec(),
            });
        }
    }
    for ty in EntityType::all().filter(|ty| selector.is_none_or(|selector| selector.selects(*ty))) {
        types.push(TypeInfo {
            name: ty.descriptor().long_name(),
            bases: ty.base().line().map(Base::long_name).collect(),
            attributes: ty.attributes().map(|attribute| attribute.name).collect(),
            operations: ty.operations(),
        });
    }
    types
}
