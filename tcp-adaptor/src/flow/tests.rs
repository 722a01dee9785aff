use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;

use transport::PlainStream;

use super::{FlowInfo, run};
use crate::adaptor::TcpAdaptor;

const fn size_of_output<F: Future>(
    _: &impl Fn(Rc<TcpAdaptor>, usize, Rc<FlowInfo>, PlainStream, SocketAddr) -> F,
) -> usize {
    size_of::<F>()
}

/// An idle proxied connection may cost 8 kB in all; its future is the part of it that grows unnoticed.
#[test]
fn the_future_of_a_flow_stays_small() {
    let size = size_of_output(&run);
    assert!((1..=640).contains(&size), "{size} bytes");
}
