//! What a worker counted.

/// Plain numbers of one worker, since it started; the gauges say how many there are now. Add workers up for the router.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Deliveries that came in (their first frame did), but for those from interior routers, and those that this router makes.
    pub deliveries_in: u64,
    /// Deliveries of which all content was sent, but for those to interior routers, and to this router itself; each copy of a multicast
    /// delivery is one.
    pub deliveries_out: u64,
    /// Bytes of content that came in, sections and body.
    pub bytes_in: u64,
    /// Bytes of content that went out.
    pub bytes_out: u64,
    /// Those of `deliveries_in` that came settled.
    pub presettled: u64,
    /// Presettled deliveries, or copies, that nobody received: no consumer, or a full queue of multicast.
    pub dropped_presettled: u64,
    /// Senders were told `accepted`.
    pub accepted: u64,
    /// Senders were told `rejected`.
    pub rejected: u64,
    /// Senders were told `released`.
    pub released: u64,
    /// Senders were told `modified`.
    pub modified: u64,
    /// Deliveries settled with another state, or with none.
    pub settled_otherwise: u64,
    /// Deliveries that their sender aborted, or left incomplete.
    pub aborted: u64,
    /// Deliveries that had to wait for credit.
    pub waited: u64,
    /// Senders cut off because they stalled in the middle of a delivery.
    pub stalled: u64,
    /// Links refused at attach.
    pub links_denied: u64,
    /// Connections refused by the policy.
    pub connections_denied: u64,
    /// Connections opened.
    pub connections_opened: u64,
    /// Spans of messages that were over.
    pub spans: u64,
    /// Spans that were not made, or are lost, because there were too many at a time.
    pub spans_dropped: u64,
    /// Gauge: connections.
    pub connections: u64,
    /// Gauge: inlets.
    pub inlets: u64,
    /// Gauge: outlets.
    pub outlets: u64,
    /// Gauge: addresses that this worker knows. Workers know many addresses in common.
    pub addresses: u64,
    /// Gauge: unsettled or waiting deliveries, copies included.
    pub deliveries_held: u64,
    /// Gauge: bytes of memory that content waiting here keeps, whole blocks where it does.
    pub bytes_held: u64,
}

impl Counters {
    /// Adds another worker's numbers.
    pub fn add(&mut self, other: &Self) {
        let Self {
            deliveries_in,
            deliveries_out,
            bytes_in,
            bytes_out,
            presettled,
            dropped_presettled,
            accepted,
            rejected,
            released,
            modified,
            settled_otherwise,
            aborted,
            waited,
            stalled,
            links_denied,
            connections_denied,
            connections_opened,
            spans,
            spans_dropped,
            connections,
            inlets,
            outlets,
            addresses,
            deliveries_held,
            bytes_held,
        } = other;
        self.deliveries_in += deliveries_in;
        self.deliveries_out += deliveries_out;
        self.bytes_in += bytes_in;
        self.bytes_out += bytes_out;
        self.presettled += presettled;
        self.dropped_presettled += dropped_presettled;
        self.accepted += accepted;
        self.rejected += rejected;
        self.released += released;
        self.modified += modified;
        self.settled_otherwise += settled_otherwise;
        self.aborted += aborted;
        self.waited += waited;
        self.stalled += stalled;
        self.links_denied += links_denied;
        self.connections_denied += connections_denied;
        self.connections_opened += connections_opened;
        self.spans += spans;
        self.spans_dropped += spans_dropped;
        self.connections += connections;
        self.inlets += inlets;
        self.outlets += outlets;
        self.addresses += addresses;
        self.deliveries_held += deliveries_held;
        self.bytes_held += bytes_held;
    }
}
