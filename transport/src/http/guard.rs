//! What pages of other places may not make a browser do.
//!
//! A page can have its own name resolve to an address of the browser's machine (DNS rebinding), and is of the same origin as whatever answers
//! there from then on. And any page can open a WebSocket to anywhere, with the user's client certificate and from the user's place in the
//! network; what it comes from is told in `Origin`, and nobody but the server looks at that. Programs that are no browsers send no `Origin`, and
//! whatever `Host` they were given.

use std::net::IpAddr;

use hyper::header::{HOST, HeaderValue, ORIGIN};
use hyper::{Request, StatusCode};

use super::{Page, text};

/// The refusal of a request that came over loopback under a name that others may have made up, if it is one.
///
/// `host`: what the port was configured to listen on; a port for all addresses takes every name. `local`: where the connection came in. Names that nobody
/// else can give out are addresses, `localhost` and `host`. Without any (HTTP/1.0) it was no browser.
#[must_use]
pub fn misdirected<B>(request: &Request<B>, host: &str, local: IpAddr) -> Option<Page> {
    let for_all = host.is_empty() || host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified());
    if for_all || !local.to_canonical().is_loopback() {
        return None;
    }
    let ours = |authority: &str| {
        let name = host_and_port(authority).0;
        let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        literal.parse::<IpAddr>().is_ok()
            || ["localhost", host]
                .iter()
                .any(|known| name.strip_suffix('.').unwrap_or(name).eq_ignore_ascii_case(known))
    };
    // A proxy's form of the request has it in the first line, too (RFC 9112 §3.2.2).
    let in_line = request.uri().authority().is_none_or(|authority| ours(authority.as_str()));
    let in_head = request.headers().get_all(HOST).iter().all(|value| value.to_str().is_ok_and(ours));
    (!in_line || !in_head).then(|| {
        text(
            StatusCode::MISDIRECTED_REQUEST,
            format!(
                "this port listens on loopback only: the Host of a request has to be an address, localhost or {host}\n"
            ),
        )
    })
}

/// The refusal of a WebSocket for a page that is neither of the same place nor of an origin that is allowed, if it is for one (RFC 6455 §10.2).
///
/// Schemes are not compared: something in front of the router may have taken off the TLS.
pub(super) fn foreign<B>(request: &Request<B>, allowed: &[String]) -> Option<Page> {
    let headers = request.headers();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let may = |origin: &HeaderValue| {
        origin.to_str().is_ok_and(|origin| {
            same_place(origin, host) || allowed.iter().any(|one| one == "*" || one.eq_ignore_ascii_case(origin))
        })
    };
    let stranger = headers.get_all(ORIGIN).iter().find(|origin| !may(origin))?;
    tracing::info!(target: "HTTP", "WebSocket for a page of {stranger:?} refused: websocketOrigins does not name it");
    Some(text(
        StatusCode::FORBIDDEN,
        "pages of this origin may not connect: websocketOrigins of the listener does not name it\n",
    ))
}

fn same_place(origin: &str, host: &str) -> bool {
    let (default, place) = match origin.split_once("://") {
        Some(("http", place)) => ("80", place),
        Some(("https", place)) => ("443", place),
        _ => return false,
    };
    let ((ours, port), (theirs, their_port)) = (host_and_port(host), host_and_port(place));
    !ours.is_empty() && ours.eq_ignore_ascii_case(theirs) && port.unwrap_or(default) == their_port.unwrap_or(default)
}

/// Both parts of what a `Host` has. Brackets of an address belong to the first.
fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

    fn request(uri: &str, headers: &[(&'static str, &str)]) -> Request<()> {
        let mut request = Request::new(());
        *request.uri_mut() = uri.parse().expect("a place");
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().expect("a value"));
        }
        request
    }

    #[test]
    fn loopback_answers_to_names_that_nobody_else_gives_out() {
        let answered = |name: &str, host: &str, local: IpAddr| {
            misdirected(&request("/", &[("host", name)]), host, local).is_none()
        };
        for name in
            ["localhost", "LocalHost:5680", "localhost.", "127.0.0.1:5680", "127.9.9.9", "[::1]:80", "[::1]", "desk"]
        {
            assert!(answered(name, "desk", LOOPBACK.into()), "{name}");
        }
        for name in [
            "evil.example",
            "evil.example:5680",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            "[evil]",
            "x@127.0.0.1",
            "desk",
        ] {
            assert!(!answered(name, "127.0.0.1", LOOPBACK.into()), "{name}");
            assert!(!answered(name, "::1", std::net::Ipv6Addr::LOCALHOST.into()), "{name}");
            // Elsewhere, anybody may have a name for it.
            assert!(answered(name, "10.0.0.1", [10, 0, 0, 1].into()), "{name}");
            for all in ["", "0.0.0.0", "::"] {
                assert!(answered(name, all, LOOPBACK.into()), "{name}");
            }
        }
    }

    #[test]
    fn every_name_of_a_request_counts() {
        let refused = |uri: &str, headers: &[(&'static str, &str)]| {
            misdirected(&request(uri, headers), "127.0.0.1", LOOPBACK.into()).is_some()
        };
        assert!(!refused("/", &[]), "HTTP/1.0");
        assert!(!refused("http://localhost/", &[("host", "localhost")]));
        assert!(refused("http://evil.example/", &[("host", "localhost")]));
        assert!(refused("/", &[("host", "localhost"), ("host", "evil.example")]));
    }

    #[test]
    fn pages_of_other_origins_are_strangers() {
        let allowed = ["https://app.example".to_owned()];
        let taken = |origin: &str, host: &str| {
            foreign(&request("/", &[("host", host), ("origin", origin)]), &allowed).is_none()
        };
        for (origin, host) in [
            ("https://router.example", "router.example"),
            ("https://router.example", "router.example:443"),
            ("http://Router.example:8080", "router.example:8080"),
            ("http://[::1]:8080", "[::1]:8080"),
            ("https://app.example", "router.example"),
        ] {
            assert!(taken(origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("https://evil.example", "router.example"),
            ("https://router.example:8443", "router.example"),
            ("https://router.example.evil.example", "router.example"),
            ("http://app.example", "router.example"),
            ("null", "router.example"),
            ("", ""),
            ("https://", ""),
            ("file://", "router.example"),
        ] {
            assert!(!taken(origin, host), "{origin} {host}");
        }
        assert!(foreign(&request("/", &[("host", "x")]), &allowed).is_none(), "no browser");
        let any = ["*".to_owned()];
        assert!(foreign(&request("/", &[("host", "x"), ("origin", "null")]), &any).is_none());
    }
}
