//! TCP programs whose client or server, or both, are at edge routers.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use conformance::agent::Agent;
use conformance::ports::free_port;
use conformance::tcp::peers::{Server, client, echo, greeting, read_n, read_to_end, read_to_reset, reset};
use conformance::tcp::{Nginx, curl, is_refused, is_reset, open_dir, pattern, run, wait_closed, wait_listening, wrk};
use conformance::{Config, PATIENCE, Router, wait_for};

/// E1 - A - B - E3, and E2 at A like E1.
const ROUTERS: [&str; 5] = ["E1", "E2", "A", "B", "E3"];

/// Where a client and its server are: on two edges of one interior router, and of two; on an edge and an interior router next to it, and
/// beyond; the same the other way; and both on one edge.
const PLACES: [(usize, usize); 7] = [(0, 1), (0, 4), (0, 2), (0, 3), (2, 0), (3, 0), (0, 0)];

struct Network(Vec<Option<Router>>);

impl Network {
    /// `extend` adds to the configuration of each router. Waits until everybody on the ports that it answers listens, which needs the whole way.
    fn start(extend: impl FnOnce(&mut [Config]) -> Vec<u16>) -> (Self, Vec<u16>) {
        let is_edge = |name: &&&str| name.starts_with('E');
        let mut configs: Vec<Config> = ROUTERS
            .iter()
            .map(|name| if is_edge(&name) { Config::edge(name) } else { Config::interior(name) })
            .collect();
        let (of_a, of_b, between) = (free_port(), free_port(), free_port());
        configs[2].accept_edges(of_a).accept_routers(between);
        configs[3].accept_edges(of_b).connect_router(between);
        configs[0].uplink(of_a);
        configs[1].uplink(of_a);
        configs[4].uplink(of_b);
        let ports = extend(&mut configs);
        let network = Self(configs.into_iter().map(|config| Some(config.start())).collect());
        ports.iter().for_each(|port| wait_listening(*port));
        (network, ports)
    }

    /// One service for each of the places: what they are called, and the port of the client's listener.
    fn placed(server: impl Fn() -> u16) -> (Self, Vec<(String, u16)>) {
        let (network, ports) = Self::start(|configs| {
            let mut ports = Vec::new();
            for (n, (near, far)) in PLACES.into_iter().enumerate() {
                let address = format!("service-{n}");
                configs[far].tcp_connector(&address, server(), &[("name", &address)]);
                ports.push(configs[near].tcp_listener(&address, &[]));
            }
            ports
        });
        let names = PLACES.iter().map(|(near, far)| format!("{} to {}", ROUTERS[*near], ROUTERS[*far]));
        (network, names.zip(ports).collect())
    }
}

#[test]
fn every_placement_of_client_and_server() {
    let mut ports = Vec::new();
    let (_network, _) = Network::start(|configs| {
        for (server, name) in ROUTERS.into_iter().enumerate() {
            let address = format!("service-{name}");
            configs[server].tcp_connector(&address, echo(name), &[]);
            for config in &mut *configs {
                ports.push((config.tcp_listener(&address, &[]), name));
            }
        }
        ports.iter().map(|(port, _)| *port).collect()
    });
    for _ in 0..3 {
        for (port, name) in &ports {
            assert_eq!(greeting(*port), *name);
        }
    }
    let mut open: Vec<(TcpStream, &str)> = ports.iter().map(|(port, name)| (client(*port), *name)).collect();
    for (near, name) in &mut open {
        assert_eq!(read_n(near, name.len()), name.as_bytes());
        near.write_all(b"what a server hears it says").unwrap();
        assert_eq!(read_n(near, 27), b"what a server hears it says");
    }
}

/// Five edges on one interior router: each is reached from each, and from the middle.
#[test]
fn a_star_of_edges() {
    let names = ["E1", "E2", "E3", "E4", "E5"];
    let uplink = free_port();
    let mut middle = Config::interior("A");
    middle.accept_edges(uplink);
    let mut configs: Vec<Config> = std::iter::once(middle).chain(names.map(Config::edge)).collect();
    let mut ports = Vec::new();
    for (n, name) in names.into_iter().enumerate() {
        configs[n + 1].uplink(uplink).tcp_connector(name, echo(name), &[]);
        ports.extend(configs.iter_mut().map(|config| (config.tcp_listener(name, &[]), name)));
    }
    let _routers: Vec<Router> = configs.into_iter().map(Config::start).collect();
    ports.iter().for_each(|(port, _)| wait_listening(*port));
    for (port, name) in ports {
        assert_eq!(greeting(port), name);
    }
}

#[test]
fn nginx_and_curl() {
    let dir = open_dir();
    let (nginx, content) = Nginx::with_big(dir.path(), None);
    let (_network, ports) = Network::placed(|| nginx.plain);
    let copy = dir.path().join("copy");
    for (name, port) in ports {
        let url = format!("http://127.0.0.1:{port}");
        run(dir.path(), curl(&format!("{url}/big")).arg("--output").arg(&copy)).success();
        assert!(std::fs::read(&copy).unwrap() == content, "{name}: the download differs");
        run(dir.path(), curl(&format!("{url}/put/big")).arg("--upload-file").arg(&copy)).success();
        assert!(std::fs::read(dir.path().join("nginx/www/put/big")).unwrap() == content, "{name}: the upload differs");
        wrk(dir.path(), &format!("{url}/small"));
    }
}

