//! Whom a request was forwarded for, as the proxies before us say.

/// The longest name of a host that is told; a longer one is nobody's.
pub(crate) const MAX_HOST: usize = 128;

/// Of the header fields of a request. The first of each name counts, and of that the first entry: the proxy next to the client wrote it.
#[derive(Debug, Default)]
pub(crate) struct Forwarding {
    common: Option<Option<String>>,
    standard: Option<Option<String>>,
}

impl Forwarding {
    /// An `X-Forwarded-For`.
    pub(crate) fn common(&mut self, value: &[u8]) {
        self.common.get_or_insert_with(|| host(value.split(|byte| *byte == b',').next().unwrap_or_default()));
    }

    /// A `Forwarded` (RFC 7239).
    pub(crate) fn standard(&mut self, value: &[u8]) {
        self.standard.get_or_insert_with(|| standard(value));
    }

    /// What there is to tell. `X-Forwarded-For` counts first: where both are set, it is what the proxies at hand agree on.
    pub(crate) fn host(self) -> Option<String> {
        self.common.flatten().or_else(|| self.standard.flatten())
    }
}

fn standard(value: &[u8]) -> Option<String> {
    let first = value.split(|byte| *byte == b',').next()?;
    let node = first.split(|byte| *byte == b';').find_map(|pair| {
        let (name, value) = pair.trim_ascii().split_at_checked(4)?;
        name.eq_ignore_ascii_case(b"for=").then_some(value)
    })?;
    let node = node.strip_prefix(b"\"").and_then(|node| node.strip_suffix(b"\"")).unwrap_or(node);
    if let Some(rest) = node.strip_prefix(b"[") {
        return host(rest.split(|byte| *byte == b']').next()?);
    }
    host(node.split(|byte| *byte == b':').next()?)
}

fn host(text: &[u8]) -> Option<String> {
    let text = text.trim_ascii();
    let told = (1..=MAX_HOST).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic);
    told.then(|| String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::Forwarding;

    fn host(fields: &[(bool, &str)]) -> Option<String> {
        let mut forwarding = Forwarding::default();
        for (common, value) in fields {
            if *common {
                forwarding.common(value.as_bytes());
            } else {
                forwarding.standard(value.as_bytes());
            }
        }
        forwarding.host()
    }

    #[test]
    fn the_first_entry_of_the_first_field() {
        let long = "x".repeat(129);
        for (fields, expected) in [
            (vec![(true, "192.168.0.2")], Some("192.168.0.2")),
            (vec![(true, " 10.0.0.1 , 10.0.0.2"), (true, "10.0.0.3")], Some("10.0.0.1")),
            (vec![(true, "2001:db8::1")], Some("2001:db8::1")),
            (vec![(true, "")], None),
            (vec![(true, &*long)], None),
            (vec![(true, "a b")], None),
            (vec![(false, "for=192.0.2.43, for=198.51.100.17")], Some("192.0.2.43")),
            (vec![(false, "proto=http; FOR=\"[2001:db8:cafe::17]:4711\"; by=203.0.113.43")], Some("2001:db8:cafe::17")),
            (vec![(false, "for=192.0.2.43:8080")], Some("192.0.2.43")),
            (vec![(false, "for=_gazonk")], Some("_gazonk")),
            (vec![(false, "by=203.0.113.43, for=192.0.2.1")], None),
            (vec![(false, "for=192.0.2.1"), (true, "192.0.2.2")], Some("192.0.2.2")),
            (vec![], None),
        ] {
            assert_eq!(host(&fields).as_deref(), expected, "{fields:?}");
        }
    }
}
