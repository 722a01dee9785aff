//! Messages to bytes.

use amqp_proto::codec::code;

use crate::routing::{
    message::{AddressEntry, LoadEntry, Message, MobileContent, Peer},
    output::Target,
};

/// The address that a message is sent to, as it stands in its properties.
pub fn to_address(message: &Message, target: &Target) -> String {
    match (message, target) {
        (Message::Hello(_), _) | (_, Target::Hop(_)) => {
            let name = match message {
                Message::Hello(_) => "qdhello",
                _ if message.is_mobile() => "qdrouter.ma",
                _ => "qdrouter",
            };
            format!("amqp:/_local/{name}")
        }
        // The one address that the reference writes without a scheme.
        (_, Target::AllRouters) if message.is_mobile() => "_topo/0/all/qdrouter.ma".to_owned(),
        (_, Target::AllRouters) => "amqp:/_topo/0/all/qdrouter".to_owned(),
        (_, Target::Router(id)) if message.is_mobile() => format!("amqp:/_topo/0/{id}/qdrouter.ma"),
        (_, Target::Router(id)) => format!("amqp:/_topo/0/{id}/qdrouter"),
    }
}

/// Writes header, properties, application properties and body.
pub fn encode(message: &Message, target: &Target) -> Vec<u8> {
    let mut out = Writer { out: Vec::with_capacity(192), mobile: message.is_mobile() };
    out.section(0x70, |w| w.list(|w| w.item(|w| w.byte(code::FALSE))));
    out.section(0x73, |w| {
        w.list(|w| {
            w.item(Writer::null);
            w.item(Writer::null);
            w.item(|w| w.string(&to_address(message, target)));
            if !w.mobile {
                // subject, reply-to, correlation-id
                w.item(Writer::null);
                w.item(Writer::null);
                w.item(Writer::null);
            }
        });
    });
    out.section(0x74, |w| w.map(|w| w.entry("opcode", |w| w.string(message.opcode()))));
    out.section(0x77, |w| w.map(|w| body(w, message)));
    out.out
}

/// Number of bytes of [`encode`]'s answer.
pub fn encoded_len(message: &Message, target: &Target) -> usize {
    encode(message, target).len()
}

fn body(w: &mut Compound<'_>, message: &Message) {
    w.entry("id", |w| w.string(message.id()));
    w.entry("pv", |w| w.number(message.version().into()));
    w.entry("area", |w| w.string("0"));
    match message {
        Message::Hello(m) => {
            w.entry("instance", |w| w.number(m.instance));
            // Nobody: the one list that the reference writes in the form for empty ones.
            w.entry("seen", |w| match &*m.seen {
                [] => w.byte(code::LIST0),
                seen => w.list(|w| seen.iter().for_each(|id| w.item(|w| w.string(id)))),
            });
            if let Some(interval) = m.interval {
                w.entry("interval_ms", |w| w.number(i64::try_from(interval.as_millis()).unwrap_or(i64::MAX)));
            }
            if let Some(cost) = m.cost {
                w.entry("cost", |w| w.number(cost.into()));
            }
        }
        Message::RouterAdvertisement(m) => {
            w.entry("instance", |w| w.number(m.instance));
            w.entry("ls_seq", |w| w.sequence(m.ls_seq));
            w.entry("mobile_seq", |w| w.sequence(m.mobile_seq));
            if m.loads {
                w.entry("loads", |w| w.number(1));
            }
        }
        Message::LinkStateUpdate(m) => {
            w.entry("instance", |w| w.number(m.instance));
            w.entry("ls_seq", |w| w.sequence(m.ls_seq));
            w.entry("ls", |w| {
                w.map(|w| {
                    w.entry("id", |w| w.string(&m.id));
                    w.entry("area", |w| w.string("0"));
                    w.entry("ls_seq", |w| w.sequence(m.ls_seq));
                    w.entry("peers", |w| w.map(|w| peers(w, &m.peers)));
                });
            });
        }
        Message::LinkStateRequest(_) => {}
        Message::MobileAddressUpdate(m) => {
            w.entry("mobile_seq", |w| w.sequence(m.mobile_seq));
            match &m.content {
                MobileContent::Differential { add, del } => {
                    w.entry("add", |w| w.list(|w| addresses(w, add)));
                    w.entry("del", |w| {
                        w.list(|w| del.iter().for_each(|key| w.item(|w| w.list(|w| w.item(|w| w.string(key))))));
                    });
                }
                MobileContent::Absolute { exist } => w.entry("exist", |w| w.list(|w| addresses(w, exist))),
            }
        }
        Message::MobileAddressRequest(m) => w.entry("have_seq", |w| w.sequence(m.have_seq)),
        Message::Loads(m) => w.entry("loads", |w| {
            w.list(|w| {
                for LoadEntry { key, load } in m.entries.iter() {
                    w.item(|w| {
                        w.list(|w| {
                            w.item(|w| w.string(key));
                            w.item(|w| w.long(load.consumers.into()));
                            w.item(|w| w.long(load.outstanding.into()));
                        });
                    });
                }
            });
        }),
    }
}

