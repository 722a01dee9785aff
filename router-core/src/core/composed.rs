//! The annotations in front of deliveries that leave for a neighbour: written once for all that have the same, and kept for one that waits.

use bytes::Bytes;

use super::{
    Core, edges,
    routed::{Section, Way},
};
use crate::{
    Terminus,
    address::Class,
    annotations::{Annotations, Q2_DISABLED, SETTLED, STREAMING, TELL_WAITED, Trace},
    core::slots::Key,
    delivery::Onward,
};

/// Annotations that were written last. All deliveries of a client's link get the same, and all that came with the same.
#[derive(Debug)]
pub(super) struct Composed {
    pub(super) bytes: Vec<u8>,
    /// What they were written for, and with which flags of ours.
    of: ComposedOf,
    flags: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ComposedOf {
    /// A single delivery.
    One,
    /// All of a client's link.
    Link(Key),
    /// All that came with a section that is known.
    Section(Section),
}

impl Default for Composed {
    fn default() -> Self {
        Self { bytes: Vec::new(), of: ComposedOf::One, flags: 0 }
    }
}

impl Core {
    /// The annotations that a delivery gets in front when it leaves for a neighbour, with these of the flags that only routers of ours know.
    /// Their memory is to be given back.
    pub(super) fn composed(&mut self, way: &Way<'_>, flags: u32) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.composed.bytes);
        let of = match way {
            Way::Targeted(inlet) => ComposedOf::Link(*inlet),
            Way::Routed { section, .. } if *section != 0 => ComposedOf::Section(*section),
            _ => ComposedOf::One,
        };
        let known = of == self.composed.of && flags == self.composed.flags;
        if of == ComposedOf::One || !known || bytes.is_empty() {
            bytes.clear();
            self.compose(way, flags, &mut bytes);
            (self.composed.of, self.composed.flags) = (of, flags);
        }
        bytes
    }

    /// Writes them.
    fn compose(&self, way: &Way<'_>, flags: u32, out: &mut Vec<u8>) {
        let annotations = self.annotations_of(way);
        let flags = annotations.flags & !(SETTLED | TELL_WAITED) | flags;
        Annotations { flags, ..annotations }.compose(self.trace_name(), out);
    }

    /// What is said of a delivery that leaves this router.
    pub(super) fn annotations_of<'a>(&'a self, way: &Way<'a>) -> Annotations<'a> {
        let me = self.trace_name();
        let here = Annotations { ingress: me, ingress_mesh: self.edges.own_mesh(), ..Annotations::default() };
        match way {
            Way::Here => here,
            Way::Targeted(inlet) => Annotations { to_override: self.target_of(*inlet), ..here },
            Way::Annotated { inlet, annotations } => {
                let to_override = self.target_of(*inlet).or(annotations.to_override);
                // An edge says nothing of where a message was.
                let (ingress, trace) = match me {
                    Some(_) => (annotations.ingress.or(me), annotations.trace),
                    None => (None, Trace::default()),
                };
                let ingress_mesh = here.ingress_mesh.or(annotations.ingress_mesh);
                Annotations { flags: annotations.flags, to_override, ingress, trace, ingress_mesh }
            }
            Way::Stream => Annotations { flags: STREAMING | Q2_DISABLED, ..here },
            Way::Routed { annotations, .. } => Annotations { ingress: annotations.ingress.or(me), ..**annotations },
        }
    }

    /// What a client's link is attached to, for those who do not know the link.
    fn target_of(&self, inlet: Key) -> Option<&str> {
        if let Some(target) = self.targets.get(&inlet) {
            return Some(target);
        }
        let address = self.inlets.get(inlet)?.address?;
        self.addresses.get(address)?.name.get(1..)
    }

    /// Remembers what a client's link is attached to, if the address alone does not tell.
    pub(super) fn keep_target(&mut self, inlet: Key, address: Key, target: Terminus<'_>) {
        let foreign = |a: &super::Address| {
            matches!(Class::of_key(&a.name), Class::Router | Class::Edge | Class::Network | Class::Topological)
                || *a.name == *edges::UPLINK
        };
        if let Terminus::Address(text) = target
            && self.addresses.get(address).is_some_and(foreign)
        {
            self.targets.insert(inlet, text.into());
        }
    }

    /// Keeps the annotations of a delivery that cannot leave yet.
    pub(super) fn keep_prefix(&mut self, d: Key, prefix: &[u8]) {
        if prefix.is_empty() {
            return;
        }
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        let prefix = Some(self.arena.copy(prefix));
        match self.onwards.at_mut(delivery.onward) {
            Some(onward) => onward.prefix = prefix,
            None => {
                let onward = Onward {
                    prefix,
                    origin: Key::NONE,
                    hop: Key::NONE,
                    tally: Key::NONE,
                    row: 0,
                    stream: None,
                    outlet: Key::NONE,
                };
                delivery.onward = self.onwards.insert(onward).index;
            }
        }
    }

    /// Takes them back.
    pub(super) fn take_prefix(&mut self, d: Key) -> Option<Bytes> {
        let onward = self.deliveries.get(d)?.onward;
        self.onwards.at_mut(onward)?.prefix.take()
    }
}
