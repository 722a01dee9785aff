//! What has to hold once the network has come to rest.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::network::Network;

/// How many pairs of routers have their lists of addresses compared entry by entry, if there are more entries than can be compared in all.
const SAMPLE: usize = 2000;

/// Looks for something that does not hold. Answers the first that was found, as a sentence.
pub(super) fn check(network: &Network) -> Result<(), String> {
    let groups = network.groups();
    tables(network, &groups)?;
    addresses(network, &groups)
}

/// Costs from one router to all others by the links that there are.
fn costs(network: &Network, from: usize) -> Vec<Option<u64>> {
    let mut costs = vec![None; network.routers.len()];
    let mut open = BinaryHeap::from([Reverse((0_u64, from))]);
    while let Some(Reverse((cost, at))) = open.pop() {
        if costs[at].is_some() {
            continue;
        }
        costs[at] = Some(cost);
        for (to, step) in network.neighbours(at) {
            if costs[to].is_none() {
                open.push(Reverse((cost + u64::from(step), to)));
            }
        }
    }
    costs
}

/// Every router knows the links of all it can reach, and cheapest ways to them; each step of a way comes nearer, so that there is neither
/// a loop nor a black hole.
fn tables(network: &Network, groups: &[Option<usize>]) -> Result<(), String> {
    let true_costs: Vec<_> = (0..network.routers.len()).map(|from| costs(network, from)).collect();
    for (from, router) in network.routers.iter().enumerate() {
        let Some(routing) = &router.routing else { continue };
        let (name, routes) = (&router.id, routing.routes());
        let graph = routes.graph();
        let known: Vec<Option<usize>> = graph.ids().iter().map(|id| network.find(id)).collect();
        let others = groups.iter().filter(|group| **group == groups[from]).count() - 1;
        if routes.reachable_count() != others {
            return Err(format!("{name} reaches {} routers of {others}", routes.reachable_count()));
        }
        for (to, route) in routes.reachable() {
            let (target, id) = (known[to as usize], &graph.ids()[to as usize]);
            let Some(target) = target else { return Err(format!("{name} knows {id}, which does not exist")) };
            if true_costs[from][target] != Some(route.cost) {
                return Err(format!(
                    "{name} takes {} for the cost to {id}, not {:?}",
                    route.cost, true_costs[from][target]
                ));
            }
            let via = known[route.next_hop as usize].expect("a neighbour exists");
            let step = network.neighbours(from).find(|(to, _)| *to == via).map(|(_, cost)| cost);
            let rest = true_costs[via][target];
            if step.zip(rest).is_none_or(|(step, rest)| u64::from(step) + rest != route.cost) {
                return Err(format!("the way of {name} to {id} does not come nearer by {}", network.routers[via].id));
            }
            let mut told: Vec<_> = graph
                .edges(to)
                .iter()
                .map(|(peer, cost)| (known[*peer as usize].unwrap_or(usize::MAX), *cost))
                .collect();
            let mut real: Vec<_> = network.neighbours(target).collect();
            told.sort_unstable();
            real.sort_unstable();
            if told != real {
                return Err(format!("{name} has another link state of {id} than that has"));
            }
        }
    }
    Ok(())
}

/// Every router knows the addresses of all it can reach, and of no others.
fn addresses(network: &Network, groups: &[Option<usize>]) -> Result<(), String> {
    let running: Vec<_> = (0..network.routers.len()).filter(|router| groups[*router].is_some()).collect();
    let entries: usize = running.iter().map(|router| network.routers[*router].serves.len() * running.len()).sum();
    let all = entries <= 2_000_000;
    let step = if all { 1 } else { (running.len() * running.len() / SAMPLE).max(1) };
    let mut pair = 0;
    for &at in &running {
        let Some(routing) = &network.routers[at].routing else { continue };
        let mut told: Vec<_> = routing.routers().map(|info| (info.id, info.mobile_seq, info.addresses)).collect();
        told.sort_unstable();
        for (of, router) in network.routers.iter().enumerate().filter(|(of, _)| *of != at) {
            pair += 1;
            let (name, id) = (&network.routers[at].id, &router.id);
            let known = told.binary_search_by(|known| known.0.cmp(id)).ok().map(|at| &told[at]);
            let origin = router.routing.as_ref().filter(|_| groups[at] == groups[of]);
            let Some(origin) = origin else {
                if let Some((.., count @ 1..)) = known {
                    return Err(format!("{name} still has {count} addresses of {id}, which it cannot reach"));
                }
                continue;
            };
            let served = router.serves.len();
            if origin.local_addresses() != served {
                return Err(format!("{id} has {} addresses of {served}", origin.local_addresses()));
            }
            let count = known.map_or(0, |(.., count)| *count);
            if count != served {
                return Err(format!("{name} has {count} addresses of {id} instead of {served}"));
            }
            if pair % step == 0 && !routing.addresses_of(id).eq(origin.told_addresses()) {
                return Err(format!("{name} has other addresses of {id} than that has told"));
            }
        }
    }
    Ok(())
}
