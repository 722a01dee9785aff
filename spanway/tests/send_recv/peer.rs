//! A server that does what a test wants instead of routing.

use std::io::{IoSlice, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use amqp_proto::connection::{Config, Connection, Event, ServerSasl, Side};
use amqp_proto::sasl::SaslCode;
use amqp_proto::{DeliveryState, Str};
use bytes::Bytes;

/// What was told of each delivery.
type States = Sender<Option<DeliveryState>>;

/// The server. Takes as many connections as come, one after the other, while the test runs.
pub(crate) struct Peer {
    pub(crate) url: String,
    states: Receiver<Option<DeliveryState>>,
    _thread: JoinHandle<()>,
}

impl Peer {
    /// Listens; each event but those of the handshake goes to `on`.
    pub(crate) fn start(on: impl FnMut(&mut Connection, Event, &States) + Send + 'static) -> Self {
        Self::start_with(&["ANONYMOUS"], on)
    }

    /// Offers these mechanisms, and takes nobody's password.
    pub(crate) fn start_with(
        mechanisms: &'static [&'static str],
        mut on: impl FnMut(&mut Connection, Event, &States) + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("amqp://{}", listener.local_addr().expect("an address"));
        let (told, states) = channel();
        let thread = std::thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                serve(socket, mechanisms, &mut |engine, event| on(engine, event, &told));
            }
        });
        Self { url, states, _thread: thread }
    }

    /// What was told of deliveries until now.
    pub(crate) fn told(&self) -> Vec<Option<DeliveryState>> {
        self.states.try_iter().collect()
    }
}

fn serve(mut socket: TcpStream, mechanisms: &[&'static str], on: &mut dyn FnMut(&mut Connection, Event)) {
    let sasl = ServerSasl { mechanisms: mechanisms.iter().copied().collect(), allow_bare: false };
    let config = Config { container_id: Str::from("peer"), ..Config::default() };
    let mut engine = Connection::new(config, Side::Server(sasl), Instant::now());
    let mut rest = Vec::new();
    loop {
        engine.flush();
        while !engine.output().is_empty() {
            let mut slices = [IoSlice::new(&[]); 16];
            let filled = engine.output().chunks(&mut slices);
            let Ok(written) = socket.write_vectored(slices.get(..filled).unwrap_or_default()) else { return };
            engine.output_mut().advance(written);
        }
        if engine.is_closed() {
            return;
        }
        let mut block = vec![0; 64 * 1024];
        let Ok(read @ 1..) = socket.read(&mut block) else { return };
        rest.extend_from_slice(block.get(..read).unwrap_or_default());
        let block = Bytes::from(std::mem::take(&mut rest));
        let mut pos = 0;
        while let Some(event) = engine.handle_input(&block, &mut pos, Instant::now()) {
            match event {
                Event::Sasl(sasl) if sasl.mechanism.as_str() == "PLAIN" => engine.sasl_outcome(SaslCode::Auth),
                Event::Sasl(_) => engine.sasl_outcome(SaslCode::Ok),
                Event::Opened(_) => engine.open(),
                event => on(&mut engine, event),
            }
        }
        rest = block.slice(pos..).to_vec();
    }
}
