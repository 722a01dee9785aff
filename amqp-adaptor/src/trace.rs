//! What connections say on the wire, for the log: of all of them with the module PROTOCOL, or of single ones.

use amqp_proto::trace::{text, units};
use tracing::Level;

use crate::conn::Conn;

/// Whether the log takes the frames of every connection that nothing else was said for.
#[inline]
fn wanted() -> bool {
    tracing::event_enabled!(target: "PROTOCOL", Level::DEBUG)
}

impl Conn {
    /// Whether frames are logged. Asked once for what is read or written at once.
    #[inline]
    pub(crate) fn is_traced(&self) -> bool {
        self.traced.unwrap_or_else(wanted)
    }

    /// Frames are logged from here on, or not any more, whatever the log says.
    pub(crate) fn set_traced(&mut self, traced: bool) {
        self.traced = Some(traced);
        // What waits was queued before.
        self.details.told = self.engine.output().queued();
    }

    /// Logs what was read, which is whole frames.
    #[cold]
    pub(crate) fn trace_input(&self, bytes: &[u8]) {
        self.log_frames(bytes, false);
    }

    /// Logs what was queued since the last time. Only called when frames are complete.
    #[cold]
    pub(crate) fn trace_output(&mut self) {
        let output = self.engine.output();
        let news = output.queued().wrapping_sub(self.details.told) as usize;
        self.details.told = output.queued();
        let bytes = output.copied(output.len().saturating_sub(news));
        // If the log asks for traces only now, a part of a frame may be in front.
        if units(&bytes).are_whole() {
            self.log_frames(&bytes, true);
        }
    }

    fn log_frames(&self, bytes: &[u8], sent: bool) {
        let id = self.details.id;
        for unit in units(bytes) {
            let text = text(unit, sent);
            // Who asks for one connection shall see it, though the module as a whole logs less.
            if wanted() {
                tracing::debug!(target: "PROTOCOL", "[C{id}]:{text}");
            } else {
                tracing::info!(target: "PROTOCOL", "[C{id}]:{text}");
            }
        }
    }
}
