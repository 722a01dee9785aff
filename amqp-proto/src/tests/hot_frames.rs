//! The fast readers of transfer, flow and disposition say what the table says, about anything.

use bytes::Bytes;
use proptest::{collection::vec, option, prelude::*};

use super::round_trips::damaged;
use crate::{
    DecodeError, DeliveryState, DeliveryTag, Disposition, Error, Flow, Performative, ReceiverSettleMode, Role,
    Transfer, frame, fuzz,
    performative::{write_disposition, write_flow, write_transfer},
};

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), 1u32..300, any::<u32>()]
}

fn state() -> impl Strategy<Value = DeliveryState> {
    prop_oneof![
        Just(DeliveryState::Accepted),
        Just(DeliveryState::Released),
        (any::<u32>(), any::<u64>()).prop_map(|(section_number, section_offset)| {
            DeliveryState::Received { section_number, section_offset }
        }),
        (any::<bool>(), any::<bool>()).prop_map(|(failed, here)| DeliveryState::modified(failed, here)),
        option::of(".{0,300}")
            .prop_map(|text| DeliveryState::rejected(text.map(|t| Error::new("amqp:internal-error", t)).as_ref())),
    ]
}

fn transfer() -> impl Strategy<Value = Transfer> {
    let first = (
        number(),
        option::of(number()),
        option::of(prop_oneof![vec(any::<u8>(), 0..=32), vec(any::<u8>(), 8)]),
        option::of(number()),
        option::of(any::<bool>()),
    );
    let second =
        (any::<bool>(), option::of(any::<bool>()), option::of(state()), any::<bool>(), any::<bool>(), any::<bool>());
    (first, second).prop_map(
        |((handle, delivery_id, tag, message_format, settled), (more, second, state, resume, aborted, batchable))| {
            Transfer {
                handle,
                delivery_id,
                delivery_tag: tag.map(|tag| DeliveryTag::new(&tag).expect("short")),
                message_format,
                settled,
                more,
                rcv_settle_mode: second
                    .map(|second| if second { ReceiverSettleMode::Second } else { ReceiverSettleMode::First }),
                state,
                resume,
                aborted,
                batchable,
            }
        },
    )
}

fn flow() -> impl Strategy<Value = Flow> {
    let session = (option::of(number()), number(), number(), number());
    let link = (
        option::of(number()),
        option::of(number()),
        option::of(number()),
        option::of(number()),
        any::<bool>(),
        any::<bool>(),
    );
    (session, link).prop_map(
        |(
            (next_incoming_id, incoming_window, next_outgoing_id, outgoing_window),
            (handle, delivery_count, link_credit, available, drain, echo),
        )| Flow {
            next_incoming_id,
            incoming_window,
            next_outgoing_id,
            outgoing_window,
            handle,
            delivery_count,
            link_credit,
            available,
            drain,
            echo,
            properties: None,
        },
    )
}

fn disposition() -> impl Strategy<Value = Disposition> {
    (any::<bool>(), number(), option::of(number()), any::<bool>(), option::of(state()), any::<bool>()).prop_map(
        |(receiver, first, last, settled, state, batchable)| Disposition {
            role: if receiver { Role::Receiver } else { Role::Sender },
            first,
            last,
            settled,
            state,
            batchable,
        },
    )
}

fn read(frame: &[u8]) -> Result<Performative, DecodeError> {
    let block = Bytes::copy_from_slice(frame);
    Performative::decode(&block, 8..block.len()).map(|(performative, _)| performative)
}

/// Puts fields of a list8 into a list32, with booleans of one byte: what other libraries write.
fn widened(frame: &[u8]) -> Option<Vec<u8>> {
    let (&[b0, b1, b2, 0xc0, size, count], fields) = frame.get(8..)?.split_first_chunk::<6>()? else {
        return None;
    };
    let mut wide = vec![0, 0, 0, 0, 2, 0, 0, 0, b0, b1, b2, 0xd0, 0, 0, 0, size.checked_add(3)?, 0, 0, 0, count];
    wide.extend(fields);
    let len = u32::try_from(wide.len()).ok()?;
    wide.get_mut(..4)?.copy_from_slice(&len.to_be_bytes());
    Some(wide)
}

proptest! {
    #[test]
    fn transfers(transfer in transfer(), at in any::<usize>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut frame = Vec::new();
        write_transfer(&mut frame, 0, &transfer, 0);
        let mut table = Vec::new();
        frame::write_amqp(&mut table, 0, &transfer, 0);
        prop_assert_eq!(&frame, &table);
        fuzz::fuzz_frame(&frame);
        prop_assert_eq!(read(&frame), Ok(Performative::Transfer(Box::new(transfer.clone()))));
        if let Some(wide) = widened(&frame) {
            fuzz::fuzz_frame(&wide);
            prop_assert_eq!(read(&wide), Ok(Performative::Transfer(Box::new(transfer))));
        }
        fuzz::fuzz_frame(&damaged(&frame, at, byte, cut));
    }

    #[test]
    fn flows(flow in flow(), at in any::<usize>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut frame = Vec::new();
        write_flow(&mut frame, 0, &flow);
        fuzz::fuzz_frame(&frame);
        prop_assert_eq!(read(&frame), Ok(Performative::Flow(Box::new(flow.clone()))));
        if let Some(wide) = widened(&frame) {
            fuzz::fuzz_frame(&wide);
            prop_assert_eq!(read(&wide), Ok(Performative::Flow(Box::new(flow))));
        }
        fuzz::fuzz_frame(&damaged(&frame, at, byte, cut));
    }

    #[test]
    fn dispositions(disposition in disposition(), at in any::<usize>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut frame = Vec::new();
        write_disposition(&mut frame, 0, &disposition);
        fuzz::fuzz_frame(&frame);
        prop_assert_eq!(read(&frame), Ok(Performative::Disposition(Box::new(disposition.clone()))));
        if let Some(wide) = widened(&frame) {
            fuzz::fuzz_frame(&wide);
            prop_assert_eq!(read(&wide), Ok(Performative::Disposition(Box::new(disposition))));
        }
        fuzz::fuzz_frame(&damaged(&frame, at, byte, cut));
    }
}

#[test]
fn hot_frames_hold_no_reference_to_the_block() {
    let mut frame = Vec::new();
    let transfer = Transfer {
        delivery_id: Some(1),
        delivery_tag: Some(DeliveryTag::from_u64(0x0102)),
        message_format: Some(0),
        state: Some(DeliveryState::Accepted),
        ..Transfer::default()
    };
    write_transfer(&mut frame, 0, &transfer, 0);
    let block = Bytes::from(frame);
    let decoded = Performative::decode(&block, 8..block.len());
    assert!(block.is_unique());
    assert_eq!(decoded.map(|(p, _)| p), Ok(Performative::Transfer(Box::new(transfer))));
}