/// 64 MiB in each direction at once, from edge to edge over two interior routers, arrive as they were.
#[test]
fn large_transfers_arrive_as_they_were() {
    const SIZE: usize = 64 << 20;
    let server = Server::start();
    let (_network, ports) = Network::start(|configs| {
        configs[4].tcp_connector("service", server.port, &[]);
        vec![configs[0].tcp_listener("service", &[])]
    });
    let (near, far) = (client(ports[0]), server.accept());
    let data = std::sync::Arc::new(pattern((1 << 20) + 7));
    let send = |mut to: TcpStream| {
        let data = std::sync::Arc::clone(&data);
        std::thread::spawn(move || {
            let mut left = SIZE;
            while left > 0 {
                let part = left.min(data.len());
                to.write_all(&data[..part]).unwrap();
                left -= part;
            }
            to.shutdown(Shutdown::Write).unwrap();
        })
    };
    let receive = |mut from: TcpStream| {
        let data = std::sync::Arc::clone(&data);
        std::thread::spawn(move || {
            let (mut left, mut buffer) = (SIZE, vec![0; data.len()]);
            while left > 0 {
                let part = left.min(data.len());
                from.read_exact(&mut buffer[..part]).unwrap();
                assert!(buffer[..part] == data[..part], "wrong bytes with {left} left");
                left -= part;
            }
            assert_eq!(from.read(&mut buffer).unwrap(), 0);
        })
    };
    let both = [near, far].map(|side| [send(side.try_clone().unwrap()), receive(side)]);
    both.into_iter().flatten().for_each(|thread| thread.join().unwrap());
}

#[test]
fn either_side_may_end_first_or_reset() {
    let server = Server::start();
    let (_network, ports) = Network::placed(|| server.port);
    let data = pattern(1 << 20);
    for (name, port) in ports {
        // The client ends, the server answers afterwards.
        let (mut near, mut far) = (client(port), server.accept());
        near.write_all(b"request").unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&mut far), b"request", "{name}");
        let answer = data.clone();
        let writer = std::thread::spawn(move || far.write_all(&answer));
        assert!(read_to_end(&mut near) == data, "{name}");
        writer.join().unwrap().unwrap();
        // The server ends, the client goes on.
        let (mut near, mut far) = (client(port), server.accept());
        far.write_all(b"hello").unwrap();
        far.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&mut near), b"hello", "{name}");
        let upload = data.clone();
        let writer = std::thread::spawn(move || near.write_all(&upload));
        assert!(read_to_end(&mut far) == data, "{name}");
        writer.join().unwrap().unwrap();
        // Resets of either side.
        let (mut near, mut far) = (client(port), server.accept());
        far.write_all(b"x").unwrap();
        read_n(&mut near, 1);
        reset(far);
        assert_eq!(read_to_reset(&mut near), 0, "{name}");
        let (mut near, mut far) = (client(port), server.accept());
        near.write_all(b"x").unwrap();
        read_n(&mut far, 1);
        reset(near);
        assert_eq!(read_to_reset(&mut far), 0, "{name}");
    }
}

#[test]
fn a_server_that_is_down_resets_its_clients() {
    let (_network, ports) = Network::placed(free_port);
    for (name, port) in ports {
        for _ in 0..3 {
            let mut near = client(port);
            match near.write_all(b"hello") {
                Ok(()) => assert_eq!(read_to_reset(&mut near), 0, "{name}"),
                Err(error) => assert!(is_reset(&error), "{name}: {error}"),
            }
        }
    }
}

#[test]
fn a_listener_opens_and_closes_with_the_servers_of_the_network() {
    // Where the server is: at an edge next to the client's, at its interior router, and at another edge beyond.
    for server in [1, 3, 4] {
        let (mut network, ports) = Network::start(|configs| {
            configs[server].tcp_connector("service", echo(""), &[]);
            vec![configs[0].tcp_listener("service", &[])]
        });
        network.0[server] = None;
        wait_closed(ports[0]);
        assert!(is_refused(ports[0]), "{}", ROUTERS[server]);
    }
}

/// The interior router between the edges is killed: its flows are reset, not ended, and new ones work when it is back.
#[test]
fn a_lost_uplink_resets_its_flows() {
    let server = Server::start();
    let uplink = free_port();
    let interior = || {
        let mut config = Config::interior("A");
        config.accept_edges(uplink);
        config.start()
    };
    let mut near_edge = Config::edge("E1");
    let port = near_edge.uplink(uplink).tcp_listener("service", &[]);
    let mut far_edge = Config::edge("E2");
    far_edge.uplink(uplink).tcp_connector("service", server.port, &[]);
    let mut between = interior();
    let _edges = (near_edge.start(), far_edge.start());
    let exchange = || {
        wait_listening(port);
        let (mut near, mut far) = (client(port), server.accept());
        near.write_all(b"request").unwrap();
        assert_eq!(read_n(&mut far, 7), b"request");
        far.write_all(b"answer").unwrap();
        assert_eq!(read_n(&mut near, 6), b"answer");
        (near, far)
    };
    let (mut near, mut far) = exchange();
    between.process.kill();
    assert_eq!(read_to_reset(&mut near), 0);
    assert_eq!(read_to_reset(&mut far), 0);
    wait_closed(port);
    let _between = interior();
    exchange();
}

