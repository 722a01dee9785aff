//! Two engines, connected by pipes that deliver in any pieces, in virtual time.

use std::{io::IoSlice, time::Instant};

use bytes::Bytes;

use crate::connection::*;

pub(super) struct Node {
    pub(super) engine: Connection,
    /// Bytes on their way to this node.
    wire: Vec<u8>,
    /// What it was given and has not taken: an incomplete frame.
    kept: Vec<u8>,
}

pub(super) struct Pair {
    pub(super) nodes: [Node; 2],
    pub(super) now: Instant,
}

impl Pair {
    pub(super) fn new(client: Config, server: Config) -> Self {
        let now = super::beginning();
        let node =
            |config, side| Node { engine: Connection::new(config, side, now), wire: Vec::new(), kept: Vec::new() };
        let sasl = ServerSasl { mechanisms: crate::Symbols(vec!["ANONYMOUS".into()]), allow_bare: false };
        Self { nodes: [node(client, Side::Client(ClientSasl::Anonymous)), node(server, Side::Server(sasl))], now }
    }

    /// Moves up to `n` bytes from the other node's output to `to`, and hands them over. Events go to `on_event`.
    pub(super) fn deliver(
        &mut self,
        to: usize,
        n: usize,
        mut on_event: impl FnMut(&mut Connection, Event, &Bytes),
    ) -> bool {
        let from = &mut self.nodes[1 - to].engine;
        from.flush();
        let mut slices = [IoSlice::new(&[]); 64];
        let filled = from.output().chunks(&mut slices);
        let bytes: Vec<u8> = slices[..filled].iter().flat_map(|s| s.iter().copied()).take(n).collect();
        from.output_mut().advance(bytes.len());
        let node = &mut self.nodes[to];
        node.wire.extend_from_slice(&bytes);
        if node.wire.is_empty() {
            return false;
        }
        node.kept.append(&mut node.wire);
        let block = Bytes::copy_from_slice(&node.kept);
        let mut pos = 0;
        while let Some(event) = node.engine.handle_input(&block, &mut pos, self.now) {
            match event {
                Event::Sasl(_) => node.engine.sasl_outcome(crate::sasl::SaslCode::Ok),
                Event::Opened(_) => node.engine.open(),
                event => on_event(&mut node.engine, event, &block),
            }
        }
        node.kept.drain(..pos);
        true
    }

    /// Delivers everything in both directions until nothing moves.
    pub(super) fn settle(&mut self, mut on_event: impl FnMut(usize, &mut Connection, Event, &Bytes)) {
        loop {
            let a = self.deliver(0, usize::MAX, |c, e, b| on_event(0, c, e, b));
            let b = self.deliver(1, usize::MAX, |c, e, b| on_event(1, c, e, b));
            if !a && !b && self.nodes.iter().all(|n| n.engine.output().is_empty()) {
                return;
            }
        }
    }
}
