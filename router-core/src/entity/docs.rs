//! The reference documentation, made from the table.

use super::kinds::EntityKind;
use super::operational::OperationalKind;
use super::table::{AttributeDescriptor, COMMON_ATTRIBUTES, EntityDescriptor};
use super::value::Type;

/// `docs/reference/entities.md`, whole. A test keeps the file equal to this.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Entities\n\n\
         Made from the table in `router-core/src/entity/kinds.rs`; do not edit. After a change of the table, run\n\
         `SPANWAY_WRITE_DOCS=1 cargo test -p router-core docs`.\n\n\
         An entity is written as a section of a configuration file. *Set* says when an attribute may be set: in files and when the\n\
         entity is created (C), while the router runs (U), or never (read only). *Ours*: the reference router does not have it.\n\
         *No effect yet*: taken from files so that configurations load, with a warning, and refused by management.\n\
         *No effect here*: taken and shown; there is nothing in this router for it to act on.\n\n\
         Truth values are `yes`, `no`, `true`, `false`, `on` or `off`. Every entity also has:\n\n",
    );
    rows(&mut out, COMMON_ATTRIBUTES);
    for kind in EntityKind::ALL {
        let descriptor = kind.descriptor();
        out.push_str(&format!("\n## {}\n\n{}\n\n", descriptor.name, descriptor.paragraph()));
        out.push_str(&format!("{}\n\n", facts(descriptor)));
        rows(&mut out, descriptor.attributes);
    }
    out.push_str(
        "\n# What a running router shows\n\n\
         These are offered by management only (`spanway stat`, `$management`).\n",
    );
    for kind in OperationalKind::ALL {
        let descriptor = kind.descriptor();
        out.push_str(&format!(
            "\n## {}\n\n{}\n\nLong name `{}`.\n",
            descriptor.name,
            descriptor.paragraph(),
            descriptor.long_name()
        ));
        if !descriptor.attributes.is_empty() {
            out.push('\n');
            rows(&mut out, descriptor.attributes);
        }
    }
    out
}

fn facts(descriptor: &EntityDescriptor) -> String {
    let mut facts = vec![format!("Long name `{}`.", descriptor.long_name())];
    if !descriptor.aliases.is_empty() {
        let aliases: Vec<_> = descriptor.aliases.iter().map(|alias| format!("`{alias}`")).collect();
        facts.push(format!("In files also {}.", aliases.join(", ")));
    }
    facts.push(format!("Lists in YAML: `{}`.", descriptor.plural));
    if descriptor.singleton {
        facts.push("There is exactly one.".to_owned());
    }
    if descriptor.ours {
        facts.push("Ours.".to_owned());
    }
    let operations: Vec<_> = descriptor.operations.iter().map(|operation| operation.as_str()).collect();
    facts.push(format!("Operations: {}.", operations.join(", ")));
    facts.join(" ")
}

fn rows(out: &mut String, attributes: &[AttributeDescriptor]) {
    out.push_str("| attribute | type | default | set | |\n|---|---|---|---|---|\n");
    for attribute in attributes {
        let set = match (attribute.create || attribute.required, attribute.update) {
            (true, true) => "C U",
            (true, false) => "C",
            (false, true) => "U",
            (false, false) => "read only",
        };
        let mut text = attribute.paragraph();
        for (flag, note) in [
            (attribute.required, "**Required.**"),
            (attribute.ours, "*Ours.*"),
            (attribute.pending, "*No effect yet.*"),
            (attribute.inert, "*No effect here.*"),
        ] {
            if flag {
                text.push(' ');
                text.push_str(note);
            }
        }
        let default = match attribute.default {
            None => String::new(),
            Some("") => "empty".to_owned(),
            Some(default) => format!("`{default}`"),
        };
        out.push_str(&format!("| `{}` | {} | {default} | {set} | {text} |\n", attribute.name, type_name(attribute.ty)));
    }
}

fn type_name(ty: Type) -> String {
    match ty {
        Type::Enum(tags) => tags.iter().map(|tag| format!("`{tag}`")).collect::<Vec<_>>().join(", "),
        Type::Port => "port".to_owned(),
        Type::Secret => "string, hidden".to_owned(),
        other => other.schema_name().to_owned(),
    }
}
