//! All vhosts, and which of them a connection comes to.

use std::{collections::BTreeMap, sync::Arc};

use super::Vhost;
use crate::address::{Pattern, Token};

/// The rules that count at a time. A change makes others.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    pub(super) vhosts: BTreeMap<Arc<str>, Arc<Vhost>>,
    /// Other names of vhosts.
    aliases: BTreeMap<String, Arc<str>>,
    /// All names as patterns, the best match first, if they are to be.
    patterns: Option<Vec<(Pattern, Arc<str>)>>,
    /// The name of the vhost of those that have no other.
    default: String,
}

impl Rules {
    pub(super) fn new(default: &str, patterns: bool) -> Self {
        Self { patterns: patterns.then(Vec::new), default: default.to_owned(), ..Self::default() }
    }

    /// The same with this vhost, in place of the one of its name.
    pub(super) fn with(&self, vhost: Vhost) -> Self {
        let mut rules = self.without(&vhost.hostname);
        let name = Arc::clone(&vhost.hostname);
        for alias in &vhost.aliases {
            rules.aliases.insert(alias.clone(), Arc::clone(&name));
        }
        if let Some(patterns) = &mut rules.patterns {
            let names = std::iter::once(&*name).chain(vhost.aliases.iter().map(String::as_str));
            for pattern in names.filter_map(pattern_of) {
                let at = patterns.partition_point(|(other, _)| other.precedence(&pattern).is_lt());
                patterns.insert(at, (pattern, Arc::clone(&name)));
            }
        }
        rules.vhosts.insert(name, Arc::new(vhost));
        rules
    }

    /// The same without this vhost.
    pub(super) fn without(&self, name: &str) -> Self {
        let mut rules = self.clone();
        rules.vhosts.remove(name);
        rules.aliases.retain(|_, of| **of != *name);
        if let Some(patterns) = &mut rules.patterns {
            patterns.retain(|(_, of)| **of != *name);
        }
        rules
    }

    /// The vhost for a host name that somebody asks for.
    pub(super) fn find(&self, asked: &str) -> Option<&Arc<Vhost>> {
        let own = match &self.patterns {
            None => self.vhosts.get(asked).or_else(|| self.vhosts.get(self.aliases.get(asked)?)),
            Some(patterns) => {
                let found = patterns.iter().find(|(pattern, _)| pattern.matches(asked));
                found.and_then(|(_, name)| self.vhosts.get(name))
            }
        };
        own.or_else(|| (!self.default.is_empty()).then(|| self.vhosts.get(&*self.default))?)
    }
}

/// The pattern of a name, in the one form that says the same: `#.#` is `#`, and `#.*` is `*.#`.
fn pattern_of(name: &str) -> Option<Pattern> {
    let Pattern(mut tokens) = Pattern::parse(name).ok()?;
    for at in (1..tokens.len()).rev() {
        if tokens.get(at) == Some(&Token::Any) && tokens.get(at - 1) == Some(&Token::Any) {
            tokens.remove(at);
        }
    }
    let wild = |token: &Token| !matches!(token, Token::Exact(_));
    for run in tokens.chunk_by_mut(|a, b| wild(a) && wild(b)) {
        run.sort_by_key(|token| *token == Token::Any);
    }
    tokens.dedup_by(|b, a| *a == Token::Any && *b == Token::Any);
    Some(Pattern(tokens))
}

/// Names that belong to two vhosts: which vhost of the list, and what is wrong. `patterns`: names are patterns.
pub(crate) fn conflicts<'a>(
    vhosts: impl IntoIterator<Item = (usize, &'a Vhost)>,
    patterns: bool,
) -> Vec<(usize, &'static str, String)> {
    let vhosts: Vec<(usize, &Vhost)> = vhosts.into_iter().collect();
    let mut found = Vec::new();
    let mut taken: Vec<(Pattern, &str)> = Vec::new();
    let mut aliases: BTreeMap<&str, &str> = BTreeMap::new();
    for (index, vhost) in &vhosts {
        let name = &*vhost.hostname;
        for alias in vhost.aliases.iter().map(String::as_str) {
            if vhosts.iter().any(|(_, other)| *other.hostname == *alias) {
                let what = format!(
                    "Policy for vhost '{name}' defines alias '{alias}' which conflicts with an existing vhost named '{alias}'"
                );
                found.push((*index, "aliases", what));
            }
            if let Some(other) = aliases.insert(alias, name) {
                let what = format!(
                    "Policy for vhost '{name}' alias '{alias}' conflicts with existing alias for vhost '{other}'"
                );
                found.push((*index, "aliases", what));
            }
        }
        if !patterns {
            continue;
        }
        for (attribute, text) in
            std::iter::once(("hostname", name)).chain(vhost.aliases.iter().map(|alias| ("aliases", alias.as_str())))
        {
            let Some(pattern) = pattern_of(text) else { continue };
            match taken.iter().find(|(other, _)| *other == pattern) {
                Some((_, other)) => {
                    let what = format!(
                        "Policy for vhost '{name}': '{text}' as optimized pattern conflicts with existing pattern '{other}'"
                    );
                    found.push((*index, attribute, what));
                }
                None => taken.push((pattern, text)),
            }
        }
    }
    found
}
