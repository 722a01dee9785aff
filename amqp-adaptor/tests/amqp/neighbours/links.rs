//! Two routers of ours, and clients in the guise of one.

use std::rc::Rc;
use std::sync::{Arc, Mutex};

use amqp_adaptor::{
    ConnectionRole, Conns, ControlMessage, DataConnections, LinkPurpose, MAX_CONTROL_MESSAGE, NeighbourEvent,
    NeighbourLinks, StreamLinkError,
};
use amqp_proto::{DeliveryState, Role, Value, condition};
use bytes::Bytes;
use router_core::{Core, LinkRef};

use super::{connector, inter_router, roles, router_link, says, start};
use crate::client::{self, Client};
use crate::router::{Router, listener};

fn messages(router: &Router) -> Vec<Bytes> {
    let message = |event| match event {
        NeighbourEvent::Control { message, .. } => Some(message),
        _ => None,
    };
    router.events().into_iter().filter_map(message).collect()
}

fn plain(bytes: impl Into<Bytes>) -> ControlMessage {
    ControlMessage { bytes: bytes.into(), hello: false }
}

#[test]
fn two_routers_become_neighbours() {
    let b = Router::named("B", 2, inter_router());
    let a = Router::named("A", 2, listener());
    let up = start(&a, connector(b.port));
    let (at_a, at_b) = (a.control(), b.control());
    let (from, to) = (a.open_neighbours().remove(0), b.open_neighbours().remove(0));
    assert_eq!((from.container.as_str(), from.outgoing, from.via.as_ref()), ("B", true, "up"));
    assert_eq!((to.container.as_str(), to.outgoing, to.via.as_ref()), ("A", false, "test"));
    for info in [&from, &to] {
        assert_eq!((info.role, info.ours), (ConnectionRole::InterRouter, true));
        assert!(info.streaming_links && info.trunking);
    }
    // The listener's cost of 3 is not told to A, which has it from B's open.
    assert_eq!((from.cost.larger(), to.cost.larger()), (3, 3));
    // All 22 links, of the same priority at both ends.
    for (router, conn) in [(&a, at_a), (&b, at_b)] {
        router.wait("all links", |r| {
            r.on(conn, move |adaptor| adaptor.neighbour_links(conn)).is_some_and(|table| {
                let data = table.data_in.iter().chain(&table.data_out).all(Option::is_some);
                data && table.control_in.is_some() && table.control_out.is_some()
            })
        });
    }
    // Messages both ways: a long one, and more than there is credit for.
    a.neighbours.send_control(at_a, plain(vec![7; 300_000]));
    for n in 0..2000u32 {
        a.neighbours.send_control(at_a, plain(n.to_be_bytes().to_vec()));
        b.neighbours.send_control(at_b, plain(n.to_be_bytes().to_vec()));
    }
    b.wait("messages", |r| messages(r).len() == 2001);
    a.wait("messages", |r| messages(r).len() == 2000);
    assert_eq!(messages(&b).remove(0).len(), 300_000);
    let numbers = (0..2000u32).map(|n| Bytes::from(n.to_be_bytes().to_vec()));
    assert!(messages(&b).into_iter().skip(1).eq(numbers.clone()) && messages(&a).into_iter().eq(numbers));
    // One that is too large is not passed on, and does no harm.
    a.neighbours.send_control(at_a, plain(vec![7; MAX_CONTROL_MESSAGE + 1]));
    a.neighbours.send_control(at_a, plain(vec![9; MAX_CONTROL_MESSAGE]));
    b.wait("the next message", |r| messages(r).len() == 2002);
    assert_eq!(messages(&b).pop().unwrap()[0], 9);
    up.stop();
    a.wait_empty();
    b.wait_empty();
    for router in [&a, &b] {
        router.wait("the end of neighbours", |r| r.open_neighbours().is_empty());
    }
}

/// What a forwarding plane is told.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    fn note(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn has(&self, what: &str) -> bool {
        self.all().iter().any(|seen| seen == what)
    }

    fn watch(&self, router: &Router) {
        let seen = self.clone();
        router.each(move |adaptor| adaptor.set_neighbour_links(Rc::new(seen.clone())));
    }
}