fn peers(w: &mut Compound<'_>, peers: &[Peer]) {
    for peer in peers {
        w.item(|w| w.string(&peer.id));
        w.item(|w| w.number(peer.cost.into()));
    }
}

fn addresses(w: &mut Compound<'_>, entries: &[AddressEntry]) {
    for entry in entries {
        w.item(|w| {
            w.list(|w| {
                w.item(|w| w.string(&entry.key));
                // A number that is none of the treatments is what the reference takes for no hint.
                w.item(|w| w.int(entry.hint.map_or(-1, |hint| i32::from(hint as u8))));
                w.item(|w| w.int(i32::try_from(entry.in_links).unwrap_or(i32::MAX)));
                if let Some(mesh) = &entry.mesh {
                    w.item(Writer::null);
                    w.item(|w| w.string(mesh));
                }
            });
        });
    }
}

struct Writer {
    out: Vec<u8>,
    /// MAU, MAR and LOADS: keys are symbols, integers long.
    mobile: bool,
}

impl Writer {
    fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    fn null(&mut self) {
        self.byte(code::NULL);
    }

    fn section(&mut self, descriptor: u8, value: impl FnOnce(&mut Self)) {
        self.out.extend_from_slice(&[code::DESCRIBED, code::SMALL_ULONG, descriptor]);
        value(self);
    }

    fn text(&mut self, narrow: u8, wide: u8, text: &str) {
        match u8::try_from(text.len()) {
            Ok(len) => self.out.extend_from_slice(&[narrow, len]),
            Err(_) => {
                self.byte(wide);
                self.out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
            }
        }
        self.out.extend_from_slice(text.as_bytes());
    }

    fn string(&mut self, text: &str) {
        self.text(code::STRING8, code::STRING32, text);
    }

    fn key(&mut self, key: &str) {
        if self.mobile {
            self.text(code::SYMBOL8, code::SYMBOL32, key);
        } else {
            self.string(key);
        }
    }

    fn int(&mut self, number: i32) {
        match i8::try_from(number) {
            Ok(small) => self.out.extend_from_slice(&[code::SMALL_INT, small.to_be_bytes()[0]]),
            Err(_) => {
                self.byte(code::INT);
                self.out.extend_from_slice(&number.to_be_bytes());
            }
        }
    }

    fn long(&mut self, number: i64) {
        match i8::try_from(number) {
            Ok(small) => self.out.extend_from_slice(&[code::SMALL_LONG, small.to_be_bytes()[0]]),
            Err(_) => {
                self.byte(code::LONG);
                self.out.extend_from_slice(&number.to_be_bytes());
            }
        }
    }

    fn number(&mut self, number: i64) {
        match i32::try_from(number) {
            Ok(number) if !self.mobile => self.int(number),
            _ => self.long(number),
        }
    }

    fn sequence(&mut self, number: u64) {
        self.number(i64::try_from(number).unwrap_or(i64::MAX));
    }

    fn list(&mut self, items: impl FnOnce(&mut Compound<'_>)) {
        self.compound(code::LIST32, items);
    }

    fn map(&mut self, items: impl FnOnce(&mut Compound<'_>)) {
        self.compound(code::MAP32, items);
    }

    fn compound(&mut self, constructor: u8, items: impl FnOnce(&mut Compound<'_>)) {
        self.byte(constructor);
        let start = self.out.len();
        self.out.extend_from_slice(&[0; 8]);
        let mut compound = Compound { writer: self, count: 0 };
        items(&mut compound);
        let count = compound.count;
        let size = u32::try_from(self.out.len() - start - 4).unwrap_or(u32::MAX);
        for (slot, byte) in
            self.out.iter_mut().skip(start).zip(size.to_be_bytes().into_iter().chain(count.to_be_bytes()))
        {
            *slot = byte;
        }
    }
}

/// The elements of a compound value while they are written.
struct Compound<'a> {
    writer: &'a mut Writer,
    count: u32,
}

impl Compound<'_> {
    fn item(&mut self, value: impl FnOnce(&mut Writer)) {
        self.count += 1;
        value(self.writer);
    }

    fn entry(&mut self, key: &str, value: impl FnOnce(&mut Writer)) {
        self.item(|w| w.key(key));
        self.item(value);
    }
}

impl std::ops::Deref for Compound<'_> {
    type Target = Writer;

    fn deref(&self) -> &Writer {
        self.writer
    }
}
