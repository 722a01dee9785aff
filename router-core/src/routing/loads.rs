//! How much the consumers at this router have to do, and what of it the other routers of our make are told (decision 0017).
//!
//! What counts is what has *stood* there for a while: the least of several samples. A queue that comes and goes is the business of those
//! who filled it, and news of it would be old when it arrives.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Routing,
    message::{AddressKey, LoadEntry, Loads, MOBILE_VERSION, Message},
    output::{Event, Target},
};

/// How many samples the least is of.
const WINDOW: usize = 2;
/// How many addresses are told in a message at the most, and with how many bytes of keys.
const MAX_ENTRIES: usize = 256;
const MAX_KEYS: usize = 16 * 1024;
/// What was told is told again after this time, for those who missed it or came later.
const REFRESH: Duration = Duration::from_secs(10);
/// And so often after there is nothing special about an address any more.
const LAST_TIMES: u8 = 3;
/// How far apart samples are in a small network.
const SAMPLE: Duration = Duration::from_millis(250);

/// How much there is to do at a router for the consumers of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// How many consumers there are.
    pub consumers: u32,
    /// What they have not settled, and what waits for them: deliveries, connections.
    pub outstanding: u32,
}

impl Load {
    /// That of a router that has told nothing about an address.
    pub const USUAL: Self = Self { consumers: 1, outstanding: 0 };

    /// Nobody, and nothing to do.
    pub const NONE: Self = Self { consumers: 0, outstanding: 0 };

    /// Whether others should hear of the change. Small numbers are exact.
    const fn differs(self, told: Self) -> bool {
        self.consumers != told.consumers || self.outstanding.abs_diff(told.outstanding) > told.outstanding / 16
    }
}

/// What one worker knows of the load of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadPart {
    /// The lookup key of the address.
    pub key: AddressKey,
    /// The load; nothing of both when the worker has nothing to do with the address any more.
    pub load: Load,
}

/// The loads at this router, and what the others know of them.
#[derive(Debug, Default)]
pub struct LocalLoads {
    all: BTreeMap<AddressKey, Local>,
    /// Those of which the samples or what was told are not as they are now.
    active: BTreeSet<AddressKey>,
    /// When what is not usual is to be told again.
    again: VecDeque<(Instant, AddressKey)>,
    /// So many of these are to be told at once, because somebody is new.
    hurry: usize,
}

#[derive(Debug)]
struct Local {
    parts: Vec<(u16, Load)>,
    samples: [u32; WINDOW],
    told: Load,
    /// How often it is to be told again; 0 if it is not among those.
    times: u8,
}

/// How far apart samples are, and messages, in a network of so many routers: no router has to read more than some 100 messages a second.
pub fn sample_interval(routers: usize) -> Duration {
    SAMPLE * u32::try_from(routers / 32).unwrap_or(u32::MAX).saturating_add(1)
}

impl LocalLoads {
    /// A worker has something new.
    pub fn report(&mut self, worker: u16, part: LoadPart) {
        let LoadPart { key, load } = part;
        let local = self.all.entry(key.clone()).or_insert_with(|| Local {
            parts: Vec::new(),
            samples: [0; WINDOW],
            told: Load::USUAL,
            times: 0,
        });
        local.parts.retain(|(of, _)| *of != worker);
        if load != Load::NONE {
            local.parts.push((worker, load));
        }
        self.active.insert(key);
    }

    /// Somebody is new who knows nothing.
    pub fn tell_all(&mut self) {
        self.hurry = self.again.len();
    }

    /// Nothing changes.
    pub fn is_quiet(&self) -> bool {
        self.active.is_empty()
    }

    /// Takes a sample. Answers what the others are to be told.
    pub fn sample(&mut self, now: Instant) -> Vec<LoadEntry> {
        let mut out = Batch::default();
        for key in std::mem::take(&mut self.active) {
            let Some(local) = self.all.get_mut(&key) else { continue };
            let sum =
                |of: fn(&Load) -> u32| local.parts.iter().fold(0_u32, |sum, (_, part)| sum.saturating_add(of(part)));
            let (consumers, outstanding) = (sum(|part| part.consumers), sum(|part| part.outstanding));
            if local.parts.is_empty() {
                // That nobody is there any more, others hear with the addresses.
                self.all.remove(&key);
                continue;
            }
            local.samples.rotate_right(1);
            local.samples[0] = outstanding;
            let standing = local.samples.iter().copied().min().unwrap_or_default();
            let load = Load { consumers: consumers.max(1), outstanding: standing };
            let news = load.differs(local.told);
            let told = news && out.push(&key, load);
            if told {
                local.told = load;
                if local.times == 0 {
                    self.again.push_back((now + REFRESH, key.clone()));
                }
                local.times = LAST_TIMES;
            }
            if news != told || local.samples.iter().any(|sample| *sample != outstanding) {
                self.active.insert(key);
            }
        }
        while let Some((at, _)) = self.again.front()
            && (*at <= now || self.hurry > 0)
            && !out.is_full()
        {
            let Some((_, key)) = self.again.pop_front() else { break };
            self.hurry = self.hurry.saturating_sub(1);
            let Some(local) = self.all.get_mut(&key) else { continue };
            out.push(&key, local.told);
            local.times = if local.told == Load::USUAL { local.times.saturating_sub(1) } else { LAST_TIMES };
            if local.times > 0 {
                self.again.push_back((now + REFRESH, key));
            }
        }
        self.hurry = self.hurry.min(self.again.len());
        out.entries
    }
}

