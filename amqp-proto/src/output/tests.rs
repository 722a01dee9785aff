use super::*;

fn all(output: &Output) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 64];
    let n = output.chunks(&mut slices);
    slices[..n].iter().flat_map(|s| s.to_vec()).collect()
}

#[test]
fn keeps_the_order_of_copied_and_referenced_bytes() {
    let mut output = Output::default();
    let big = Bytes::from(vec![7u8; COPY_LIMIT]);
    output.push(b"ab");
    output.push_payload(&big, 0, COPY_LIMIT);
    output.push_payload(&big, 0, COPY_LIMIT);
    output.push(b"cd");
    let expected: Vec<u8> = b"ab".iter().copied().chain(std::iter::repeat_n(7, 2 * COPY_LIMIT)).chain(*b"cd").collect();
    assert_eq!(output.len(), expected.len());
    assert_eq!(all(&output), expected);
    let mut slices = [IoSlice::new(&[]); 8];
    assert_eq!(output.chunks(&mut slices), 4);
}

#[test]
fn advances_by_any_step() {
    for step in [1, 2, 3, 7, 2047, 2049, 10_000] {
        let mut output = Output::default();
        let big = Bytes::from((0..5000u32).map(|i| i as u8).collect::<Vec<_>>());
        output.push(b"head");
        output.push_payload(&big, 10, 4000);
        output.push(b"middle");
        output.push_payload(&big, 0, 5000);
        output.push_payload(&big, 0, 10);
        let mut expected = all(&output);
        while !output.is_empty() {
            output.advance(step);
            expected.drain(..step.min(expected.len()));
            assert_eq!(all(&output), expected);
            assert_eq!(output.len(), expected.len());
            assert_eq!(output.copied(3), expected.get(3..).unwrap_or_default());
        }
        assert!(output.take_buffer().is_some());
        assert!(output.take_buffer().is_none());
    }
}

#[test]
fn reuses_space_instead_of_growing() {
    let mut output = Output::default();
    assert!(output.give_buffer(Vec::with_capacity(1024)).is_none());
    assert!(output.give_buffer(Vec::with_capacity(1024)).is_some());
    for round in 0..1000u32 {
        output.push(&[round as u8; 300]);
        if round % 3 == 2 {
            output.advance(899);
        }
        if output.len() > 600 {
            output.advance(output.len() - 1);
        }
    }
    assert!(output.buf.capacity() <= 2048, "{}", output.buf.capacity());
}

#[test]
fn small_payloads_do_not_pin_their_block() {
    let mut output = Output::default();
    let block = Bytes::from(vec![1u8; 4096]);
    output.push_payload(&block, 0, COPY_LIMIT - 1);
    assert!(block.is_unique());
    output.push_payload(&block, 0, COPY_LIMIT);
    assert!(!block.is_unique());
    output.advance(usize::MAX);
    assert!(block.is_unique());
}
