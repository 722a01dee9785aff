//! Auto-links: links that the router attaches by itself, to and from brokers and other containers of addresses.
//!
//! Every worker knows all of them, and has each on every connection that it is for. For the core such a link is one that a client attached;
//! only that we spoke first, and speak again when the peer refuses or detaches it.

mod status;

use std::sync::Arc;
use std::time::{Duration, Instant};

use amqp_proto::connection::{Attached, LinkId, SessionId};
use amqp_proto::{Attach, Error, Role, Source, Str, Target};
use router_core::{Core, Direction, InletKey, InletRequest, LinkRef, OutletKey, OutletRequest, Terminus};

use crate::conn::Conn;
use crate::egress::Conns;
use crate::neighbour::Names;
use crate::worker::{AmqpAdaptor, Inner};

pub use status::{AutoLinkState, AutoLinkStatus};

/// When a link that was refused or detached is attached again; the reference's.
const FIRST_RETRY: Duration = Duration::from_secs(2);
const NEXT_RETRY: Duration = Duration::from_secs(5);

/// The longest text of a peer's error that is kept.
const MAX_ERROR: usize = 300;

/// The token of a link that the core does not know: it finds nothing there.
const UNKNOWN: u64 = 0;

/// A link that the router attaches by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutoLinkConfig {
    /// Its name, unique among auto-links.
    pub name: String,
    /// Whether the router receives or sends.
    pub direction: Direction,
    /// The address here. Without one, what is received says itself where it goes.
    pub address: Option<String>,
    /// The address as the container knows it, if it has another.
    pub external_address: Option<String>,
    /// The container-id of the peers that it is for.
    pub container: Option<String>,
    /// The name of the listener or connector whose connections it is for.
    pub connection: Option<String>,
}

impl AutoLinkConfig {
    fn is_for(&self, conn: &Conn) -> bool {
        self.connection.as_deref() == Some(conn.origin.name())
            || self.container.as_deref() == Some(conn.details.container.as_str())
    }

    const fn role(&self) -> Role {
        match self.direction {
            Direction::In => Role::Receiver,
            Direction::Out => Role::Sender,
        }
    }

    /// Our attach, with the address at the container in its terminus, and ours in ours.
    fn attach(&self, name: &str) -> Attach {
        let there = self.external_address.as_deref().or(self.address.as_deref());
        let (from, to) = match self.direction {
            Direction::In => (there, self.address.as_deref()),
            Direction::Out => (self.address.as_deref(), there),
        };
        let source = from.map_or_else(Source::default, |from| Source::default().with_address(from));
        let target = to.map_or_else(Target::default, |to| Target::default().with_address(to));
        Attach {
            name: Str::from(name),
            role: self.role(),
            source: Some(source.into()),
            target: Some(target.into()),
            ..Attach::default()
        }
    }
}

/// The auto-links of a connection.
#[derive(Debug)]
pub(crate) struct AutoLinks {
    session: Option<SessionId>,
    names: Names,
    links: Vec<AutoLink>,
}

#[derive(Debug)]
struct AutoLink {
    config: Arc<AutoLinkConfig>,
    link: Option<LinkId>,
    state: AutoLinkState,
    error: Option<String>,
    /// When it is attached again, and how often it failed.
    retry: Option<Instant>,
    failures: u32,
}

impl AutoLink {
    fn new(config: Arc<AutoLinkConfig>) -> Self {
        Self { config, link: None, state: AutoLinkState::Attaching, error: None, retry: None, failures: 0 }
    }

    fn failed(&mut self, why: String, now: Instant) {
        tracing::info!(target: "ROUTER_CORE", "Auto-link {} failed: {why}", self.config.name);
        self.link = None;
        self.state = AutoLinkState::Failed;
        self.error = Some(why);
        self.retry = Some(now + if self.failures == 0 { FIRST_RETRY } else { NEXT_RETRY });
        self.failures = self.failures.saturating_add(1);
    }
}

