//! The policy of a router, and what it allows each connection.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use super::{
    CONNECTION_DISALLOWED, ConnInfo, Denials, Denied, Direction, Entrance, Group, LINK_DISALLOWED, PolicyCounts,
    Refusal, Terminus, Vhost, VhostStatus,
    count::{Guest, Totals, VhostStats},
    names::Allowed,
    rules::Rules,
    vhost::{ANONYMOUS, CONNECTOR_GROUP},
};
use crate::entity::PolicyEntity;

/// Limits and rules, shared by all workers.
#[derive(Debug)]
pub struct Policy {
    max_connections: u64,
    /// 0: any size.
    max_message_size: u64,
    /// Vhosts count.
    enabled: bool,
    /// Read when a connection opens.
    rules: RwLock<Arc<Rules>>,
    stats: Mutex<BTreeMap<Arc<str>, Arc<VhostStats>>>,
    totals: Totals,
}

impl Default for Policy {
    fn default() -> Self {
        Self::new(&PolicyEntity::default())
    }
}

impl Policy {
    /// As it is configured; without vhosts yet.
    pub fn new(entity: &PolicyEntity) -> Self {
        Self {
            max_connections: entity.max_connections.into(),
            max_message_size: u64::try_from(entity.max_message_size).unwrap_or(0),
            enabled: entity.enable_vhost_policy,
            rules: RwLock::new(Arc::new(Rules::new(&entity.default_vhost, entity.enable_vhost_name_patterns))),
            stats: Mutex::default(),
            totals: Totals::default(),
        }
    }

    /// Whether the rules of vhosts count.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&Rules) -> Rules) {
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        *rules = Arc::new(change(&rules));
    }

    fn stats(&self, name: &Arc<str>) -> Arc<VhostStats> {
        let mut all = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(Arc::clone(name)).or_default())
    }

    /// Adds a vhost, or changes the one of its name. Connections that are open keep the rights that they have; limits for connections count at once.
    pub fn set_vhost(&self, vhost: Vhost) {
        self.stats(&vhost.hostname);
        self.change(|rules| rules.with(vhost));
    }

    /// Takes a vhost away. Connections that are open keep their rights.
    pub fn remove_vhost(&self, hostname: &str) {
        self.change(|rules| rules.without(hostname));
    }

    /// The vhosts, by name.
    pub fn vhosts(&self) -> Vec<Arc<Vhost>> {
        self.rules().vhosts.values().cloned().collect()
    }

    /// What has been counted.
    pub fn counts(&self) -> PolicyCounts {
        self.totals.counts()
    }

    /// What each vhost has counted, also one that was taken away.
    pub fn vhost_statuses(&self) -> Vec<(Arc<str>, VhostStatus)> {
        let all = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(name, stats)| (Arc::clone(name), stats.status())).collect()
    }

    /// May this connection be open? It is counted as long as the answer lives.
    ///
    /// # Errors
    /// It may not, and why.
    pub fn admit(self: &Arc<Self>, info: &ConnInfo) -> Result<Admission, Refusal> {
        let counted = match info.entrance {
            Entrance::Network => return Ok(Admission { policy: Arc::clone(self), counted: false, rights: None }),
            // As many as a router is told to make.
            Entrance::Connector => false,
            Entrance::Listener => true,
        };
        if counted {
            self.totals.processed.add();
            if !self.totals.current.add_below(self.max_connections) {
                self.totals.denied.add();
                let host = info.host.as_deref().unwrap_or_default();
                let (there, most) = (self.totals.current.get(), self.max_connections);
                return Err(Denied::limit(
                    CONNECTION_DISALLOWED,
                    format_args!(
                        "DENY Connection '{host}' based on global connection count. nConnections= {there}, maxConnections= {most}"
                    ),
                ));
            }
        }
        let mut admission = Admission { policy: Arc::clone(self), counted, rights: None };
        if self.enabled {
            admission.rights = self.rights(info).inspect_err(|_| self.totals.denied.add())?.map(Box::new);
        }
        Ok(admission)
    }

    fn rights(&self, info: &ConnInfo) -> Result<Option<Rights>, Refusal> {
        let rules = self.rules();
        let user = info.user.as_deref().unwrap_or(ANONYMOUS);
        let host = info.host.as_deref().unwrap_or_default();
        let asked = info.policy_vhost.as_deref().or(info.vhost.as_deref()).unwrap_or_default();
        let who = format!("user '{user}', rhost '{host}', vhost '{asked}'");
        if info.entrance == Entrance::Connector {
            let Some(name) = info.policy_vhost.as_deref().filter(|name| !name.is_empty()) else { return Ok(None) };
            let vhost = rules.find(name);
            let Some((vhost, group)) = vhost.and_then(|vhost| Some((vhost, vhost.group(CONNECTOR_GROUP)?))) else {
                return Err(Denied::limit(
                    CONNECTION_DISALLOWED,
                    format_args!(
                        "Failed to find policyVhost settings for connection to '{host}', policyVhost: '{name}'"
                    ),
                ));
            };
            return Ok(Some(Rights::new(self, vhost, group, self.stats(&vhost.hostname), None, user, who)));
        }
        let deny = |why: &str| Denied::limit(CONNECTION_DISALLOWED, format_args!("DENY AMQP Open for {who}: {why}"));
        let Some(vhost) = rules.find(asked) else { return Err(deny("No policy defined for vhost")) };
        let stats = self.stats(&vhost.hostname);
        let Some(group) = vhost.group_of(user) else {
            stats.deny();
            return Err(deny("User is not in a user group and unknown users are denied"));
        };
        if !group.hosts.allows(info.host.as_deref()) {
            stats.deny();
            return Err(deny("User is not allowed to connect from this network host"));
        }
        let guest = Guest { name: info.name.clone(), user: user.to_owned(), host: host.to_owned() };
        if let Err(limits) = stats.take(vhost, group, &guest) {
            return Err(deny(&limits.join(", ")));
        }
        Ok(Some(Rights::new(self, vhost, group, stats, Some(guest), user, who)))
    }
}

