//! §3.4: delivery states come out as they went in.

use bytes::Bytes;

use super::{hex, read, refuses_every_truncation};
use crate::{DeliveryState, Encode, Error, Fields, MODIFIED, REJECTED, Value, condition};

fn state(text: &str) -> DeliveryState {
    read(&hex(text)).expect(text)
}

#[test]
fn plain_states() {
    for text in [
        "00 53 24 45",
        "00 53 24 c0 01 00",
        "00 80 0000000000000024 d0 00000004 00000000",
        "00 a3 12 616d71703a61636365707465643a6c697374 45",
    ] {
        assert_eq!(state(text), DeliveryState::Accepted);
        refuses_every_truncation::<DeliveryState>(&hex(text));
    }
    assert_eq!(state("00 53 26 45"), DeliveryState::Released);
    assert_eq!(DeliveryState::Accepted.encoded(), hex("00 53 24 45"));
    assert_eq!(DeliveryState::Released.encoded(), hex("00 53 26 45"));
}

#[test]
fn received() {
    let received = state("00 53 23 c0 0b 02 43 80 0000000000001000");
    assert_eq!(received, DeliveryState::Received { section_number: 0, section_offset: 4096 });
    assert!(!received.is_terminal());
    assert_eq!(received.encoded(), hex("00 53 23 c0 0b 02 43 80 0000000000001000"));
    assert!(read::<DeliveryState>(&hex("00 53 23 c0 02 01 43")).is_err(), "section-offset is mandatory");
}

#[test]
fn rejected() {
    let error = Error::new(condition::NOT_FOUND, "gone");
    let rejected = DeliveryState::rejected(Some(&error));
    assert_eq!(rejected.rejected_error(), Some(error));
    assert_eq!(read::<DeliveryState>(&rejected.encoded().into()), Ok(rejected.clone()));
    assert_eq!(rejected.descriptor(), Some(REJECTED));
    assert_eq!(DeliveryState::rejected(None).rejected_error(), None);
    assert_eq!(state("00 53 25 c0 02 01 40").rejected_error(), None);
    assert!(read::<DeliveryState>(&hex("00 53 25 c0 02 01 41")).is_err(), "an error that is none");
}

#[test]
fn modified() {
    for (failed, here) in [(false, false), (true, false), (false, true), (true, true)] {
        let modified = DeliveryState::modified(failed, here);
        assert!(modified.is_terminal());
        let bytes = Bytes::from(modified.encoded());
        assert_eq!(read::<DeliveryState>(&bytes), Ok(modified));
        assert!(bytes.is_unique(), "plain forms are constants");
    }
    let annotations = Fields::from_entries([("x-opt-a", Value::from(1u32))]);
    let modified = DeliveryState::modified_with(true, false, &annotations);
    let again = read::<DeliveryState>(&modified.encoded().into()).expect("modified");
    assert_eq!(again, modified);
    assert_eq!(again.message_annotations(), Some(annotations));
    assert_eq!(again.descriptor(), Some(MODIFIED));
    assert!(matches!(again, DeliveryState::Modified { delivery_failed: true, undeliverable_here: false, .. }));
}

#[test]
fn contents_pass_byte_for_byte() {
    for text in [
        // Widths that we would not choose, and annotations.
        "00 80 0000000000000027 d0 00000018 00000003 56 01 42 d1 0000000c 00000002 a3 01 6b 70 00000001",
        "00 53 25 d0 00000013 00000001 00 53 1d d0 00000007 00000001 a3 01 78",
        // transactional-state, an extension by symbol, and one that is no list.
        "00 53 34 c0 08 02 a0 01 07 00 53 24 45",
        "00 a3 05 782d666f6f c0 03 01 a1 00",
        "00 80 0000468c00000099 a1 02 6869",
    ] {
        let bytes = hex(text);
        let state = state(text);
        assert_eq!(state.encoded(), bytes);
        assert_eq!(state.encoded_len(), bytes.len());
        let detached = state.detached();
        assert_eq!(detached, state);
        drop(state);
        assert!(bytes.is_unique(), "a detached state keeps the block");
    }
    assert!(!state("00 53 34 c0 02 01 40").is_terminal());
}

#[test]
fn states_must_be_described() {
    for text in ["45", "41", "53 24", "a3 01 61"] {
        assert!(read::<DeliveryState>(&hex(text)).is_err(), "{text}");
    }
}
