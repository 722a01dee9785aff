//! rhea through the router.

conformance::client_tests!(conformance::client::Client::Rhea, drain and external);
