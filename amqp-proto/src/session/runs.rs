//! Dispositions that wait to be written, as ranges.

use crate::{
    DeliveryState,
    performative::{Disposition, Role},
};

/// Deliveries with consecutive ids about which the same is to be said.
#[derive(Debug)]
struct Run {
    first: u32,
    last: u32,
    settled: bool,
    state: Option<DeliveryState>,
}

/// At most one range per direction waits; what does not extend it pushes it out.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    /// We are the receiver of these.
    incoming: Option<Run>,
    /// We are the sender of these.
    outgoing: Option<Run>,
}

impl Run {
    fn into_frame(self, role: Role) -> Disposition {
        Disposition {
            role,
            first: self.first,
            last: (self.last != self.first).then_some(self.last),
            settled: self.settled,
            state: self.state,
            batchable: false,
        }
    }
}

impl Runs {
    fn side(&mut self, role: Role) -> &mut Option<Run> {
        match role {
            Role::Receiver => &mut self.incoming,
            Role::Sender => &mut self.outgoing,
        }
    }

    /// Adds a delivery. Returns the frame that must be written before, if there is one.
    #[must_use]
    pub(crate) fn add(
        &mut self,
        role: Role,
        id: u32,
        state: Option<&DeliveryState>,
        settled: bool,
    ) -> Option<Disposition> {
        let side = self.side(role);
        if let Some(run) = side
            && run.settled == settled
            && run.state.as_ref() == state
        {
            if run.last.wrapping_add(1) == id {
                run.last = id;
                return None;
            }
            if run.first.wrapping_sub(1) == id {
                run.first = id;
                return None;
            }
        }
        side.replace(Run { first: id, last: id, settled, state: state.cloned() }).map(|run| run.into_frame(role))
    }

    /// Takes what waits.
    pub(crate) fn take(&mut self) -> [Option<Disposition>; 2] {
        let incoming = self.incoming.take().map(|run| run.into_frame(Role::Receiver));
        let outgoing = self.outgoing.take().map(|run| run.into_frame(Role::Sender));
        [incoming, outgoing]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.incoming.is_none() && self.outgoing.is_none()
    }
}
