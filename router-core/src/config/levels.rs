//! The `enable` attribute of `log` entities: which levels are logged.

use crate::entity::nearest;

/// A severity, from the least to the most severe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For whoever works on the router.
    Debug,
    /// What happens in normal operation.
    Info,
    /// Something is wrong, but the router carries on.
    Warning,
    /// Something did not work.
    Error,
    /// The router cannot carry on.
    Critical,
}

impl Severity {
    /// All of them, least severe first.
    pub const ALL: [Self; 5] = [Self::Debug, Self::Info, Self::Warning, Self::Error, Self::Critical];

    /// The name in files and log lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// A set of severities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LevelSet(u8);

impl LevelSet {
    /// Reads `debug+`, `error,critical`, `none`. Separators are commas, blanks, colons and semicolons, and a level may be cut short
    /// (`warn`), as in the reference; `trace` means `debug`. `None` leaves it to the module DEFAULT.
    ///
    /// # Errors
    /// The message for the user.
    pub fn parse(text: &str) -> Result<Option<Self>, String> {
        let mut set = Self::default();
        let mut defaulted = false;
        for token in text.split([',', ' ', ';', ':', '\t']).filter(|token| !token.is_empty()) {
            let (name, above) = match token.strip_suffix('+') {
                Some(name) => (name.to_ascii_lowercase(), true),
                None => (token.to_ascii_lowercase(), false),
            };
            let name = if name == "trace" { "debug".to_owned() } else { name };
            match Severity::ALL.iter().find(|level| !name.is_empty() && level.as_str().starts_with(&name)) {
                Some(level) if above => {
                    Severity::ALL.iter().filter(|other| *other >= level).for_each(|other| set.insert(*other));
                }
                Some(level) => set.insert(*level),
                None if name == "none" => {}
                None if name == "default" => defaulted = true,
                None => {
                    let names = Severity::ALL.iter().map(|level| level.as_str()).chain(["none"]);
                    let hint = nearest(&name, names).map(|near| format!("; did you mean `{near}`?"));
                    return Err(format!(
                        "enable: expected levels (debug, info, warning, error, critical, none, each with `+` for all above), \
                         found `{token}`{}",
                        hint.unwrap_or_default()
                    ));
                }
            }
        }
        Ok((!defaulted).then_some(set))
    }

    fn insert(&mut self, level: Severity) {
        self.0 |= 1 << level as u8;
    }

    /// Whether entries of a severity are logged.
    pub const fn contains(self, level: Severity) -> bool {
        self.0 & (1 << level as u8) != 0
    }

    /// The least severe level in the set.
    pub fn lowest(self) -> Option<Severity> {
        Severity::ALL.into_iter().find(|level| self.contains(*level))
    }
}
