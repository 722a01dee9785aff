//! Where a connector connects to: the place that was configured, and others that its peer told it about.

use crate::neighbour::open::Place;

/// Places to connect to, tried in turn.
#[derive(Debug)]
pub(crate) struct Targets {
    /// The configured one is the first.
    places: Vec<Place>,
    current: usize,
    /// Failures since the last success.
    failed: usize,
}

impl Targets {
    pub(crate) fn new(host: &str, port: u16) -> Self {
        Self { places: vec![Place { host: host.to_owned(), port, hostname: None }], current: 0, failed: 0 }
    }

    /// Where to connect to next.
    pub(crate) fn current(&self) -> Place {
        let nowhere = || Place { host: String::new(), port: 0, hostname: None };
        self.places.get(self.current).cloned().unwrap_or_else(nowhere)
    }

    /// The current place works. `list`: what the peer says about others; an empty list takes back what was said before.
    pub(crate) fn opened(&mut self, list: Option<Vec<Place>>) {
        self.failed = 0;
        let Some(list) = list else { return };
        let current = self.current();
        self.places.truncate(1);
        let mut known = std::mem::take(&mut self.places);
        for place in std::iter::once(current.clone()).chain(list) {
            if !known.iter().any(|k| k.host == place.host && k.port == place.port) {
                known.push(place);
            }
        }
        self.current = known.iter().position(|k| k.host == current.host && k.port == current.port).unwrap_or(0);
        self.places = known;
    }

    /// The current place does not work, or not any more. True if there is another that was not tried yet: no need to wait.
    pub(crate) fn failed(&mut self) -> bool {
        self.failed += 1;
        self.current = (self.current + 1) % self.places.len().max(1);
        if self.failed < self.places.len() {
            return true;
        }
        self.failed = 0;
        false
    }

    /// The list as management shows it: the current place, and then the others.
    pub(crate) fn shown(&self) -> String {
        if self.places.len() < 2 {
            return String::new();
        }
        let others = self.places.iter().enumerate().filter(|(at, _)| *at != self.current).map(|(_, place)| place);
        let places = self.places.get(self.current).into_iter().chain(others);
        places.map(|p| format!("amqp://{}:{}", p.host, p.port)).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(host: &str) -> Place {
        Place { host: host.to_owned(), port: 1, hostname: None }
    }

    #[test]
    fn one_place_is_tried_again_and_again() {
        let mut targets = Targets::new("a", 1);
        assert!(!targets.failed());
        assert_eq!(targets.current(), place("a"));
        assert_eq!(targets.shown(), "");
        targets.opened(None);
        assert_eq!(targets.current(), place("a"));
    }

    #[test]
    fn others_are_learnt_tried_in_turn_and_forgotten() {
        let mut targets = Targets::new("a", 1);
        targets.opened(Some(vec![place("b"), place("a"), place("c"), place("b")]));
        assert_eq!(targets.shown(), "amqp://a:1, amqp://b:1, amqp://c:1");
        assert_eq!(targets.current(), place("a"));
        assert!(targets.failed());
        assert_eq!(targets.current(), place("b"));
        assert!(targets.failed());
        assert!(!targets.failed());
        assert_eq!(targets.current(), place("a"));
        targets.failed();
        // Connected to b, which knows d: the configured place and b stay.
        targets.opened(Some(vec![place("d")]));
        assert_eq!(targets.shown(), "amqp://b:1, amqp://a:1, amqp://d:1");
        assert_eq!(targets.current(), place("b"));
        targets.opened(None);
        assert_eq!(targets.places.len(), 3);
        targets.opened(Some(Vec::new()));
        assert_eq!((targets.current(), targets.shown().as_str()), (place("b"), "amqp://b:1, amqp://a:1"));
        assert!(targets.failed());
        targets.opened(Some(Vec::new()));
        assert_eq!((targets.current(), targets.shown().as_str()), (place("a"), ""));
    }
}
