//! qpid-jms through the router.

conformance::client_tests!(conformance::client::Client::QpidJms, drain and external);
