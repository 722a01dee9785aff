//! Answers: status codes after HTTP, and how they are written.

use std::fmt;

use amqp_proto::message::{Body, Message, MessageHeader, Properties};
use amqp_proto::{Encode as _, Value};
use bytes::Bytes;

use super::request::Request;

/// What a request came to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) description: String,
    pub(crate) body: Value,
}

impl Response {
    /// 200
    pub(crate) fn ok(body: Value) -> Self {
        Self { status: 200, description: "OK".to_owned(), body }
    }

    /// 201
    pub(crate) fn created(body: Value) -> Self {
        Self { status: 201, description: "Created".to_owned(), body }
    }

    /// 204
    pub(crate) fn no_content() -> Self {
        Self { status: 204, description: "No Content".to_owned(), body: Value::Map(Vec::new()) }
    }

    /// The message, which goes back to where the request came from.
    pub(crate) fn encode(self, request: &Request) -> Bytes {
        let properties = Properties {
            to: Some(request.reply_to.as_str().into()),
            correlation_id: request.correlation_id.clone(),
            ..Properties::default()
        };
        let status = vec![
            (Value::from("statusCode"), Value::Int(i32::from(self.status))),
            (Value::from("statusDescription"), Value::from(self.description)),
        ];
        let message = Message {
            header: Some(MessageHeader::default()),
            properties: Some(properties),
            application_properties: Some(Value::Map(status)),
            body: Body::Value(self.body),
            ..Message::default()
        };
        let mut bytes = Vec::with_capacity(message.encoded_len());
        message.encode(&mut bytes);
        bytes.into()
    }
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: u16,
    pub(crate) description: String,
}

impl Failure {
    pub(crate) fn new(status: u16, description: impl Into<String>) -> Self {
        Self { status, description: description.into() }
    }

    /// 400: the request is wrong.
    pub(crate) fn bad_request(description: impl Into<String>) -> Self {
        Self::new(400, description)
    }

    /// 403: it is known and not allowed.
    pub(crate) fn forbidden(description: impl Into<String>) -> Self {
        Self::new(403, description)
    }

    /// 404: there is nothing like that.
    pub(crate) fn not_found(description: impl Into<String>) -> Self {
        Self::new(404, description)
    }

    /// 501: nothing of that kind can be done.
    pub(crate) fn not_implemented(description: impl Into<String>) -> Self {
        Self::new(501, description)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.description)
    }
}

impl From<Failure> for Response {
    fn from(failure: Failure) -> Self {
        Self { status: failure.status, description: failure.description, body: Value::Map(Vec::new()) }
    }
}