impl AutoLinks {
    fn find(&mut self, link: LinkId) -> Option<&mut AutoLink> {
        self.links.iter_mut().find(|auto| auto.link == Some(link))
    }

    /// Whether a link has to be attached again.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.links.iter().any(|auto| auto.retry.is_some_and(|at| at <= now))
    }
}

impl Conn {
    /// Begins to attach the auto-links of this connection that are not attached and whose time has come.
    fn attach_due(&mut self, now: Instant) {
        let Some(autos) = self.details.auto_links.as_mut() else { return };
        for auto in &mut autos.links {
            let due = auto.link.is_none() && auto.retry.is_none_or(|at| at <= now);
            if !due || self.details.end_by.is_some() {
                continue;
            }
            auto.retry = None;
            auto.state = AutoLinkState::Attaching;
            let attach = auto.config.attach(&autos.names.next());
            // The peer may have ended the session of the last try.
            let attached = match autos.session {
                Some(session) => self.engine.attach(session, attach.clone(), UNKNOWN).ok(),
                None => None,
            };
            let attached = attached.map_or_else(
                || {
                    let session = self.engine.begin()?;
                    autos.session = Some(session);
                    self.engine.attach(session, attach, UNKNOWN)
                },
                Ok,
            );
            match attached {
                Ok(link) => auto.link = Some(link),
                Err(error) => auto.failed(error.to_string(), now),
            }
        }
    }
}

impl Inner {
    /// The peer of a connection to a container has opened.
    pub(crate) fn attach_auto_links(&self, conns: &mut Conns, id: u32) {
        let all = self.auto_links.borrow();
        conns.touch(id);
        let Some(conn) = conns.get(id) else { return };
        let links: Vec<AutoLink> =
            all.iter().filter(|config| config.is_for(conn)).cloned().map(AutoLink::new).collect();
        conn.details.auto_links = Some(Box::new(AutoLinks { session: None, names: Names::new(), links }));
        conn.attach_due(Instant::now());
    }

    /// The peer answered a link of ours.
    pub(crate) fn auto_link_attached(&self, core: &mut Core, conns: &mut Conns, id: u32, attached: &Attached) {
        conns.touch(id);
        let link = attached.link;
        let Some(conn) = conns.get(id) else { return };
        let Some(key) = conn.key else { return };
        let Some(auto) = conn.details.auto_links.as_mut().and_then(|autos| autos.find(link)) else { return };
        let refused = match auto.config.direction {
            Direction::In => attached.attach.source.is_none(),
            Direction::Out => attached.attach.target.is_none(),
        };
        if refused {
            // The peer's detach follows, and says why (AMQP 1.0 §2.6.3).
            return;
        }
        let config = Arc::clone(&auto.config);
        let terminus = config.address.as_deref().map_or(Terminus::Anonymous, Terminus::Address);
        let at = LinkRef { conn: id, link: link.to_u32() };
        let accepted = match config.direction {
            Direction::In => core
                .attach_own_inlet(key, at, &InletRequest { target: terminus }, conns)
                .map(|inlet| (inlet.key.to_raw(), core.inlet_id(inlet.key))),
            Direction::Out => core
                .attach_own_outlet(key, at, &OutletRequest { source: terminus }, conns)
                .map(|outlet| (outlet.key.to_raw(), core.outlet_id(outlet.key))),
        };
        let Some(conn) = conns.get(id) else { return };
        let Some(auto) = conn.details.auto_links.as_mut().and_then(|autos| autos.find(link)) else { return };
        match accepted {
            Ok((user, number)) => {
                conn.engine.set_link_user(link, user);
                auto.state = AutoLinkState::Active { link: number.unwrap_or(0) };
                auto.error = None;
                auto.failures = 0;
                tracing::info!(target: "ROUTER_CORE", "Auto-link {} is attached, to container {}", config.name, conn.details.container);
            }
            Err(refusal) => {
                conn.engine.detach(link, true, Some(Error::new(refusal.condition(), refusal.to_string())));
                auto.failed(refusal.to_string(), Instant::now());
            }
        }
    }