/// A connection that was let in.
#[derive(Debug)]
pub struct Admission {
    policy: Arc<Policy>,
    counted: bool,
    rights: Option<Box<Rights>>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        if self.counted {
            self.policy.totals.current.take();
        }
    }
}

impl Admission {
    /// What it may do, if it may not do everything.
    pub fn rights(&self) -> Option<&Rights> {
        self.rights.as_deref()
    }

    /// The largest message that it may send, in bytes; 0: any.
    pub fn max_message_size(&self) -> u64 {
        self.rights().map_or(self.policy.max_message_size, |rights| rights.max_message_size)
    }

    /// How many connections there are.
    pub fn connections(&self) -> u64 {
        self.policy.totals.current.get()
    }

    /// May a link be attached?
    pub(crate) fn attach(&mut self, direction: Direction, terminus: Terminus<'_>) -> Result<(), Refusal> {
        let Some(rights) = &mut self.rights else { return Ok(()) };
        rights.attach(direction, terminus).inspect_err(|_| {
            self.policy.totals.links_denied.add();
            match direction {
                Direction::In => rights.stats.senders.add(),
                Direction::Out => rights.stats.receivers.add(),
            }
        })
    }

    /// One was.
    pub(crate) fn attached(&mut self, direction: Direction) {
        if let Some(rights) = &mut self.rights {
            *rights.links(direction) += 1;
        }
    }

    /// And is gone.
    pub(crate) fn detached(&mut self, direction: Direction) {
        if let Some(rights) = &mut self.rights {
            let links = rights.links(direction);
            *links = links.saturating_sub(1);
        }
    }

    /// A message was larger than it may be.
    pub fn oversize(&self) {
        self.policy.totals.sizes_denied.add();
        if let Some(rights) = &self.rights {
            rights.stats.sizes.add();
        }
    }

    /// A session was refused.
    pub fn session_denied(&self) {
        self.policy.totals.sessions_denied.add();
        if let Some(rights) = &self.rights {
            rights.stats.sessions.add();
        }
    }
}

