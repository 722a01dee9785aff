//! Serial numbers (RFC 1982) as AMQP 1.0 §2.8.10 uses them for delivery-ids, transfer-ids and delivery-counts.

/// How far `a` is ahead of `b`; negative if behind.
pub(crate) fn ahead(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}

/// True if `a` comes before `b`.
pub(crate) fn before(a: u32, b: u32) -> bool {
    ahead(a, b) < 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_across_the_wrap() {
        assert!(before(u32::MAX, 0));
        assert!(before(u32::MAX - 5, 5));
        assert!(!before(5, u32::MAX - 5));
        assert!(!before(7, 7));
        assert_eq!(ahead(3, u32::MAX), 4);
        assert_eq!(ahead(u32::MAX, 3), -4);
    }
}
