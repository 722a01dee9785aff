//! An entity as a map from attributes to values: what files, management and the store deal in.

use std::collections::BTreeMap;
use std::fmt;

use super::check::{Problem, Stage};
use super::kinds::EntityKind;
use super::table::{AttributeDescriptor, Identity, TYPE_PREFIX};
use super::value::{AttributeType, Type, Value, nearest};

/// An entity of any type. Values have the types that the table asks for; what is not set is absent.
#[derive(Clone, PartialEq)]
pub struct Entity {
    kind: EntityKind,
    name: String,
    identity: String,
    attributes: BTreeMap<&'static str, Value>,
}

impl EntityKind {
    /// Short name, as in files: `tcpListener`.
    pub const fn name(self) -> &'static str {
        self.descriptor().name
    }

    /// Finds a type by its short name, its long name or an alias: `address`, `io.skupper.router.router.config.address`.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.strip_prefix(TYPE_PREFIX).unwrap_or(name);
        Self::ALL.iter().copied().find(|kind| {
            let descriptor = kind.descriptor();
            descriptor.name == name || descriptor.aliases.contains(&name)
        })
    }

    /// All names that [`Self::from_name`] takes, without the long ones.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().flat_map(|kind| {
            let descriptor = kind.descriptor();
            std::iter::once(descriptor.name).chain(descriptor.aliases.iter().copied())
        })
    }

    /// The place in the order in which a configuration is put to work: what others refer to comes first, what lets peers in
    /// comes last.
    pub const fn creation_order(self) -> u8 {
        match self {
            Self::Log => 0,
            Self::Router => 1,
            Self::Network => 2,
            Self::Policy => 3,
            Self::SslProfile => 4,
            Self::Address => 5,
            Self::AutoLink => 6,
            Self::Vhost => 7,
            Self::Site | Self::ProxyProfile => 8,
            Self::Connector => 9,
            Self::Listener => 10,
            Self::TcpListener => 11,
            Self::TcpConnector => 12,
            Self::ListenerAddress => 13,
            Self::Admin => 14,
            Self::Otlp => 15,
        }
    }

    /// Describes an attribute, or says that there is none, with the nearest name there is.
    ///
    /// # Errors
    /// The message for the user.
    pub fn attribute(self, name: &str) -> Result<&'static AttributeDescriptor, String> {
        let descriptor = self.descriptor();
        descriptor.attribute(name).ok_or_else(|| {
            let settable = || descriptor.attributes.iter().filter(|attribute| !attribute.read_only());
            let mut message = format!("unknown attribute `{}` of {}", super::Shortened(name), descriptor.name);
            match nearest(name, settable().map(|attribute| attribute.name).chain(["name"])) {
                Some(near) => message.push_str(&format!("; did you mean `{near}`?")),
                None => {
                    let names: Vec<_> = settable().map(|attribute| attribute.name).collect();
                    message.push_str(&format!("; it has name, {}", names.join(", ")));
                }
            }
            message
        })
    }
}

impl Entity {
    /// An entity without any attribute set, not even defaults.
    pub fn new(kind: EntityKind) -> Self {
        Self { kind, name: String::new(), identity: String::new(), attributes: BTreeMap::new() }
    }

    /// An entity with its defaults.
    pub fn with_defaults(kind: EntityKind) -> Self {
        let mut entity = Self::new(kind);
        entity.fill_in_defaults();
        entity
    }

    /// Makes an entity from what was written, without positions: for management and tests.
    ///
    /// # Errors
    /// Everything that is wrong with it alone: unknown attributes, bad values, missing ones.
    pub fn from_attributes<N: AsRef<str>>(
        kind: EntityKind,
        attributes: impl IntoIterator<Item = (N, Value)>,
    ) -> Result<Self, Vec<Problem>> {
        let (entity, problems) = Self::read(kind, attributes);
        if problems.is_empty() { Ok(entity) } else { Err(problems) }
    }

    /// What of the attributes makes sense, and everything that is wrong with them alone.
    pub(super) fn read<N: AsRef<str>>(
        kind: EntityKind,
        attributes: impl IntoIterator<Item = (N, Value)>,
    ) -> (Self, Vec<Problem>) {
        let mut entity = Self::new(kind);
        let mut problems = Vec::new();
        for (name, value) in attributes {
            if let Err(message) = entity.set(name.as_ref(), value) {
                problems.push(Problem::of(name.as_ref(), Stage::Load, message));
            }
        }
        entity.fill_in_defaults();
        problems.extend(entity.check());
        (entity, problems)
    }

