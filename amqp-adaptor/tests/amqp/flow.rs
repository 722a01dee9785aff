//! Deliveries on their way.

use amqp_proto::DeliveryState;

use crate::client::{Client, message, number};
use crate::router::Router;

fn accepted(client: &Client, n: usize) -> bool {
    client.outcomes.iter().filter(|s| **s == Some(DeliveryState::Accepted)).count() == n
}

#[test]
fn sender_and_receiver_share_a_connection() {
    let router = Router::new(1);
    let mut client = Client::new(router.port);
    client.receiver("a", 10);
    let to = client.sender("a");
    for n in 0..5 {
        client.send(to, &message(n, 100_000), false);
    }
    client.wait("outcomes", |c| accepted(c, 5));
    assert!(client.received.iter().map(|m| number(m)).eq(0..5));
    assert!(client.received.iter().all(|m| m.len() == 100_012));
    client.close();
    router.wait_empty();
}

#[test]
fn deliveries_cross_workers_both_ways() {
    let router = Router::new(2);
    let mut clients: Vec<Client> = (0..16).map(|_| Client::new(router.port)).collect();
    assert_eq!(router.connections(), [8, 8]);
    for (from, to) in [(0, 15), (15, 0), (3, 4)] {
        let address = format!("from{from}");
        clients[to].receiver(&address, 10);
        let link = clients[from].sender(&address);
        for n in 0..10 {
            clients[from].send(link, &message(n, 1000), false);
        }
        clients[to].wait("deliveries", |c| c.received.len() == 10);
        clients[to].write();
        clients[from].wait("outcomes", |c| accepted(c, 10));
        assert!(clients[to].received.drain(..).map(|m| number(&m)).eq(0..10));
        clients[from].outcomes.clear();
    }
    clients.into_iter().for_each(Client::close);
    router.wait_empty();
}

/// The consumer gives credit for everything, but reads nothing until its connection is full. Others are served meanwhile.
fn a_consumer_that_does_not_read(workers: u16) {
    const COUNT: u32 = 4000;
    let router = Router::new(workers);
    let mut slow = Client::new(router.port);
    slow.receiver("slow", COUNT);
    let others: Vec<Client> = (0..12).map(|_| Client::new(router.port)).collect();
    let mut from = Client::new(router.port);
    let link = from.sender("slow");
    let producer = std::thread::spawn(move || {
        for n in 0..COUNT {
            from.send(link, &message(n, 8000), true);
        }
        from
    });
    router.wait("the slow consumer's limit", |r| r.bytes_held() > 0);
    let mut quick = Client::new(router.port);
    quick.receiver("quick", 100);
    let to = quick.sender("quick");
    for n in 0..100 {
        quick.send(to, &message(n, 10), false);
    }
    quick.wait("outcomes", |c| accepted(c, 100));
    assert!(router.bytes_held() < 4 << 20, "{} bytes held", router.bytes_held());
    assert!(slow.received.is_empty() && !producer.is_finished());
    slow.wait("all deliveries", |c| c.received.len() == COUNT as usize);
    assert!(slow.received.iter().map(|m| number(m)).eq(0..COUNT));
    producer.join().unwrap().close();
    slow.close();
    quick.close();
    others.into_iter().for_each(Client::close);
    router.wait_empty();
}

#[test]
fn a_slow_consumer_loses_nothing_and_holds_up_nobody() {
    a_consumer_that_does_not_read(1);
}

#[test]
fn a_slow_consumer_of_another_worker_loses_nothing() {
    a_consumer_that_does_not_read(2);
}

#[test]
fn what_a_killed_consumer_did_not_settle_is_modified() {
    let router = Router::new(2);
    let mut clients: Vec<Client> = (0..16).map(|_| Client::new(router.port)).collect();
    for other in [1, 15] {
        let mut to = Client::new(router.port);
        to.outcome = None;
        let address = format!("killed{other}");
        to.receiver(&address, 10);
        let from = &mut clients[other];
        let link = from.sender(&address);
        for n in 0..3 {
            from.send(link, &message(n, 50_000), false);
        }
        to.wait("deliveries", |c| c.received.len() == 3);
        drop(to);
        from.wait("outcomes", |c| c.outcomes.len() == 3);
        assert!(from.outcomes.drain(..).all(|s| s == Some(DeliveryState::modified(true, false))));
    }
    clients.into_iter().for_each(Client::close);
    router.wait_empty();
}

#[test]
fn what_a_killed_sender_did_not_finish_is_aborted() {
    let router = Router::new(2);
    let mut clients: Vec<Client> = (0..16).map(|_| Client::new(router.port)).collect();
    for other in [1, 15] {
        let to = &mut clients[other];
        let address = format!("aborted{other}");
        to.receiver(&address, 10);
        let mut from = Client::new(router.port);
        let link = from.sender(&address);
        from.send_part(link, &message(0, 40_000)[..30_000]);
        to.wait("first frames", |c| c.frames > 0);
        drop(from);
        to.wait("abort", |c| c.aborted == 1);
        assert!(to.received.is_empty());
    }
    clients.into_iter().for_each(Client::close);
    router.wait_empty();
}
