//! Data over TLS: every size, every way to end.

use super::pki::{Pki, connected, run, tcp_pair};
use crate::metrics;
use crate::stream::{PlainStream, Read, Stream, StreamError, Write};
use crate::tls::{ClientOptions, ServerOptions, TlsClient, TlsProfile, TlsServer};
use bytes::BytesMut;
use std::io::IoSlice;
use std::sync::Arc;

fn ends(require_close_notify: bool) -> (Arc<TlsClient>, Arc<TlsServer>) {
    let pki = Pki::new("ca");
    let profile = TlsProfile::load(&pki.issue("server", &Pki::params("localhost", &["localhost"]))).unwrap();
    let client = ClientOptions { require_close_notify, ..ClientOptions::default() };
    let server = ServerOptions { require_close_notify, ..ServerOptions::default() };
    (profile.client(&client).unwrap(), profile.server(&server).unwrap())
}

async fn pair() -> (Stream, Stream) {
    let (client, server) = ends(false);
    connected(&client, &server).await
}

fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 31 + i / 251) as u8).collect()
}

async fn read_to_end(stream: &mut Stream, capacity: usize) -> Result<Vec<u8>, StreamError> {
    let mut all = Vec::new();
    loop {
        let mut buf = BytesMut::with_capacity(capacity);
        if stream.read_some(&mut buf).await? == 0 {
            return Ok(all);
        }
        all.extend_from_slice(&buf);
    }
}

#[test]
fn data_of_any_size_arrives_through_buffers_of_any_size() {
    run(|| async {
        for size in [1, 100, 16_384, 16_385, 131_072, 131_073, 1_000_000] {
            for capacity in [7, 4096, 20_000, 262_144] {
                if capacity == 7 && size > 20_000 {
                    continue;
                }
                let (mut a, mut b) = pair().await;
                let data = pattern(size);
                let (written, read) = tokio::join!(
                    async {
                        a.write_all(&data).await?;
                        a.shutdown_write().await
                    },
                    read_to_end(&mut b, capacity)
                );
                written.unwrap();
                assert!(read.unwrap() == data, "{size} bytes by {capacity}");
                // The other direction is still open.
                b.write_all(&data).await.unwrap_or_else(|e| panic!("{e}"));
                b.shutdown_write().await.unwrap();
                assert!(read_to_end(&mut a, capacity).await.unwrap() == data);
            }
        }
    });
}

#[test]
fn both_directions_at_once() {
    run(|| async {
        let (a, b) = pair().await;
        let data = pattern(3_000_000);
        let relay = |mut stream: Stream| {
            let data = &data;
            async move {
                let (mut sent, mut received) = (0, Vec::new());
                let mut buf = BytesMut::with_capacity(65_536);
                let mut ended = false;
                while !ended || sent < data.len() || stream.has_pending_output() {
                    let want_write = sent < data.len() || stream.has_pending_output();
                    std::future::poll_fn(|cx| crate::stream::poll_ready(&mut stream, cx, want_write)).await;
                    if sent < data.len() {
                        match stream.try_write_vectored(&[IoSlice::new(&data[sent..])]) {
                            Write::Done(n) => sent += n,
                            Write::Blocked => {}
                            Write::Failed(error) => panic!("{error}"),
                        }
                    }
                    if sent == data.len() && !stream.has_pending_output() {
                        let _ = stream.try_shutdown_write();
                    } else {
                        let _ = stream.try_flush();
                    }
                    if !ended {
                        buf.clear();
                        match stream.try_read(&mut buf) {
                            Read::Data(_) => received.extend_from_slice(&buf),
                            Read::Blocked => {}
                            Read::Eof => ended = true,
                            Read::Failed(error) => panic!("{error}"),
                        }
                    }
                }
                let _ = stream.try_shutdown_write();
                received
            }
        };
        let (x, y) = tokio::join!(relay(a), relay(b));
        assert!(x == data && y == data);
    });
}

#[test]
fn many_small_slices_fill_records_and_make_one_write() {
    run(|| async {
        let (mut a, mut b) = pair().await;
        let data = pattern(64 * 1000);
        let slices: Vec<IoSlice<'_>> = data.chunks(1000).map(IoSlice::new).collect();
        a.writable().await;
        let before = metrics::snapshot();
        let Write::Done(taken) = a.try_write_vectored(&slices) else {
            panic!("not taken");
        };
        let after = metrics::snapshot();
        assert_eq!(taken, data.len());
        assert_eq!(after.writes - before.writes, 1);
        // Four records (of 16 KiB and a rest), 22 bytes each on top.
        assert_eq!(after.bytes_written - before.bytes_written, data.len() as u64 + 4 * 22);
        let mut buf = BytesMut::with_capacity(data.len());
        while buf.len() < data.len() {
            b.read_some(&mut buf).await.unwrap();
        }
        assert!(buf == data);
    });
}

