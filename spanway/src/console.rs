//! The web console: files of this binary, which read `/topology` of the admin port. Nothing comes from elsewhere.

use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};

/// Only what this port serves, no inline code, in no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const FILES: &[(&str, &str, &str)] = &[
    ("/", "text/html; charset=utf-8", include_str!("console/index.html")),
    ("/console.css", "text/css; charset=utf-8", include_str!("console/console.css")),
    ("/console.js", "text/javascript; charset=utf-8", include_str!("console/console.js")),
    ("/graph.js", "text/javascript; charset=utf-8", include_str!("console/graph.js")),
    ("/tables.js", "text/javascript; charset=utf-8", include_str!("console/tables.js")),
    ("/format.js", "text/javascript; charset=utf-8", include_str!("console/format.js")),
    ("/icon.svg", "image/svg+xml", include_str!("console/icon.svg")),
];

/// The file at this path, if there is one.
pub(crate) fn file(path: &str) -> Option<Response<Full<Bytes>>> {
    let (_, media, content) = FILES.iter().find(|(known, ..)| *known == path)?;
    let mut response = Response::new(Full::new(Bytes::from_static(content.as_bytes())));
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, *media),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        // Another version may answer the next time.
        (CACHE_CONTROL, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_comes_from_elsewhere() {
        for (path, _, content) in FILES {
            let links = content.matches("http").count() - content.matches("http://www.w3.org/2000/svg").count();
            assert_eq!(links, 0, "{path} names another place");
            assert!(
                !content.contains("innerHTML") && !content.contains("style=\"") && !content.contains("onclick=\""),
                "{path}"
            );
        }
        assert!(file("/nothing").is_none());
        let page = file("/").expect("there is a page");
        assert!(page.headers().get(CONTENT_SECURITY_POLICY).is_some());
    }
}
