//! Every client with every other one: types intact, outcomes true, requests answered.

use conformance::Router;
use conformance::client::Client;
use conformance::suite::{outcomes_between, request_between, types_between};

fn from(sender: Client) {
    let router = Router::plain();
    for receiver in Client::ALL {
        types_between(&router, sender, receiver);
        outcomes_between(&router, sender, receiver);
        request_between(&router, sender, receiver);
    }
}

#[test]
fn from_proton_python() {
    from(Client::ProtonPython);
}

#[test]
fn from_proton_cpp() {
    from(Client::ProtonCpp);
}

#[test]
fn from_rhea() {
    from(Client::Rhea);
}

#[test]
fn from_go_amqp() {
    from(Client::GoAmqp);
}

#[test]
fn from_qpid_jms() {
    from(Client::QpidJms);
}

#[test]
fn from_fe2o3_amqp() {
    from(Client::Fe2o3);
}
