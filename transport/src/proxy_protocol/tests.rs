//! Headers of both versions; bytes are those of the specification.

use super::{ProxyError, Version, parse, write, write_local};
use bytes::BytesMut;
use proptest::prelude::*;
use std::net::SocketAddr;

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn addrs(data: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let found = parse(data).unwrap().expect("complete");
    assert_eq!(found.len, data.len());
    found.addrs
}

#[test]
fn lines_of_version_1() {
    assert_eq!(
        addrs(b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"),
        Some((addr("255.255.255.255:65535"), addr("255.255.255.255:65535")))
    );
    assert_eq!(
        addrs(b"PROXY TCP6 2001:db8::1 ::1 56324 443\r\n"),
        Some((addr("[2001:db8::1]:56324"), addr("[::1]:443")))
    );
    assert_eq!(addrs(b"PROXY UNKNOWN\r\n"), None);
    assert_eq!(addrs(b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"), None);
}

#[test]
fn data_behind_the_header_is_not_touched() {
    let found = parse(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\n").unwrap().unwrap();
    assert_eq!(found.len, 32);
}

#[test]
fn wrong_lines_of_version_1() {
    let bad = |line: &str| parse(line.as_bytes()).unwrap_err();
    assert_eq!(bad("GET / HTTP/1.1\r\n"), ProxyError::Absent);
    assert_eq!(bad("PROXX"), ProxyError::Absent);
    assert_eq!(bad("\r\n\r\nX"), ProxyError::Absent);
    for line in [
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
        "PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 +2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        "PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY \r\n",
        "PROXY TCP4 \u{fffd} 5.6.7.8 1 2\r\n",
    ] {
        assert!(matches!(bad(line), ProxyError::BadLine(_)), "{line:?}");
    }
    let long = format!("PROXY UNKNOWN {}", "x".repeat(93));
    assert_eq!(long.len(), 107);
    assert_eq!(bad(&long), ProxyError::LineTooLong);
    assert_eq!(parse(&long.as_bytes()[..106]), Ok(None), "may still end");
}

const SIG: &[u8] = b"\x0D\x0A\x0D\x0A\x00\x0D\x0A\x51\x55\x49\x54\x0A";

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut data = SIG.to_vec();
    data.extend([command, family]);
    data.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    data.extend(body);
    data
}

#[test]
fn headers_of_version_2() {
    let v4 = [10, 0, 0, 1, 10, 0, 0, 2, 0x1f, 0x90, 0x00, 0x50];
    let expected = Some((addr("10.0.0.1:8080"), addr("10.0.0.2:80")));
    assert_eq!(addrs(&v2(0x21, 0x11, &v4)), expected);
    // With TLVs (PP2_TYPE_NOOP) behind the addresses.
    let mut with_tlv = v4.to_vec();
    with_tlv.extend([0x04, 0x00, 0x03, 1, 2, 3]);
    assert_eq!(addrs(&v2(0x21, 0x11, &with_tlv)), expected);
    // LOCAL: anything may follow.
    assert_eq!(addrs(&v2(0x20, 0x00, &[])), None);
    assert_eq!(addrs(&v2(0x20, 0x11, &v4)), None);
    assert_eq!(addrs(&v2(0x20, 0xff, &[9; 30])), None);
    // UNSPEC, UDP, unix: accepted, without addresses.
    assert_eq!(addrs(&v2(0x21, 0x00, &[])), None);
    assert_eq!(addrs(&v2(0x21, 0x12, &v4)), None);
    assert_eq!(addrs(&v2(0x21, 0x31, &[0; 216])), None);
}

#[test]
fn wrong_headers_of_version_2() {
    assert_eq!(parse(&v2(0x11, 0x11, &[0; 12])), Err(ProxyError::BadCommand(0x11)));
    assert_eq!(parse(&v2(0x22, 0x11, &[0; 12])), Err(ProxyError::BadCommand(0x22)));
    assert_eq!(parse(&v2(0x21, 0x41, &[0; 12])), Err(ProxyError::BadFamily(0x41)));
    assert_eq!(parse(&v2(0x21, 0x13, &[0; 12])), Err(ProxyError::BadFamily(0x13)));
    assert_eq!(parse(&v2(0x21, 0x11, &[0; 11])), Err(ProxyError::TooShort(11)));
    assert_eq!(parse(&v2(0x21, 0x21, &[0; 35])), Err(ProxyError::TooShort(35)));
    let mut long = v2(0x21, 0x11, &[]);
    long[14..16].copy_from_slice(&0xffff_u16.to_be_bytes());
    assert_eq!(parse(&long), Err(ProxyError::TooLong(0xffff)), "said before the body is awaited");
}

#[test]
fn what_is_written_can_be_read() {
    for version in [Version::V1, Version::V2] {
        for (source, destination) in [("1.2.3.4:5", "6.7.8.9:10"), ("[::1]:5", "[2001:db8::2]:65535")] {
            let mut out = BytesMut::new();
            write(version, addr(source), addr(destination), &mut out);
            assert_eq!(addrs(&out), Some((addr(source), addr(destination))));
        }
        let mut mixed = BytesMut::new();
        write(version, addr("1.2.3.4:5"), addr("[::1]:6"), &mut mixed);
        assert_eq!(addrs(&mixed), Some((addr("[::ffff:1.2.3.4]:5"), addr("[::1]:6"))));
        let mut mapped = BytesMut::new();
        write(version, addr("[::ffff:1.2.3.4]:5"), addr("6.7.8.9:10"), &mut mapped);
        assert_eq!(addrs(&mapped), Some((addr("1.2.3.4:5"), addr("6.7.8.9:10"))));
        let mut local = BytesMut::new();
        write_local(version, &mut local);
        assert_eq!(addrs(&local), None);
    }
    let mut line = BytesMut::new();
    write(Version::V1, addr("192.168.0.1:56324"), addr("192.168.0.11:443"), &mut line);
    assert_eq!(line.as_ref(), b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n");
}

proptest! {
    #[test]
    fn noise_never_panics(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&data);
    }

    #[test]
    fn noise_behind_a_true_beginning_never_panics(
        start in prop_oneof![Just(&b"PROXY "[..]), Just(&b"PROXY TCP4 "[..]), Just(SIG), Just(&b"\r\n\r\n\0\r\nQUIT\n\x21\x11"[..])],
        data in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut all = start.to_vec();
        all.extend(data);
        if let Ok(Some(found)) = parse(&all) {
            prop_assert!(found.len <= all.len());
        }
    }

    #[test]
    fn any_cut_asks_for_more(v2 in any::<bool>(), s in any::<[u8; 6]>(), d in any::<[u8; 6]>(), tail in proptest::collection::vec(any::<u8>(), 0..20)) {
        let at = |b: [u8; 6]| SocketAddr::from(([b[0], b[1], b[2], b[3]], u16::from_be_bytes([b[4], b[5]])));
        let mut out = BytesMut::new();
        write(if v2 { Version::V2 } else { Version::V1 }, at(s), at(d), &mut out);
        let len = out.len();
        out.extend_from_slice(&tail);
        for cut in 0..len {
            prop_assert_eq!(parse(&out[..cut]), Ok(None));
        }
        let found = parse(&out).unwrap().unwrap();
        prop_assert_eq!(found.len, len);
        prop_assert_eq!(found.addrs, Some((at(s), at(d))));
    }
}
