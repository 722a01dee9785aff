//! The state of a session: windows, handles and unsettled deliveries.

pub(crate) mod ring;
pub(crate) mod runs;
pub(crate) mod serial;
pub(crate) mod table;

use ring::Ring;
use runs::Runs;
use table::Table;

use crate::connection::Limits;

/// The most frames of a window that is meant to be of so many bytes.
pub(crate) fn most_frames(bytes: u32, limits: &Limits) -> u32 {
    limits.session_frames.max(8).saturating_mul((bytes / limits.session_bytes.max(1)).max(1)).min(1 << 24)
}

/// How far begin and end have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionState {
    /// We sent begin and wait for the peer's.
    BeginSent,
    /// Both did.
    Mapped,
    /// We sent end and wait for the peer's; what it sends until then is discarded.
    EndSent,
}

/// A session. Its index in the connection is our channel.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) state: SessionState,
    pub(crate) generation: u16,
    /// The peer began it.
    pub(crate) by_peer: bool,
    /// The channel on which the peer sends, once it has begun.
    pub(crate) peer_channel: Option<u16>,

    /// Transfer-id of our next transfer frame.
    pub(crate) next_outgoing_id: u32,
    /// The first one, which the peer's flows refer to before it has seen our begin.
    pub(crate) initial_outgoing_id: u32,
    /// Transfer frames that the peer will take.
    pub(crate) window: u32,
    /// Delivery-id of our next delivery.
    pub(crate) next_delivery_id: u32,
    /// What we sent and nobody settled.
    pub(crate) outgoing: Ring,

    /// Transfer-id of the peer's next transfer frame.
    pub(crate) next_incoming_id: u32,
    /// Transfer-id that the peer must not reach: what our last flow allowed.
    pub(crate) incoming_limit: u32,
    /// When so few frames are left the window is looked at again.
    pub(crate) low_water: u32,
    /// Average size of the frames received, in 1/16 of bytes.
    pub(crate) frame_size: u32,
    /// Content that the owner holds, in bytes.
    pub(crate) held: u32,
    /// How often the window was doubled.
    pub(crate) growth: u8,
    /// Delivery-id of the peer's next delivery; unknown before the first.
    pub(crate) expected_delivery: Option<u32>,
    /// What we received and nobody settled.
    pub(crate) incoming: Ring,

    /// The peer's handles.
    pub(crate) handles: Table,
    /// Highest handle that the peer accepts.
    pub(crate) handle_max: u32,
    /// Our handles that were given back.
    pub(crate) free_handles: Vec<u32>,
    /// Our handles from here on were never used.
    pub(crate) next_handle: u32,

    /// Dispositions to write.
    pub(crate) runs: Runs,
    /// Listed to be looked at by the next flush.
    pub(crate) dirty: bool,
    /// A flow must be written: the peer asked for it.
    pub(crate) echo: bool,
    /// Index of the link on which the last delivery of more than one frame began.
    pub(crate) streaming: u32,
}

impl Session {
    pub(crate) fn new(generation: u16, first_id: u32, max_frame_size: u32, limits: &Limits) -> Self {
        let window = (limits.first_window_bytes / max_frame_size).clamp(8, limits.session_frames.max(8));
        Self {
            state: SessionState::BeginSent,
            generation,
            by_peer: false,
            peer_channel: None,
            next_outgoing_id: first_id,
            initial_outgoing_id: first_id,
            window: 0,
            next_delivery_id: first_id,
            outgoing: Ring::default(),
            next_incoming_id: 0,
            incoming_limit: window,
            low_water: window / 2,
            frame_size: 0,
            held: 0,
            growth: 0,
            expected_delivery: None,
            incoming: Ring::default(),
            handles: Table::default(),
            handle_max: u32::MAX,
            free_handles: Vec::new(),
            next_handle: 0,
            runs: Runs::default(),
            dirty: false,
            echo: false,
            streaming: u32::MAX,
        }
    }

