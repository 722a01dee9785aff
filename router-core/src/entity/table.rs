//! How a row of the entity table is described, and the macro that turns rows into descriptors and typed structs.

use super::value::Type;

/// An operation that management offers on entities of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Show one, or query many.
    Read,
    /// Add one at run time.
    Create,
    /// Change attributes at run time.
    Update,
    /// Take one away at run time.
    Delete,
}

impl Operation {
    /// The name in management requests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "READ",
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// How the second half of an identity, after `type/`, is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// `host:port`, with `:name` if it has a name.
    HostPortName,
    /// `listener:address`, with `:name` if it has a name.
    ListenerAddressName,
    /// The value of this attribute.
    Attribute(&'static str),
    /// A counter, as `type/N`.
    Counter,
    /// A counter alone, as the reference gives to what its core holds.
    BareCounter,
}

/// An attribute: one line of the table.
#[derive(Debug, Clone, Copy)]
pub struct AttributeDescriptor {
    /// Its name in files and management.
    pub name: &'static str,
    /// What it may hold.
    pub ty: Type,
    /// Its value when nobody sets it, as it would be written in a file.
    pub default: Option<&'static str>,
    /// It has to be set.
    pub required: bool,
    /// It can be set in files and when an entity is created.
    pub create: bool,
    /// It can be changed at run time.
    pub update: bool,
    /// The reference does not have it.
    pub ours: bool,
    /// It is taken but has no effect in this version: setting it in a file makes a warning, and management refuses it.
    pub pending: bool,
    /// It is taken and never has an effect here: it tunes or configures what this router does not have.
    pub inert: bool,
    /// What it is for, as lines of Markdown.
    pub doc: &'static [&'static str],
}

impl AttributeDescriptor {
    /// It can only be read.
    pub const fn read_only(&self) -> bool {
        !self.create && !self.update && !self.required
    }

    /// The documentation as one paragraph.
    pub fn paragraph(&self) -> String {
        paragraph(self.doc)
    }
}

/// A type of entity: one section of the table.
#[derive(Debug, Clone, Copy)]
pub struct EntityDescriptor {
    /// Short name, as in files: `tcpListener`.
    pub name: &'static str,
    /// Other names that files may use.
    pub aliases: &'static [&'static str],
    /// The key of a list of these in YAML: `tcpListeners`.
    pub plural: &'static str,
    /// There is exactly one, which is made with its defaults if a configuration does not have it.
    pub singleton: bool,
    /// There is one or none.
    pub at_most_one: bool,
    /// The reference does not have it.
    pub ours: bool,
    /// What management offers.
    pub operations: &'static [Operation],
    /// How identities are made.
    pub identity: Identity,
    /// Attributes beyond `name`, `identity` and `type`.
    pub attributes: &'static [AttributeDescriptor],
    /// What it is for, as lines of Markdown.
    pub doc: &'static [&'static str],
}

/// The prefix that the long names of the reference's types have.
pub const TYPE_PREFIX: &str = "io.skupper.router.";

/// Attributes that every entity has.
pub const COMMON_ATTRIBUTES: &[AttributeDescriptor] = &[
    AttributeDescriptor {
        name: "name",
        ty: Type::String,
        default: None,
        required: false,
        create: true,
        update: false,
        ours: false,
        pending: false,
        inert: false,
        doc: &[" A name of your own, unique among entities of the type. Without one, the identity."],
    },
    AttributeDescriptor {
        name: "identity",
        ty: Type::String,
        default: None,
        required: false,
        create: false,
        update: false,
        ours: false,
        pending: false,
        inert: false,
        doc: &[" Made by the router when the entity is created; unique among entities of the type."],
    },
    AttributeDescriptor {
        name: "type",
        ty: Type::String,
        default: None,
        required: false,
        create: true,
        update: false,
        ours: false,
        pending: false,
        inert: false,
        doc: &[" The type of the entity."],
    },
];

impl EntityDescriptor {
    /// The description of an attribute, `name`, `identity` and `type` included.
    pub fn attribute(&self, name: &str) -> Option<&'static AttributeDescriptor> {
        COMMON_ATTRIBUTES.iter().chain(self.attributes).find(|attribute| attribute.name == name)
    }

    /// The name that management uses.
    pub fn long_name(&self) -> String {
        format!("{TYPE_PREFIX}{}", self.name)
    }

    /// There is not more than one.
    pub const fn is_single(&self) -> bool {
        self.singleton || self.at_most_one
    }

    /// Whether management offers an operation.
    pub fn offers(&self, operation: Operation) -> bool {
        self.operations.contains(&operation)
    }

    /// The documentation as one paragraph.
    pub fn paragraph(&self) -> String {
        paragraph(self.doc)
    }
}

