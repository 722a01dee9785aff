//! nginx: one process, as the user of the test, with what it needs in its directory.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::certs::Pair;
use crate::ports::free_port;
use crate::process::Process;

use super::wait_listening;

/// Bytes of `/big`.
pub const BIG: usize = 64 << 20;

/// A running nginx. It answers `/name` with its name, `/client` with the address and port that a PROXY header named,
/// `/small` and `/big` with files, and takes files below `/put/`.
#[derive(Debug)]
pub struct Nginx {
    /// The process.
    pub process: Process,
    /// Port for plain HTTP.
    pub plain: u16,
    /// Port for HTTPS, 0 without a certificate.
    pub tls: u16,
    /// Port for HTTP/2 without TLS.
    pub h2: u16,
    /// Port for HTTP behind a PROXY header.
    pub proxied: u16,
}

impl Nginx {
    /// Starts it on 127.0.0.1 and ::1; with HTTPS, and HTTP/2 there, if there is a certificate. `dir` gets its files.
    pub fn start(dir: &Path, name: &str, certificate: Option<&Pair>) -> Self {
        let dir = dir.join(name);
        fs::create_dir_all(dir.join("www/put")).unwrap();
        fs::write(dir.join("www/small"), "small\n").unwrap();
        let (plain, h2, proxied) = (free_port(), free_port(), free_port());
        let tls = if certificate.is_some() { free_port() } else { 0 };
        let place = dir.display();
        let mut text = format!(
            "daemon off;\nmaster_process off;\npid {place}/pid;\nerror_log stderr info;\n\
             events {{ worker_connections 512; }}\nhttp {{\naccess_log off;\nsendfile on;\n"
        );
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            writeln!(text, "{kind}_temp_path {place}/{kind};").unwrap();
        }
        writeln!(text, "server {{\nlisten 127.0.0.1:{plain};\nlisten [::1]:{plain};").unwrap();
        writeln!(text, "listen 127.0.0.1:{h2} http2;\nlisten 127.0.0.1:{proxied} proxy_protocol;").unwrap();
        if let Some(pair) = certificate {
            writeln!(text, "listen 127.0.0.1:{tls} ssl http2;\nlisten [::1]:{tls} ssl http2;").unwrap();
            writeln!(text, "ssl_certificate {};", pair.cert.display()).unwrap();
            writeln!(text, "ssl_certificate_key {};", pair.key.display()).unwrap();
        }
        writeln!(
            text,
            "root {place}/www;\nkeepalive_requests 1000000;\nclient_max_body_size 0;\n\
             location = /name {{ return 200 {name}; }}\n\
             location = /client {{ return 200 \"$proxy_protocol_addr $proxy_protocol_port\"; }}\n\
             location /put/ {{ dav_methods PUT; }}\n}}\n}}"
        )
        .unwrap();
        let config = dir.join("nginx.conf");
        fs::write(&config, text).unwrap();
        let mut command = Command::new(program());
        command.arg("-p").arg(&dir).args(["-e", "stderr"]).arg("-c").arg(&config);
        let process = Process::start(name, &dir, &mut command);
        wait_listening(plain);
        Self { process, plain, tls, h2, proxied }
    }

    /// Starts it with `/big` in place; returns that file's content, too.
    pub fn with_big(dir: &Path, certificate: Option<&Pair>) -> (Self, Vec<u8>) {
        let content = super::pattern(BIG);
        fs::create_dir_all(dir.join("nginx/www")).unwrap();
        fs::write(dir.join("nginx/www/big"), &content).unwrap();
        (Self::start(dir, "nginx", certificate), content)
    }
}

/// Debian keeps it where only root looks.
fn program() -> &'static str {
    if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" }
}
