//! Which links a connection between routers has, and what each is for: a state machine of its own, the same for both sides.
//!
//! The connecting side attaches two links for control and a pair for each of ten priorities. Which priority a link has is told by
//! nothing but the order: each side counts the links for data of each direction, and what comes after the tenth is for streams.

use amqp_proto::connection::LinkId;
use amqp_proto::{
    Attach, EXPIRY_LINK_DETACH, EXPIRY_SESSION_END, Error, Role, Source, SourceTerminus, Str, Symbols, Target,
    TargetTerminus, condition,
};

use super::ConnectionRole;

/// Capability of the termini of control links.
pub(crate) const CONTROL: &str = "qd.router";
/// Capability of the termini of links for data.
pub(crate) const DATA: &str = "qd.router-data";

/// Priorities of messages.
pub const PRIORITIES: usize = 10;

/// Credit of a link between routers when none is configured.
pub(crate) const CAPACITY: u32 = 250;

/// What a link between routers is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkPurpose {
    /// Messages of the routing protocol.
    Control,
    /// Messages of this priority, 0 to 9.
    Data(u8),
    /// One streaming delivery at a time, of any address.
    Stream,
}

impl LinkPurpose {
    /// As a link's token in the engine.
    pub(crate) const fn token(self) -> u64 {
        match self {
            Self::Control => 0,
            Self::Data(priority) => 1 + priority as u64,
            Self::Stream => 1 + PRIORITIES as u64,
        }
    }

    /// Back from [`LinkPurpose::token`].
    pub(crate) const fn of_token(token: u64) -> Self {
        match token {
            0 => Self::Control,
            1..=10 => Self::Data(token as u8 - 1),
            _ => Self::Stream,
        }
    }

    /// The session of a planned link: one for control, one for each priority.
    pub(crate) const fn session(self) -> usize {
        match self {
            Self::Control => 0,
            Self::Data(priority) => 1 + priority as usize,
            Self::Stream => 1 + PRIORITIES,
        }
    }

    const fn capability(self) -> Option<&'static str> {
        match self {
            Self::Control => Some(CONTROL),
            Self::Data(_) => Some(DATA),
            Self::Stream => None,
        }
    }
}

/// One link of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) link: LinkId,
    pub(crate) attached: bool,
}

/// The links of a connection. Links for streams are only counted.
#[derive(Debug, Default)]
pub(crate) struct Links {
    /// Control and priorities, on which we receive.
    incoming: [Option<Slot>; 1 + PRIORITIES],
    /// The same, on which we send.
    outgoing: [Option<Slot>; 1 + PRIORITIES],
    /// Links for data that the peer attached so far.
    counted_in: usize,
    counted_out: usize,
    /// Links for streams, ours and the peer's.
    pub(crate) streams: usize,
}

/// Why a link of a peer's is refused, in the reference's conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LinkRefusal {
    #[error("links between routers are not allowed on a connection of this role")]
    Forbidden,
    #[error("a connection between routers takes no such link")]
    Role,
    #[error("the connection has its control link")]
    Twice,
    #[error("Node not found")]
    NotFound,
    #[error("this router does not do that in this direction")]
    Direction,
}

impl LinkRefusal {
    pub(crate) const fn condition(self) -> &'static str {
        match self {
            Self::Forbidden => "qd:forbidden",
            Self::Role => "qd:connection-role",
            Self::Twice => condition::NOT_ALLOWED,
            Self::Direction => condition::NOT_IMPLEMENTED,
            Self::NotFound => condition::NOT_FOUND,
        }
    }
}

impl From<LinkRefusal> for Error {
    fn from(refusal: LinkRefusal) -> Self {
        Self::new(refusal.condition(), refusal.to_string())
    }
}

/// The capabilities that links between routers have.
pub(crate) fn is_router_link(attach: &Attach) -> bool {
    let all = [CONTROL, DATA, super::edge::DOWNLINK, super::edge::INTER_EDGE];
    all.iter().any(|capability| has(attach, capability))
}

pub(super) fn has(attach: &Attach, capability: &str) -> bool {
    let source = attach.source.as_ref().and_then(SourceTerminus::as_source);
    let target = attach.target.as_ref().and_then(TargetTerminus::as_target);
    source.is_some_and(|s| s.capabilities.contains(capability))
        || target.is_some_and(|t| t.capabilities.contains(capability))
}

/// Whether neither terminus names anything: a link for whatever comes.
pub(super) fn is_anonymous(attach: &Attach) -> bool {
    let source = attach.source.as_ref().and_then(SourceTerminus::as_source);
    let target = attach.target.as_ref().and_then(TargetTerminus::as_target);
    source.is_none_or(|s| s.address.is_none() && !s.dynamic) && target.is_none_or(|t| t.address.is_none() && !t.dynamic)
}

impl Links {
    /// What the connecting side attaches, in order, with what it is on each link.
    pub(crate) fn plan() -> impl Iterator<Item = (LinkPurpose, Role)> {
        let data = (0..PRIORITIES as u8).map(LinkPurpose::Data);
        std::iter::once(LinkPurpose::Control).chain(data).flat_map(|p| [(p, Role::Receiver), (p, Role::Sender)])
    }

