//! proton-python through the router.

conformance::client_tests!(conformance::client::Client::ProtonPython, drain and external);
