//! Groups of connections: replaced by newer ones, and split by something in between.

use std::sync::Arc;

use amqp_adaptor::{ConnectorConfig, ConnectorState, DataConnections, NeighbourEvent};
use transport::tls::{ClientOptions, SslProfileSettings, TlsClient, TlsProfile};

use super::{Fake, connector, inter_router, roles, start, wait};
use crate::router::{Router, listener};
use crate::tls::Pki;

/// What a router with the certificate of this name connects with.
fn client(pki: &Pki, certificate: Option<&str>) -> Arc<TlsClient> {
    let settings = SslProfileSettings {
        name: "client".to_owned(),
        ca_cert_file: pki.path("ca.pem"),
        cert_file: certificate.and_then(|name| pki.path(&format!("{name}.pem"))),
        private_key_file: certificate.and_then(|name| pki.path(&format!("{name}.key"))),
        ..SslProfileSettings::default()
    };
    let options = ClientOptions { resume: false, ..ClientOptions::default() };
    TlsProfile::load(&settings).unwrap().client(&options).unwrap()
}

fn secure(pki: &Pki, host: &str, port: u16, certificate: Option<&str>) -> ConnectorConfig {
    ConnectorConfig { host: host.to_owned(), tls: Some(client(pki, certificate)), ordinal: Some(0), ..connector(port) }
}

fn server(pki: &Pki) -> Router {
    let mut config = inter_router();
    config.tls = Some(pki.server_profile());
    config.require_tls = true;
    config.authenticate_peer = true;
    config.sasl_mechanisms = vec!["EXTERNAL".to_owned()];
    Router::named("B", 2, config)
}

#[test]
fn routers_prove_who_they_are() {
    let pki = Pki::new();
    let b = server(&pki);
    let a = Router::named("A", 2, listener());
    let up = start(&a, secure(&pki, "localhost", b.port, Some("client")));
    a.control();
    b.control();
    let peers = b.each(amqp_adaptor::AmqpAdaptor::connections).concat();
    assert_eq!((peers[0].identity.user.as_deref(), peers[0].tls), (Some("client"), Some("TLSv1.3")));
    assert_eq!(up.status().state, ConnectorState::Success);
    up.stop();
    a.wait_empty();
    // The certificate is for another name than the one that was connected to.
    let up = start(&a, secure(&pki, "127.0.0.1", b.port, Some("client")));
    let status = wait(&up, "failure", |s| s.failures > 1);
    assert!(status.message.contains("TLS connection failed"), "{status:?}");
    up.stop();
    // None to show.
    let up = start(&a, secure(&pki, "localhost", b.port, None));
    wait(&up, "failure", |s| s.failures > 1);
    up.stop();
    // No TLS at all.
    let up = start(&a, connector(b.port));
    wait(&up, "failure", |s| s.failures > 1);
    up.stop();
    a.wait_empty();
    assert_eq!(up.status().opened, 0);
}

