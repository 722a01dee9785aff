//! A management request, as it came.

use std::fmt;

use amqp_proto::message::{Body, Message};
use amqp_proto::{DecodeError, Raw, Value};
use bytes::Bytes;

use super::response::Failure;

/// A request that can be answered.
#[derive(Debug)]
pub(crate) struct Request {
    /// Where the answer goes.
    pub(crate) reply_to: String,
    /// Goes into the answer as it is, whatever its type.
    pub(crate) correlation_id: Option<Raw>,
    /// The client may not close connections.
    pub(crate) restricted: bool,
    properties: Value,
    body: Value,
}

impl Request {
    /// Reads a message; `None` if it has no address for the answer.
    ///
    /// # Errors
    /// It is malformed.
    pub(crate) fn decode(message: &Bytes, restricted: bool) -> Result<Option<Self>, DecodeError> {
        let message = Message::decode(message)?;
        let Some(properties) = message.properties else { return Ok(None) };
        let Some(reply_to) = properties.reply_to.as_ref().and_then(|address| address.as_str()) else {
            return Ok(None);
        };
        let body = match message.body {
            Body::Value(value) => value,
            Body::Empty => Value::Null,
            // Kept apart from an absent body: operations that want a map say so.
            Body::Data(_) | Body::Sequence(_) => Value::List(Vec::new()),
        };
        Ok(Some(Self {
            reply_to: reply_to.to_owned(),
            correlation_id: properties.correlation_id,
            restricted,
            properties: message.application_properties.unwrap_or(Value::Null),
            body,
        }))
    }

    /// What is asked for, as it was written.
    pub(crate) fn operation(&self) -> Option<&str> {
        self.properties.get("operation").and_then(Value::as_str)
    }

    /// A property that is text, if it is there.
    ///
    /// # Errors
    /// It is something else.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Failure> {
        match self.properties.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value
                .as_str()
                .map(Some)
                .ok_or_else(|| Failure::bad_request(format!("The property '{name}' has to be a string"))),
        }
    }

    /// A property that is a number from 0 on, if it is there. Negative numbers count as absent.
    ///
    /// # Errors
    /// It is no number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<usize>, Failure> {
        let number = match self.properties.get(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => text.as_str().trim().parse().ok(),
            Some(value) => value.as_i64(),
        };
        let number =
            number.ok_or_else(|| Failure::bad_request(format!("The property '{name}' has to be an integer")))?;
        Ok(usize::try_from(number).ok())
    }

    /// The entries of the body, which has to be a map if it is there at all.
    ///
    /// # Errors
    /// It is something else.
    pub(crate) fn map(&self) -> Result<&[(Value, Value)], Failure> {
        match &self.body {
            Value::Null => Ok(&[]),
            body => body.as_map().ok_or_else(|| Failure::bad_request("The body of the request has to be a map")),
        }
    }
}

/// What is asked for, without the body: that may have passwords in it.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operation().unwrap_or("without operation"))?;
        for key in ["type", "entityType", "name", "identity"] {
            if let Some(value) = self.properties.get(key).and_then(Value::as_str) {
                write!(f, " {key}={value}")?;
            }
        }
        write!(f, " for {}", self.reply_to)
    }
}
