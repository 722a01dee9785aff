use super::super::note_edges;
use super::super::site::{SiteAddress, SiteLink, SiteService};
use super::*;

fn site(id: &str, kind: &str) -> Site {
    Site { id: id.to_owned(), kind: kind.to_owned(), version: "1".to_owned(), ..Site::default() }
}

fn link(peer: &str, role: &str, bytes_in: u64, bytes_out: u64) -> SiteLink {
    let rates = Some(Rates { bytes_in: bytes_in as f64, bytes_out: bytes_out as f64, ..Rates::default() });
    SiteLink {
        peer: peer.to_owned(),
        role: role.to_owned(),
        cost: 1,
        connections: 1,
        bytes_in,
        bytes_out,
        rates,
        ..SiteLink::default()
    }
}

fn known(id: &str, links: &[(&str, u32)]) -> Known {
    let links = links.iter().map(|(peer, cost)| ((*peer).to_owned(), *cost)).collect();
    Known { id: id.to_owned(), links, reachable: true }
}

fn by_id(sites: Vec<Site>) -> BTreeMap<String, Site> {
    sites.into_iter().map(|site| (site.id.clone(), site)).collect()
}

#[test]
fn edge_routers_are_forgotten_with_whoever_knew_them() {
    let (mut b, mut edges) = (site("B", "interior"), BTreeMap::new());
    b.links.push(link("E", "edge", 0, 0));
    let network = [known("A", &[]), known("B", &[])];
    note_edges(&mut edges, &by_id(vec![b]), &network);
    // B does not answer, and may the next time.
    note_edges(&mut edges, &by_id(vec![site("A", "interior")]), &network);
    assert_eq!(edges.get("E").map(String::as_str), Some("B"));
    note_edges(&mut edges, &by_id(vec![site("A", "interior")]), &network[..1]);
    assert!(edges.is_empty());
}

#[test]
fn links_have_two_ends() {
    let mut b = site("B", "interior");
    b.links.push(link("A", "inter-router", 10, 20));
    let network = [known("A", &[("B", 2)]), known("B", &[("A", 3), ("C", 1)]), known("C", &[])];
    let topology = assemble("B", &network, &by_id(vec![b]), &[]);
    let of = |at: usize| &topology.links[at];
    assert_eq!((of(0).a.as_str(), of(0).b.as_str(), of(0).cost, of(0).state.as_str()), ("A", "B", 3, "up"));
    // As seen from A, though B told.
    assert_eq!((of(0).bytes_out, of(0).bytes_in, of(0).rates.unwrap().bytes_out), (Some(10), Some(20), 10.0));
    assert_eq!((of(1).a.as_str(), of(1).b.as_str(), of(1).state.as_str()), ("B", "C", "half"));
    let silent: Vec<_> = topology.routers.iter().filter(|router| !router.answers).map(|r| r.id.as_str()).collect();
    assert_eq!(silent, ["A", "C"]);
    assert_eq!(topology.problems.len(), 3, "{:?}", topology.problems);
}

#[test]
fn edge_routers_are_at_the_end_of_their_links() {
    let mut a = site("A", "interior");
    a.links.push(link("E", "edge", 1, 2));
    let alone = assemble("A", &[known("A", &[])], &by_id(vec![a.clone()]), &[]);
    let mut e = site("E", "edge");
    e.links.push(link("A", "edge", 2, 1));
    let both = assemble("A", &[known("A", &[])], &by_id(vec![a, e]), &[]);
    for topology in [&alone, &both] {
        let [link] = topology.links.as_slice() else { panic!("{:?}", topology.links) };
        assert_eq!((link.a.as_str(), link.b.as_str(), link.state.as_str(), link.bytes_in), ("A", "E", "up", Some(1)));
        let kinds: Vec<_> = topology.routers.iter().map(|router| (router.id.as_str(), router.kind.as_str())).collect();
        assert_eq!(kinds, [("A", "interior"), ("E", "edge")]);
    }
}

#[test]
fn addresses_and_services_are_put_together() {
    let mut a = site("A", "interior");
    let rates = Some(Rates { deliveries_in: 5.0, ..Rates::default() });
    let address =
        SiteAddress { address: "news".to_owned(), senders: 1, deliveries_in: 9, rates, ..SiteAddress::default() };
    a.addresses = vec![address.clone(), SiteAddress { address: "lost".to_owned(), senders: 2, ..address.clone() }];
    let mut b = site("B", "interior");
    b.addresses = vec![SiteAddress { senders: 0, consumers: 2, ..address }];
    let service = SiteService { address: "web".to_owned(), kind: "listener".to_owned(), ..SiteService::default() };
    a.services.push(service.clone());
    b.services.push(SiteService { kind: "connector".to_owned(), ..service });
    let told = [("news".to_owned(), "B".to_owned()), ("news".to_owned(), "S".to_owned())];
    let topology = assemble("A", &[known("A", &[]), known("B", &[])], &by_id(vec![a, b]), &told);
    let news = topology.addresses.iter().find(|address| address.address == "news").expect("it is there");
    let places: Vec<_> = news.consumers.iter().map(|place| (place.router.as_str(), place.count)).collect();
    assert_eq!(places, [("B", Some(2)), ("S", None)]);
    assert_eq!((news.deliveries_in, news.rates.expect("rates").deliveries_in), (18, 10.0));
    let [web] = topology.services.as_slice() else { panic!("{:?}", topology.services) };
    assert_eq!((web.listeners.len(), web.connectors.len()), (1, 1));
    let problems: Vec<_> = topology.problems.iter().map(|problem| problem.about.as_str()).collect();
    assert_eq!(problems, ["address lost"]);
}