    /// The peer detached a link. False if it was none of ours.
    pub(crate) fn auto_link_detached(
        &self,
        core: &mut Core,
        conns: &mut Conns,
        id: u32,
        (link, user): (LinkId, u64),
        error: Option<&Error>,
    ) -> bool {
        let Some(conn) = conns.get(id) else { return false };
        let Some(auto) = conn.details.auto_links.as_mut().and_then(|autos| autos.find(link)) else { return false };
        // The words alone, as in the reference, if there are any.
        let words = |error: &Error| match error.description.as_ref().map(|text| text.as_str()) {
            Some(text) if !text.is_empty() => text.to_owned(),
            _ => error.to_string(),
        };
        let mut why = error.map_or_else(|| "the peer detached it".to_owned(), words);
        if let Some((end, _)) = why.char_indices().nth(MAX_ERROR) {
            why.truncate(end);
        }
        auto.failed(why, Instant::now());
        let role = auto.config.role();
        forget(core, conns, role, user);
        true
    }

    /// Tries again what failed a while ago.
    pub(crate) fn retry_auto_links(conns: &mut Conns, id: u32, now: Instant) {
        conns.touch(id);
        if let Some(conn) = conns.get(id) {
            conn.attach_due(now);
        }
    }
}

/// The core loses a link.
fn forget(core: &mut Core, conns: &mut Conns, role: Role, user: u64) {
    match role {
        Role::Receiver => core.detach_inlet(InletKey::from_raw(user), conns),
        Role::Sender => core.detach_outlet(OutletKey::from_raw(user), conns),
    }
}

impl AmqpAdaptor {
    /// Adds an auto-link, to the connections that there are and to those that will be. Do so on each worker.
    pub fn add_auto_link(&self, config: &Arc<AutoLinkConfig>) {
        self.0.auto_links.borrow_mut().push(Arc::clone(config));
        {
            let conns = &mut *self.0.conns.borrow_mut();
            let ids: Vec<u32> = conns.ids();
            for id in ids {
                let Some(conn) = conns.get(id).filter(|conn| config.is_for(conn)) else { continue };
                let Some(autos) = conn.details.auto_links.as_mut() else { continue };
                autos.links.push(AutoLink::new(Arc::clone(config)));
                conn.attach_due(Instant::now());
                conns.touch(id);
            }
        }
        self.flush();
    }

    /// Detaches an auto-link wherever it is, and forgets it. Do so on each worker.
    pub fn remove_auto_link(&self, name: &str) {
        self.0.auto_links.borrow_mut().retain(|config| config.name != name);
        {
            let core = &mut *self.0.core.borrow_mut();
            let conns = &mut *self.0.conns.borrow_mut();
            for id in conns.ids() {
                let Some(conn) = conns.get(id) else { continue };
                let Some(autos) = conn.details.auto_links.as_mut() else { continue };
                let Some(at) = autos.links.iter().position(|auto| auto.config.name == name) else { continue };
                let auto = autos.links.swap_remove(at);
                let Some(link) = auto.link else { continue };
                let user = conn.engine.link_user(link);
                conn.engine.detach(link, true, None);
                conns.touch(id);
                if let Some(user) = user {
                    forget(core, conns, auto.config.role(), user);
                }
            }
        }
        self.flush();
    }

    /// What became of auto-links on this worker: an entry for each connection that has one.
    #[must_use]
    pub fn auto_link_statuses(&self) -> Vec<AutoLinkStatus> {
        let conns = self.0.conns.borrow();
        let autos = conns.slab.iter().filter_map(|(_, conn)| conn.details.auto_links.as_ref());
        autos
            .flat_map(|autos| &autos.links)
            .map(|auto| AutoLinkStatus {
                name: auto.config.name.clone(),
                state: auto.state,
                last_error: auto.error.clone(),
            })
            .collect()
    }
}