    /// Sets an attribute to what was written.
    ///
    /// # Errors
    /// What is wrong with it, for the user.
    pub fn set(&mut self, name: &str, value: Value) -> Result<(), String> {
        let attribute = self.kind.attribute(name)?;
        if name == "type" {
            return match value.as_str().and_then(EntityKind::from_name) {
                Some(kind) if kind == self.kind => Ok(()),
                _ => Err(format!("the type of this entity is `{}`, not `{value}`", self.kind.name())),
            };
        }
        if attribute.read_only() {
            return Err(format!("attribute `{name}` of {} can only be read", self.kind.name()));
        }
        let value = attribute.ty.convert(value).map_err(|message| format!("{name}: {message}"))?;
        if name == "name" {
            self.name = value.as_str().unwrap_or_default().to_owned();
        } else {
            self.put(attribute.name, value);
        }
        Ok(())
    }

    /// Stores a value of the right type.
    pub(crate) fn put(&mut self, name: &'static str, value: Value) {
        match value {
            Value::Null => self.attributes.remove(name),
            value => self.attributes.insert(name, value),
        };
    }

    /// Gives every attribute that is not set its default, if it has one.
    pub(crate) fn fill_in_defaults(&mut self) {
        for attribute in self.kind.descriptor().attributes {
            if let Some(default) = attribute.default
                && !self.attributes.contains_key(attribute.name)
                // A default that its type refuses would be caught by a test of the table.
                && let Ok(value) = attribute.ty.convert(default.into())
            {
                self.attributes.insert(attribute.name, value);
            }
        }
    }

    /// The type.
    pub fn kind(&self) -> EntityKind {
        self.kind
    }

    /// The name it was given, or its identity; empty before it is part of a configuration or a store.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its identity; empty before it is part of a configuration or a store.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The value of an attribute, if it is set.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.attributes.get(name)
    }

    /// The text of an attribute, if it is set and text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    /// All attributes that are set, in alphabetical order, without name, identity and type.
    pub fn attributes(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.attributes.iter().map(|(name, value)| (*name, value))
    }

    /// The value of an attribute in its Rust type; the type's default where it is not set.
    pub(crate) fn typed<T: AttributeType>(&self, name: &str) -> T {
        T::from_value(self.get(name).unwrap_or(&Value::Null)).unwrap_or_default()
    }

    pub(crate) fn set_identifiers(&mut self, name: &str, identity: &str) {
        self.name = name.to_owned();
        self.identity = identity.to_owned();
    }

    /// Gives another identity, and the same as a name if the old one was the name. For a router whose id is made up at start,
    /// before the entity is in a store.
    pub(crate) fn rename_identity(&mut self, identity: &str) {
        if self.name == self.identity {
            self.name = identity.to_owned();
        }
        self.identity = identity.to_owned();
    }

    /// Makes the identity, and the name if it has none. `counter` gives the next number of the type.
    pub(crate) fn identify(&mut self, counter: impl FnOnce() -> u64) {
        let text = |name| self.text(name).unwrap_or_default();
        let with_name = |base: String| {
            if self.name.is_empty() { base } else { format!("{base}:{}", self.name) }
        };
        let identifier = match self.kind.descriptor().identity {
            Identity::HostPortName => with_name(format!("{}:{}", text("host"), text("port"))),
            Identity::ListenerAddressName => with_name(format!("{}:{}", text("listener"), text("address"))),
            Identity::Attribute("name") => self.name.clone(),
            Identity::Attribute(attribute) => text(attribute).to_owned(),
            Identity::Counter | Identity::BareCounter => counter().to_string(),
        };
        self.identity = match self.kind.descriptor().identity {
            Identity::BareCounter => identifier,
            _ => format!("{}/{identifier}", self.kind.name()),
        };
        if self.name.is_empty() {
            self.name = self.identity.clone();
        }
    }
}

impl fmt::Debug for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        map.entry(&"type", &self.kind.name()).entry(&"name", &self.name).entry(&"identity", &self.identity);
        for (name, value) in &self.attributes {
            let secret = self.kind.descriptor().attribute(name).is_some_and(|attribute| attribute.ty == Type::Secret);
            if secret {
                map.entry(name, &"***");
            } else {
                map.entry(name, value);
            }
        }
        map.finish()
    }
}
