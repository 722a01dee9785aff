//! Transfer frames of the peer.

use std::{ops::Range, time::Instant};

use super::{Connection, Event, Transfer, fault::Fault};
use crate::{
    DeliveryState, Error, condition,
    link::LinkState,
    performative::{self, ReceiverSettleMode, Role, SenderSettleMode},
    session::ring::Slot,
};

impl Connection {
    /// A delivery has more bytes than it may have: the sender is told so about the delivery, or if that is settled about the link.
    #[cold]
    fn oversize(&mut self, index: usize, delivery: u32) -> Fault {
        let id = self.link_id(index);
        let most = self.links.get(index).map_or(0, |link| link.max_message_size);
        let error = Error::new(condition::LINK_MESSAGE_SIZE_EXCEEDED, "Message size exceeded");
        if self.settle_incoming(id, delivery, Some(&DeliveryState::rejected(Some(&error))), true) {
            return Fault::ToldLink(index, Box::new(error));
        }
        let what = format_args!("delivery {delivery} is larger than the max-message-size of {most} bytes");
        Fault::link(index, condition::LINK_MESSAGE_SIZE_EXCEEDED, what)
    }

    /// A transfer frame of `size` bytes with this range of the block as payload.
    pub(super) fn on_transfer(
        &mut self,
        channel: u16,
        transfer: &mut performative::Transfer,
        payload: Range<usize>,
        size: usize,
        now: Instant,
    ) -> Result<Option<Event>, Fault> {
        let Some(index) = self.session_on(channel, "transfer")? else {
            return Ok(None);
        };
        let Some(session) = self.sessions.get_mut(index) else {
            return Ok(None);
        };
        // §2.5.6
        if !session.receive_frame(size as u32) {
            return Err(Fault::session(
                index,
                condition::SESSION_WINDOW_VIOLATION,
                format_args!("transfer {} is beyond the incoming window", session.next_incoming_id),
            ));
        }
        if session.is_low() && !session.dirty {
            session.dirty = true;
            self.dirty_sessions.push(index as u16);
        }
        let Some(li) = session.handles.get(transfer.handle) else {
            return Err(Fault::session(
                index,
                condition::SESSION_UNATTACHED_HANDLE,
                format_args!("transfer for handle {}, which is not attached", transfer.handle),
            ));
        };
        let Some(link) = self.links.get_mut(li) else {
            return Ok(None);
        };
        if link.state == LinkState::DetachSent {
            if transfer.delivery_id.is_some() && transfer.delivery_id == session.expected_delivery {
                session.expected_delivery = session.expected_delivery.map(|id| id.wrapping_add(1));
            }
            return self.errant(index, li);
        }
        if link.role != Role::Receiver {
            return Err(Fault::session(
                index,
                condition::NOT_ALLOWED,
                format_args!("transfer on link {}, of which the peer is the receiver", link.name),
            ));
        }
        let first = !link.partial;
        let settled_now = transfer.settled == Some(true);
        if first {
            let (Some(id), Some(delivery_tag)) = (transfer.delivery_id, &transfer.delivery_tag) else {
                let missing = if transfer.delivery_id.is_none() { "delivery-id" } else { "delivery-tag" };
                return Err(Fault::session(
                    index,
                    condition::INVALID_FIELD,
                    format_args!("the first transfer of a delivery on link {} has no {missing}", link.name),
                ));
            };
            // §2.6.12: delivery-ids are consecutive in the session.
            if let Some(expected) = session.expected_delivery
                && expected != id
            {
                return Err(Fault::session(
                    index,
                    condition::INVALID_FIELD,
                    format_args!("transfer.delivery-id is {id} where {expected} was expected"),
                ));
            }
            session.expected_delivery = Some(id.wrapping_add(1));
            // §2.6.7
            if link.credit == 0 {
                return Err(Fault::link(
                    li,
                    condition::LINK_TRANSFER_LIMIT_EXCEEDED,
                    format_args!("delivery {id} on link {} without credit", link.name),
                ));
            }
            let second = match transfer.rcv_settle_mode {
                None => link.rcv_mode == ReceiverSettleMode::Second,
                Some(ReceiverSettleMode::First) => false,
                Some(ReceiverSettleMode::Second) if link.rcv_mode == ReceiverSettleMode::First => {
                    return Err(Fault::link(
                        li,
                        condition::INVALID_FIELD,
                        format_args!("delivery {id} has rcv-settle-mode second on a link that negotiated first"),
                    ));
                }
                Some(ReceiverSettleMode::Second) => true,
            };
            link.credit -= 1;
            link.delivery_count = link.delivery_count.wrapping_add(1);
            link.delivery_id = id;
            // Mandatory by the letter of §2.7.5, but there is only one format in use, and clients leave its 0 out.
            link.message_format = transfer.message_format.unwrap_or(0);
            link.partial = true;
            link.settled = settled_now;
            link.second = second;
            link.size = 0;
            link.ignored = transfer.resume;
            if transfer.more && !transfer.aborted {
                session.streaming = li as u32;
                link.tag = *delivery_tag;
            }
            if !settled_now && !link.ignored {
                if session.incoming.has_old() && session.incoming.too_old(id).is_some() {
                    return Err(Fault::session(
                        index,
                        condition::RESOURCE_LIMIT_EXCEEDED,
                        "a delivery was left unsettled for 2^31 deliveries",
                    ));
                }
                link.unsettled += 1;
                session.incoming.insert(id, Slot { token: 0, link: li as u32, flags: 0 });
            }
            self.stats.deliveries_in += 1;
        } else {
            // §2.6.14: deliveries on a link are not interleaved, and continuations may only repeat what is known.
            if let Some(id) = transfer.delivery_id
                && id != link.delivery_id
            {
                if session.expected_delivery == Some(id) {
                    session.expected_delivery = Some(id.wrapping_add(1));
                }
                return Err(Fault::link(
                    li,
                    condition::NOT_ALLOWED,
                    format_args!(
                        "transfer of delivery {id} before the end of delivery {} on link {}",
                        link.delivery_id, link.name
                    ),
                ));
            }
            if transfer.delivery_tag.is_some_and(|t| t != link.tag) {
                return Err(Fault::link(
                    li,
                    condition::INVALID_FIELD,
                    format_args!("delivery {} changes its delivery-tag", link.delivery_id),
                ));
            }
            if transfer.message_format.is_some_and(|f| f != link.message_format) {
                return Err(Fault::link(
                    li,
                    condition::INVALID_FIELD,
                    format_args!("delivery {} changes its message-format", link.delivery_id),
                ));
            }
            link.settled |= settled_now;
        }
        let id = link.delivery_id;
        let done = !transfer.more || transfer.aborted;
        let start = payload.start;
        let payload_end = if transfer.aborted { start } else { payload.end };
        link.size += (payload_end - start) as u64;
        // §2.7.3
        if link.max_message_size > 0 && link.size > link.max_message_size {
            return Err(self.oversize(li, id));
        }
        // §2.8.2
        let broken = match link.snd_mode {
            SenderSettleMode::Mixed => false,
            SenderSettleMode::Settled => done && !transfer.aborted && !link.settled,
            SenderSettleMode::Unsettled => settled_now,
        };
        if broken {
            return Err(Fault::link(
                li,
                condition::INVALID_FIELD,
                format_args!(
                    "delivery {id} is{} settled on a link that negotiated otherwise",
                    if link.settled { "" } else { " not" }
                ),
            ));
        }
        if done {
            link.partial = false;
        }
        if link.grant > 0 && !link.dirty {
            // Credit that was not worth a flow may be by now.
            link.dirty = true;
            self.dirty_links.push(li as u32);
        }
        // An aborted delivery is settled too (§2.7.5).
        if (link.settled || transfer.aborted) && !(first && settled_now) && session.incoming.take(id).is_some() {
            link.unsettled -= 1;
        }
        let event = Transfer {
            link: link.id(li),
            delivery_id: id,
            user: link.user,
            message_format: link.message_format,
            start: start as u32,
            end: payload_end as u32,
            first,
            more: !done,
            aborted: transfer.aborted,
            settled: link.settled || transfer.aborted,
            rcv_second: link.second,
            state: transfer.state.take().map(Box::new),
        };
        if link.ignored {
            // §2.7.5: what the sender resumes and we do not know is ignored; its credit is given back.
            if first {
                link.grant = link.grant.saturating_add(1);
                self.mark_link(li, true);
            }
            return Ok(None);
        }
        if start == payload_end && !first && !done {
            self.spend_idle("empty transfers", now)?;
        }
        Ok(Some(Event::Transfer(event)))
    }
}
