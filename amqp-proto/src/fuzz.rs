//! What fuzz targets run, and `tests/corpus.rs` over the corpus: any bytes may come, and the invariants at the end must hold.

use bytes::Bytes;

use crate::{
    Decode, DecodeError, DeliveryState, Disposition, Encode, Fields, Flow, Performative, PerformativeCode, Raw, Reader,
    SourceTerminus, Symbols, TargetTerminus, Transfer, Value,
    frame::{FrameHeader, FrameKind, ProtocolId},
    message::{Head, HeadCursor, MAX_HEAD, Message, Progress, Sections},
    sasl::SaslFrame,
};

/// What is written is as long as announced, and reads as the same again.
fn round_trip<T: Decode + Encode>(value: &T) {
    let bytes = Bytes::from(value.encoded());
    assert_eq!(bytes.len(), value.encoded_len(), "encoded_len");
    let mut reader = Reader::new(&bytes);
    match T::decode(&mut reader) {
        // Compared as bytes: a NaN does not equal itself.
        Ok(again) => assert_eq!(again.encoded(), bytes, "decode of encode"),
        Err(error) => panic!("what was encoded does not decode: {error}"),
    }
    assert!(reader.is_empty(), "decode of encode leaves bytes");
}

fn try_one<T: Decode + Encode>(block: &Bytes) {
    if let Ok(value) = T::decode(&mut Reader::new(block)) {
        round_trip(&value);
    }
}

/// Both decoders of a hot frame say the same, errors included.
fn same<T: PartialEq + std::fmt::Debug>(
    reader: &Reader<'_>,
    fast: fn(&mut Reader<'_>) -> Result<T, DecodeError>,
    table: fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) {
    let (mut a, mut b) = (reader.clone(), reader.clone());
    assert_eq!(fast(&mut a), table(&mut b), "fast and table decoder differ");
    assert_eq!(a.pos(), b.pos(), "fast and table decoder end at different bytes");
}

/// A protocol header or a frame.
pub fn fuzz_frame(data: &[u8]) {
    if let Ok(Some(id)) = ProtocolId::parse(data) {
        assert_eq!(data.get(..8), Some(id.header().as_slice()));
    }
    let Ok(Some(header)) = FrameHeader::parse(data, 1 << 20) else {
        return;
    };
    assert!(header.body >= 8 && header.body <= header.size);
    if header.size > data.len() {
        return;
    }
    let block = Bytes::copy_from_slice(data);
    if header.kind == FrameKind::Sasl {
        if let Ok(frame) = SaslFrame::decode(&block, header.body_range(0)) {
            let bytes = Bytes::from(match &frame {
                SaslFrame::Mechanisms(f) => f.encoded(),
                SaslFrame::Init(f) => f.encoded(),
                SaslFrame::Challenge(f) => f.encoded(),
                SaslFrame::Response(f) => f.encoded(),
                SaslFrame::Outcome(f) => f.encoded(),
            });
            assert_eq!(SaslFrame::decode(&bytes, 0..bytes.len()), Ok(frame));
        }
        return;
    }
    let mut reader = Reader::part(&block, header.body_range(0));
    match PerformativeCode::read(&mut reader) {
        Ok(PerformativeCode::Transfer) => same(&reader, Transfer::read, Transfer::decode_fields),
        Ok(PerformativeCode::Flow) => same(&reader, Flow::read, Flow::decode_fields),
        Ok(PerformativeCode::Disposition) => same(&reader, Disposition::read, Disposition::decode_fields),
        _ => {}
    }
    if let Ok((performative, payload)) = Performative::decode(&block, header.body_range(0)) {
        assert_eq!(payload.end, header.size, "payload ends with the frame");
        let bytes = Bytes::from(performative.encoded());
        assert_eq!(bytes.len(), performative.encoded_len());
        assert_eq!(Performative::decode(&bytes, 0..bytes.len()), Ok((performative, bytes.len()..bytes.len())));
    }
}

/// A value, as every type that can be read.
pub fn fuzz_value(data: &[u8]) {
    let block = Bytes::copy_from_slice(data);
    let mut raw_reader = Reader::new(&block);
    let raw = Raw::decode(&mut raw_reader);
    let mut reader = Reader::new(&block);
    if let Ok(value) = Value::decode(&mut reader) {
        assert!(raw.is_ok(), "a value that is not well-formed");
        assert_eq!(reader.pos(), raw_reader.pos(), "value and its skip end at different bytes");
        round_trip(&value);
    }
    if let Ok(raw) = raw {
        assert_eq!(raw.as_bytes(), data.get(..raw_reader.pos()).unwrap_or_default());
        round_trip(&raw);
    }
    try_one::<DeliveryState>(&block);
    try_one::<SourceTerminus>(&block);
    try_one::<TargetTerminus>(&block);
    try_one::<Symbols>(&block);
    if let Ok(fields) = Fields::decode(&mut Reader::new(&block)) {
        let entries: usize = fields.iter().map(|(key, value)| key.as_bytes().len() + value.as_bytes().len()).sum();
        assert!(entries <= fields.raw().as_bytes().len());
        round_trip(&fields);
    }
}

fn scan(message: &[u8], step: usize) -> Result<Head, DecodeError> {
    let mut cursor = HeadCursor::new(MAX_HEAD);
    let mut end = 0;
    while end < message.len() {
        end = (end + step).min(message.len());
        if cursor.advance(message.get(..end).unwrap_or_default(), end == message.len())? == Progress::Done {
            return Ok(*cursor.head());
        }
    }
    Ok(*cursor.head())
}

/// A message.
pub fn fuzz_message(data: &[u8]) {
    let whole = scan(data, usize::MAX / 2);
    for step in [1, 7] {
        let split = scan(data, step);
        assert_eq!(whole.is_ok(), split.is_ok(), "a split message is judged differently");
        if let (Ok(whole), Ok(split)) = (&whole, &split) {
            assert_eq!(whole, split, "a split message has another head");
        }
    }
    if let Ok(head) = &whole {
        let _ = (head.read_header(data), head.read_properties(data).to());
        if let (Ok(header), Ok(priority)) = (head.read_header(data), head.priority(data)) {
            assert_eq!(header.priority.min(9), priority, "the short way to the priority");
        }
    }
    let mut end = 0;
    for section in Sections::new(data).flatten() {
        assert_eq!(section.start, end, "sections are contiguous");
        assert!(section.value < section.end);
        end = section.end;
    }
    let block = Bytes::copy_from_slice(data);
    if let Ok(message) = Message::decode(&block) {
        let bytes = Bytes::from(message.encoded());
        assert_eq!(bytes.len(), message.encoded_len());
        match Message::decode(&bytes) {
            Ok(again) => assert_eq!(again.encoded(), bytes),
            Err(error) => panic!("what was encoded does not decode: {error}"),
        }
    }
}
