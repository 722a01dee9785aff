//! Which treatment an address has: patterns and their precedence.

use std::cmp::Ordering;

use crate::Treatment;

/// One `address` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressConfig {
    /// Tokens separated by `/` or `.`; `*` stands for one token, `#` for any number of them, none included. A `prefix` of the
    /// configuration is the pattern `prefix/#`.
    pub pattern: String,
    /// How deliveries are spread.
    pub distribution: Treatment,
    /// Overrides the priority that messages have, 0..=9; larger counts as 9.
    pub priority: Option<u8>,
}

impl AddressConfig {
    /// A configuration for everything that starts with the tokens of `prefix`.
    pub fn prefix(prefix: &str, distribution: Treatment) -> Self {
        let prefix = prefix.trim_end_matches(['/', '.']);
        Self { pattern: format!("{prefix}/#"), distribution, priority: None }
    }

    /// A configuration for a pattern.
    pub fn pattern(pattern: &str, distribution: Treatment) -> Self {
        Self { pattern: pattern.into(), distribution, priority: None }
    }

    /// Checks the pattern.
    ///
    /// # Errors
    /// If it is empty or has an empty token.
    pub fn check(&self) -> Result<(), PatternError> {
        Pattern::parse(&self.pattern).map(|_| ())
    }
}

/// What is wrong with a pattern of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// There is nothing in it.
    #[error("an address pattern cannot be empty")]
    Empty,
    /// Two separators in a row.
    #[error("an address pattern cannot have an empty token")]
    EmptyToken,
}

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    // In the order of precedence, see `Pattern::cmp`.
    Exact(String),
    One,
    Any,
}

impl Token {
    const fn rank(&self) -> u8 {
        match self {
            Self::Exact(_) => 1,
            Self::One => 2,
            Self::Any => 3,
        }
    }
}

/// A pattern of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(pub(crate) Vec<Token>);

const SEPARATORS: [char; 2] = Pattern::SEPARATORS;

impl Pattern {
    /// What is between tokens.
    pub(crate) const SEPARATORS: [char; 2] = ['/', '.'];

    pub(crate) fn parse(text: &str) -> Result<Self, PatternError> {
        let text = text.strip_prefix(SEPARATORS).unwrap_or(text);
        let text = text.strip_suffix(SEPARATORS).unwrap_or(text);
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        let tokens = text.split(SEPARATORS).map(|token| match token {
            "" => Err(PatternError::EmptyToken),
            "*" => Ok(Token::One),
            "#" => Ok(Token::Any),
            exact => Ok(Token::Exact(exact.into())),
        });
        tokens.collect::<Result<_, _>>().map(Self)
    }

    /// Whether it matches. Linear in the product of the lengths: a peer may choose the address.
    pub(crate) fn matches(&self, address: &str) -> bool {
        // reached[i]: the first i tokens of the pattern match the tokens so far.
        let mut reached = vec![false; self.0.len() + 1];
        self.start(&mut reached);
        for part in address.split(SEPARATORS) {
            let mut next = vec![false; self.0.len() + 1];
            for (i, token) in self.0.iter().enumerate() {
                if !reached[i] {
                    continue;
                }
                match token {
                    Token::Exact(exact) => next[i + 1] |= exact == part,
                    Token::One => next[i + 1] = true,
                    Token::Any => next[i] = true,
                }
            }
            self.skip_any(&mut next);
            if !next.contains(&true) {
                return false;
            }
            reached = next;
        }
        reached.last().copied().unwrap_or(false)
    }

    fn start(&self, reached: &mut [bool]) {
        if let Some(first) = reached.first_mut() {
            *first = true;
        }
        self.skip_any(reached);
    }

    /// `#` matches no token, too.
    fn skip_any(&self, reached: &mut [bool]) {
        for (i, token) in self.0.iter().enumerate() {
            if *token == Token::Any && reached[i] {
                reached[i + 1] = true;
            }
        }
    }

    /// Of two patterns that match, the lesser is the better: exact before `*` before `#`, decided by the first token that differs.
    pub(crate) fn precedence(&self, other: &Self) -> Ordering {
        // The end comes first, except behind `#`: what says more than `#` is the better.
        let mut end = 0;
        for i in 0.. {
            let order = match (self.0.get(i), other.0.get(i)) {
                (None, None) => return Ordering::Equal,
                (a, b) => a.map_or(end, Token::rank).cmp(&b.map_or(end, Token::rank)),
            };
            end = if self.0.get(i) == Some(&Token::Any) { 4 } else { 0 };
            if order != Ordering::Equal {
                return order;
            }
            if let (Some(Token::Exact(a)), Some(Token::Exact(b))) = (self.0.get(i), other.0.get(i))
                && a != b
            {
                return a.cmp(b);
            }
        }
        Ordering::Equal
    }
}

/// All address configurations of a router, best match first.
#[derive(Debug)]
pub(crate) struct AddressTable {
    entries: Vec<(Pattern, Treatment, Option<u8>)>,
    default: Treatment,
}

impl AddressTable {
    pub(crate) const fn new(default: Treatment) -> Self {
        Self { entries: Vec::new(), default }
    }

    /// Adds or replaces.
    pub(crate) fn add(&mut self, config: &AddressConfig) -> Result<(), PatternError> {
        let pattern = Pattern::parse(&config.pattern)?;
        let priority = config.priority.map(|p| p.min(9));
        match self.entries.binary_search_by(|(p, ..)| p.precedence(&pattern)) {
            Ok(at) => self.entries[at] = (pattern, config.distribution, priority),
            Err(at) => self.entries.insert(at, (pattern, config.distribution, priority)),
        }
        Ok(())
    }

    /// Removes; true if there was one.
    pub(crate) fn remove(&mut self, pattern: &str) -> bool {
        let Ok(pattern) = Pattern::parse(pattern) else { return false };
        let before = self.entries.len();
        self.entries.retain(|(p, ..)| *p != pattern);
        self.entries.len() != before
    }

    /// Whether a mobile address (without its class letter) was configured, and not only how all others are treated.
    pub(crate) fn has(&self, address: &str) -> bool {
        self.entry(address).is_some()
    }

    fn entry(&self, address: &str) -> Option<&(Pattern, Treatment, Option<u8>)> {
        self.entries.iter().find(|(pattern, ..)| pattern.matches(address))
    }

    /// Treatment and priority of a mobile address (without its class letter).
    pub(crate) fn find(&self, address: &str) -> (Treatment, Option<u8>) {
        let found = self.entry(address);
        found.map_or((self.default, None), |(_, treatment, priority)| (*treatment, *priority))
    }
}
