//! Requests to the admin port, and to HTTP listeners.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::router::{PATIENCE, Router};

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Such as 200.
    pub status: u16,
    /// The head, in lower case.
    pub head: String,
    /// What followed.
    pub body: String,
}

/// GET from a port of 127.0.0.1.
///
/// # Panics
/// When there is no answer.
pub fn get(port: u16, path: &str) -> Answer {
    request(port, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
}

/// Sends bytes to a port of 127.0.0.1 and reads until the end.
///
/// # Panics
/// When there is no answer.
pub fn request(port: u16, text: &str) -> Answer {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(text.as_bytes()).unwrap();
    let mut all = Vec::new();
    socket.read_to_end(&mut all).unwrap();
    answer(&String::from_utf8_lossy(&all))
}

/// Reads an answer.
///
/// # Panics
/// When it is none.
pub fn answer(all: &str) -> Answer {
    let (head, body) = all.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {all:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

/// The port of the first `admin` entity of a router, which may have been configured with port 0.
///
/// # Panics
/// When it has none.
pub fn admin(router: &Router) -> u16 {
    let output = router.process.output();
    let place = output.split("Admin port on http://").nth(1).expect("the router has an admin port");
    let place = place.split(": /").next().unwrap();
    place.rsplit(':').next().unwrap().parse().unwrap()
}
