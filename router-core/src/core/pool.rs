//! Memory for deliveries that must not hold up others.
//!
//! What waits usually counts against the window of its sender's session. That would be wrong for what came over a link that all addresses
//! share: one slow consumer would shut the window for everybody's traffic. And for what is gathered until it is complete: several
//! deliveries of one session would each wait for the window that the others fill. Such content counts here instead. Each address may
//! have as much of the pool as is still free, so that one slow address gets at most half of it, and there is always some for others.
//! What is beyond is released, or dropped and counted if it was presettled.

use super::Core;
use crate::{
    core::slots::Key,
    delivery::{Delivery, From, POOLED, STARTED, To},
    egress::Egress,
};

/// What remembering a delivery costs beside its content: the record and its places in lists.
const RECORD: usize = size_of::<Delivery>() + 64;

/// The pool of a worker.
#[derive(Debug)]
pub(super) struct Pool {
    size: usize,
    pub(super) used: usize,
}

impl Pool {
    pub(super) fn new(size: usize) -> Self {
        // What an address uses is counted in 32 bits.
        Self { size: size.min(1 << 31), used: 0 }
    }

    /// Most of it is free.
    pub(super) const fn is_ample(&self) -> bool {
        self.used < self.size / 4
    }
}

impl Core {
    /// The delivery whose sender is to be pushed back for memory: for a copy, the one it is a copy of.
    pub(super) fn root(&self, d: Key) -> Option<Key> {
        match self.deliveries.get(d)?.from {
            From::Copy { parent } => Some(parent),
            _ => Some(d),
        }
    }

    /// The delivery came over a link that is not shared by all addresses, and that is still there: its sender may be pushed back.
    pub(super) fn is_of_one(&self, d: Key) -> bool {
        let Some(From::Inlet { inlet, .. }) = self.deliveries.get(d).map(|d| d.from) else { return false };
        self.inlets.get(inlet).is_some_and(|inlet| !inlet.shared)
    }

    /// Nothing more of the pool is for the address of this delivery.
    pub(super) fn is_too_much(&self, d: Key) -> bool {
        self.deliveries.get(d).is_some_and(|d| self.is_over(d.address))
    }

    /// Memory of the pool is used for an address.
    pub(super) fn pool_in(&mut self, address: Key, bytes: usize) {
        self.pool.used += bytes;
        if let Some(a) = self.addresses.get_mut(address) {
            a.waiting.pooled = a.waiting.pooled.saturating_add(bytes as u32);
        }
    }

    /// It was given back.
    pub(super) fn pool_out(&mut self, address: Key, bytes: usize) {
        self.pool.used = self.pool.used.saturating_sub(bytes);
        if let Some(a) = self.addresses.get_mut(address) {
            a.waiting.pooled = a.waiting.pooled.saturating_sub(bytes as u32);
        }
    }

    /// Nothing more of the pool is for this address now.
    pub(super) fn is_over(&self, address: Key) -> bool {
        let Some(a) = self.addresses.get(address).filter(|a| a.waiting.pooled > 0) else { return false };
        a.waiting.pooled as usize + a.waiting.len() * RECORD > self.pool.size.saturating_sub(self.pool.used)
    }

    /// What the delivery keeps counts in the pool from now on.
    pub(super) fn pool(&mut self, d: Key, eg: &mut impl Egress) {
        self.change_account(d, true, eg);
    }

    /// What the delivery keeps counts against its sender's window from now on.
    pub(super) fn unpool(&mut self, d: Key, eg: &mut impl Egress) {
        self.change_account(d, false, eg);
    }

    fn change_account(&mut self, d: Key, pooled: bool, eg: &mut impl Egress) {
        let Some(delivery) = self.deliveries.get(d).filter(|d| d.has(POOLED) != pooled) else { return };
        let kept = delivery.content.as_ref().map_or(0, |content| content.charge());
        let posted = match delivery.to {
            To::Fan => self.children(d).into_iter().filter_map(|c| self.deliveries.get(c)).map(|c| c.posted).sum(),
            _ => delivery.posted,
        };
        self.discharge(d, kept + posted, eg);
        if let Some(delivery) = self.deliveries.get_mut(d) {
            delivery.flags ^= POOLED;
        }
        self.charge(d, kept + posted, eg);
    }

    /// A part of a delivery that counts in the pool arrived. If its address has too much there, it goes on at the pace of its receiver, if
    /// it has one; else it is given up.
    pub(super) fn bound(&mut self, d: Key, eg: &mut impl Egress) {
        let Some(delivery) = self.deliveries.get(d).filter(|d| d.has(POOLED) && !d.arrived()) else { return };
        if !self.is_over(delivery.address) || delivery.to == To::Nowhere {
            return;
        }
        if delivery.has(STARTED) || matches!(delivery.to, To::Worker { .. } | To::Fan) {
            return self.unpool(d, eg);
        }
        // What still comes of it is thrown away.
        self.leave_waiting(d);
        self.dropped(d, eg);
    }
}
