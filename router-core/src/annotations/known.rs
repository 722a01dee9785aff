//! Sections that were read before: those of all deliveries that a neighbour forwards for one link are the same.

use super::{Annotations, Trace, section_of};

/// How many are remembered: 50 bytes each and what they contain, in a table that exists once a neighbour sends.
const KNOWN: usize = 128;

/// The longest that is remembered, in bytes: a trace of some 20 routers.
const LONGEST: usize = 512;

/// How often another section has to come in a row before it takes the place of one that was used.
const PATIENCE: u8 = 8;

/// A section and what was made of it.
#[derive(Debug)]
pub(crate) struct Known<M> {
    bytes: Box<[u8]>,
    /// Its place in the table.
    place: usize,
    flags: u32,
    to_override: Option<Box<str>>,
    ingress: Option<Box<str>>,
    trace: (Box<[u8]>, u32),
    ingress_mesh: Option<Box<str>>,
    /// Other sections that wanted its place since it was used.
    disputed: u8,
    pub(crate) memo: M,
}

impl<M> Known<M> {
    /// Bytes of the section.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn annotations(&self) -> Annotations<'_> {
        Annotations {
            flags: self.flags,
            to_override: self.to_override.as_deref(),
            ingress: self.ingress.as_deref(),
            trace: Trace::of_elements(&self.trace.0, self.trace.1),
            ingress_mesh: self.ingress_mesh.as_deref(),
        }
    }
}

/// Remembered sections, by their hash: each has one place.
#[derive(Debug)]
pub(crate) struct KnownSections<M> {
    places: Vec<Option<Box<Known<M>>>>,
}

impl<M> Default for KnownSections<M> {
    fn default() -> Self {
        Self { places: Vec::new() }
    }
}

impl<M> KnownSections<M> {
    /// Takes out what is known of the section with which a message begins; it is to be put back.
    #[inline]
    pub(crate) fn take(&mut self, message: &[u8]) -> Option<Box<Known<M>>> {
        if self.places.is_empty() {
            return None;
        }
        let section = section_of(message).filter(|section| section.len() <= LONGEST)?;
        let place = self.places.get_mut(place_of(section))?;
        if *place.as_ref()?.bytes != *section {
            return None;
        }
        place.take()
    }

    pub(crate) fn put_back(&mut self, mut known: Box<Known<M>>) {
        known.disputed = 0;
        if let Some(place) = self.places.get_mut(known.place) {
            *place = Some(known);
        }
    }

    /// Remembers the section at the beginning of a message, if its place is free.
    pub(crate) fn remember(&mut self, message: &[u8], annotations: &Annotations<'_>, memo: M) {
        let Some(section) = section_of(message).filter(|section| section.len() <= LONGEST) else { return };
        if self.places.is_empty() {
            self.places.resize_with(KNOWN, || None);
        }
        let at = place_of(section);
        let Some(place) = self.places.get_mut(at) else { return };
        if let Some(there) = place
            && *there.bytes != *section
            && there.disputed < PATIENCE
        {
            there.disputed += 1;
            return;
        }
        let (elements, len) = annotations.trace.elements();
        *place = Some(Box::new(Known {
            bytes: section.into(),
            place: at,
            flags: annotations.flags,
            to_override: annotations.to_override.map(Into::into),
            ingress: annotations.ingress.map(Into::into),
            trace: (elements.into(), len),
            ingress_mesh: annotations.ingress_mesh.map(Into::into),
            disputed: 0,
            memo,
        }));
    }
}

/// FNV over words.
fn place_of(section: &[u8]) -> usize {
    let mut hash = section.len() as u64;
    let mut add = |word: u64| hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
    let mut words = section.chunks_exact(8);
    for word in &mut words {
        add(word.try_into().map_or(0, u64::from_le_bytes));
    }
    add(words.remainder().iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    hash as usize % KNOWN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(to: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let annotations = Annotations { to_override: Some(to), ingress: Some("0/A"), ..Annotations::default() };
        annotations.compose(Some("0/A"), &mut bytes);
        bytes
    }

    fn annotations(message: &[u8]) -> Annotations<'_> {
        match super::super::parse(message) {
            Ok(super::super::Parsed::Found(annotations, _)) => annotations,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_known_is_what_was_read() {
        let mut known = KnownSections::default();
        let messages: Vec<Vec<u8>> = (0..20).map(|n| [section(&format!("svc.{n}")), vec![n; 9]].concat()).collect();
        for (n, message) in messages.iter().enumerate() {
            assert!(known.take(message).is_none());
            known.remember(message, &annotations(message), n);
        }
        let mut found = 0;
        for (n, message) in messages.iter().enumerate() {
            let Some(entry) = known.take(message) else { continue };
            assert_eq!((entry.memo, entry.len()), (n, message.len() - 9));
            assert_eq!(entry.annotations(), annotations(message));
            known.put_back(entry);
            found += 1;
        }
        assert!(found > 10, "{found} of 20 have places of their own");
    }

    #[test]
    fn others_and_parts_are_not_known() {
        let mut known = KnownSections::default();
        let message = section("svc");
        known.remember(&message, &annotations(&message), ());
        assert!(known.take(&section("svd")).is_none());
        for end in 0..message.len() {
            assert!(known.take(&message[..end]).is_none());
        }
        assert!(known.take(&message).is_some());
    }

    #[test]
    fn what_is_not_used_makes_room() {
        let mut known = KnownSections::default();
        let rivals: Vec<Vec<u8>> = (0..1000)
            .map(|n| section(&format!("svc.{n}")))
            .filter(|other| place_of(other) == place_of(&section("svc.0")))
            .collect();
        known.remember(&rivals[0], &annotations(&rivals[0]), 0);
        for _ in 0..PATIENCE {
            known.remember(&rivals[1], &annotations(&rivals[1]), 1);
        }
        let first = known.take(&rivals[0]).unwrap();
        known.put_back(first);
        for _ in 0..=PATIENCE {
            known.remember(&rivals[1], &annotations(&rivals[1]), 1);
        }
        assert!(known.take(&rivals[0]).is_none());
        assert_eq!(known.take(&rivals[1]).unwrap().memo, 1);
    }
}
