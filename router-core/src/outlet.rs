//! A link on which deliveries go out.

use std::{collections::VecDeque, num::NonZeroU32};

use crate::{core::slots::Key, egress::LinkRef, inspect::LinkCounters};

#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) link: LinkRef,
    pub(crate) conn: Key,
    pub(crate) address: Key,
    /// Positions in the lists of the connection and of the address.
    pub(crate) conn_at: u32,
    pub(crate) address_at: u32,
    /// It takes one delivery at a time, which may be long: nothing is promised to others while it has one.
    pub(crate) single: bool,
    /// Deliveries that the receiver still allows.
    pub(crate) credit: u32,
    /// Of these, lent to other workers, and promised to what they sent with it and waits in `queue`.
    pub(crate) lent: u32,
    pub(crate) reserved: u32,
    pub(crate) lenders: Vec<Lent>,
    /// The receiver waits for the answer to its drain.
    pub(crate) drain: bool,
    /// The last send was short.
    pub(crate) blocked: bool,
    /// Others took its place: it finishes what it has, and gets nothing else.
    pub(crate) retired: bool,
    /// It is kept for what a sender sends after something long: others get nothing of it.
    pub(crate) kept: bool,
    /// The delivery that is partly sent.
    pub(crate) current: Key,
    /// First of the list of deliveries that are partly sent or not settled, and how many they are.
    pub(crate) first: u32,
    pub(crate) outstanding: u32,
    /// Assigned, but nothing sent: copies, and what other workers sent. Keys of deliveries that are gone are skipped; `queued` live.
    pub(crate) queue: VecDeque<Key>,
    pub(crate) queued: u32,
    /// Its number for management, and what it has counted.
    pub(crate) id: u64,
    pub(crate) counters: LinkCounters,
    /// Since when the receiver has given no credit, as far as was looked: the half second and one.
    pub(crate) dry: Option<NonZeroU32>,
    /// It leads to an interior router, or to this router itself: what goes there has not left the network.
    pub(crate) inside: bool,
    /// Its client gets annotations in front.
    pub(crate) annotated: bool,
    /// Its client may not do everything.
    pub(crate) restricted: bool,
}

/// Credit lent to one worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lent {
    pub(crate) worker: u16,
    pub(crate) credit: u32,
    pub(crate) recalled: bool,
}

impl Outlet {
    /// Credit for deliveries that nobody else was promised.
    #[inline]
    pub(crate) const fn free(&self) -> u32 {
        let free = self.credit.saturating_sub(self.lent + self.reserved);
        if self.retired || self.kept {
            0
        } else if !self.single || free == 0 {
            free
        } else if self.current.is_none() && self.lent == 0 && self.queued == 0 {
            1
        } else {
            0
        }
    }

    /// It can take a delivery of its address now.
    #[inline]
    pub(crate) const fn is_ready(&self) -> bool {
        self.free() > 0 && !self.blocked && self.current.is_none() && self.queued == 0
    }

    /// It can send a delivery at once, if it is one that may go there.
    #[inline]
    pub(crate) fn takes_next(&self) -> bool {
        let next = if self.kept { self.credit > 0 && self.lent == 0 } else { self.free() > 0 };
        next && !self.blocked && self.current.is_none() && self.queued == 0
    }

    /// It has nothing to send, and waits for no answer.
    pub(crate) fn is_idle(&self) -> bool {
        let nothing = self.current.is_none() && self.outstanding == 0 && self.queued == 0 && self.reserved == 0;
        nothing && !self.blocked && !self.drain
    }

    /// Takes back up to `credit` from what was lent to a worker.
    pub(crate) fn unlend(&mut self, worker: u16, credit: u32) {
        let Some(at) = self.lenders.iter().position(|l| l.worker == worker) else { return };
        let entry = &mut self.lenders[at];
        let credit = credit.min(entry.credit);
        entry.credit -= credit;
        self.lent -= credit;
        if entry.credit == 0 {
            self.lenders.swap_remove(at);
        }
    }

    pub(crate) fn lend(&mut self, worker: u16, credit: u32) {
        self.lent += credit;
        match self.lenders.iter_mut().find(|l| l.worker == worker) {
            Some(entry) => entry.credit += credit,
            None => self.lenders.push(Lent { worker, credit, recalled: false }),
        }
    }
}
