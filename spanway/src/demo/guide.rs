//! What the demo prints: how the network looks, what to try, and what happens.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::net::SocketAddr;

use jiff::Zoned;

use super::ports::Ports;
use super::programs::Programs;

/// Prints a line of what happens, at a site or about the whole.
pub(super) fn say(site: &str, text: &str) {
    let time = Zoned::now().strftime("%H:%M:%S").to_string();
    let site = format!("{site:<5}");
    let (time, site) = if std::io::stdout().is_terminal() {
        (format!("\x1b[2m{time}\x1b[0m"), format!("\x1b[36m{site}\x1b[0m"))
    } else {
        (time, site)
    };
    println!("{time} {site} {text}");
}

/// How the network looks and what to try.
pub(super) fn text(programs: &Programs, ports: &Ports, web: SocketAddr) -> String {
    let url = |port: u16| if port == 5672 { String::new() } else { format!(" --url amqp://127.0.0.1:{port}") };
    let pid = |site: &str| programs.pid(site).unwrap_or_default();
    let (at_east, at_shop) = (url(ports.east), url(ports.shop));
    let mut text = String::from("\nThree sites, each with a router in a process of its own:\n\n");
    // Writing to a `String` cannot fail.
    let _ = write!(
        text,
        "  east  process {}; port {} leads to the address `web`\n  \
           west  process {}, linked to east; a receiver of `greetings`\n  \
           shop  process {}, an edge router behind west, with east as its spare; a receiver of `greetings`, and\n        \
                 the server of `web`, {web}, which no other router knows\n\n\
         Try in another terminal:\n\n  \
           curl http://127.0.0.1:{}/\n  \
           spanway send greetings hello{at_east}\n  \
           spanway send greetings --count 10 hello{at_shop}\n  \
           spanway stat nodes{at_east}\n  \
           spanway stat addresses{at_east}\n  \
           kill -9 {}      (ends the router of west; shop goes on behind east)\n\n\
         Ctrl-C ends everything. Until then, this is what happens:\n",
        pid("east"),
        ports.web,
        pid("west"),
        pid("shop"),
        ports.web,
        pid("west"),
    );
    text
}
