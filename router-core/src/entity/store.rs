//! The entities of a running router: what management will create, read, update and delete.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::check::{Problem, Stage, check_all, check_role, mode_of};
use super::kinds::EntityKind;
use super::record::Entity;
use super::table::Operation;
use super::value::Value;

/// Why an operation on the store was refused. Always the fault of whoever asked for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The request does not make sense, or an entity like that cannot exist.
    #[error("{0}")]
    BadRequest(String),
    /// There is no such entity.
    #[error("{0}")]
    NotFound(String),
    /// Entities of the type do not have the operation.
    #[error("Operation '{}' not implemented for '{kind}'", operation.as_str())]
    NotImplemented {
        /// What was asked for.
        operation: Operation,
        /// The short name of the type.
        kind: &'static str,
    },
}

impl StoreError {
    /// The status code of a management response, after HTTP.
    pub const fn status(&self) -> u16 {
        match self {
            Self::BadRequest(_) => 400,
            Self::NotFound(_) => 404,
            Self::NotImplemented { .. } => 501,
        }
    }

    fn from_problems<'a>(problems: impl IntoIterator<Item = &'a Problem>) -> Self {
        // The reference's mark of what it finds only when it puts an entity to work.
        let text = |problem: &Problem| match problem.stage {
            Stage::Create => format!("Configuration: {problem}"),
            Stage::Load | Stage::Attribute | Stage::Validation => problem.to_string(),
        };
        let messages: Vec<_> = problems.into_iter().map(text).collect();
        Self::BadRequest(messages.join("; "))
    }
}

/// What happened to an entity; the program acts on these one by one, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It was added.
    Created(Entity),
    /// Attributes of it changed.
    Updated {
        /// As it was.
        before: Entity,
        /// As it is.
        after: Entity,
    },
    /// It was taken away.
    Deleted(Entity),
}

/// All entities, in the order of their creation, and the changes that were not acted upon yet.
///
/// Names and identities are unique among entities of a type.
#[derive(Debug, Default)]
pub struct EntityStore {
    entities: BTreeMap<u64, Entity>,
    by_identity: HashMap<(EntityKind, String), u64>,
    by_name: HashMap<(EntityKind, String), u64>,
    next: u64,
    counters: HashMap<EntityKind, u64>,
    changes: VecDeque<Change>,
}

