//! Files below a directory, and nothing else.

use std::io;
use std::path::{Path, PathBuf};

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use transport::http::{Page, text};

/// Largest file that is served, in bytes: it is read whole.
const MAX_FILE: u64 = 16 * 1024 * 1024;

const TYPES: &[(&str, &str)] = &[
    ("html", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("txt", "text/plain; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("gif", "image/gif"),
    ("ico", "image/x-icon"),
    ("wasm", "application/wasm"),
    ("woff2", "font/woff2"),
];

/// The file at a path of a URL; `index.html` of a directory.
pub(super) async fn page(root: &Path, path: &str) -> Page {
    match read(root, path).await {
        Ok(Some((file, bytes))) => {
            let mut page = text(StatusCode::OK, bytes);
            let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            let media = TYPES.iter().find(|(known, _)| *known == extension);
            let media = media.map_or("application/octet-stream", |(_, media)| media);
            page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
            page.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            page
        }
        Ok(None) => text(StatusCode::NOT_FOUND, "there is no such file\n"),
        Err(error) => {
            tracing::debug!(target: "HTTP", "{path}: {error}");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the file cannot be read\n")
        }
    }
}

/// A path of a URL as one of files; `None` if it is none of a file below a directory.
fn relative(path: &str) -> Option<PathBuf> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = rest.get(2..)?;
        } else {
            bytes.push(*byte);
        }
    }
    let path = String::from_utf8(bytes).ok()?;
    let mut relative = PathBuf::new();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        if part.starts_with('.') || part.contains(['\\', '\0', ':']) {
            return None;
        }
        relative.push(part);
    }
    Some(relative)
}

async fn read(root: &Path, path: &str) -> io::Result<Option<(PathBuf, Vec<u8>)>> {
    let Some(relative) = relative(path) else { return Ok(None) };
    let missing = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
        _ => Err(error),
    };
    // Skupper's controller sets `httpRootDir: disabled`.
    let root = match tokio::fs::canonicalize(root).await {
        Ok(root) => root,
        Err(error) => return missing(error),
    };
    let mut file = match tokio::fs::canonicalize(root.join(relative)).await {
        Ok(file) => file,
        Err(error) => return missing(error),
    };
    if tokio::fs::metadata(&file).await?.is_dir() {
        file = match tokio::fs::canonicalize(file.join("index.html")).await {
            Ok(file) => file,
            Err(error) => return missing(error),
        };
    }
    // Links that lead out of the directory were followed by now.
    let about = tokio::fs::metadata(&file).await?;
    if !file.starts_with(&root) || !about.is_file() {
        return Ok(None);
    }
    if about.len() > MAX_FILE {
        return Err(io::Error::other(format!("longer than {MAX_FILE} bytes")));
    }
    Ok(Some((file.clone(), tokio::fs::read(file).await?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_out_of_the_directory() {
        let outside = tempfile::tempdir().expect("a directory");
        std::fs::write(outside.path().join("secret.txt"), "secret").expect("written");
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("sub")).expect("made");
        std::fs::write(dir.path().join("index.html"), "start").expect("written");
        std::fs::write(dir.path().join("sub/a b.js"), "code").expect("written");
        std::fs::write(dir.path().join(".hidden"), "hidden").expect("written");
        std::os::unix::fs::symlink(outside.path(), dir.path().join("link")).expect("linked");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let get = |path: &str| {
            let read = runtime.block_on(read(dir.path(), path)).expect("readable");
            read.map(|(_, bytes)| String::from_utf8(bytes).expect("text"))
        };
        assert_eq!(get("/").as_deref(), Some("start"));
        assert_eq!(get("/sub/a%20b.js").as_deref(), Some("code"));
        let out = outside.path().file_name().expect("a name").to_string_lossy().into_owned();
        for path in [
            format!("/../{out}/secret.txt"),
            format!("/%2e%2e/{out}/secret.txt"),
            format!("/sub/..%2f..%2f{out}/secret.txt"),
            format!("//{}/secret.txt", outside.path().display()),
            "/link/secret.txt".to_owned(),
            "/.hidden".to_owned(),
            "/sub".to_owned(),
            "/index.html/x".to_owned(),
            "/%".to_owned(),
            "/%zz".to_owned(),
            "/%00".to_owned(),
            "/%ff".to_owned(),
            "/nothing".to_owned(),
        ] {
            assert_eq!(get(&path), None, "{path}");
        }
    }
}
