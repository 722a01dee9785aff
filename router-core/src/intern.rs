//! One copy of what many hold.

use std::{collections::HashSet, fmt, hash::Hash, sync::Arc};

/// Keeps one copy of every text that several messages mention: ids of routers, keys of addresses. Or of other things that are shared.
pub struct Interner<T: ?Sized = str> {
    texts: HashSet<Arc<T>>,
    /// Number of texts at which unused ones are looked for.
    sweep_at: usize,
}

impl<T: ?Sized + Eq + Hash> Interner<T> {
    /// An empty one.
    pub fn new() -> Self {
        Self { texts: HashSet::new(), sweep_at: 0 }
    }

    /// The shared copy of a text.
    pub fn get<'a>(&mut self, text: &'a T) -> Arc<T>
    where
        Arc<T>: From<&'a T>,
    {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        if self.texts.len() >= self.sweep_at.max(1024) {
            // Nobody else holds it: it was mentioned in what is gone. Sweeping at twice the size keeps the cost of each text constant.
            self.texts.retain(|text| Arc::strong_count(text) > 1);
            self.sweep_at = self.texts.len() * 2;
        }
        let text = Arc::<T>::from(text);
        self.texts.insert(text.clone());
        text
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }
}

impl<T: ?Sized + Eq + Hash> Default for Interner<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: ?Sized> fmt::Debug for Interner<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interner").field("texts", &self.texts.len()).finish_non_exhaustive()
    }
}
