//! Addresses that a group's users may attach to, and send to.

use crate::address::{Pattern, Token};

/// Stands for the user in an address.
const USER: &str = "${user}";

/// More tokens no pattern has: as many as a set of them has bits, without the end.
const MOST_TOKENS: usize = 63;

/// Addresses as they were configured, with places for the user's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// Whole addresses, or beginnings of them.
    List(Vec<Item>),
    /// Patterns of tokens.
    Patterns(Vec<Pattern>),
}

impl Default for Names {
    /// No address at all.
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// With at most one place for the user.
    text: Box<str>,
    /// Whatever begins so.
    open: bool,
}

/// The addresses of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Allowed(Names);

impl Names {
    pub(super) fn list<'a>(items: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let item = |text: &'a str| {
            once(text)?;
            let (text, open) = text.strip_suffix('*').map_or((text, false), |text| (text, true));
            Ok(Item { text: text.into(), open })
        };
        items.into_iter().map(item).collect::<Result<_, String>>().map(Self::List)
    }

    pub(super) fn patterns<'a>(items: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let pattern = |text: &'a str| {
            once(text)?;
            if text.contains(USER) && !text.starts_with(USER) && !text.ends_with(USER) {
                return Err(format!("`{text}` may have {USER} at its beginning or its end only"));
            }
            let pattern = Pattern::parse(text).map_err(|error| format!("`{text}`: {error}"))?;
            match pattern.0.len() > MOST_TOKENS {
                true => Err(format!("`{text}` has more than {MOST_TOKENS} tokens")),
                false => Ok(pattern),
            }
        };
        items.into_iter().map(pattern).collect::<Result<_, String>>().map(Self::Patterns)
    }

    /// What of it this user may use.
    pub(super) fn of_user(&self, user: &str) -> Allowed {
        Allowed(match self {
            Self::List(items) => {
                let item = |item: &Item| Item { text: item.text.replace(USER, user).into(), open: item.open };
                Self::List(items.iter().map(item).collect())
            }
            Self::Patterns(patterns) => Self::Patterns(patterns.iter().filter_map(|p| with_user(p, user)).collect()),
        })
    }
}

/// The user's name may have separators in it, but nothing in it is a wildcard.
fn with_user(pattern: &Pattern, user: &str) -> Option<Pattern> {
    let mut tokens = Vec::with_capacity(pattern.0.len());
    for token in &pattern.0 {
        match token {
            Token::Exact(text) if text.contains(USER) => {
                let text = text.replace(USER, user);
                tokens.extend(text.split(Pattern::SEPARATORS).map(|part| Token::Exact(part.to_owned())));
            }
            token => tokens.push(token.clone()),
        }
    }
    // A name of that many parts is nobody's.
    (tokens.len() <= MOST_TOKENS).then_some(Pattern(tokens))
}

fn once(text: &str) -> Result<(), String> {
    match text.matches(USER).count() {
        0 | 1 => Ok(()),
        _ => Err(format!("`{text}` has {USER} more than once")),
    }
}

impl Allowed {
    /// Whether the address is among them. Nothing is allocated: it is asked for messages, too.
    pub(super) fn has(&self, address: &str) -> bool {
        if address.is_empty() {
            return false;
        }
        match &self.0 {
            Names::List(items) => items.iter().any(|item| match item.open {
                true => address.starts_with(&*item.text),
                false => address == &*item.text,
            }),
            Names::Patterns(patterns) => patterns.iter().any(|pattern| matches(&pattern.0, address)),
        }
    }
}

/// As [`Pattern::matches`], with a number for the set of places.
fn matches(pattern: &[Token], address: &str) -> bool {
    let skip_any = |mut places: u64| {
        for (i, token) in pattern.iter().enumerate() {
            if *token == Token::Any && places >> i & 1 == 1 {
                places |= 1 << (i + 1);
            }
        }
        places
    };
    // Bit i: the first i tokens of the pattern match the tokens so far.
    let mut places = skip_any(1);
    for part in address.split(Pattern::SEPARATORS) {
        let mut next = 0;
        for (i, token) in pattern.iter().enumerate().filter(|(i, _)| places >> i & 1 == 1) {
            next |= match token {
                Token::Exact(exact) => u64::from(exact == part) << (i + 1),
                Token::One => 1 << (i + 1),
                Token::Any => 1 << i,
            };
        }
        places = skip_any(next);
        if places == 0 {
            return false;
        }
    }
    places >> pattern.len() & 1 == 1
}
