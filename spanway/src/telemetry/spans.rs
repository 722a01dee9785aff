//! Spans of messages as OTLP, in the names of OpenTelemetry's semantic conventions for messaging where these have some.

use router_core::Span;

use super::proto::{
    self, ERROR, INTERNAL, KeyValue, REMOTE_PARENT, Resource, ResourceSpans, Scope, ScopeSpans, SpansRequest, Status,
};

/// What a router does with messages: `messaging.operation.name`.
const OPERATION: &str = "forward";

/// The request that pushes spans.
pub(super) fn request<'a>(
    spans: impl IntoIterator<Item = &'a Span>,
    resource: &Resource,
    scope: &Scope,
) -> SpansRequest {
    let spans = ScopeSpans { scope: Some(scope.clone()), spans: spans.into_iter().map(encoded).collect() };
    SpansRequest { resource_spans: vec![ResourceSpans { resource: Some(resource.clone()), scope_spans: vec![spans] }] }
}

/// How much of an address is told, in bytes: as much as metrics have of it.
const LONGEST_NAME: usize = 256;

fn encoded(span: &Span) -> proto::Span {
    // Without the letter of its class.
    let address = span.address.get(1..).unwrap_or_default();
    let address = address.get(..address.floor_char_boundary(LONGEST_NAME)).unwrap_or_default();
    // Addresses that routers made up: there are too many for names of spans.
    let temporary = address.starts_with("_$temp.") || address.starts_with("$temp.");
    let mut attributes = vec![
        KeyValue::text("messaging.system", "spanway"),
        KeyValue::text("messaging.operation.name", OPERATION),
        KeyValue::text("messaging.destination.name", address),
        KeyValue::text("spanway.outcome", span.outcome.as_str()),
    ];
    if temporary {
        attributes.push(KeyValue::yes("messaging.destination.temporary"));
    }
    for (key, peer) in [("spanway.peer.from", &span.from), ("spanway.peer.to", &span.to)] {
        attributes.extend(peer.as_deref().map(|peer| KeyValue::text(key, peer)));
    }
    if span.outcome.is_failure() {
        attributes.push(KeyValue::text("error.type", span.outcome.as_str()));
    }
    proto::Span {
        trace_id: span.trace_id.to_vec(),
        span_id: span.id.to_vec(),
        trace_state: span.state.to_string(),
        parent_span_id: span.parent.to_vec(),
        name: if temporary { OPERATION.to_owned() } else { format!("{OPERATION} {address}") },
        kind: INTERNAL,
        start_time_unix_nano: span.begin,
        end_time_unix_nano: span.end.max(span.begin),
        attributes,
        status: span.outcome.is_failure().then_some(Status { code: ERROR }),
        flags: REMOTE_PARENT | u32::from(span.flags),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use router_core::SpanOutcome;

    use super::*;

    fn span(address: &str, outcome: SpanOutcome) -> Span {
        Span {
            trace_id: [1; 16],
            parent: [2; 8],
            id: [3; 8],
            flags: 1,
            state: "a=b".into(),
            address: address.into(),
            begin: 10,
            end: 20,
            from: Some("sender".into()),
            to: None,
            outcome,
        }
    }

    #[test]
    fn spans_are_named_after_what_is_done_with_what() {
        let (scope, resource) = (Scope::default(), Resource::default());
        let all = [span("Mnews", SpanOutcome::Accepted), span("M_$temp.x", SpanOutcome::Released)];
        let request = request(&all, &resource, &scope);
        let [one, other] = &request.resource_spans[0].scope_spans[0].spans[..] else { panic!("{request:?}") };
        assert_eq!((one.name.as_str(), one.kind, one.flags, &one.status), ("forward news", INTERNAL, 0x301, &None));
        assert!(one.attributes.contains(&KeyValue::text("messaging.destination.name", "news")));
        assert!(one.attributes.contains(&KeyValue::text("spanway.peer.from", "sender")));
        assert!(one.attributes.iter().all(|attribute| attribute.key != "spanway.peer.to"));
        assert_eq!((other.name.as_str(), other.status.as_ref().map(|status| status.code)), ("forward", Some(ERROR)));
        assert!(other.attributes.contains(&KeyValue::yes("messaging.destination.temporary")));
        assert!(other.attributes.contains(&KeyValue::text("error.type", "released")));
        assert_eq!(SpansRequest::decode(&*request.encode_to_vec()), Ok(request));
    }
}
