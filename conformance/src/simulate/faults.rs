//! What goes wrong.

use std::{fmt, str::FromStr, time::Duration};

use super::{network::Network, report::Report, rng::Rng};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A connection closes.
    Link,
    /// A link carries nothing any more, unnoticed.
    Silent,
    /// A connection comes up while addresses change, known to one end before the other, and what is sent to an end too early is lost.
    Deaf,
    /// A router dies, and comes back later.
    Router,
    /// A router dies and is back within the same second.
    Restart,
    /// The network falls in two.
    Partition,
    /// The cost of a link changes.
    Cost,
    /// An address moves.
    Churn,
}

impl Fault {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Link, "links"),
        (Self::Silent, "silent"),
        (Self::Deaf, "deaf"),
        (Self::Router, "routers"),
        (Self::Restart, "restarts"),
        (Self::Partition, "partitions"),
        (Self::Cost, "costs"),
        (Self::Churn, "churn"),
    ];

    /// Lets it happen once, and repairs it. Both are measured.
    pub(super) fn inject(self, network: &mut Network, rng: &mut Rng, report: &mut Report) {
        let link = rng.below(network.links.len());
        let router = rng.below(network.routers.len());
        // Nothing is to depend on where in a second faults happen to fall.
        network.calm(Duration::from_millis(rng.below(1000) as u64));
        let begin = network.now;
        match self {
            Self::Link => {
                network.close(link);
                report.phase(network, "link closed", begin);
                let begin = network.now;
                network.open(link);
                report.phase(network, "link back", begin);
            }
            Self::Silent => {
                network.links[link].silent = true;
                report.phase(network, "link silent", begin);
                let begin = network.now;
                network.links[link].silent = false;
                report.phase(network, "link carries again", begin);
            }
            Self::Deaf => {
                network.close(link);
                report.phase(network, "link closed", begin);
                network.calm(Duration::from_millis(rng.below(3000) as u64));
                let begin = network.now;
                let some = |rng: &mut Rng| Duration::from_millis(rng.below(60) as u64);
                network.open_deaf(link, [some(rng), some(rng)]);
                let (a, b) = network.links[link].ends;
                for n in 0..10 {
                    network.calm(Duration::from_millis(rng.below(12) as u64));
                    match rng.below(3) {
                        0 => network.serve(a, [format!("Mdeaf/a/{n}").into()], true),
                        1 => network.serve(b, [format!("Mdeaf/b/{n}").into()], true),
                        _ => network.lose(link, [some(rng), some(rng)]),
                    }
                }
                report.phase(network, "link up, deaf", begin);
            }
            Self::Router => {
                network.kill(router);
                report.phase(network, "router dead", begin);
                network.calm(Duration::from_secs(rng.below(90) as u64));
                let begin = network.now;
                network.start(router);
                network.open_all_of(router);
                report.phase(network, "router back", begin);
            }
            Self::Restart => {
                // From early in a second to late in the same one.
                let second = Duration::from_secs(network.now.as_secs() + 1);
                network.run_until(second + Duration::from_millis(100 + rng.below(200) as u64));
                let begin = network.now;
                network.kill(router);
                network.calm(Duration::from_millis(100 + rng.below(400) as u64));
                network.start(router);
                network.open_all_of(router);
                report.phase(network, "router restarted", begin);
            }
            Self::Partition => {
                let side: Vec<bool> = (0..network.routers.len()).map(|_| rng.below(2) == 0).collect();
                let between: Vec<usize> = (0..network.links.len())
                    .filter(|link| {
                        let (a, b) = network.links[*link].ends;
                        side[a] != side[b]
                    })
                    .collect();
                between.iter().for_each(|link| network.close(*link));
                report.phase(network, "partition", begin);
                network.calm(Duration::from_secs(rng.below(90) as u64));
                let begin = network.now;
                between.iter().for_each(|link| network.open(*link));
                report.phase(network, "partition healed", begin);
            }
            Self::Cost => {
                let cost = network.links[link].cost;
                network.set_cost(link, cost + 1 + rng.below(5) as u32);
                report.phase(network, "cost raised", begin);
                let begin = network.now;
                network.set_cost(link, cost);
                report.phase(network, "cost lowered", begin);
            }
            Self::Churn => {
                let Some((from, key)) = network.any_address(rng) else { return };
                network.serve(from, [key.clone()], false);
                network.serve(router, [key], true);
                report.phase(network, "address moved", begin);
            }
        }
    }
}

/// Which faults happen, and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(Vec<(Fault, usize)>);

impl Faults {
    /// In their order.
    pub fn iter(&self) -> impl Iterator<Item = (Fault, usize)> {
        self.0.iter().copied()
    }
}

impl FromStr for Faults {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::default());
        }
        let kinds = || Fault::ALL.map(|(_, name)| name).join(", ");
        let one = |part: &str| {
            let (name, times) = part.split_once(':').unwrap_or((part, "1"));
            let fault = Fault::ALL.iter().find(|(_, known)| *known == name);
            let (fault, _) = fault.ok_or_else(|| format!("{name:?} is no kind of fault; there are {}", kinds()))?;
            let times = times.parse().map_err(|_| format!("{times:?} is no number of times, as in {name}:3"))?;
            Ok((*fault, times))
        };
        text.split(',').map(one).collect::<Result<_, String>>().map(Self)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (i, (fault, times)) in self.0.iter().enumerate() {
            let name = Fault::ALL.iter().find(|(known, _)| known == fault).map_or("", |(_, name)| name);
            write!(f, "{}{name}:{times}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}
