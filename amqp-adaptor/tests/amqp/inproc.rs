//! Code of the router that consumes and sends like any client.

use std::sync::mpsc;

use amqp_adaptor::{ConsumerId, Incoming, MAX_MESSAGE};
use amqp_proto::message::Message;
use amqp_proto::{DeliveryState, Encode as _, condition};
use bytes::Bytes;
use transport::{MailReceiver, mailbox};

use crate::client::{Client, message, number};
use crate::router::Router;

/// The messages that a consumer is sent.
struct Inbox(MailReceiver<Incoming>, ConsumerId);

impl Inbox {
    fn new(router: &Router, address: &'static str, name: u32) -> Self {
        let (to, inbox) = mailbox();
        let consume = move |adaptor: &amqp_adaptor::AmqpAdaptor| adaptor.consume(address, name, to.clone());
        Self(inbox, router.on_first(consume).unwrap())
    }

    fn take(&mut self) -> Vec<Incoming> {
        let mut messages = Vec::new();
        self.0.try_drain(&mut messages);
        messages
    }

    /// Drops what comes until there were so many; answers their numbers.
    fn wait(&mut self, router: &Router, count: usize) -> Vec<u32> {
        let mut numbers = Vec::new();
        let cell = std::cell::RefCell::new((self, &mut numbers));
        router.wait("messages for the router", |_| {
            let (inbox, numbers) = &mut *cell.borrow_mut();
            numbers.extend(inbox.take().iter().map(|incoming| number(&incoming.message)));
            numbers.len() >= count
        });
        numbers
    }
}

fn settled(client: &mut Client, count: usize) {
    client.wait("outcomes", |c| c.outcomes.len() >= count);
}

fn to(address: &str, body: &str) -> Bytes {
    let message = Message::data(body.to_owned()).to(address);
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes.into()
}

#[test]
fn messages_of_all_workers_reach_the_consumer() {
    let router = Router::new(3);
    let mut inbox = Inbox::new(&router, "_local/agent", 9);
    let mut clients: Vec<Client> = (0..12).map(|_| Client::new(router.port)).collect();
    let addresses = ["_local/agent", "_topo/0/router/agent", "_edge/router/agent"];
    let links: Vec<_> = clients.iter_mut().enumerate().map(|(at, client)| client.sender(addresses[at % 3])).collect();
    // More than the consumer's credit in all.
    for round in 0..20 {
        for (at, (client, link)) in clients.iter_mut().zip(&links).enumerate() {
            client.send(*link, &message(round * 12 + at as u32, 10), round % 2 == 0);
        }
        let mut numbers = inbox.wait(&router, 12);
        numbers.sort_unstable();
        assert_eq!(numbers, (round * 12..round * 12 + 12).collect::<Vec<_>>());
    }
    for client in &mut clients {
        settled(client, 10);
        assert!(client.outcomes.iter().all(|state| *state == Some(DeliveryState::Accepted)));
    }
    // It is nobody's connection and nobody's link.
    let handles: usize = router.each(|adaptor| adaptor.link_handles().len()).iter().sum();
    assert_eq!(handles, 12);
    let status = router.each(|adaptor| adaptor.with_core(|core, _| core.address_status("Lagent"))).remove(0).unwrap();
    assert_eq!((status.in_process, status.outlets, status.to_container), (1, 0, 240));
    assert_eq!(router.counters().iter().map(|c| c.connections).sum::<u64>(), 12);
    clients.into_iter().for_each(Client::close);
    let id = inbox.1;
    router.on_first(move |adaptor| adaptor.stop_consuming(id));
    router.wait_empty();
}

#[test]
fn what_nobody_took_yet_holds_the_senders_back() {
    let router = Router::new(1);
    let mut inbox = Inbox::new(&router, "work", 1);
    let mut client = Client::new(router.port);
    let link = client.sender("work");
    for n in 0..100 {
        client.send(link, &message(n, 10), false);
    }
    settled(&mut client, 64);
    client.step();
    let mut held = inbox.take();
    assert_eq!((held.len(), client.outcomes.len()), (64, 64));
    assert_eq!(held[0].consumer, 1);
    // Each that is dropped lets another come.
    held.truncate(54);
    settled(&mut client, 74);
    drop(held);
    settled(&mut client, 100);
    assert_eq!(inbox.take().len(), 36);
    client.close();
}

