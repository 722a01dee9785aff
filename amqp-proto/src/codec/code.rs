//! Constructor bytes (§1.6).

/// Begins a described value: descriptor and value follow (§1.2).
pub const DESCRIBED: u8 = 0x00;
/// null
pub const NULL: u8 = 0x40;
/// boolean true without a byte
pub const TRUE: u8 = 0x41;
/// boolean false without a byte
pub const FALSE: u8 = 0x42;
/// boolean in one byte
pub const BOOLEAN: u8 = 0x56;
/// ubyte
pub const UBYTE: u8 = 0x50;
/// ushort
pub const USHORT: u8 = 0x60;
/// uint in 4 bytes
pub const UINT: u8 = 0x70;
/// uint in one byte
pub const SMALL_UINT: u8 = 0x52;
/// uint 0
pub const UINT0: u8 = 0x43;
/// ulong in 8 bytes
pub const ULONG: u8 = 0x80;
/// ulong in one byte
pub const SMALL_ULONG: u8 = 0x53;
/// ulong 0
pub const ULONG0: u8 = 0x44;
/// byte
pub const BYTE: u8 = 0x51;
/// short
pub const SHORT: u8 = 0x61;
/// int in 4 bytes
pub const INT: u8 = 0x71;
/// int in one byte
pub const SMALL_INT: u8 = 0x54;
/// long in 8 bytes
pub const LONG: u8 = 0x81;
/// long in one byte
pub const SMALL_LONG: u8 = 0x55;
/// float
pub const FLOAT: u8 = 0x72;
/// double
pub const DOUBLE: u8 = 0x82;
/// decimal32
pub const DECIMAL32: u8 = 0x74;
/// decimal64
pub const DECIMAL64: u8 = 0x84;
/// decimal128
pub const DECIMAL128: u8 = 0x94;
/// char, UTF-32BE
pub const CHAR: u8 = 0x73;
/// timestamp, milliseconds since 1970
pub const TIMESTAMP: u8 = 0x83;
/// uuid
pub const UUID: u8 = 0x98;
/// binary of up to 255 bytes
pub const BINARY8: u8 = 0xa0;
/// binary
pub const BINARY32: u8 = 0xb0;
/// string of up to 255 bytes
pub const STRING8: u8 = 0xa1;
/// string
pub const STRING32: u8 = 0xb1;
/// symbol of up to 255 bytes
pub const SYMBOL8: u8 = 0xa3;
/// symbol
pub const SYMBOL32: u8 = 0xb3;
/// empty list
pub const LIST0: u8 = 0x45;
/// list of up to 255 bytes
pub const LIST8: u8 = 0xc0;
/// list
pub const LIST32: u8 = 0xd0;
/// map of up to 255 bytes
pub const MAP8: u8 = 0xc1;
/// map
pub const MAP32: u8 = 0xd1;
/// array of up to 255 bytes
pub const ARRAY8: u8 = 0xe0;
/// array
pub const ARRAY32: u8 = 0xf0;
