//! proton-cpp through the router.

conformance::client_tests!(conformance::client::Client::ProtonCpp, drain and external);
