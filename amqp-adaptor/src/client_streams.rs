//! Links of ours on which clients get streams, each on a link of its own (`qd.streaming-links`).

use amqp_proto::connection::{Attached, LinkId, SessionId};
use amqp_proto::{Attach, Role, Source, Str, Target};
use router_core::{Core, LinkRef};

use crate::conn::Conn;
use crate::egress::Conns;
use crate::neighbour::Names;

/// [`Conn::engine`]'s number of a link that the core does not know yet.
const UNKNOWN: u64 = 0;

/// Those of a connection.
#[derive(Debug)]
pub(crate) struct ClientStreams {
    session: Option<SessionId>,
    names: Names,
    /// Those that the client has not answered.
    pending: Vec<LinkId>,
}

impl Conn {
    /// Attaches one more. False if the connection takes none.
    pub(crate) fn open_client_stream(&mut self) -> bool {
        if self.details.end_by.is_some() {
            return false;
        }
        let streams = self
            .details
            .streams
            .get_or_insert_with(|| Box::new(ClientStreams { session: None, names: Names::new(), pending: Vec::new() }));
        let attach = Attach {
            name: Str::from(streams.names.next().as_str()),
            role: Role::Sender,
            source: Some(Source::default().into()),
            target: Some(Target::default().into()),
            ..Attach::default()
        };
        // The peer may have ended the session of the last.
        let engine = &mut self.engine;
        let again = streams.session.and_then(|session| engine.attach(session, attach.clone(), UNKNOWN).ok());
        let link = match again {
            Some(link) => link,
            None => {
                let Ok(session) = engine.begin() else { return false };
                streams.session = Some(session);
                let Ok(link) = engine.attach(session, attach, UNKNOWN) else { return false };
                link
            }
        };
        streams.pending.push(link);
        true
    }

    /// It is answered, or gone. False if it is none of these.
    fn client_stream_answered(&mut self, link: LinkId) -> bool {
        let Some(streams) = self.details.streams.as_mut() else { return false };
        let before = streams.pending.len();
        streams.pending.retain(|other| *other != link);
        streams.pending.len() < before
    }
}

/// The client answered a link of ours. False if it was none for streams.
pub(crate) fn attached(core: &mut Core, conns: &mut Conns, id: u32, attached: &Attached) -> bool {
    let link = attached.link;
    let Some(conn) = conns.get(id) else { return false };
    let Some(key) = conn.key else { return false };
    if !conn.client_stream_answered(link) {
        return false;
    }
    let at = LinkRef { conn: id, link: link.to_u32() };
    let outlet = core.attach_client_stream(key, at, conns);
    if let (Some(outlet), Some(conn)) = (outlet, conns.get(id)) {
        conn.engine.set_link_user(link, outlet.to_raw());
    }
    true
}

/// The client detached a link. False if it was none that it had not answered.
pub(crate) fn refused(core: &mut Core, conns: &mut Conns, id: u32, link: LinkId) -> bool {
    let Some(conn) = conns.get(id) else { return false };
    let Some(key) = conn.key else { return false };
    if !conn.client_stream_answered(link) {
        return false;
    }
    core.no_client_stream(key, conns);
    true
}