#[test]
fn messages_come_whole_or_not_at_all() {
    let router = Router::new(1);
    let mut inbox = Inbox::new(&router, "work", 1);
    let mut client = Client::new(router.port);
    let link = client.sender("work");
    // Headers and number take 12 bytes.
    client.send(link, &message(1, MAX_MESSAGE as u32 - 12), false);
    client.send(link, &message(2, MAX_MESSAGE as u32), false);
    client.send(link, &message(3, 0), false);
    settled(&mut client, 3);
    let sizes: Vec<usize> = inbox.take().iter().map(|incoming| incoming.message.len()).collect();
    assert_eq!(sizes, [MAX_MESSAGE, 12]);
    let rejected: Vec<_> = client.outcomes.iter().filter(|state| **state != Some(DeliveryState::Accepted)).collect();
    let [Some(DeliveryState::Rejected(_))] = rejected[..] else { panic!("{rejected:?}") };
    let text = format!("{:?}", rejected[0]);
    assert!(text.contains(condition::LINK_MESSAGE_SIZE_EXCEEDED), "{text}");

    // Half a message, and then none.
    for _ in 0..100 {
        let mut other = Client::new(router.port);
        let link = other.sender("work");
        other.send_part(link, &message(4, 100));
        drop(other);
    }
    router.wait("the end of the others", |r| r.connections() == [1]);
    client.send(link, &message(5, 0), false);
    settled(&mut client, 4);
    assert_eq!(inbox.wait(&router, 1), [5]);
    client.close();
}

#[test]
fn the_router_sends_to_its_clients() {
    let router = Router::new(2);
    let mut clients: Vec<Client> = (0..12).map(|_| Client::new(router.port)).collect();
    let links: Vec<_> =
        clients.iter_mut().enumerate().map(|(at, client)| client.receiver(&format!("client-{at}"), 1)).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        let message = to(&format!("client-{at}"), "hello");
        let sent = message.clone();
        router.on_first(move |adaptor| adaptor.inject(&sent, None));
        client.wait("message", |c| c.received.len() == 1);
        assert_eq!(client.received[0], message);
    }
    // A message of many frames, which waits for credit.
    let client = &mut clients[0];
    let large = to("client-0", &"x".repeat(3_000_000));
    let sent = large.clone();
    router.on_first(move |adaptor| adaptor.inject(&sent, None));
    client.engine.grant(links[0], 1);
    client.wait("the large message", |c| c.received.len() == 2);
    assert!(client.received[1] == large);
    clients.into_iter().for_each(Client::close);
    router.wait_empty();
}

#[test]
fn outcomes_are_reported() {
    let router = Router::new(2);
    let outcome = |address: &str| {
        let (told, outcome) = mpsc::channel();
        let message = to(address, "x");
        router.on_first(move |adaptor| {
            let told = told.clone();
            adaptor.inject(&message, Some(Box::new(move |state| told.send(state.cloned()).unwrap())));
        });
        outcome
    };
    assert_eq!(outcome("nobody").recv().unwrap(), Some(DeliveryState::Released));
    let mut client = Client::new(router.port);
    client.receiver("somebody", 10);
    let accepted = outcome("somebody");
    client.wait("message", |c| c.received.len() == 1);
    client.write();
    assert_eq!(accepted.recv_timeout(crate::router::LIMIT).unwrap(), Some(DeliveryState::Accepted));
    // A receiver that goes without a word.
    client.outcome = None;
    let lost = outcome("somebody");
    client.wait("message", |c| c.received.len() == 2);
    client.close();
    let state = lost.recv_timeout(crate::router::LIMIT).unwrap();
    assert!(matches!(state, Some(DeliveryState::Modified { .. })), "{state:?}");
    router.wait_empty();
}

#[test]
fn a_consumer_that_ends_releases_its_senders() {
    let router = Router::new(2);
    let inbox = Inbox::new(&router, "work", 1);
    let mut client = Client::new(router.port);
    let link = client.sender("work");
    client.send(link, &message(1, 0), false);
    settled(&mut client, 1);
    let id = inbox.1;
    router.on_first(move |adaptor| adaptor.stop_consuming(id));
    // Messages that nobody can have any more are dropped, which gives credit to nobody.
    drop(inbox);
    client.send(link, &message(2, 0), false);
    settled(&mut client, 2);
    assert_eq!(client.outcomes, [Some(DeliveryState::Accepted), Some(DeliveryState::Released)]);
    client.close();
    router.wait_empty();
}