/// E uses both its uplinks at once, and both directions of a flow the same one. When the router of one is killed, flows over the other go on,
/// the rest is reset, and new ones are served at once; whether they begin at E, end there, or do both at two such routers.
#[test]
fn flows_over_another_uplink_go_on() {
    const FLOWS: usize = 60;
    for (client_at, server_at) in [("E", "C"), ("C", "E"), ("E", "F")] {
        let (of_a, of_b, of_c) = (free_port(), free_port(), free_port());
        let mut last = Config::interior("C");
        last.accept_routers(of_c);
        let edge = |id| {
            let mut config = Config::router(&[("mode", "edge"), ("id", id), ("activeUplinks", "all")]);
            config.uplink(of_a).uplink(of_b);
            config
        };
        let mut outer = [last, edge("E"), edge("F")];
        let at = |id| ["C", "E", "F"].iter().position(|other| *other == id).unwrap();
        outer[at(server_at)].tcp_connector("service", echo("S"), &[]);
        let port = outer[at(client_at)].tcp_listener("service", &[]);
        let agent = outer[at(client_at)].listener(&[]);
        let mut interiors = [("A", of_a), ("B", of_b)].map(|(id, port)| {
            let mut config = Config::interior(id);
            config.accept_edges(port).connect_router(of_c);
            Some(config.start())
        });
        let mut outer = outer.map(Config::start);
        for edge in &mut outer[1..] {
            for id in ["A", "B"] {
                edge.process.wait_output(&format!("The uplink is the connection to router {id}"), PATIENCE);
            }
        }
        wait_listening(port);
        // Reached over both: a listener opens when one way is known.
        let (local, remote) = if client_at == "C" { (0, 2) } else { (2, 0) };
        Agent::connect(agent).wait_address("service", local, remote);
        let mut flows: Vec<TcpStream> = (0..FLOWS).map(|_| client(port)).collect();
        for flow in &mut flows {
            assert_eq!(read_n(flow, 1), b"S");
        }
        interiors[0] = None;
        let mut gone_on = 0;
        for mut flow in flows {
            let mut byte = [0];
            match flow.write_all(b"x").and_then(|()| flow.read_exact(&mut byte)) {
                Ok(()) => gone_on += 1,
                Err(error) => assert!(is_reset(&error), "{error}"),
            }
        }
        println!("{gone_on} of {FLOWS} flows from {client_at} to {server_at} went on");
        assert!((FLOWS / 3..=FLOWS * 2 / 3).contains(&gone_on), "{gone_on} from {client_at} to {server_at}");
        for _ in 0..10 {
            assert_eq!(greeting(port), "S");
        }
    }
}

/// Clients get the server that lives, wherever the dead ones are, and though these are nearer.
#[test]
fn clients_of_dead_servers_get_another() {
    // Where the client is, where dead servers are, and where the living one is.
    let cases: [(usize, &[usize], usize); 9] = [
        (0, &[1], 4),
        (0, &[4], 1),
        (0, &[0], 1),
        (0, &[2], 1),
        (0, &[1], 1),
        (2, &[0], 1),
        (3, &[0, 2], 1),
        (4, &[0, 1, 4], 2),
        (0, &[0, 1, 2, 3], 4),
    ];
    for (near, dead, alive) in cases {
        let at = format!("client at {}, dead at {dead:?}, alive at {}", ROUTERS[near], ROUTERS[alive]);
        let addresses = ["service", "near.service"];
        let (_network, ports) = Network::start(|configs| {
            for config in &mut *configs {
                config.section("address", &[("prefix", "near"), ("distribution", "closest")]);
            }
            addresses
                .into_iter()
                .map(|address| {
                    for dead in dead {
                        configs[*dead].tcp_connector(address, free_port(), &[]);
                    }
                    configs[alive].tcp_connector(address, echo(""), &[]);
                    configs[near].tcp_listener(address, &[])
                })
                .collect()
        });
        for (address, port) in addresses.into_iter().zip(ports) {
            let ask = || -> std::io::Result<Vec<u8>> {
                let mut near = client(port);
                near.write_all(b"hello")?;
                near.shutdown(Shutdown::Write)?;
                let mut answer = Vec::new();
                near.read_to_end(&mut answer)?;
                Ok(answer)
            };
            // The listener opens with the first server that its router hears of, which may be a dead one.
            wait_for(&format!("the server that lives: {at}"), PATIENCE, || {
                ask().ok().filter(|answer| answer == b"hello")
            });
            for round in 0..10 {
                let answer = ask();
                let right = answer.as_ref().is_ok_and(|answer| answer == b"hello");
                assert!(right, "{at}, {address}, {round}: {answer:?}");
            }
        }
    }
}
