//! Plain streams: ends and resets are told apart, and no system call is wasted.

use super::{PlainStream, Read, Stream, StreamError, Write, poll_ready};
use crate::metrics;
use bytes::BytesMut;
use std::future::poll_fn;
use std::io::IoSlice;

fn run<F: std::future::Future<Output = ()>>(test: impl FnOnce() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(std::time::Duration::from_secs(30), test()).await.expect("test hangs");
    });
}

async fn pair() -> (Stream, Stream) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (a, b) = tokio::join!(tokio::net::TcpStream::connect(addr), listener.accept());
    (PlainStream::new(a.unwrap()).into(), PlainStream::new(b.unwrap().0).into())
}

#[test]
fn a_stream_is_small() {
    // 40 and a word for the state of splicing (decision 0004); an idle proxied connection takes 1.6 kB in all.
    assert!(size_of::<Stream>() <= 48, "{}", size_of::<Stream>());
    // State of TLS comes in one box; rustls' own part dominates it.
    assert!(size_of::<crate::tls::TlsStream>() <= 2048, "{}", size_of::<crate::tls::TlsStream>());
}

#[test]
fn a_short_read_needs_no_second_call() {
    run(|| async {
        let (mut a, mut b) = pair().await;
        a.write_all(b"hello").await.unwrap();
        let mut buf = BytesMut::with_capacity(4096);
        b.readable().await;
        let before = metrics::snapshot();
        assert!(matches!(b.try_read(&mut buf), Read::Data(5)));
        assert!(matches!(b.try_read(&mut buf), Read::Blocked));
        assert!(matches!(b.try_read(&mut buf), Read::Blocked));
        let after = metrics::snapshot();
        assert_eq!(after.reads - before.reads, 1);
        assert_eq!(after.bytes_read - before.bytes_read, 5);
        // What comes later is seen all the same.
        a.write_all(b", world").await.unwrap();
        b.readable().await;
        assert!(matches!(b.try_read(&mut buf), Read::Data(7)));
        assert_eq!(&buf[..], b"hello, world");
        a.shutdown_write().await.unwrap();
        b.readable().await;
        assert!(matches!(b.try_read(&mut buf), Read::Eof));
        assert!(matches!(b.try_read(&mut buf), Read::Eof));
    });
}

#[test]
fn an_end_that_comes_with_the_data_is_seen_after_it() {
    run(|| async {
        let (mut a, mut b) = pair().await;
        a.write_all(b"last words").await.unwrap();
        a.shutdown_write().await.unwrap();
        let mut buf = BytesMut::with_capacity(4096);
        assert_eq!(b.read_some(&mut buf).await.unwrap(), 10);
        assert_eq!(b.read_some(&mut buf).await.unwrap(), 0);
        // Half-close: the other direction goes on.
        b.write_all(b"answer").await.unwrap();
        b.shutdown_write().await.unwrap();
        buf.clear();
        assert_eq!(a.read_some(&mut buf).await.unwrap(), 6);
        assert_eq!(a.read_some(&mut buf).await.unwrap(), 0);
    });
}

#[test]
fn a_full_socket_blocks_after_a_short_write_without_a_second_call() {
    run(|| async {
        let (mut a, mut b) = pair().await;
        let block = vec![7; 1 << 20];
        let slices: Vec<IoSlice<'_>> = (0..8).map(|_| IoSlice::new(&block)).collect();
        a.writable().await;
        let before = metrics::snapshot();
        let mut written = 0;
        loop {
            match a.try_write_vectored(&slices) {
                Write::Done(n) => written += n,
                Write::Blocked => break,
                Write::Failed(error) => panic!("{error}"),
            }
        }
        let after = metrics::snapshot();
        assert_eq!(after.bytes_written - before.bytes_written, written as u64);
        assert_eq!(after.blocked_writes, before.blocked_writes, "no call in vain");
        let mut buf = BytesMut::with_capacity(1 << 20);
        let mut read = 0;
        while read < written {
            read += b.read_some(&mut buf).await.unwrap();
            buf.clear();
        }
        a.writable().await;
        assert!(matches!(a.try_write_vectored(&[IoSlice::new(b"x")]), Write::Done(1)));
    });
}

#[test]
fn more_slices_than_the_kernel_takes_are_no_error() {
    run(|| async {
        let (mut a, mut b) = pair().await;
        let slices: Vec<IoSlice<'_>> = (0..3000).map(|_| IoSlice::new(b"ab")).collect();
        a.writable().await;
        assert!(matches!(a.try_write_vectored(&slices), Write::Done(2048)));
        let mut buf = BytesMut::with_capacity(4096);
        assert_eq!(b.read_some(&mut buf).await.unwrap(), 2048);
        assert!(matches!(a.try_write_vectored(&[]), Write::Done(0)));
    });
}

#[test]
fn a_reset_is_never_an_end() {
    run(|| async {
        let (a, mut b) = pair().await;
        a.reset();
        let mut buf = BytesMut::with_capacity(64);
        assert!(matches!(b.read_some(&mut buf).await, Err(StreamError::Reset)));
        // The kernel tells of it once, and then reports an end.
        assert!(matches!(b.try_read(&mut buf), Read::Failed(StreamError::Reset)));
        assert!(matches!(b.try_read(&mut buf), Read::Failed(StreamError::Reset)));
    });
}

#[test]
fn a_reset_that_a_write_noticed_first_is_still_one_for_the_reader() {
    run(|| async {
        let (mut a, mut b) = pair().await;
        a.write_all(b"data").await.unwrap();
        b.readable().await;
        a.reset();
        // Wait until the reset is there, by its error, without consuming it.
        b.plain().wait_error().await;
        let failed = loop {
            match b.try_write_vectored(&[IoSlice::new(b"x")]) {
                Write::Failed(error) => break error,
                Write::Done(_) => {}
                Write::Blocked => b.writable().await,
            }
        };
        assert!(matches!(failed, StreamError::Reset));
        let mut buf = BytesMut::with_capacity(64);
        loop {
            match b.read_some(&mut buf).await {
                Ok(0) => panic!("a reset was taken for an end"),
                Ok(_) => {}
                Err(error) => break assert!(matches!(error, StreamError::Reset)),
            }
        }
    });
}

#[test]
fn reset_on_drop_resets() {
    run(|| async {
        let (a, mut b) = pair().await;
        a.reset_on_drop();
        drop(a);
        let mut buf = BytesMut::with_capacity(64);
        assert!(matches!(b.read_some(&mut buf).await, Err(StreamError::Reset)));
    });
}

#[test]
fn both_directions_can_be_awaited_at_once() {
    run(|| async {
        let (mut a, mut b) = pair().await;
        assert!(poll_fn(|cx| poll_ready(&mut b, cx, true)).await.1);
        // tokio assumes that an accepted socket is readable until a read says otherwise.
        let mut buf = BytesMut::with_capacity(64);
        assert!(matches!(b.try_read(&mut buf), Read::Blocked));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(poll_ready(&mut b, &mut cx, false).is_pending());
        a.write_all(b"x").await.unwrap();
        assert_eq!(poll_fn(|cx| poll_ready(&mut b, cx, false)).await, (true, false));
    });
}