impl EntityStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what a configuration holds. The caller has checked it; only uniqueness is checked again.
    ///
    /// # Errors
    /// [`StoreError::BadRequest`] for an entity whose name or identity is taken.
    pub fn insert(&mut self, mut entity: Entity) -> Result<&Entity, StoreError> {
        let kind = entity.kind();
        if entity.identity().is_empty() {
            let counter = self.counters.entry(kind).or_default();
            entity.identify(|| {
                *counter += 1;
                *counter
            });
        } else if let Some(number) = entity.identity().rsplit('/').next().and_then(|tail| tail.parse().ok()) {
            // Identities from a counter stay unique when the next one comes from management.
            let counter = self.counters.entry(kind).or_default();
            *counter = (*counter).max(number);
        }
        let identity = (kind, entity.identity().to_owned());
        let name = (kind, entity.name().to_owned());
        if self.by_identity.contains_key(&identity) || self.by_name.contains_key(&name) {
            return Err(StoreError::BadRequest(format!(
                "there already is a {} named `{}`",
                kind.name(),
                entity.name()
            )));
        }
        let key = self.next;
        self.next += 1;
        self.by_identity.insert(identity, key);
        self.by_name.insert(name, key);
        self.changes.push_back(Change::Created(entity.clone()));
        Ok(self.entities.entry(key).or_insert(entity))
    }

    /// Creates an entity from the attributes of a request.
    ///
    /// # Errors
    /// Says what is wrong with the request; the store is unchanged.
    pub fn create<N: AsRef<str>>(
        &mut self,
        kind: EntityKind,
        attributes: impl IntoIterator<Item = (N, Value)>,
    ) -> Result<&Entity, StoreError> {
        Self::offered(kind, Operation::Create)?;
        let (mut entity, problems) = Entity::read(kind, attributes);
        if !problems.is_empty() {
            // What cannot be in this router at all comes first, as it does in the reference.
            let misfit = check_role(&entity, mode_of(self.entities.values()));
            return Err(StoreError::from_problems(misfit.iter().chain(&problems)));
        }
        let counter = self.counters.get(&kind).copied().unwrap_or_default();
        entity.identify(|| counter + 1);
        self.check_with(None, &entity)?;
        self.insert(entity)
    }

    /// Finds an entity by name or identity. `kind` narrows the search, and names are only unique with it.
    ///
    /// # Errors
    /// [`StoreError::BadRequest`] if neither is given, [`StoreError::NotFound`] if there is none.
    pub fn read(
        &self,
        kind: Option<EntityKind>,
        name: Option<&str>,
        identity: Option<&str>,
    ) -> Result<&Entity, StoreError> {
        self.find(kind, name, identity).and_then(|key| self.at(key))
    }

    /// Changes attributes of an entity.
    ///
    /// # Errors
    /// [`StoreError::BadRequest`] for attributes that cannot be changed at run time, unless the value is the same.
    pub fn update<N: AsRef<str>>(
        &mut self,
        kind: Option<EntityKind>,
        name: Option<&str>,
        identity: Option<&str>,
        attributes: impl IntoIterator<Item = (N, Value)>,
    ) -> Result<&Entity, StoreError> {
        let key = self.find(kind, name, identity)?;
        let before = self.at(key)?.clone();
        Self::offered(before.kind(), Operation::Update)?;
        let mut after = before.clone();
        for (attribute, value) in attributes {
            let attribute = attribute.as_ref();
            let same = match (attribute, value.as_str()) {
                ("name", Some(text)) => text == before.name(),
                ("identity", Some(text)) => text == before.identity(),
                _ => false,
            };
            if same {
                continue;
            }
            let descriptor = before.kind().attribute(attribute).map_err(StoreError::BadRequest)?;
            let mut changed = after.clone();
            changed.set(attribute, value).map_err(StoreError::BadRequest)?;
            if !descriptor.update && changed != after {
                return Err(StoreError::BadRequest(format!("Cannot update attribute '{attribute}' in UPDATE")));
            }
            after = changed;
        }
        after.fill_in_defaults();
        let problems = after.check();
        if !problems.is_empty() {
            return Err(StoreError::from_problems(&problems));
        }
        self.check_with(Some(key), &after)?;
        if after != before {
            self.entities.insert(key, after.clone());
            self.changes.push_back(Change::Updated { before, after });
        }
        self.at(key)
    }

    /// Takes an entity away.
    ///
    /// # Errors
    /// [`StoreError::BadRequest`] for a TCP listener that still has addresses, as in the reference.
    pub fn delete(
        &mut self,
        kind: Option<EntityKind>,
        name: Option<&str>,
        identity: Option<&str>,
    ) -> Result<Entity, StoreError> {
        let key = self.find(kind, name, identity)?;
        let entity = self.at(key)?.clone();
        Self::offered(entity.kind(), Operation::Delete)?;
        if entity.kind() == EntityKind::TcpListener
            && self.query(Some(EntityKind::ListenerAddress)).any(|other| other.text("listener") == Some(entity.name()))
        {
            return Err(StoreError::BadRequest(format!(
                "Listener cannot be deleted: `{}` still has listenerAddress entities",
                entity.name()
            )));
        }
        self.entities.remove(&key);
        self.by_identity.remove(&(entity.kind(), entity.identity().to_owned()));
        self.by_name.remove(&(entity.kind(), entity.name().to_owned()));
        self.changes.push_back(Change::Deleted(entity.clone()));
        Ok(entity)
    }

    /// Puts an entity back as it was before an update that could not be put to work. No change comes of it.
    pub fn revert(&mut self, before: Entity) {
        if let Some(key) = self.by_identity.get(&(before.kind(), before.identity().to_owned())) {
            self.entities.insert(*key, before);
        }
    }

    /// All entities of a type, or of every type, in the order of their creation.
    pub fn query(&self, kind: Option<EntityKind>) -> impl Iterator<Item = &Entity> {
        self.entities.values().filter(move |entity| kind.is_none_or(|kind| entity.kind() == kind))
    }

    /// The next change that the program has not acted upon.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// How many entities there are.
    pub fn len(&self) -> usize {
        self.entities.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entities.is_empty()
    }

    fn offered(kind: EntityKind, operation: Operation) -> Result<(), StoreError> {
        match kind.descriptor().offers(operation) {
            true => Ok(()),
            false => Err(StoreError::NotImplemented { operation, kind: kind.name() }),
        }
    }

    fn at(&self, key: u64) -> Result<&Entity, StoreError> {
        self.entities.get(&key).ok_or_else(|| StoreError::NotFound("No such entity".to_owned()))
    }

    fn find(&self, kind: Option<EntityKind>, name: Option<&str>, identity: Option<&str>) -> Result<u64, StoreError> {
        let kinds: &[EntityKind] = kind.as_ref().map_or(EntityKind::ALL, std::slice::from_ref);
        let search = |index: &HashMap<(EntityKind, String), u64>, value: &str| {
            kinds.iter().find_map(|kind| index.get(&(*kind, value.to_owned())).copied())
        };
        let (found, attribute, value) = match (identity, name) {
            (Some(identity), _) => (search(&self.by_identity, identity), "identity", identity),
            (None, Some(name)) => (search(&self.by_name, name), "name", name),
            (None, None) => {
                return Err(StoreError::BadRequest("No name or identity provided".to_owned()));
            }
        };
        found.ok_or_else(|| StoreError::NotFound(format!("No entity with {attribute}={value}")))
    }

    /// Checks an entity together with all others, except the one that it replaces.
    fn check_with(&self, replaced: Option<u64>, entity: &Entity) -> Result<(), StoreError> {
        let mut all: Vec<&Entity> =
            self.entities.iter().filter(|(key, _)| Some(**key) != replaced).map(|(_, other)| other).collect();
        let last = all.len();
        all.push(entity);
        let problems = check_all(&all);
        let own: Vec<_> = problems.iter().filter(|(index, _)| *index == last).map(|(_, problem)| problem).collect();
        if own.is_empty() { Ok(()) } else { Err(StoreError::from_problems(own)) }
    }
}
