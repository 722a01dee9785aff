//! Many of everything.

use crate::client::{Client, message, receiver, sender};
use crate::router::Router;

#[test]
fn a_thousand_links_on_a_connection() {
    let router = Router::new(1);
    let mut client = Client::new(router.port);
    let session = client.session.unwrap();
    let (mut senders, mut receivers) = (Vec::new(), Vec::new());
    for n in 0..500 {
        let address = format!("a{n}");
        receivers.push(client.engine.attach(session, receiver(&address, &address), 0).unwrap());
        senders.push(client.engine.attach(session, sender(&address, &address), 0).unwrap());
    }
    client.wait("links", |c| c.attached == 1000);
    for link in receivers {
        client.engine.grant(link, 1);
    }
    for link in senders {
        client.send(link, &message(0, 10), false);
    }
    client.wait("deliveries", |c| c.received.len() == 500 && c.outcomes.len() == 500);
    client.close();
    router.wait_empty();
}

#[test]
fn nothing_is_left_of_many_connections() {
    let router = Router::new(2);
    for round in 0..10 {
        let mut clients: Vec<Client> = (0..50).map(|_| Client::new(router.port)).collect();
        assert_eq!(router.connections().iter().sum::<usize>(), 50);
        let (to, from) = clients.split_at_mut(25);
        for (n, (to, from)) in to.iter_mut().zip(from).enumerate() {
            let address = format!("a{n}");
            to.receiver(&address, 10);
            let link = from.sender(&address);
            from.send(link, &message(0, 100), n % 2 == 0);
            to.wait("delivery", |c| c.received.len() == 1);
        }
        for (n, client) in clients.into_iter().enumerate() {
            // Half of them leave without a word.
            if (n + round) % 2 == 0 {
                client.close();
            }
        }
        router.wait_empty();
    }
    let totals = router.each(amqp_adaptor::AmqpAdaptor::totals);
    assert_eq!(totals.iter().map(|t| t.opened).sum::<u64>(), 500);
    assert_eq!(totals.iter().map(|t| t.closed).sum::<u64>(), 500);
}
