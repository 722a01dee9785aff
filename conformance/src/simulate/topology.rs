//! Which routers are connected.

use std::collections::BTreeSet;

use super::{Options, Topology, rng::Rng};

/// The ends of all links, the lower number first.
pub(super) fn links(options: &Options, rng: &mut Rng) -> Vec<(usize, usize)> {
    let n = options.routers;
    let mut links = BTreeSet::new();
    match options.topology {
        Topology::Star => links.extend((1..n).map(|i| (0, i))),
        Topology::Mesh => links.extend((0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b)))),
        Topology::Ring | Topology::Random => {
            links.extend((0..n).map(|i| (i.min((i + 1) % n), i.max((i + 1) % n))));
        }
    }
    if options.topology == Topology::Random {
        let mut degree = vec![2; n];
        // Every router offers what it has left; offers are matched at random.
        let mut offers: Vec<usize> = (0..n).flat_map(|i| std::iter::repeat_n(i, options.degree - 2)).collect();
        rng.shuffle(&mut offers);
        for pair in offers.chunks_exact(2) {
            let (a, b) = (pair[0].min(pair[1]), pair[0].max(pair[1]));
            if a != b && degree[a] < options.degree && degree[b] < options.degree && links.insert((a, b)) {
                degree[a] += 1;
                degree[b] += 1;
            }
        }
    }
    links.into_iter().collect()
}