#[test]
fn new_credentials_take_over_and_leave_streams_alone() {
    let pki = Pki::new();
    let b = server(&pki);
    let a = Router::named("A", 1, listener());
    let config = ConnectorConfig {
        data_connections: DataConnections::Exactly(1),
        ..secure(&pki, "localhost", b.port, Some("client"))
    };
    let up = start(&a, config);
    let (old_a, old_b) = (a.control(), b.control());
    b.wait("data connection", |r| r.neighbours.groups_to("A").first().is_some_and(|g| g.data.len() == 1));
    up.renew(7, 0);
    let replaced = |r: &Router, old| {
        r.events().into_iter().find_map(|event| match event {
            NeighbourEvent::ControlUp { conn, replaces: Some(replaced) } if replaced == old => Some(conn),
            _ => None,
        })
    };
    a.wait("take-over", |r| replaced(r, old_a).is_some());
    b.wait("take-over", |r| replaced(r, old_b).is_some());
    // The old connection loses its control links and nothing else.
    let down = |event: &NeighbourEvent| matches!(event, NeighbourEvent::ControlDown { conn, .. } if *conn == old_b);
    b.wait("the end of the old control links", |r| r.events().iter().any(down));
    for (router, peer, old) in [(&a, "B", old_a), (&b, "A", old_b)] {
        router.wait("new group", |r| {
            let groups = r.neighbours.groups_to(peer);
            groups.len() == 1 && groups[0].control != old && groups[0].data.len() == 1
        });
        assert!(router.open_neighbours().iter().any(|info| info.conn == old));
        assert_eq!(roles(&router.open_neighbours()).len(), 4);
    }
    // One that is lost is not made again.
    b.neighbours.close(old_b, amqp_proto::Error::new("amqp:connection:forced", "enough"));
    a.wait("the end of the old connection", |r| roles(&r.open_neighbours()).len() == 3);
    assert_eq!(up.status().state, ConnectorState::Success);
    up.stop();
    a.wait_empty();
    b.wait_empty();
    assert!(!a.events().iter().any(|event| matches!(event, NeighbourEvent::GroupSplit { .. })));
}

#[test]
fn a_connection_made_anew_takes_the_place_of_one_that_is_dead() {
    let b = Router::named("B", 2, inter_router());
    let property = [("qd.group-correlator", amqp_proto::Value::from("abcdefghijklmno"))];
    let first = crate::client::Client::saying(b.port, super::says("F", &property));
    b.wait("neighbour", |r| r.open_neighbours().len() == 1);
    let old = b.open_neighbours().remove(0).conn;
    // The first one is silent: nobody answers its close.
    let second = crate::client::Client::saying(b.port, super::says("F", &property));
    b.wait("the end of the old one", |r| {
        let open = r.open_neighbours();
        open.len() == 1 && open[0].conn != old
    });
    // Another router that happens to use the same word is left alone.
    let third = crate::client::Client::saying(b.port, super::says("G", &property));
    b.wait("another", |r| r.open_neighbours().len() == 2);
    drop((first, second, third));
    b.wait_empty();
}

#[test]
fn an_older_ordinal_is_refused() {
    let b = Router::named("B", 1, inter_router());
    let says = |ordinal: u64| {
        let properties = [
            ("qd.group-correlator", amqp_proto::Value::from("abcdefghijklmno")),
            ("qd.group-ordinal", amqp_proto::Value::Ulong(ordinal)),
        ];
        super::says("F", &properties)
    };
    let first = crate::client::Client::saying(b.port, says(5));
    b.wait("neighbour", |r| r.open_neighbours().len() == 1);
    let mut second = crate::client::Client::saying(b.port, says(4));
    second.wait("refusal", |c| c.closed.is_some());
    assert!(second.closed.clone().flatten().unwrap().to_string().contains("ordinal 5"));
    assert_eq!(b.open_neighbours().len(), 1);
    drop((first, second));
    b.wait_empty();
}

#[test]
fn a_load_balancer_splits_a_group() {
    let fake = Fake::new();
    let a = Router::named("A", 1, listener());
    let config = ConnectorConfig { data_connections: DataConnections::Exactly(1), ..connector(fake.port) };
    let up = start(&a, config);
    let mut control = fake.router("B");
    control.wait("attaches", |c| c.offered.len() == 22);
    let mut data = fake.router("C");
    data.wait("close", |c| c.closed.is_some());
    let split = |event: &NeighbourEvent| matches!(event, NeighbourEvent::GroupSplit { container, expected, .. } if container == "C" && expected == "B");
    a.wait("the split", |r| r.events().iter().any(split));
    // It is tried again, and fits this time.
    let mut data = fake.router("B");
    data.wait("open", |c| c.opened);
    a.wait("data connection", |r| r.open_neighbours().len() == 2);
    assert_eq!(up.status().data, 1);
    up.stop();
    control.wait("close", |c| c.closed.is_some());
    data.wait("close", |c| c.closed.is_some());
    drop((control, data));
    a.wait_empty();
}
