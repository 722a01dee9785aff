//! What the policy decides about connections of clients, put to work.

use std::time::Instant;

use amqp_proto::{Error, Open, condition};
use router_core::policy::OVERSIZE;
use router_core::{ConnInfo, ConnKey, ConnKind, Core, Entrance, InletKey, Refusal, Rights};

use crate::conn::{Conn, Origin};
use crate::drive::END_LIMIT;
use crate::egress::Conns;
use crate::neighbour::ConnectionRole;

/// Frames are no larger than this, whatever a group allows.
const MOST_FRAME: u32 = 1024 * 1024;

/// Who a client is that has opened its connection.
pub(crate) fn info(conn: &Conn, open: &Open) -> ConnInfo {
    let annotations = conn.origin.annotations();
    let (entrance, policy_vhost) = match &conn.origin {
        Origin::Listener(config) => (Entrance::Listener, &config.policy_vhost),
        Origin::Connector(dial) => (Entrance::Connector, &dial.run.config.policy_vhost),
    };
    let host = |(host, _): (&str, &str)| host.trim_start_matches('[').trim_end_matches(']').to_owned();
    ConnInfo {
        container: conn.details.container.clone(),
        name: conn.details.peer.to_string(),
        user: conn.details.identity.user.clone(),
        host: conn.details.peer.rsplit_once(':').map(host),
        vhost: open.hostname.as_ref().map(|h| h.as_str().to_owned()),
        entrance,
        policy_vhost: policy_vhost.clone(),
        link_capacity: conn.origin.link_capacity(),
        kind: match conn.origin.role() {
            ConnectionRole::RouteContainer => ConnKind::Container,
            ConnectionRole::InterNetwork => ConnKind::Network,
            _ => ConnKind::Client,
        },
        streaming_links: conn.origin.role() != ConnectionRole::InterNetwork
            && open.offered_capabilities.contains("qd.streaming-links"),
        reads_annotations: annotations.read,
        gives_annotations: annotations.given,
    }
}

/// Tells the log why something was refused, if the policy did.
pub(crate) fn log_refusal(id: u64, refusal: &Refusal) {
    if let Refusal::Denied(denied) = refusal {
        tracing::info!(target: "POLICY", "[C{id}] {}", denied.why);
    }
}

impl Conn {
    /// Puts limits of a connection to work, before our open goes out if it did not.
    pub(crate) fn limit(&mut self, rights: &Rights) {
        if let Some(sessions) = rights.max_sessions() {
            self.engine.set_max_sessions(sessions);
        }
        let Origin::Listener(_) = self.origin else { return };
        let channel_max = rights.max_sessions().map(|n| u16::try_from(n - 1).unwrap_or(u16::MAX));
        self.engine.set_open_limits(rights.max_frame_size().map(|size| size.min(MOST_FRAME)), channel_max);
        if let Some(window) = rights.max_session_window() {
            self.engine.set_session_limits(window);
        }
    }
}

/// A client sent a message that is larger than it may be: its link has ended, and so does its connection.
pub(crate) fn oversize(core: &mut Core, conns: &mut Conns, id: u32, inlet: InletKey) {
    let link = core.inlet_id(inlet).unwrap_or(0);
    core.detach_inlet(inlet, conns);
    let Some(conn) = conns.get(id) else { return };
    if let Some(admission) = conn.key.and_then(|key| core.admission(key)) {
        admission.oversize();
    }
    tracing::warn!(target: "POLICY", "[C{}][L{link}] DENY AMQP Transfer maxMessageSize exceeded", conn.details.id);
    conn.close(Error::new(condition::CONNECTION_FORCED, OVERSIZE), Instant::now() + END_LIMIT);
}

/// A client began more sessions than it may have.
pub(crate) fn session_refused(core: &Core, conns: &mut Conns, id: u32) {
    let Some(conn) = conns.get(id) else { return };
    let Some(admission) = conn.key.and_then(|key| core.admission(key)) else { return };
    admission.session_denied();
    let who = admission.rights().map(|rights| rights.who.as_str()).unwrap_or_default();
    tracing::info!(target: "POLICY", "[C{}] DENY AMQP Begin Session due to session limit for {who}", conn.details.id);
}

/// A connection is about to be forgotten: says what it had, and what was refused at its vhost.
pub(crate) fn log_end(core: &Core, key: ConnKey, conn: &Conn) {
    let Some(admission) = core.admission(key) else { return };
    let Some(rights) = admission.rights() else { return };
    let (id, name) = (conn.details.id, &conn.details.peer);
    let (sessions, _) = conn.engine.counts();
    let ((senders, receivers), denials, left) = (rights.link_counts(), rights.denials(), admission.connections());
    tracing::debug!(
        target: "POLICY",
        "[C{id}] Connection '{name}' closed with resources n_sessions={sessions}, n_senders={senders}, n_receivers={receivers}, \
         sessions_denied={}, senders_denied={}, receivers_denied={}, max_message_size_denied:{}, nConnections= {left}.",
        denials.sessions, denials.senders, denials.receivers, denials.sizes,
    );
}
