//! go-amqp through the router.

conformance::client_tests!(conformance::client::Client::GoAmqp, drain and external);
