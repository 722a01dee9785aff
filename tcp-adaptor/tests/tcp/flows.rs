//! One flow: bytes, ends, resets, back-pressure.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use crate::support::peers::{Server, echo, pattern, read_n, read_to_end, read_to_reset, reset};
use crate::support::{Router, client, eventually};

#[test]
fn echoes_large_data_in_both_directions() {
    let (router, addr) = Router::simple(&[echo("")]);
    let data = pattern(8 << 20);
    let mut reader = client(addr);
    let mut writer = reader.try_clone().unwrap();
    let sent = data.clone();
    let sending = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    assert!(read_to_end(&mut reader) == data);
    sending.join().unwrap();
    drop(reader);
    eventually("the flow is gone", || router.flows() == 0);
    let totals = router.listener_totals("in");
    assert_eq!((totals.connections_opened, totals.connections_closed, totals.connections_failed), (1, 1, 0));
    assert_eq!((totals.bytes_in, totals.bytes_out), (8 << 20, 8 << 20));
    assert_eq!(totals, router.connector_totals("out0"));
}

#[test]
fn the_server_may_speak_first() {
    let (_router, addr) = Router::simple(&[echo("220 ready\r\n")]);
    let mut client = client(addr);
    assert_eq!(read_n(&mut client, 11), b"220 ready\r\n");
}

#[test]
fn counts_bytes_of_open_flows() {
    let (router, addr) = Router::simple(&[echo("hello")]);
    let mut client = client(addr);
    client.write_all(b"123").unwrap();
    read_n(&mut client, 8);
    eventually("the bytes are counted", || router.listener_totals("in").bytes_out == 8);
    let totals = router.listener_totals("in");
    assert_eq!((totals.bytes_in, totals.connections_opened, totals.connections_closed), (3, 1, 0));
    assert_eq!(router.connector_totals("out0").bytes_in, 8);
    assert_eq!(router.connector_totals("out0").bytes_out, 3);
}

#[test]
fn a_client_that_ended_still_receives() {
    let server = Server::start();
    let (router, addr) = Router::simple(&[server.addr]);
    let mut client = client(addr);
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut served = server.accept();
    assert_eq!(read_to_end(&mut served), b"question");
    let answer = pattern(3 << 20);
    let sent = answer.clone();
    let sending = std::thread::spawn(move || served.write_all(&sent).unwrap());
    assert!(read_to_end(&mut client) == answer);
    sending.join().unwrap();
    eventually("the flow is gone", || router.flows() == 0);
}

#[test]
fn a_server_that_ended_still_receives() {
    let server = Server::start();
    let (router, addr) = Router::simple(&[server.addr]);
    let mut client = client(addr);
    let mut served = server.accept();
    served.write_all(b"all I have").unwrap();
    served.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut client), b"all I have");
    let data = pattern(3 << 20);
    let sent = data.clone();
    let sending = std::thread::spawn(move || client.write_all(&sent).unwrap());
    assert!(read_to_end(&mut served) == data);
    sending.join().unwrap();
    eventually("the flow is gone", || router.flows() == 0);
}

#[test]
fn a_reset_of_the_client_reaches_the_server() {
    let server = Server::start();
    let (router, addr) = Router::simple(&[server.addr]);
    let mut client = client(addr);
    client.write_all(b"half a").unwrap();
    let mut served = server.accept();
    assert_eq!(read_n(&mut served, 6), b"half a");
    reset(client);
    assert_eq!(read_to_reset(&mut served), b"");
    eventually("the flow is gone", || router.flows() == 0);
}

#[test]
fn a_reset_of_the_server_reaches_the_client() {
    let server = Server::start();
    let (_router, addr) = Router::simple(&[server.addr]);
    let mut client = client(addr);
    let mut served = server.accept();
    served.write_all(b"half an answer").unwrap();
    assert_eq!(read_n(&mut client, 14), b"half an answer");
    reset(served);
    assert_eq!(read_to_reset(&mut client), b"");
}

