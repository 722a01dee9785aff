use std::io::Write as _;

use super::*;

fn collect(mut input: Input) -> (Vec<Vec<u8>>, Vec<usize>, Option<anyhow::Error>) {
    let mut messages = vec![Vec::new()];
    let mut parts = vec![0];
    while !input.is_over() {
        let Some(part) = input.take() else {
            // The thread is at work.
            super::super::block_on(async {
                input.wait().await;
                Ok(())
            })
            .expect("a runtime");
            continue;
        };
        messages.last_mut().expect("one").extend_from_slice(&part.bytes);
        *parts.last_mut().expect("one") += 1;
        if part.last {
            messages.push(Vec::new());
            parts.push(0);
        }
    }
    let failure = input.failure();
    (messages, parts, failure)
}

fn body(message: &[u8]) -> Vec<u8> {
    let message = Message::decode(&Bytes::copy_from_slice(message)).expect("a message");
    message.body_bytes().expect("bytes").to_vec()
}

#[test]
fn a_text_is_repeated() {
    let input = Input::open(&What::Text("hi".to_owned()), 3).expect("no file");
    assert_eq!(input.total, Some(6));
    let (messages, _, failure) = collect(input);
    assert_eq!(messages.iter().filter(|m| !m.is_empty()).map(|m| body(m)).collect::<Vec<_>>(), [b"hi", b"hi", b"hi"]);
    assert!(failure.is_none());
}

#[test]
fn files_of_every_size_are_whole() {
    for size in [0, 1, 255, 256, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK] {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let data: Vec<u8> = (0..size).map(|n| n as u8).collect();
        file.write_all(&data).expect("written");
        let (messages, parts, failure) = collect(Input::open(&What::File(file.path().to_owned()), 2).expect("a file"));
        assert!(failure.is_none(), "{failure:?}");
        assert_eq!(parts, [size.div_ceil(BLOCK).max(1), size.div_ceil(BLOCK).max(1), 0], "{size}");
        assert_eq!((body(&messages[0]), body(&messages[1])), (data.clone(), data), "{size}");
    }
}

#[test]
fn what_has_no_size_is_many_sections() {
    let (sender, mut receiver) = channel(99);
    let data = vec![7; BLOCK * 2 + 5];
    let more = stream(&mut &data[..], "x", 0, &AtomicU64::new(u64::MAX), &Out(sender)).expect("read");
    assert!(more);
    let mut bytes = Vec::new();
    let mut lasts = Vec::new();
    while let Ok(part) = receiver.try_recv() {
        let part = part.expect("no failure");
        bytes.extend_from_slice(&part.bytes);
        lasts.push(part.last);
    }
    assert_eq!(lasts, [false, false, true]);
    assert_eq!(body(&bytes), data);
}

#[test]
fn lines_lose_their_ends_and_long_ones_are_refused() {
    let (sender, mut receiver) = channel(99);
    let out = Out(sender);
    read_lines(&mut &b"a\n\r\nb\r\n\xff\nend"[..], 1, &out).expect("short lines");
    let mut bodies = Vec::new();
    while let Ok(part) = receiver.try_recv() {
        bodies.push(body(&part.expect("no failure").bytes));
    }
    assert_eq!(bodies, [&b"a"[..], b"", b"b", b"\xff", b"end"]);
    let long = vec![b'x'; LINE as usize + 1];
    let error = read_lines(&mut &long[..], 1, &out).expect_err("too long");
    assert!(error.to_string().contains("--file"), "{error}");
}

#[test]
fn missing_files_and_directories_are_named() {
    for (path, expected) in [("/nonexistent/x", "cannot read /nonexistent/x"), ("/", "it is a directory")] {
        let error = Input::open(&What::File(path.into()), 1).expect_err(path);
        assert!(format!("{error:#}").contains(expected), "{error:#}");
    }
}

#[test]
fn a_file_that_shrinks_is_a_failure() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let (sender, _receiver) = channel(99);
    let mut opened = File::open(file.path()).expect("a file");
    let error = sections(&mut opened, 10, "f", 0, &AtomicU64::new(u64::MAX), &Out(sender)).expect_err("empty");
    assert!(error.to_string().contains("became shorter"), "{error}");
}