fn paragraph(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// Turns table rows into a descriptor and a typed struct each, so that no attribute is described twice.
///
/// `config` attributes become fields; `status` attributes exist in the descriptor only, because what they show
/// belongs to whoever runs the entity. Defaults are written as in a file.
macro_rules! entities {
    ($(
        $(#[doc = $doc:literal])*
        $kind:ident $struct:ident = $name:literal | $plural:literal $(alias $alias:literal)* {
            options($($option:ident = $value:expr),*);
            operations($($operation:ident)*);
            $(
                $(#[doc = $adoc:literal])*
                $field:ident $attribute:literal: $ty:ty $(= $default:literal)? [$($flag:ident)*];
            )*
        }
        status {
            $($(#[doc = $sdoc:literal])* $status:literal: $sty:ty;)*
        }
    )*) => {
        $(
            $(#[doc = $doc])*
            #[derive(Debug, Clone, PartialEq)]
            pub struct $struct {
                /// The name it was given, or its identity.
                pub name: String,
                /// Unique among entities of the type.
                pub identity: String,
                $($(#[doc = $adoc])* pub $field: $ty,)*
            }

            impl $struct {
                /// The row of this type in the table.
                pub const DESCRIPTOR: &'static $crate::entity::EntityDescriptor = &{
                    const ATTRIBUTES: &[$crate::entity::AttributeDescriptor] = &[
                        $({
                            #[allow(unused_mut, reason = "attributes without flags")]
                            let mut attribute = $crate::entity::AttributeDescriptor {
                                name: $attribute,
                                ty: <$ty as $crate::entity::AttributeType>::TYPE,
                                default: $crate::entity::table::entities!(@default $($default)?),
                                required: false,
                                create: false,
                                update: false,
                                ours: false,
                                pending: false,
                                inert: false,
                                doc: &[$($adoc),*],
                            };
                            $(attribute.$flag = true;)*
                            attribute
                        },)*
                        $($crate::entity::AttributeDescriptor {
                            name: $status,
                            ty: <$sty as $crate::entity::AttributeType>::TYPE,
                            default: None,
                            required: false,
                            create: false,
                            update: false,
                            ours: false,
                            pending: false,
                            inert: false,
                            doc: &[$($sdoc),*],
                        },)*
                    ];
                    #[allow(unused_mut, reason = "types without options or flags")]
                    let mut descriptor = $crate::entity::EntityDescriptor {
                        name: $name,
                        aliases: &[$($alias),*],
                        plural: $plural,
                        singleton: false,
                        at_most_one: false,
                        ours: false,
                        operations: &[$($crate::entity::Operation::$operation),*],
                        identity: $crate::entity::Identity::Counter,
                        attributes: ATTRIBUTES,
                        doc: &[$($doc),*],
                    };
                    $(descriptor.$option = $value;)*
                    descriptor
                };
            }

            impl From<&$crate::entity::Entity> for $struct {
                /// Takes the typed view of a record; attributes that are not set have their defaults.
                fn from(entity: &$crate::entity::Entity) -> Self {
                    Self {
                        name: entity.name().to_owned(),
                        identity: entity.identity().to_owned(),
                        $($field: entity.typed($attribute),)*
                    }
                }
            }

            impl From<&$struct> for $crate::entity::Entity {
                fn from(typed: &$struct) -> Self {
                    let mut entity = Self::new($crate::entity::EntityKind::$kind);
                    entity.set_identifiers(&typed.name, &typed.identity);
                    $(entity.put($attribute, $crate::entity::AttributeType::to_value(&typed.$field));)*
                    entity
                }
            }

            impl Default for $struct {
                /// What an empty section means.
                fn default() -> Self {
                    Self::from(&$crate::entity::Entity::with_defaults($crate::entity::EntityKind::$kind))
                }
            }
        )*

        /// The types of entities that files and management may create.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EntityKind {
            $($(#[doc = $doc])* $kind,)*
        }

        impl EntityKind {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// The row of the table.
            pub const fn descriptor(self) -> &'static $crate::entity::EntityDescriptor {
                match self {
                    $(Self::$kind => $struct::DESCRIPTOR,)*
                }
            }
        }

        /// A typed entity of any type.
        #[derive(Debug, Clone, PartialEq)]
        pub enum AnyEntity {
            $($(#[doc = $doc])* $kind(Box<$struct>),)*
        }

        impl From<&$crate::entity::Entity> for AnyEntity {
            fn from(entity: &$crate::entity::Entity) -> Self {
                match entity.kind() {
                    $(EntityKind::$kind => Self::$kind(Box::new(entity.into())),)*
                }
            }
        }
    };
    (@default) => { None };
    (@default $default:literal) => { Some($default) };
}
pub(crate) use entities;
