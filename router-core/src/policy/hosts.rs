//! Hosts that a group's users may connect from.

use std::net::IpAddr;

/// A list of addresses, ranges of them, and names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hosts(Vec<Entry>);

/// Finds the addresses of a host name.
pub(super) type Resolve<'a> = dyn FnMut(&str) -> Result<Vec<IpAddr>, String> + 'a;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    All,
    /// The first and the last.
    Range(IpAddr, IpAddr),
    /// A name that was not looked up.
    Name(Box<str>),
}

fn address(text: &str) -> Option<IpAddr> {
    text.trim().parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

impl Hosts {
    /// Reads `*`, `10.0.0.1`, `::1`, `10.0.0.0-10.0.0.255` and names of hosts.
    pub(super) fn read<'a>(items: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        items.into_iter().map(Entry::read).collect::<Result<_, _>>().map(Self)
    }

    /// Asks `resolve` for the addresses of each name.
    pub(super) fn resolve(&mut self, resolve: &mut Resolve<'_>) -> Result<(), String> {
        for entry in std::mem::take(&mut self.0) {
            match entry {
                Entry::Name(name) => {
                    let found = resolve(&name)?.into_iter().map(|address| address.to_canonical());
                    self.0.extend(found.map(|address| Entry::Range(address, address)));
                }
                entry => self.0.push(entry),
            }
        }
        Ok(())
    }

    /// Whether somebody may come from there.
    pub(super) fn allows(&self, host: Option<&str>) -> bool {
        let host = host.and_then(address);
        self.0.iter().any(|entry| match (entry, host) {
            (Entry::All, _) => true,
            // Addresses of another family are not in between.
            (Entry::Range(first, last), Some(host)) => {
                first.is_ipv4() == host.is_ipv4() && *first <= host && host <= *last
            }
            _ => false,
        })
    }
}

impl Entry {
    fn read(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::All);
        }
        if let Some(address) = address(text) {
            return Ok(Self::Range(address, address));
        }
        if let Some((first, last)) = text.split_once('-')
            && let (Some(first), Some(last)) = (address(first), address(last))
        {
            if first.is_ipv4() != last.is_ipv4() {
                return Err(format!("the range `{text}` has addresses of two families"));
            }
            if first > last {
                return Err(format!("the range `{text}` ends before it begins"));
            }
            return Ok(Self::Range(first, last));
        }
        let label = |label: &str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
        let letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
        // What ends in a number is an address, or meant to be one.
        let named = text.rsplit('.').next().is_some_and(|last| !last.bytes().all(|byte| byte.is_ascii_digit()));
        if named && text.chars().all(letter) && text.split('.').all(label) {
            return Ok(Self::Name(text.into()));
        }
        Err(format!("expected an address, a range such as 10.0.0.0-10.0.0.255, a host name or *, found `{text}`"))
    }
}
