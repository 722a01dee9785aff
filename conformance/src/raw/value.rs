//! Values.

/// An AMQP value, as it is written.
#[derive(Clone, Debug, PartialEq)]
pub enum V {
    /// `null`
    Null,
    /// `boolean`
    Bool(bool),
    /// `ubyte`
    Ubyte(u8),
    /// `ushort`
    Ushort(u16),
    /// `uint`
    Uint(u32),
    /// `ulong`
    Ulong(u64),
    /// `int`
    Int(i32),
    /// `long`
    Long(i64),
    /// `string`
    Str(String),
    /// `symbol`
    Sym(String),
    /// `binary`
    Bin(Vec<u8>),
    /// `list`
    List(Vec<Self>),
    /// `map`, in order
    Map(Vec<(Self, Self)>),
    /// A described value with a numeric descriptor.
    Desc(u64, Box<Self>),
    /// Bytes put in as they are; on reading: an encoding that has no variant here, format code included.
    Raw(Vec<u8>),
}

impl V {
    /// A string.
    pub fn str(text: &str) -> Self {
        Self::Str(text.to_owned())
    }

    /// A symbol.
    pub fn sym(text: &str) -> Self {
        Self::Sym(text.to_owned())
    }

    /// Appends the encoding.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.push(0x40),
            Self::Bool(v) => out.push(if *v { 0x41 } else { 0x42 }),
            Self::Ubyte(v) => out.extend([0x50, *v]),
            Self::Ushort(v) => fixed(out, 0x60, &v.to_be_bytes()),
            Self::Uint(v) => fixed(out, 0x70, &v.to_be_bytes()),
            Self::Ulong(v) => fixed(out, 0x80, &v.to_be_bytes()),
            Self::Int(v) => fixed(out, 0x71, &v.to_be_bytes()),
            Self::Long(v) => fixed(out, 0x81, &v.to_be_bytes()),
            Self::Str(v) => variable(out, 0xb1, v.as_bytes()),
            Self::Sym(v) => variable(out, 0xb3, v.as_bytes()),
            Self::Bin(v) => variable(out, 0xb0, v),
            Self::List(items) => {
                let mut body = (items.len() as u32).to_be_bytes().to_vec();
                items.iter().for_each(|item| item.write(&mut body));
                variable(out, 0xd0, &body);
            }
            Self::Map(pairs) => {
                let mut body = (2 * pairs.len() as u32).to_be_bytes().to_vec();
                for (key, value) in pairs {
                    key.write(&mut body);
                    value.write(&mut body);
                }
                variable(out, 0xd1, &body);
            }
            Self::Desc(descriptor, value) => {
                out.push(0x00);
                Self::Ulong(*descriptor).write(out);
                value.write(out);
            }
            Self::Raw(bytes) => out.extend(bytes),
        }
    }

    /// The encoding.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// Reads one value from the front of `input`.
    ///
    /// # Panics
    /// On anything that is not AMQP.
    pub fn read(input: &mut &[u8]) -> Self {
        let all = *input;
        let code = take(input, 1)[0];
        match code {
            0x00 => {
                let descriptor = match Self::read(input) {
                    Self::Ulong(code) => code,
                    other => panic!("descriptor {other:?}"),
                };
                Self::Desc(descriptor, Box::new(Self::read(input)))
            }
            0x40 => Self::Null,
            0x41 => Self::Bool(true),
            0x42 => Self::Bool(false),
            0x56 => Self::Bool(take(input, 1)[0] != 0),
            0x43 => Self::Uint(0),
            0x44 => Self::Ulong(0),
            0x45 => Self::List(Vec::new()),
            0x50 => Self::Ubyte(take(input, 1)[0]),
            0x52 => Self::Uint(u32::from(take(input, 1)[0])),
            0x53 => Self::Ulong(u64::from(take(input, 1)[0])),
            0x54 => Self::Int(i32::from(take(input, 1)[0] as i8)),
            0x55 => Self::Long(i64::from(take(input, 1)[0] as i8)),
            0x60 => Self::Ushort(u16::from_be_bytes(array(input))),
            0x70 => Self::Uint(u32::from_be_bytes(array(input))),
            0x71 => Self::Int(i32::from_be_bytes(array(input))),
            0x80 => Self::Ulong(u64::from_be_bytes(array(input))),
            0x81 => Self::Long(i64::from_be_bytes(array(input))),
            0xa0 | 0xb0 => Self::Bin(sized(input, code).to_vec()),
            0xa1 | 0xb1 => Self::Str(String::from_utf8(sized(input, code).to_vec()).unwrap()),
            0xa3 | 0xb3 => Self::Sym(String::from_utf8(sized(input, code).to_vec()).unwrap()),
            0xc0 | 0xd0 | 0xc1 | 0xd1 => {
                let mut body = sized(input, code);
                let count = number(&mut body, code);
                let items: Vec<Self> = (0..count).map(|_| Self::read(&mut body)).collect();
                assert!(body.is_empty(), "bytes after the last item");
                if code & 0x0f == 0 {
                    Self::List(items)
                } else {
                    Self::Map(items.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
                }
            }
            _ => {
                match code >> 4 {
                    5 => drop(take(input, 1)),
                    6 => drop(take(input, 2)),
                    7 => drop(take(input, 4)),
                    8 => drop(take(input, 8)),
                    9 => drop(take(input, 16)),
                    0xe | 0xf => drop(sized(input, code)),
                    _ => panic!("format code {code:#04x}"),
                }
                Self::Raw(all[..all.len() - input.len()].to_vec())
            }
        }
    }

    /// The text of a string or symbol.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Str(text) | Self::Sym(text) => Some(text),
            _ => None,
        }
    }

    /// The number of an integer of any width that is not negative.
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::Ubyte(v) => Some(u64::from(*v)),
            Self::Ushort(v) => Some(u64::from(*v)),
            Self::Uint(v) => Some(u64::from(*v)),
            Self::Ulong(v) => Some(*v),
            Self::Int(v) => u64::try_from(*v).ok(),
            Self::Long(v) => u64::try_from(*v).ok(),
            _ => None,
        }
    }

    /// Whether this is `true`; an absent field is not.
    pub fn is_true(&self) -> bool {
        *self == Self::Bool(true)
    }

    /// Field `index` of a list, described or not; null when absent.
    pub fn field(&self, index: usize) -> &Self {
        match self {
            Self::List(items) => items.get(index).unwrap_or(&Self::Null),
            Self::Desc(_, value) => value.field(index),
            _ => &Self::Null,
        }
    }

    /// The descriptor.
    pub fn descriptor(&self) -> Option<u64> {
        match self {
            Self::Desc(descriptor, _) => Some(*descriptor),
            _ => None,
        }
    }
}

fn fixed(out: &mut Vec<u8>, code: u8, bytes: &[u8]) {
    out.push(code);
    out.extend(bytes);
}

fn variable(out: &mut Vec<u8>, code: u8, bytes: &[u8]) {
    out.push(code);
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
}

fn take<'a>(input: &mut &'a [u8], n: usize) -> &'a [u8] {
    assert!(input.len() >= n, "value is cut off");
    let (head, rest) = input.split_at(n);
    *input = rest;
    head
}

fn array<const N: usize>(input: &mut &[u8]) -> [u8; N] {
    take(input, N).try_into().unwrap()
}

/// A size or count: one byte for the codes 0xa_, 0xc_ and 0xe_, four for the others.
fn number(input: &mut &[u8], code: u8) -> usize {
    if (code >> 4) & 1 == 0 { usize::from(take(input, 1)[0]) } else { u32::from_be_bytes(array(input)) as usize }
}

fn sized<'a>(input: &mut &'a [u8], code: u8) -> &'a [u8] {
    let size = number(input, code);
    take(input, size)
}
