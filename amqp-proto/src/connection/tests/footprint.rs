use super::peer::*;
use crate::{connection::*, link::Link, performative::Role, session::Session};

#[test]
fn an_idle_connection_is_small() {
    let engine = size_of::<Connection>();
    let (session, link) = (size_of::<Session>(), size_of::<Link>());
    assert!(engine <= 640, "{engine}");
    assert!(session <= 424, "{session}");
    assert!(link <= 256, "{link}");
    assert!(size_of::<Event>() <= 64, "{}", size_of::<Event>());
}

#[test]
fn an_idle_connection_owns_no_buffers() {
    let mut peer = Peer::with_session();
    peer.attach(0, Role::Sender);
    peer.events.clear();
    while peer.try_recv().is_some() {}
    assert!(peer.engine.output_mut().take_buffer().is_some());
    assert!(!peer.engine.output().has_buffer());
}