#[test]
fn a_server_that_dies_in_mid_transfer_resets_the_client() {
    let server = Server::start();
    let (router, addr) = Router::simple(&[server.addr]);
    let mut client = client(addr);
    let mut served = server.accept();
    // As when its process is killed with data unread: the kernel aborts the connection.
    client.write_all(b"never read").unwrap();
    eventually("the server has it", || router.connector_totals("out0").bytes_out == 10);
    served.write_all(&pattern(100_000)).unwrap();
    eventually("the answer is under way", || router.listener_totals("in").bytes_out > 0);
    drop(served);
    assert!(read_to_reset(&mut client).len() <= 100_000);
    eventually("the flow is gone", || router.flows() == 0);
}

#[test]
fn an_early_answer_arrives_though_the_request_does_not() {
    let server = Server::start();
    let (_router, addr) = Router::simple(&[server.addr]);
    let mut client = client(addr);
    let mut served = server.accept();
    client.write_all(&pattern(1 << 20)).unwrap();
    read_n(&mut served, 1000);
    served.write_all(b"413").unwrap();
    // Closing with unread data resets, but only after what was written.
    drop(served);
    assert_eq!(read_to_reset(&mut client), b"413");
}

#[test]
fn a_slow_reader_stops_the_writer() {
    let server = Server::start();
    let (router, addr) = Router::simple(&[server.addr]);
    let mut client = client(addr);
    let mut served = server.accept();
    let data = pattern(64 << 20);
    let sent = data.clone();
    let sending = std::thread::spawn(move || {
        client.write_all(&sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        client
    });
    // Nobody reads: everything stands still once the kernel's buffers are full.
    let mut last = 0;
    eventually("the flow stands still", || {
        std::thread::sleep(Duration::from_millis(50));
        let now = router.listener_totals("in").bytes_in;
        std::mem::replace(&mut last, now) == now && now > 0
    });
    let held = router.listener_totals("in").bytes_in - router.connector_totals("out0").bytes_out;
    assert!(held <= 512 * 1024, "{held} bytes held");
    assert!(last < 64 << 20);
    assert!(read_to_end(&mut served) == data);
    drop(sending.join().unwrap());
}

#[test]
fn a_client_that_dies_while_the_server_does_not_read_is_noticed() {
    let server = Server::start();
    let (router, addr) = Router::simple(&[server.addr]);
    let client = client(addr);
    let served = server.accept();
    client.set_nonblocking(true).unwrap();
    let block = pattern(1 << 16);
    // Until every buffer on the way is full, and stays so.
    let mut quiet = 0;
    while quiet < 50 {
        let blocked = match (&client).write(&block) {
            Ok(n) => n == 0,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                true
            }
        };
        quiet = if blocked { quiet + 1 } else { 0 };
        std::thread::sleep(Duration::from_millis(if blocked { 2 } else { 0 }));
    }
    reset(client);
    eventually("the flow is reset", || router.flows() == 0);
    drop(served);
}

#[test]
fn a_reset_reaches_a_server_that_ended_before() {
    let server = Server::start();
    let (router, addr) = Router::simple(&[server.addr]);
    let mut client = client(addr);
    let served = server.accept();
    served.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut client), b"");
    reset(client);
    let mut served = served;
    assert_eq!(read_to_reset(&mut served), b"");
    eventually("the flow is gone", || router.flows() == 0);
}

#[test]
fn a_thousand_flows_at_once() {
    let server = Server::start();
    let (router, addr) = Router::simple(&[server.addr]);
    let pairs: Vec<_> = (0..1000_u32).map(|_| (client(addr), server.accept())).collect();
    assert_eq!(router.flows(), 1000);
    for (index, (client, served)) in pairs.iter().enumerate() {
        let mut client = client;
        client.write_all(&(index as u32).to_be_bytes()).unwrap();
        let mut served = served;
        served.write_all(b"ok").unwrap();
    }
    for (index, (client, served)) in pairs.iter().enumerate() {
        let (mut client, mut served) = (client, served);
        let mut number = [0; 4];
        served.read_exact(&mut number).unwrap();
        assert_eq!(u32::from_be_bytes(number) as usize, index);
        let mut ok = [0; 2];
        client.read_exact(&mut ok).unwrap();
    }
    drop(pairs);
    eventually("all flows are gone", || router.flows() == 0);
    assert_eq!(router.listener_totals("in").bytes_in, 4000);
}