impl NeighbourLinks for Seen {
    fn opened(&self, _: &mut Core, _: &mut Conns, info: &amqp_adaptor::NeighbourInfo) {
        self.note(format!("{} opened", info.role));
    }
    fn attached(&self, _: &mut Core, _: &mut Conns, _: LinkRef, purpose: LinkPurpose, role: Role) {
        self.note(format!("{purpose:?} {role:?}"));
    }
    fn credit(&self, _: &mut Core, _: &mut Conns, _: LinkRef, purpose: LinkPurpose, credit: u32) {
        self.note(format!("{purpose:?} credit {credit}"));
    }
    fn detached(&self, _: &mut Core, _: &mut Conns, _: LinkRef, purpose: LinkPurpose, role: Role) {
        self.note(format!("{purpose:?} {role:?} detached"));
    }
    fn closed(&self, _: &mut Core, _: &mut Conns, _: amqp_adaptor::NeighbourConn) {
        self.note("closed".to_owned());
    }
}

#[test]
fn the_forwarding_plane_is_told_about_links() {
    let b = Router::named("B", 1, inter_router());
    let a = Router::named("A", 1, listener());
    let (here, there) = (Seen::default(), Seen::default());
    here.watch(&a);
    there.watch(&b);
    let config = amqp_adaptor::ConnectorConfig {
        data_connections: DataConnections::Auto,
        link_capacity: Some(17),
        ..connector(b.port)
    };
    let up = start(&a, config);
    a.wait("data connection", |r| roles(&r.open_neighbours()).len() == 2);
    b.wait("data connection", |r| {
        roles(&r.open_neighbours()) == [ConnectionRole::InterRouter, ConnectionRole::InterRouterData]
    });
    // The connecting side gives 17 credits, the other the default.
    for priority in 0..10 {
        a.wait("credit", |_| here.has(&format!("Data({priority}) credit 250")));
        b.wait("credit", |_| there.has(&format!("Data({priority}) credit 17")));
    }
    // A link for a stream on each connection, from either side.
    for (router, seen, credit) in [(&a, &here, 250), (&b, &there, 17)] {
        for info in router.open_neighbours() {
            router.wait("stream link", |r| {
                r.on(info.conn, move |adaptor| adaptor.open_stream_link(info.conn)) != Err(StreamLinkError::NotReady)
            });
        }
        router.wait("stream links", |_| {
            seen.all().iter().filter(|what| **what == format!("Stream credit {credit}")).count() >= 2
        });
    }
    let groups = a.neighbours.groups_to("B");
    assert_eq!((groups.len(), groups[0].control, groups[0].data.len()), (1, a.control(), 1));
    b.wait("group", |r| r.neighbours.groups_to("A").first().is_some_and(|group| group.data.len() == 1));
    assert!(a.neighbours.groups_to("A").is_empty());
    up.stop();
    a.wait("end", |_| here.all().iter().filter(|what| *what == "closed").count() == 2);
    let gone = a.control();
    assert_eq!(a.on(gone, move |adaptor| adaptor.open_stream_link(gone)), Err(StreamLinkError::NoConnection));
    assert!(a.neighbours.groups_to("B").is_empty());
}