/// What goes into one message.
#[derive(Debug, Default)]
struct Batch {
    entries: Vec<LoadEntry>,
    bytes: usize,
}

impl Batch {
    const fn is_full(&self) -> bool {
        self.entries.len() >= MAX_ENTRIES || self.bytes >= MAX_KEYS
    }

    /// False if there is no room.
    fn push(&mut self, key: &AddressKey, load: Load) -> bool {
        if self.is_full() {
            return false;
        }
        self.bytes += key.len();
        self.entries.push(LoadEntry { key: Arc::clone(key), load });
        true
    }
}

impl Routing {
    /// Tells the other routers of our make how much there is to do here. Nothing is sent where there are none.
    pub fn tell_loads(&mut self, entries: Vec<LoadEntry>) {
        if !entries.is_empty() && self.tellers() > 0 {
            let (id, entries) = (self.me.clone(), entries.into());
            self.send(Target::AllRouters, Message::Loads(Loads { id, version: MOBILE_VERSION, entries }));
        }
    }

    /// How many routers that can be reached tell loads.
    pub fn tellers(&self) -> usize {
        self.nodes.iter().filter(|(_, node)| node.tells_loads && node.reachable).count()
    }

    pub(super) fn loads_received(&mut self, loads: &Loads) {
        let node = self.nodes.find(&loads.id).and_then(|slot| self.nodes.get(slot));
        if node.is_some_and(|node| node.tells_loads) && loads.id != self.me {
            self.event(Event::Loads { router: loads.id.clone(), entries: Arc::clone(&loads.entries) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "Msvc";

    fn part(consumers: u32, outstanding: u32) -> LoadPart {
        LoadPart { key: KEY.into(), load: Load { consumers, outstanding } }
    }

    struct World {
        loads: LocalLoads,
        now: Instant,
    }

    impl World {
        #[expect(clippy::disallowed_methods, reason = "a test has to begin at some time")]
        fn new() -> Self {
            Self { loads: LocalLoads::default(), now: Instant::now() }
        }

        fn sample(&mut self) -> Vec<(u32, u32)> {
            self.now += SAMPLE;
            let told = self.loads.sample(self.now);
            told.iter().map(|entry| (entry.load.consumers, entry.load.outstanding)).collect()
        }

        /// Everything that is told in this time.
        fn wait(&mut self, time: Duration) -> Vec<(u32, u32)> {
            let end = self.now + time;
            let mut all = Vec::new();
            while self.now < end {
                all.extend(self.sample());
            }
            all
        }
    }

    #[test]
    fn the_usual_is_not_told() {
        let mut w = World::new();
        w.loads.report(0, part(1, 0));
        assert_eq!(w.wait(REFRESH * 3), []);
        assert!(w.loads.is_quiet());
    }

    #[test]
    fn consumers_of_all_workers_are_told_at_once_and_again() {
        let mut w = World::new();
        w.loads.report(0, part(1, 0));
        w.loads.report(1, part(2, 0));
        assert_eq!(w.sample(), [(3, 0)]);
        assert!(w.loads.is_quiet());
        assert_eq!(w.wait(REFRESH - SAMPLE), []);
        assert_eq!(w.wait(REFRESH), [(3, 0)]);
        w.loads.tell_all();
        assert_eq!(w.sample(), [(3, 0)]);
        w.loads.report(1, part(0, 0));
        assert_eq!(w.sample(), [(1, 0)]);
        // A few times more, in case somebody missed it.
        assert_eq!(w.wait(REFRESH * 10), [(1, 0); 3]);
        assert!(w.loads.again.is_empty());
        w.loads.report(0, part(0, 0));
        assert_eq!(w.sample(), []);
        assert!(w.loads.all.is_empty() && w.loads.is_quiet());
    }

    #[test]
    fn only_what_stands_is_told() {
        let mut w = World::new();
        for n in [50, 0, 80, 0] {
            w.loads.report(0, part(1, n));
            assert_eq!(w.sample(), []);
        }
        w.loads.report(0, part(1, 40));
        assert_eq!(w.wait(Duration::from_secs(2)), [(1, 40)]);
        assert!(w.loads.is_quiet());
        // Less is told at once, and what is hardly different not at all.
        w.loads.report(0, part(1, 41));
        assert_eq!(w.wait(Duration::from_secs(2)), []);
        w.loads.report(0, part(1, 10));
        assert_eq!(w.sample(), [(1, 10)]);
    }

    #[test]
    fn messages_are_bounded_and_nothing_is_left_out() {
        let mut w = World::new();
        for n in 0..1000 {
            let key = format!("M{n:04}");
            w.loads.report(0, LoadPart { key: key.into(), load: Load { consumers: 2, outstanding: 0 } });
        }
        let mut told = BTreeSet::new();
        for _ in 0..4 {
            w.now += SAMPLE;
            let entries = w.loads.sample(w.now);
            assert!(entries.len() <= MAX_ENTRIES);
            told.extend(entries.into_iter().map(|entry| entry.key));
        }
        assert_eq!(told.len(), 1000);
        assert!(w.loads.is_quiet());
        w.loads.tell_all();
        let again: usize = (0..5).map(|_| w.sample().len()).sum();
        assert_eq!(again, 1000);
    }
}