#[test]
fn a_stalled_reader_blocks_the_writer_and_nothing_is_lost() {
    run(|| async {
        let (mut a, mut b) = pair().await;
        let data = pattern(64 << 20);
        let mut sent = 0;
        loop {
            match a.try_write_vectored(&[IoSlice::new(&data[sent..])]) {
                Write::Done(n) => sent += n,
                Write::Blocked => break,
                Write::Failed(error) => panic!("{error}"),
            }
            assert!(sent < data.len(), "loopback took 64 MiB");
        }
        assert!(a.has_pending_output());
        let (written, read) = tokio::join!(
            async {
                a.write_all(&[]).await?;
                a.shutdown_write().await
            },
            read_to_end(&mut b, 262_144)
        );
        written.unwrap();
        assert!(read.unwrap() == data[..sent]);
        assert!(!a.has_pending_output());
    });
}

/// Takes the socket from under a stream, to end it in ways that TLS does not.
fn bare(stream: Stream) -> PlainStream {
    match stream {
        Stream::Tls(tls) => tls.into_plain(),
        Stream::Plain(plain) => plain,
        Stream::WebSocket(_) => unreachable!("no test makes one"),
    }
}

#[test]
fn an_end_without_close_notify_is_tolerated_unless_refused() {
    run(|| async {
        for strict in [false, true] {
            let (client, server) = ends(strict);
            let (mut a, mut b) = connected(&client, &server).await;
            a.write_all(b"data").await.unwrap();
            let mut raw = bare(a);
            // No close: its unread tickets would make a reset of it.
            assert!(matches!(raw.shutdown_write(), Write::Done(_)));
            let outcome = read_to_end(&mut b, 4096).await;
            if strict {
                assert!(matches!(outcome, Err(StreamError::NoCloseNotify)), "{outcome:?}");
                let again = b.try_read(&mut BytesMut::with_capacity(10));
                assert!(matches!(again, Read::Failed(_)), "{again:?}");
            } else {
                assert_eq!(outcome.unwrap(), b"data");
            }
        }
    });
}

#[test]
fn a_cut_inside_a_record_is_no_end() {
    run(|| async {
        let (mut a, mut b) = pair().await;
        a.write_all(b"data").await.unwrap();
        let mut raw = Stream::from(bare(a));
        // Header of a record of 100 bytes, and a few of them.
        raw.write_all(&[23, 3, 3, 0, 100, 1, 2, 3]).await.unwrap();
        raw.shutdown_write().await.unwrap();
        let outcome = read_to_end(&mut b, 4096).await;
        assert!(matches!(outcome, Err(StreamError::Truncated)), "{outcome:?}");
        let again = b.try_read(&mut BytesMut::with_capacity(10));
        assert!(matches!(again, Read::Failed(_)), "{again:?}");
    });
}

#[test]
fn a_reset_below_tls_is_a_reset() {
    run(|| async {
        let (a, mut b) = pair().await;
        a.reset();
        let outcome = read_to_end(&mut b, 4096).await;
        assert!(matches!(outcome, Err(StreamError::Reset)), "{outcome:?}");
        assert!(matches!(b.try_write_vectored(&[IoSlice::new(b"x")]), Write::Failed(_)));
    });
}

#[test]
fn forged_records_are_refused_with_an_alert() {
    run(|| async {
        let (a, mut b) = pair().await;
        let mut raw = Stream::from(bare(a));
        let mut forged = vec![23, 3, 3, 0, 50];
        forged.extend([9; 50]);
        raw.write_all(&forged).await.unwrap();
        let outcome = read_to_end(&mut b, 4096).await;
        assert!(matches!(outcome, Err(StreamError::Tls(_))), "{outcome:?}");
        let mut alert = BytesMut::with_capacity(100);
        assert!(raw.read_some(&mut alert).await.unwrap() > 0);
    });
}

#[test]
fn idle_streams_keep_no_buffers() {
    run(|| async {
        let (mut a, mut b) = pair().await;
        let data = pattern(500_000);
        let mut buf = BytesMut::with_capacity(data.len());
        let (written, ()) = tokio::join!(a.write_all(&data), async {
            while buf.len() < data.len() {
                b.read_some(&mut buf).await.unwrap();
            }
        });
        written.unwrap();
        for stream in [&a, &b] {
            assert_eq!(stream.tls().unwrap().held_bytes(), 0);
        }
    });
}

#[test]
fn close_notify_ends_even_if_more_comes_behind_it() {
    run(|| async {
        let (mut a, mut b) = pair().await;
        a.write_all(b"data").await.unwrap();
        a.shutdown_write().await.unwrap();
        assert!(matches!(a.try_shutdown_write(), Write::Done(_)), "idempotent");
        assert_eq!(read_to_end(&mut b, 100).await.unwrap(), b"data");
        assert!(matches!(b.try_read(&mut BytesMut::with_capacity(10)), Read::Eof));
    });
}

#[test]
fn a_plain_peer_is_not_mistaken() {
    run(|| async {
        let (client, _) = ends(false);
        let (x, y) = tcp_pair().await;
        let mut plain = Stream::from(y);
        let (outcome, _) = tokio::join!(client.connect("localhost", x), plain.write_all(b"SSH-2.0-OpenSSH_9\r\n"));
        assert!(outcome.unwrap_err().to_string().contains("SSL Failure"));
    });
}