    /// Decides what a link that the peer attached is for, and counts it.
    pub(crate) fn peer_attached(
        &mut self,
        role: ConnectionRole,
        link: LinkId,
        attach: &Attach,
    ) -> Result<LinkPurpose, LinkRefusal> {
        let ours = attach.role.other();
        let (control, data) = (has(attach, CONTROL), has(attach, DATA));
        match role {
            ConnectionRole::InterRouter if control => {
                let slot = self.table(ours).first_mut();
                match slot {
                    Some(slot) if slot.is_none() => *slot = Some(Slot { link, attached: true }),
                    _ => return Err(LinkRefusal::Twice),
                }
                Ok(LinkPurpose::Control)
            }
            ConnectionRole::InterRouter if data => {
                let counted = match ours {
                    Role::Receiver => &mut self.counted_in,
                    Role::Sender => &mut self.counted_out,
                };
                let priority = *counted;
                *counted = counted.saturating_add(1);
                let Some(slot) = self.table(ours).get_mut(1 + priority) else { return self.stream(ours) };
                *slot = Some(Slot { link, attached: true });
                // Below ten, because there are as many slots.
                Ok(LinkPurpose::Data(priority as u8))
            }
            ConnectionRole::InterRouterData if (data || is_anonymous(attach)) && !control => self.stream(ours),
            _ if control || data => Err(LinkRefusal::Forbidden),
            _ => Err(LinkRefusal::Role),
        }
    }

    /// A link for streams is attached by whoever sends on it.
    fn stream(&mut self, ours: Role) -> Result<LinkPurpose, LinkRefusal> {
        if ours == Role::Sender {
            return Err(LinkRefusal::Role);
        }
        self.streams += 1;
        Ok(LinkPurpose::Stream)
    }

    /// We attached a link.
    pub(crate) fn attaching(&mut self, purpose: LinkPurpose, role: Role, link: LinkId) {
        match self.table(role).get_mut(purpose.session()) {
            Some(slot) => *slot = Some(Slot { link, attached: false }),
            None => self.streams += 1,
        }
    }

    /// The peer answered a link of ours.
    pub(crate) fn answered(&mut self, purpose: LinkPurpose, link: LinkId) {
        if let Some(slot) = self.find(purpose, link) {
            slot.attached = true;
        }
    }

    /// A link is gone.
    pub(crate) fn gone(&mut self, purpose: LinkPurpose, link: LinkId) {
        if purpose == LinkPurpose::Stream {
            self.streams = self.streams.saturating_sub(1);
        } else if self.find(purpose, link).is_some()
            && let Some(slot) = self.table(link.role()).get_mut(purpose.session())
        {
            *slot = None;
        }
    }

    /// The link of a purpose and direction.
    pub(crate) fn get(&self, purpose: LinkPurpose, role: Role) -> Option<Slot> {
        let table = match role {
            Role::Receiver => &self.incoming,
            Role::Sender => &self.outgoing,
        };
        table.get(purpose.session()).copied().flatten()
    }

    /// Both control links are attached.
    pub(crate) fn has_control(&self) -> bool {
        [Role::Receiver, Role::Sender].iter().all(|r| self.get(LinkPurpose::Control, *r).is_some_and(|s| s.attached))
    }

    /// All links of the plan are attached.
    pub(crate) fn is_complete(&self) -> bool {
        self.incoming.iter().chain(&self.outgoing).all(|slot| slot.is_some_and(|s| s.attached))
    }

    fn table(&mut self, role: Role) -> &mut [Option<Slot>; 1 + PRIORITIES] {
        match role {
            Role::Receiver => &mut self.incoming,
            Role::Sender => &mut self.outgoing,
        }
    }

    fn find(&mut self, purpose: LinkPurpose, link: LinkId) -> Option<&mut Slot> {
        self.table(link.role()).get_mut(purpose.session())?.as_mut().filter(|slot| slot.link == link)
    }
}

/// The attach of a link of ours.
pub(crate) fn attach(purpose: LinkPurpose, role: Role, name: &str) -> Attach {
    let capabilities: Symbols = purpose.capability().into_iter().collect();
    Attach {
        name: Str::from(name),
        role,
        source: Some(
            Source { expiry_policy: EXPIRY_LINK_DETACH, capabilities: capabilities.clone(), ..Source::default() }
                .into(),
        ),
        target: Some(Target { expiry_policy: EXPIRY_LINK_DETACH, capabilities, ..Target::default() }.into()),
        max_message_size: Some(0),
        ..Attach::default()
    }
}

/// The answer to a peer's attach: its termini, which expire with the session.
pub(crate) fn answer(attach: &Attach) -> Attach {
    let source = attach.source.as_ref().and_then(SourceTerminus::as_source).cloned().unwrap_or_default();
    let target = attach.target.as_ref().and_then(TargetTerminus::as_target).cloned().unwrap_or_default();
    Attach {
        snd_settle_mode: attach.snd_settle_mode,
        rcv_settle_mode: attach.rcv_settle_mode,
        source: Some(Source { expiry_policy: EXPIRY_SESSION_END, ..source }.into()),
        target: Some(Target { expiry_policy: EXPIRY_SESSION_END, ..target }.into()),
        max_message_size: Some(0),
        ..Attach::default()
    }
}

#[cfg(test)]
mod tests;
