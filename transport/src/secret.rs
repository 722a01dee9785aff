//! Passwords in configurations, which are written down in several ways.

use std::io;
use std::path::{Path, PathBuf};

/// A password cannot be found where the configuration says that it is. The texts tell the place, never what is there.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// `env:NAME`, and there is no such variable, or it is not text.
    #[error("the environment has no variable '{variable}'")]
    Unset {
        /// Its name.
        variable: String,
    },
    /// `file:PATH`, and the file cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The file holds no text.
    #[error("{}: not text", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
}

/// The password in clear: the text itself, or what stands behind `pass:` or `literal:`, in the environment variable behind `env:`, or in the first
/// line of the file behind `file:`.
///
/// # Errors
/// There is no such variable or file.
pub fn reveal(given: &str) -> Result<String, SecretError> {
    let (kind, rest) = given.split_once(':').unwrap_or(("", given));
    Ok(match kind {
        "env" => std::env::var(rest).map_err(|_| SecretError::Unset { variable: rest.to_owned() })?,
        "file" => {
            let path = Path::new(rest);
            let bytes =
                std::fs::read(path).map_err(|source| SecretError::Unreadable { path: path.to_owned(), source })?;
            let text = String::from_utf8(bytes).map_err(|_| SecretError::NotText { path: path.to_owned() })?;
            // The first line, as OpenSSL's -passin file: reads it.
            text.lines().next().unwrap_or_default().to_owned()
        }
        "pass" | "literal" => rest.to_owned(),
        _ => given.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        std::fs::write(&file, "secret: one\r\nsecond line\n").unwrap();
        let file = format!("file:{}", file.display());
        for (given, found) in [
            ("secret", "secret"),
            ("a:b", "a:b"),
            ("pass:secret", "secret"),
            ("literal:env:X", "env:X"),
            ("", ""),
            (&file, "secret: one"),
        ] {
            assert_eq!(reveal(given).unwrap(), found, "{given}");
        }
        assert_eq!(reveal("env:PATH").unwrap(), std::env::var("PATH").unwrap());
        let of = |given: &str| reveal(given).unwrap_err().to_string();
        assert_eq!(of("env:SPANWAY_TEST_UNSET"), "the environment has no variable 'SPANWAY_TEST_UNSET'");
        assert!(of("file:/no/such/file").starts_with("/no/such/file: "));
        let binary = dir.path().join("binary");
        std::fs::write(&binary, [0xff, 0xfe]).unwrap();
        assert!(of(&format!("file:{}", binary.display())).ends_with("binary: not text"));
    }
}
