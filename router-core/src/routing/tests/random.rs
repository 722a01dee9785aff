//! Random networks and orders of events end with what a plain computation says.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proptest::prelude::*;

use super::world::World;

const NAMES: [&str; 7] = ["A", "B", "C", "D", "E", "F", "G"];

#[derive(Clone, Debug)]
enum Op {
    Connect(usize, usize, u32),
    Cut(usize),
    Cost(usize, u32),
    Restart(usize),
    Kill(usize),
    Serve(usize, u8),
    Unserve(usize, u8),
    /// Loses everything that is sent on a link for some milliseconds, unnoticed.
    Lose(usize, u64),
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let router = 0..NAMES.len();
    prop_oneof![
        6 => (router.clone(), router.clone(), 1..4_u32).prop_map(|(a, b, cost)| Op::Connect(a, b, cost)),
        2 => any::<prop::sample::Index>().prop_map(|i| Op::Cut(i.index(1000))),
        2 => (any::<prop::sample::Index>(), 1..5_u32).prop_map(|(i, cost)| Op::Cost(i.index(1000), cost)),
        1 => router.clone().prop_map(Op::Restart),
        1 => router.clone().prop_map(Op::Kill),
        3 => (router.clone(), 0..4_u8).prop_map(|(r, key)| Op::Serve(r, key)),
        2 => (router, 0..4_u8).prop_map(|(r, key)| Op::Unserve(r, key)),
        2 => (any::<prop::sample::Index>(), 1..2500_u64).prop_map(|(i, ms)| Op::Lose(i.index(1000), ms)),
        3 => (0..3000_u64).prop_map(Op::Pass),
    ]
}

/// The truth, next to the world.
#[derive(Default)]
struct Model {
    /// Links and costs, by their ends in order.
    links: BTreeMap<(usize, usize), u32>,
    serves: BTreeSet<(usize, u8)>,
}

impl Model {
    fn link(&self, pick: usize) -> Option<(usize, usize)> {
        self.links.keys().nth(pick % self.links.len().max(1)).copied()
    }

    fn drop_router(&mut self, router: usize) {
        self.links.retain(|(a, b), _| *a != router && *b != router);
        self.serves.retain(|(at, _)| *at != router);
    }

    /// Cheapest costs from everywhere to everywhere, by the simplest means.
    fn costs(&self) -> BTreeMap<(usize, usize), u64> {
        let mut costs = BTreeMap::new();
        for (&(a, b), &cost) in &self.links {
            costs.insert((a, b), u64::from(cost));
            costs.insert((b, a), u64::from(cost));
        }
        for via in 0..NAMES.len() {
            for from in 0..NAMES.len() {
                for to in 0..NAMES.len() {
                    let (Some(first), Some(second)) = (costs.get(&(from, via)), costs.get(&(via, to))) else {
                        continue;
                    };
                    let sum = first + second;
                    if from != to && costs.get(&(from, to)).is_none_or(|known| sum < *known) {
                        costs.insert((from, to), sum);
                    }
                }
            }
        }
        costs
    }
}

fn key(key: u8) -> String {
    format!("Mkey{key}")
}

/// Starts a router unless it runs. All starts are within one second, so that only sequence numbers tell them apart.
fn start(world: &mut World, at: usize) {
    if !world.routers.contains_key(NAMES[at]) {
        let mut config = world.config(NAMES[at]);
        config.first_sequence = u32::try_from(world.elapsed().as_micros() / 10).unwrap();
        world.start(config);
    }
}

