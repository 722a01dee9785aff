//! Frames and message heads, read and written.

use std::hint::black_box;

use amqp_proto::frame::{FRAME_HEADER, FrameHeader, write_amqp};
use amqp_proto::message::{HeadCursor, MAX_HEAD, Message, MessageHeader};
use amqp_proto::performative::{write_disposition, write_flow, write_transfer};
use amqp_proto::{
    Attach, DeliveryState, DeliveryTag, Disposition, Encode, Fields, Flow, Open, Performative, PerformativeCode,
    Reader, Role, SenderSettleMode, Source, Str, Symbols, Target, TargetTerminus, Transfer, Value,
};
use anyhow::{Context, Result};
use bytes::Bytes;

use crate::micro::harness::{Bench, Operation, simple};

pub(super) fn benches() -> Vec<Bench> {
    vec![
        Bench { name: "decode transfer", make: || decode_hot::<Transfer>(&transfer(), |r| Ok(Transfer::read(r)?)) },
        Bench { name: "encode transfer", make: || encode(|out| write_transfer(out, 1, black_box(&transfer()), 100)) },
        Bench { name: "decode flow", make: || decode_hot::<Flow>(&flow(), |r| Ok(Flow::read(r)?)) },
        Bench { name: "encode flow", make: || encode(|out| write_flow(out, 1, black_box(&flow()))) },
        Bench {
            name: "decode disposition",
            make: || decode_hot::<Disposition>(&disposition(), |r| Ok(Disposition::read(r)?)),
        },
        Bench {
            name: "encode disposition",
            make: || encode(|out| write_disposition(out, 1, black_box(&disposition()))),
        },
        Bench { name: "decode open", make: || decode_cold(&open()) },
        Bench { name: "encode open", make: || encode_cold(open()) },
        Bench { name: "decode attach", make: || decode_cold(&attach()) },
        Bench { name: "encode attach", make: || encode_cold(attach()) },
        Bench { name: "message head, data only", make: || Ok(head(&Message::data(vec![b'x'; 100]))) },
        Bench { name: "message head, header, properties", make: || Ok(head(&full_message())) },
    ]
}

fn transfer() -> Transfer {
    Transfer {
        handle: 0,
        delivery_id: Some(1_000_000),
        delivery_tag: Some(DeliveryTag::from_u64(1_000_000)),
        message_format: Some(0),
        settled: Some(false),
        ..Transfer::default()
    }
}

fn flow() -> Flow {
    Flow {
        next_incoming_id: Some(1_000_000),
        incoming_window: 4096,
        next_outgoing_id: 1_000_000,
        outgoing_window: 4096,
        handle: Some(0),
        delivery_count: Some(1_000_000),
        link_credit: Some(1000),
        ..Flow::default()
    }
}

fn disposition() -> Disposition {
    Disposition {
        role: Role::Receiver,
        first: 1_000_000,
        last: Some(1_000_127),
        settled: true,
        state: Some(DeliveryState::Accepted),
        batchable: false,
    }
}

fn open() -> Open {
    let properties =
        [("product", Value::from("spanway")), ("version", Value::from("0.1.0")), ("qd.conn-id", Value::Long(7))];
    Open {
        container_id: Str::from("a-container-of-some-client"),
        hostname: Some(Str::from("router.example.org")),
        max_frame_size: 16_384,
        channel_max: 32_767,
        idle_time_out: Some(8000),
        offered_capabilities: Symbols::from_iter(["ANONYMOUS-RELAY"]),
        properties: Some(Fields::from_entries(properties)),
        ..Open::default()
    }
}

fn attach() -> Attach {
    Attach {
        name: Str::from("receiver-from-orders.europe-17"),
        handle: 3,
        role: Role::Receiver,
        snd_settle_mode: SenderSettleMode::Mixed,
        source: Some(Source::at("orders.europe").into()),
        target: Some(TargetTerminus::from(Target::default())),
        ..Attach::default()
    }
}

fn full_message() -> Message {
    let mut message = Message::data(vec![b'x'; 100]).to("orders.europe");
    message.header = Some(MessageHeader { durable: true, priority: 7, ..MessageHeader::default() });
    let annotations = [("x-opt-one", Value::from("some value")), ("x-opt-two", Value::Long(1_700_000_000))];
    message.message_annotations = Some(Fields::from_entries(annotations));
    if let Some(properties) = &mut message.properties {
        properties.subject = Some(Str::from("a subject of some length"));
    }
    message
}

/// Frame header and body: what the engine does for the frames that carry traffic.
fn decode_hot<T: 'static>(frame: &impl Encode, read: fn(&mut Reader<'_>) -> Result<T>) -> Result<Operation> {
    let block = frame_of(frame);
    FrameHeader::parse(&block, u32::MAX)?.context("the frame is incomplete")?;
    Ok(simple(move || {
        let block = black_box(&block);
        let header = FrameHeader::parse(block, u32::MAX).ok().flatten()?;
        let mut reader = Reader::part(block, header.body_range(0));
        PerformativeCode::read(&mut reader).ok()?;
        read(&mut reader).ok()
    }))
}

fn decode_cold(frame: &impl Encode) -> Result<Operation> {
    let block = frame_of(frame);
    Performative::decode(&block, FRAME_HEADER..block.len())?;
    Ok(simple(move || {
        let block = black_box(&block);
        let header = FrameHeader::parse(block, u32::MAX).ok().flatten()?;
        Performative::decode(block, header.body_range(0)).ok()
    }))
}

fn frame_of(frame: &impl Encode) -> Bytes {
    let mut out = Vec::new();
    write_amqp(&mut out, 0, frame, 0);
    out.into()
}

fn encode(write: fn(&mut Vec<u8>)) -> Result<Operation> {
    let mut out = Vec::with_capacity(1024);
    Ok(simple(move || {
        out.clear();
        write(&mut out);
        black_box(out.len())
    }))
}

fn encode_cold<T: Encode + 'static>(frame: T) -> Result<Operation> {
    let mut out = Vec::with_capacity(1024);
    Ok(simple(move || {
        out.clear();
        write_amqp(&mut out, 0, black_box(&frame), 0);
        black_box(out.len())
    }))
}

/// What the core reads of a message: where it goes and its priority.
fn head(message: &Message) -> Operation {
    let bytes = message.encoded();
    simple(move || {
        let bytes = black_box(&bytes);
        let mut cursor = HeadCursor::new(MAX_HEAD);
        let progress = cursor.advance(bytes, true).ok()?;
        let head = cursor.head();
        Some((progress, head.priority(bytes).ok()?, head.read_properties(bytes).to().ok()?.map(str::len)))
    })
}
