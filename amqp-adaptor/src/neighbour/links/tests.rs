use super::*;

/// A link of the peer's: `role` is the peer's.
fn from_peer(purpose: LinkPurpose, role: Role) -> Attach {
    attach(purpose, role, "x")
}

fn link(n: u32, ours: Role) -> LinkId {
    LinkId::from_u32(n | (u32::from(ours == Role::Sender) << 31))
}

#[test]
fn the_plan_is_the_references() {
    let plan: Vec<_> = Links::plan().collect();
    assert_eq!(plan.len(), 22);
    assert_eq!(plan[0], (LinkPurpose::Control, Role::Receiver));
    assert_eq!(plan[1], (LinkPurpose::Control, Role::Sender));
    assert_eq!(plan[2], (LinkPurpose::Data(0), Role::Receiver));
    assert_eq!(plan[21], (LinkPurpose::Data(9), Role::Sender));
    assert_eq!(plan.iter().map(|(p, _)| p.session()).max(), Some(10));
    for (purpose, _) in plan.into_iter().chain([(LinkPurpose::Stream, Role::Sender)]) {
        assert_eq!(LinkPurpose::of_token(purpose.token()), purpose);
    }
}

#[test]
fn both_sides_agree_on_priorities() {
    let (mut ours, mut theirs) = (Links::default(), Links::default());
    for (n, (purpose, role)) in Links::plan().enumerate() {
        let (here, there) = (link(n as u32, role), link(n as u32, role.other()));
        ours.attaching(purpose, role, here);
        assert!(!ours.has_control() || n > 1);
        let found = theirs.peer_attached(ConnectionRole::InterRouter, there, &from_peer(purpose, role)).unwrap();
        assert_eq!(found, purpose);
        ours.answered(purpose, here);
        assert_eq!(theirs.get(purpose, role.other()), Some(Slot { link: there, attached: true }));
        assert_eq!((ours.is_complete(), theirs.is_complete()), (n == 21, n == 21));
    }
    assert!(ours.has_control() && theirs.has_control());
    // Whatever comes then is for streams.
    let more = from_peer(LinkPurpose::Data(0), Role::Sender);
    let found = theirs.peer_attached(ConnectionRole::InterRouter, link(50, Role::Receiver), &more);
    assert_eq!((found, theirs.streams), (Ok(LinkPurpose::Stream), 1));
    let more = from_peer(LinkPurpose::Data(0), Role::Receiver);
    let found = theirs.peer_attached(ConnectionRole::InterRouter, link(51, Role::Sender), &more);
    assert_eq!(found, Err(LinkRefusal::Role));
}

#[test]
fn directions_are_counted_apart_and_in_any_order() {
    let mut links = Links::default();
    let mut peer = |purpose, role: Role, n| {
        links.peer_attached(ConnectionRole::InterRouter, link(n, role.other()), &from_peer(purpose, role))
    };
    for n in 0..3 {
        assert_eq!(peer(LinkPurpose::Data(0), Role::Sender, n), Ok(LinkPurpose::Data(n as u8)));
    }
    assert_eq!(peer(LinkPurpose::Control, Role::Receiver, 10), Ok(LinkPurpose::Control));
    assert_eq!(peer(LinkPurpose::Data(7), Role::Receiver, 11), Ok(LinkPurpose::Data(0)));
    assert_eq!(peer(LinkPurpose::Control, Role::Receiver, 12), Err(LinkRefusal::Twice));
    assert_eq!(peer(LinkPurpose::Control, Role::Sender, 13), Ok(LinkPurpose::Control));
    assert!(links.has_control() && !links.is_complete());
}

#[test]
fn links_where_they_do_not_belong_are_refused() {
    let refused = |role, attach: &Attach| Links::default().peer_attached(role, link(1, attach.role.other()), attach);
    let control = from_peer(LinkPurpose::Control, Role::Sender);
    let data = from_peer(LinkPurpose::Data(0), Role::Sender);
    for role in [ConnectionRole::Normal, ConnectionRole::RouteContainer, ConnectionRole::Edge] {
        assert_eq!(refused(role, &control), Err(LinkRefusal::Forbidden));
        assert_eq!(refused(role, &data), Err(LinkRefusal::Forbidden));
        assert_eq!(LinkRefusal::Forbidden.condition(), "qd:forbidden");
    }
    assert_eq!(refused(ConnectionRole::InterRouterData, &control), Err(LinkRefusal::Forbidden));
    assert_eq!(refused(ConnectionRole::InterRouterData, &data), Ok(LinkPurpose::Stream));
    let stream = from_peer(LinkPurpose::Stream, Role::Sender);
    assert_eq!(refused(ConnectionRole::InterRouterData, &stream), Ok(LinkPurpose::Stream));
    assert_eq!(refused(ConnectionRole::InterRouter, &stream), Err(LinkRefusal::Role));
    assert_eq!(LinkRefusal::Role.condition(), "qd:connection-role");
    let address = Attach { target: Some(Target::at("a").into()), ..stream };
    assert_eq!(refused(ConnectionRole::InterRouterData, &address), Err(LinkRefusal::Role));
    assert_eq!(refused(ConnectionRole::InterRouter, &address), Err(LinkRefusal::Role));
}

#[test]
fn a_link_that_went_is_missed() {
    let mut links = Links::default();
    for (n, (purpose, role)) in Links::plan().enumerate() {
        links.attaching(purpose, role, link(n as u32, role));
        links.answered(purpose, link(n as u32, role));
    }
    // Not one of ours any more.
    links.gone(LinkPurpose::Control, link(99, Role::Receiver));
    assert!(links.has_control());
    links.gone(LinkPurpose::Control, link(0, Role::Receiver));
    assert!(!links.has_control());
    links.gone(LinkPurpose::Stream, link(7, Role::Sender));
    assert_eq!(links.streams, 0);
}

#[test]
fn answers_echo_the_termini() {
    let sent = attach(LinkPurpose::Data(3), Role::Sender, "qdlink.x");
    let answer = answer(&sent);
    let target = answer.target.as_ref().and_then(TargetTerminus::as_target).unwrap();
    assert_eq!(target.expiry_policy, EXPIRY_SESSION_END);
    assert!(has(&answer, DATA) && !has(&answer, CONTROL));
    assert_eq!(answer.max_message_size, Some(0));
}