#[test]
fn what_a_foreign_router_attaches() {
    let b = Router::named("B", 1, inter_router());
    let mut peer = Client::saying(b.port, says("F", &[("qd.inter-router-cost", Value::Int(9))]));
    let open = peer.open.take().unwrap();
    assert_eq!((open.container_id.as_str(), open.offered_capabilities.contains("qd.connection_trunking")), ("B", true));
    b.wait("neighbour", |r| r.open_neighbours().len() == 1);
    let info = b.open_neighbours().remove(0);
    assert_eq!((info.cost.larger(), info.ours, info.version.as_str()), (9, false, "9"));
    // Endpoints have no business here, neither before nor after the control links.
    peer.attach(client::sender("early", "a"));
    peer.wait("refusal", |c| c.detached.len() == 1);
    assert_eq!(peer.detached[0].as_ref().unwrap().condition.as_str(), "qd:connection-role");
    // Data first: only the order among their own counts.
    let data = peer.attach(router_link("d0", Role::Sender, Some("qd.router-data")));
    peer.attach(router_link("c1", Role::Receiver, Some("qd.router")));
    assert!(b.control_up().is_none());
    let control = peer.attach(router_link("c2", Role::Sender, Some("qd.router")));
    b.control();
    peer.attach(router_link("c3", Role::Sender, Some("qd.router")));
    peer.wait("refusal", |c| c.detached.len() == 2);
    assert_eq!(peer.detached[1].as_ref().unwrap().condition.as_str(), condition::NOT_ALLOWED);
    peer.wait("credit", |c| c.engine.link_credit(control) == 250 && c.engine.link_credit(data) == 250);
    // A control message need not be settled, and data goes where it says, which this does not.
    peer.send(control, b"hello", false);
    peer.send(data, &client::message(0, 100_000), false);
    peer.wait("outcomes", |c| c.outcomes.len() == 2);
    assert!(peer.outcomes.contains(&Some(DeliveryState::Accepted)));
    assert!(peer.outcomes.iter().any(|outcome| matches!(outcome, Some(DeliveryState::Rejected(_)))));
    b.wait("message", |r| messages(r) == [Bytes::from_static(b"hello")]);
    for _ in 0..300 {
        peer.send(data, b"settled", true);
        peer.send(control, b"settled", true);
    }
    b.wait("messages", |r| messages(r).len() == 301);
    // The link goes, the connection stays.
    peer.engine.detach(control, true, None);
    let down = |event: &NeighbourEvent| matches!(event, NeighbourEvent::ControlDown { .. });
    peer.write();
    b.wait("the loss of the control link", |r| r.events().iter().any(down));
    peer.close();
    b.wait("the end", |r| r.open_neighbours().is_empty());
    b.wait_empty();
}

#[test]
fn a_data_connection() {
    let b = Router::named("B", 1, inter_router());
    let properties = [
        ("qd.inter-router-role", Value::Int(4)),
        ("qd.group-correlator", Value::from("abcdefghijklmno")),
        ("qd.group-ordinal", Value::Ulong(5)),
    ];
    let mut peer = Client::saying(b.port, says("F", &properties));
    b.wait("neighbour", |r| r.open_neighbours().len() == 1);
    let info = b.open_neighbours().remove(0);
    assert_eq!((info.role, info.ordinal), (ConnectionRole::InterRouterData, 5));
    peer.attach(router_link("c", Role::Sender, Some("qd.router")));
    peer.wait("refusal", |c| c.detached.len() == 1);
    assert_eq!(peer.detached[0].as_ref().unwrap().condition.as_str(), "qd:forbidden");
    let stream = peer.attach(router_link("s", Role::Sender, None));
    peer.wait("credit", |c| c.engine.link_credit(stream) == 250);
    peer.send_part(stream, b"a stream without end");
    peer.engine.detach(stream, true, None);
    // The other way round.
    let conn = info.conn;
    peer.offered.clear();
    b.on(conn, move |adaptor| adaptor.open_stream_link(conn)).unwrap();
    b.on(conn, move |adaptor| adaptor.open_stream_link(conn)).unwrap();
    peer.wait("links", |c| c.offered.len() == 2);
    assert_eq!(peer.offered[0].session, peer.offered[1].session, "others take all streams in one session");
    assert!(!b.events().iter().any(|event| matches!(event, NeighbourEvent::ControlUp { .. })));
    peer.close();
    b.wait_empty();
}

#[test]
fn clients_get_no_links_of_routers() {
    let router = Router::new(1);
    let mut client = Client::new(router.port);
    for (n, capability) in ["qd.router", "qd.router-data"].into_iter().enumerate() {
        client.attach(router_link(capability, Role::Sender, Some(capability)));
        client.wait("refusal", |c| c.detached.len() == n + 1);
        assert_eq!(client.detached[n].as_ref().unwrap().condition.as_str(), "qd:forbidden");
    }
    client.close();
    router.wait_empty();
}
