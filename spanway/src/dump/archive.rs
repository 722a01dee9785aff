//! Files in a compressed tar.

use std::fs::{OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;

/// The directory that everything is in.
const TOP: &str = "spanway-dump";

/// What will be in the archive.
#[derive(Debug)]
pub(super) struct Archive {
    made: SystemTime,
    files: Vec<(String, String)>,
}

impl Archive {
    pub(super) fn new(made: SystemTime) -> Self {
        Self { made, files: Vec::new() }
    }

    pub(super) fn add(&mut self, path: &str, content: &str) {
        self.files.push((format!("{TOP}/{path}"), content.to_owned()));
    }

    /// Writes it, readable by its owner only, and tells how many files it has and its size in bytes.
    pub(super) fn write(mut self, file: &Path) -> Result<(u64, u64)> {
        self.files.sort();
        let mut options = OpenOptions::new();
        let out = options.write(true).create(true).truncate(true).mode(0o600).open(file)?;
        // A file that was there would keep the mode that it had.
        if out.metadata()?.is_file() {
            out.set_permissions(Permissions::from_mode(0o600))?;
        }
        let mut archive = tar::Builder::new(GzEncoder::new(out, Compression::default()));
        let seconds = self.made.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        for (path, content) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(seconds);
            archive.append_data(&mut header, path, content.as_bytes())?;
        }
        let mut out = archive.into_inner()?.finish()?;
        out.flush()?;
        Ok((self.files.len() as u64, out.metadata()?.len()))
    }
}

/// A name from elsewhere as that of a file: nothing that leads anywhere else.
pub(super) fn file_name(name: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let name: String = name.chars().take(100).map(safe).collect();
    name.trim_start_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_reads_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("dump.tar.gz");
        std::fs::write(&file, "an older one").expect("written");
        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("set");
        Archive::new(SystemTime::now()).write(&file).expect("written");
        assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn names_lead_nowhere_else() {
        assert_eq!(file_name("../../etc/passwd"), "_.._etc_passwd");
        assert_eq!(file_name("router.link"), "router.link");
        assert_eq!(file_name("a b/ü"), "a_b__");
    }
}