    /// Frames that the peer may still send.
    pub(crate) fn incoming_window(&self) -> u32 {
        serial::ahead(self.incoming_limit, self.next_incoming_id).max(0) as u32
    }

    /// Counts a frame of `size` bytes. False if the window did not allow it.
    pub(crate) fn receive_frame(&mut self, size: u32) -> bool {
        if serial::ahead(self.incoming_limit, self.next_incoming_id) <= 0 {
            return false;
        }
        self.next_incoming_id = self.next_incoming_id.wrapping_add(1);
        // An average over about 16 frames, kept in 1/16 of a byte.
        self.frame_size =
            if self.frame_size == 0 { size << 4 } else { self.frame_size - (self.frame_size >> 4) + size };
        true
    }

    /// True if the peer's window should be looked at.
    pub(crate) fn is_low(&self) -> bool {
        serial::ahead(self.incoming_limit, self.next_incoming_id) <= self.low_water as i32
    }

    /// Opens the incoming window as far as content that is held allows, if that is worth a flow of its own or there will be a flow
    /// anyway. True if there is to be one.
    ///
    /// The window is counted in frames but meant in bytes: the smaller the frames are, the more of them.
    pub(crate) fn extend_window(&mut self, max_frame_size: u32, limits: &Limits, anyway: bool) -> bool {
        if self.frame_size == 0 {
            return anyway;
        }
        if u64::from(self.held) * 4 > u64::from(self.bytes(limits)) * 3 {
            // What was on its way stays here: whoever takes it is slower than the way, and will not be sent as much again.
            self.growth = 0;
        }
        let frame = self.frame(max_frame_size);
        let target = self.target(max_frame_size, limits);
        let window = target.saturating_sub(self.held / frame);
        let before = self.incoming_window();
        // What the peer may send is the window without what was not told yet. Where it is to grow, that must not look as if it were enough.
        let grows = limits.session_most > limits.session_bytes;
        self.low_water = if grows { target - target / 4 } else { target / 2 };
        let worth = window > before && before <= self.low_water && (window - before >= target / 8 || before == 0);
        if window > before && (worth || anyway) {
            // Never told without being counted, and never counted without being told.
            self.incoming_limit = self.next_incoming_id.wrapping_add(window);
        }
        worth || anyway
    }

    /// What a frame of the peer is taken to have, in bytes.
    fn frame(&self, max_frame_size: u32) -> u32 {
        (self.frame_size >> 4).clamp(1, max_frame_size)
    }

    /// Content that may be on its way to us or held, in bytes.
    fn bytes(&self, limits: &Limits) -> u32 {
        let grown = limits.session_bytes.saturating_mul(1 << self.growth.min(31));
        grown.min(limits.session_most).max(limits.session_bytes)
    }

    /// The window in frames, if nothing is held.
    fn target(&self, max_frame_size: u32, limits: &Limits) -> u32 {
        let bytes = self.bytes(limits);
        let most = most_frames(bytes, limits);
        let least = (bytes / max_frame_size).clamp(8, most);
        (bytes / self.frame(max_frame_size)).clamp(least, most)
    }

    /// So many frames arrive in a round trip. Opens the window wider if they take more than half of it, and are passed on.
    pub(crate) fn grow(&mut self, frames: u64, max_frame_size: u32, limits: &Limits) {
        let arrives = frames.saturating_mul(self.frame(max_frame_size).into());
        if arrives.saturating_mul(2) <= self.bytes(limits).into() || self.held > self.bytes(limits) / 8 {
            return;
        }
        while self.bytes(limits) < limits.session_most && u64::from(self.bytes(limits)) < arrives.saturating_mul(4) {
            self.growth += 1;
        }
    }

    /// A handle for a link of ours; `None` if the peer takes no more.
    pub(crate) fn take_handle(&mut self) -> Option<u32> {
        if let Some(handle) = self.free_handles.pop() {
            return Some(handle);
        }
        if self.next_handle > self.handle_max {
            return None;
        }
        self.next_handle += 1;
        Some(self.next_handle - 1)
    }
}