fn apply(world: &mut World, model: &mut Model, op: &Op) {
    match *op {
        Op::Connect(a, b, cost) => {
            let ends = (a.min(b), a.max(b));
            if a != b && !model.links.contains_key(&ends) {
                start(world, a);
                start(world, b);
                world.connect(NAMES[a], NAMES[b], cost);
                model.links.insert(ends, cost);
            }
        }
        Op::Cut(pick) => {
            if let Some((a, b)) = model.link(pick) {
                model.links.remove(&(a, b));
                world.cut(NAMES[a], NAMES[b]);
            }
        }
        Op::Cost(pick, cost) => {
            if let Some((a, b)) = model.link(pick) {
                model.links.insert((a, b), cost);
                world.set_cost(NAMES[a], NAMES[b], cost);
            }
        }
        Op::Restart(at) | Op::Kill(at) => {
            if world.routers.contains_key(NAMES[at]) {
                world.kill(NAMES[at]);
                model.drop_router(at);
            }
            if matches!(op, Op::Restart(_)) {
                world.run(Duration::from_millis(1));
                start(world, at);
            }
        }
        Op::Serve(at, k) => {
            start(world, at);
            world.serve(NAMES[at], &key(k));
            model.serves.insert((at, k));
        }
        Op::Unserve(at, k) => {
            start(world, at);
            world.unserve(NAMES[at], &key(k));
            model.serves.remove(&(at, k));
        }
        Op::Lose(pick, ms) => {
            if let Some((a, b)) = model.link(pick) {
                world.silence(NAMES[a], NAMES[b], true);
                world.run(Duration::from_millis(ms));
                world.silence(NAMES[a], NAMES[b], false);
            }
        }
        Op::Pass(ms) => world.run(Duration::from_millis(ms)),
    }
}

fn check(world: &World, model: &Model) {
    let costs = model.costs();
    let place = |id: &str| NAMES.iter().position(|name| *name == id).unwrap();
    for from in world.routers.keys() {
        let at = place(from);
        let expected: BTreeMap<String, u64> =
            costs.iter().filter(|((f, _), _)| *f == at).map(|((_, to), cost)| (NAMES[*to].to_owned(), *cost)).collect();
        let table = world.table(from);
        let found: BTreeMap<_, _> = table.iter().map(|(to, (_, cost))| (to.clone(), *cost)).collect();
        assert_eq!(found, expected, "table of {from}\n{}", world.describe());
        for to in table.keys() {
            // Hop by hop the way gets there, and every router on it takes the first one for a valid origin.
            let (mut here, mut steps) = (from.clone(), 0);
            while here != *to {
                let routes = world.routers[&here].routing.routes();
                let (origin, target) = (routes.graph().index_of(from).unwrap(), routes.graph().index_of(to).unwrap());
                assert!(routes.is_valid_origin(origin, target), "{from} at {here} for {to}\n{}", world.describe());
                here = world.table(&here)[to].0.clone();
                steps += 1;
                assert!(steps < NAMES.len(), "loop from {from} to {to}\n{}", world.describe());
            }
            // What is spread along the tree arrives everywhere once.
        }
        let mut copies: BTreeMap<String, usize> = BTreeMap::new();
        let mut open = vec![from.clone()];
        while let Some(here) = open.pop() {
            let routing = &world.routers[&here].routing;
            for link in routing.routes().spread(from) {
                let next = routing.routers().find(|r| r.link == Some(link)).unwrap().id.to_string();
                *copies.entry(next.clone()).or_default() += 1;
                assert!(copies[&next] == 1, "two copies of {from} at {next}");
                open.push(next);
            }
        }
        assert_eq!(copies.len(), table.len(), "copies of {from}");
        for k in 0..4 {
            let expected: Vec<_> = (model.serves.iter())
                .filter(|(router, served)| *served == k && table.contains_key(NAMES[*router]))
                .map(|(router, _)| NAMES[*router].to_owned())
                .collect();
            assert_eq!(world.destinations(from, &key(k)), expected, "{} at {from}", key(k));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn all_tables_agree_in_the_end(ops in prop::collection::vec(op(), 1..60)) {
        let mut world = World::new();
        let mut model = Model::default();
        for op in &ops {
            apply(&mut world, &mut model, op);
        }
        // Longer than everything that repeats: an advertisement in quiet times, and the retries after it.
        world.run(Duration::from_secs(40));
        check(&world, &model);
    }

    /// What passed a router while its links changed is told again within the interval of advertisements in flux.
    #[test]
    fn all_tables_agree_soon_without_losses(ops in prop::collection::vec(op(), 1..40)) {
        let mut world = World::new();
        let mut model = Model::default();
        for op in ops.iter().filter(|op| !matches!(op, Op::Lose(..))) {
            apply(&mut world, &mut model, op);
        }
        world.run(Duration::from_secs(7));
        check(&world, &model);
    }
}
