//! fe2o3-amqp through the router. The library (0.18) has no EXTERNAL, and does not say when a drain was answered.

conformance::client_tests!(conformance::client::Client::Fe2o3);