/// What a connection may do. Found once, when it opens.
#[derive(Debug)]
pub struct Rights {
    group: Arc<Group>,
    stats: Arc<VhostStats>,
    /// Its place at the vhost.
    guest: Option<Guest>,
    user: Box<str>,
    /// Who it is, for the log.
    pub who: String,
    max_message_size: u64,
    sources: Allowed,
    targets: Allowed,
    senders: u32,
    receivers: u32,
}

impl Drop for Rights {
    fn drop(&mut self) {
        if let Some(guest) = &self.guest {
            self.stats.leave(guest);
        }
    }
}

impl Rights {
    fn new(
        policy: &Policy,
        vhost: &Vhost,
        group: &Arc<Group>,
        stats: Arc<VhostStats>,
        guest: Option<Guest>,
        user: &str,
        who: String,
    ) -> Self {
        Self {
            stats,
            guest,
            user: user.into(),
            who,
            max_message_size: group.max_message_size.or(vhost.max_message_size).unwrap_or(policy.max_message_size),
            sources: group.sources.of_user(user),
            targets: group.targets.of_user(user),
            senders: 0,
            receivers: 0,
            group: Arc::clone(group),
        }
    }

    fn links(&mut self, direction: Direction) -> &mut u32 {
        match direction {
            Direction::In => &mut self.senders,
            Direction::Out => &mut self.receivers,
        }
    }

    fn attach(&self, direction: Direction, terminus: Terminus<'_>) -> Result<(), Refusal> {
        let (there, most, what, limit) = match direction {
            Direction::In => (self.senders, self.group.max_senders, "sender", "maxSenders"),
            Direction::Out => (self.receivers, self.group.max_receivers, "receiver", "maxReceivers"),
        };
        if most.is_some_and(|most| there >= most) {
            let why = format_args!("DENY AMQP Attach {what} for {} based on {limit} limit", self.who);
            return Err(Denied::limit(LINK_DISALLOWED, why));
        }
        let (allowed, link) = match (direction, terminus) {
            (Direction::In, Terminus::Address(address)) => (self.targets.has(address), format!("link '{address}'")),
            (Direction::Out, Terminus::Address(address)) => (self.sources.has(address), format!("link '{address}'")),
            // An address that the router makes up for a sender is no other's.
            (Direction::In, _) => (self.group.anonymous_sender, "without a target".to_owned()),
            (Direction::Out, Terminus::Dynamic) => (self.group.dynamic_source, "dynamic source".to_owned()),
            (Direction::Out, Terminus::Anonymous) => (false, "link ''".to_owned()),
        };
        if allowed {
            return Ok(());
        }
        let why = format_args!("DENY AMQP Attach {what} {link} for {}", self.who);
        Err(Denied::unauthorized(LINK_DISALLOWED, why))
    }

    /// May a message without a target of its link be sent to this address?
    pub(crate) fn may_send_to(&self, address: &str) -> bool {
        self.targets.has(address)
    }

    /// The only user that messages may name, if not all.
    pub(crate) fn only_user(&self) -> Option<&str> {
        (!self.group.user_id_proxy).then_some(&*self.user)
    }

    /// May it close connections by management?
    pub(crate) fn may_change_status(&self) -> bool {
        self.group.admin_status
    }

    /// The largest frame, in bytes.
    pub fn max_frame_size(&self) -> Option<u32> {
        self.group.max_frame_size
    }

    /// How many bytes may be on their way to us in a session.
    pub fn max_session_window(&self) -> Option<u32> {
        self.group.max_session_window
    }

    /// How many sessions there may be.
    pub fn max_sessions(&self) -> Option<u32> {
        self.group.max_sessions
    }

    /// Links of clients that send, and that receive.
    pub fn link_counts(&self) -> (u32, u32) {
        (self.senders, self.receivers)
    }

    /// What was refused on connections of its vhost.
    pub fn denials(&self) -> Denials {
        self.stats.denials()
    }

    /// The name of the group.
    pub fn group(&self) -> &str {
        &self.group.name
    }
}
