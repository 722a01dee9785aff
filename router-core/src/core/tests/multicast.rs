use super::world::*;
use crate::egress::DeliveryState;

#[test]
fn a_slow_reader_elsewhere_gets_all() {
    let mut w = World::with(2, |c| c.multicast_lag = 3000);
    let near = w.receiver(1, "multi/a", 0);
    let far = w.receiver(0, "multi/a", 0);
    let s = w.sender(1, "multi/a");
    let body: Vec<u8> = (0..3300u32).map(|i| (i / 7) as u8).collect();
    let id = w.begin(s, &body, false, false, 1650);
    w.part(s, 1100);
    w.part(s, 550);
    w.credit(far, 10, false);
    w.credit(near, 10, false);
    assert!(w.bodies(far) == [body]);
    w.accept(far, 0);
    w.accept_all(near);
    assert_eq!(w.told(s, id), Some(DeliveryState::Accepted));
    w.assert_empty();
}
