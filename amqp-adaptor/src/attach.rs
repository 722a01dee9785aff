//! Links that clients attach: what they ask of the core, and the answer.

use amqp_proto::connection::Attached;
use amqp_proto::{Attach, Error, Role, Source, SourceTerminus, Target, TargetTerminus, condition};
use router_core::annotations::{RESEND_RELEASED, STREAMING};
use router_core::{Admission, ConnKey, Core, InletRequest, LinkRef, OutletRequest, Refusal, Terminus};

use crate::egress::Conns;

/// Why an attach is refused.
fn error_of(id: u64, refusal: &Refusal) -> Error {
    crate::policy::log_refusal(id, refusal);
    Error::new(refusal.condition(), refusal.to_string())
}

/// Asks the core for what the peer wants and answers the attach.
pub(crate) fn attach(core: &mut Core, conns: &mut Conns, conn: u32, key: ConnKey, attached: &Attached) {
    let link = LinkRef { conn, link: attached.link.to_u32() };
    if crate::neighbour::is_router_link(&attached.attach) {
        conns.touch(conn);
        if let Some(conn) = conns.get(conn) {
            conn.engine.refuse_attach(attached.link, crate::neighbour::forbidden());
        }
        return;
    }
    if crate::neighbour::is_edge_link(&attached.attach) {
        conns.touch(conn);
        if let Some(conn) = conns.get(conn) {
            conn.engine.refuse_attach(attached.link, crate::neighbour::not_an_edge());
        }
        return;
    }
    let answer = match attached.attach.role {
        Role::Sender => inlet(core, conns, key, link, &attached.attach),
        Role::Receiver => outlet(core, conns, key, link, &attached.attach),
    };
    conns.touch(conn);
    let Some(conn) = conns.get(conn) else { return };
    let (id, name) = (conn.details.id, attached.attach.name.as_str());
    match answer {
        Ok(Accepted { user, source, target }) => {
            let address = match attached.attach.role {
                Role::Sender => target.as_ref().and_then(|target| target.as_target()?.address_str()),
                Role::Receiver => source.as_ref().and_then(|source| source.as_source()?.address_str()),
            };
            let (role, address) = (attached.attach.role, address.unwrap_or_default());
            tracing::debug!(target: "ROUTER_CORE", "[C{id}] Link {name} of a {role:?} attached: {address}");
            let limit = core.admission(key).map(Admission::max_message_size).filter(|size| *size > 0);
            let max_message_size = limit.filter(|_| attached.attach.role == Role::Sender);
            let answer = Attach { max_message_size, ..attached.answer(source, target) };
            conn.engine.accept_attach(attached.link, answer, user);
        }
        Err(error) => {
            tracing::debug!(target: "ROUTER_CORE", "[C{id}] Link {name} refused: {error}");
            conn.engine.refuse_attach(attached.link, error);
        }
    }
}

/// The number of a link's connection in logs.
fn number(conns: &mut Conns, link: LinkRef) -> u64 {
    conns.get(link.conn).map_or(0, |conn| conn.details.id)
}

/// What goes into the answer.
struct Accepted {
    user: u64,
    source: Option<SourceTerminus>,
    target: Option<TargetTerminus>,
}

fn inlet(core: &mut Core, conns: &mut Conns, key: ConnKey, link: LinkRef, attach: &Attach) -> Result<Accepted, Error> {
    let target = match &attach.target {
        None => Target::default(),
        Some(TargetTerminus::Target(target)) => Target::clone(target),
        Some(TargetTerminus::Coordinator(_)) => {
            return Err(Error::new(condition::NOT_IMPLEMENTED, "this router has no transaction coordinator"));
        }
        Some(TargetTerminus::Other(_)) => {
            return Err(Error::new(condition::NOT_IMPLEMENTED, "the target is of a type that is not known here"));
        }
    };
    let terminus = terminus(target.dynamic, target.address.is_some(), target.address_str())?;
    let accepted = core
        .attach_inlet(key, link, &InletRequest { target: terminus }, conns)
        .map_err(|r| error_of(number(conns, link), &r))?;
    let flags = delivery_flags(&target);
    if flags != 0 {
        core.mark_inlet(accepted.key, flags);
    }
    let target = match &accepted.dynamic {
        Some(address) => target.with_address(address),
        None => target,
    };
    Ok(Accepted { user: accepted.key.to_raw(), source: attach.source.clone(), target: Some(target.into()) })
}

fn outlet(core: &mut Core, conns: &mut Conns, key: ConnKey, link: LinkRef, attach: &Attach) -> Result<Accepted, Error> {
    let source = match &attach.source {
        None => Source::default(),
        Some(SourceTerminus::Source(source)) => Source::clone(source),
        Some(SourceTerminus::Other(_)) => {
            return Err(Error::new(condition::NOT_IMPLEMENTED, "the source is of a type that is not known here"));
        }
    };
    let terminus = terminus(source.dynamic, source.address.is_some(), source.address_str())?;
    let accepted = core
        .attach_outlet(key, link, &OutletRequest { source: terminus }, conns)
        .map_err(|r| error_of(number(conns, link), &r))?;
    let source = match &accepted.dynamic {
        Some(address) => source.with_address(address),
        None => source,
    };
    Ok(Accepted { user: accepted.key.to_raw(), source: Some(source.into()), target: attach.target.clone() })
}

/// What a client asks for all deliveries of a link, as annotations say it of each.
fn delivery_flags(target: &Target) -> u32 {
    let flag = |capability: &str, flag: u32| if target.capabilities.contains(capability) { flag } else { 0 };
    flag("qd.streaming-deliveries", STREAMING) | flag("qd.resend-released", RESEND_RELEASED)
}

/// The address of a terminus as the core wants it. Only strings are addresses here (AMQP 1.0 §3.5.3 allows any value).
fn terminus(dynamic: bool, has_address: bool, address: Option<&str>) -> Result<Terminus<'_>, Error> {
    match (dynamic, address) {
        (true, _) => Ok(Terminus::Dynamic),
        (false, Some("")) => Ok(Terminus::Anonymous),
        (false, Some(address)) => Ok(Terminus::Address(address)),
        (false, None) if has_address => {
            Err(Error::new(condition::INVALID_FIELD, "the address of a terminus has to be a string"))
        }
        (false, None) => Ok(Terminus::Anonymous),
    }
}
