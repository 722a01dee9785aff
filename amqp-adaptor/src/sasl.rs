//! Clients that say who they are: what TLS has proved is known at once, all else is asked of the system's library.

use std::rc::Rc;

use amqp_proto::connection::SaslResponse;
use amqp_proto::sasl::SaslCode;
use bytes::Bytes;
use transport::sasl::SaslStep;

use crate::config::Identity;
use crate::conn::{Conn, Origin};
use crate::egress::Conns;
use crate::worker::Inner;

/// Answers a client, now or later.
pub(crate) fn asked(conns: &mut Conns, id: u32, response: &SaslResponse) {
    let Some(conn) = conns.get(id) else { return };
    let mechanism = response.mechanism.as_str();
    match mechanism {
        "ANONYMOUS" => accept(conn, mechanism, None),
        // The certificate was verified in the handshake; without one there is nothing that EXTERNAL could mean.
        "EXTERNAL" => match conn.stream.tls().and_then(transport::tls::TlsStream::peer_user) {
            Some(user) => accept(conn, mechanism, Some(user)),
            None => refuse(conn, mechanism, "there is no certificate"),
        },
        _ => ask_library(conn, id, response),
    }
}

fn accept(conn: &mut Conn, mechanism: &str, user: Option<String>) {
    conn.details.identity = Identity { mechanism: Some(mechanism.to_owned()), user };
    conn.engine.sasl_outcome(SaslCode::Ok);
}

fn refuse(conn: &mut Conn, mechanism: &str, why: &str) {
    tracing::info!(
        target: "SERVER",
        "[C{}] Connection from {} refused: SASL {mechanism} failed: {why}",
        conn.details.id, conn.details.peer
    );
    conn.engine.sasl_outcome(SaslCode::Auth);
}

/// Has the library look at the response. The connection is not read until it has answered.
fn ask_library(conn: &mut Conn, id: u32, response: &SaslResponse) {
    let mechanism = response.mechanism.as_str();
    let Some(inner) = Inner::current() else { return };
    let exchange = match &conn.details.sasl {
        Some(exchange) => Rc::clone(exchange),
        None => {
            let sasl = match &conn.origin {
                Origin::Listener(listener) => listener.sasl.as_ref(),
                Origin::Connector(_) => None,
            };
            // The engine refuses what was not offered.
            let Some(sasl) = sasl else { return refuse(conn, mechanism, "nobody can check it") };
            let exchange = Rc::new(sasl.exchange(mechanism));
            conn.details.sasl = Some(Rc::clone(&exchange));
            exchange
        }
    };
    let (number, mechanism, response) = (conn.details.id, mechanism.to_owned(), response.response.clone());
    let inner = Rc::downgrade(&inner);
    transport::worker::spawn("sasl", async move {
        let step = exchange.step(&response).await;
        if let Some(inner) = inner.upgrade() {
            inner.answered(id, number, &mechanism, step);
        }
    });
}

impl Inner {
    fn answered(&self, id: u32, number: u64, mechanism: &str, step: SaslStep) {
        let rest = {
            let mut conns = self.conns.borrow_mut();
            // The place may be another connection's by now.
            let Some(conn) = conns.get(id).filter(|conn| conn.details.id == number) else { return };
            match step {
                SaslStep::Challenge(challenge) => conn.engine.sasl_challenge(&challenge),
                SaslStep::Accepted { user } => {
                    conn.details.sasl = None;
                    accept(conn, mechanism, Some(user));
                }
                SaslStep::Refused(why) => {
                    conn.details.sasl = None;
                    refuse(conn, mechanism, &why);
                }
            }
            // It may have sent more without waiting for the answer.
            let rest = Bytes::from(std::mem::take(&mut conn.leftover));
            if let Some(waker) = conn.waker.take() {
                waker.wake();
            }
            rest
        };
        self.process(id, &rest);
        self.write_dirty();
    }
}
