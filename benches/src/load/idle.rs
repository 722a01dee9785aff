//! Many connections that do nothing.

use std::time::{Duration, Instant};

use amqp_proto::connection::Event;
use amqp_proto::{Attach, Role, Source, Str, Target, TargetTerminus};
use anyhow::{Result, bail};

use crate::load::peer::Peer;

/// How many are set up at a time.
const AT_ONCE: usize = 400;

/// Open connections with a receiving link each. Dropping them hangs up.
#[derive(Debug)]
pub(crate) struct IdleClients {
    peers: Vec<Peer>,
}

impl IdleClients {
    /// Opens `count` connections and waits until the link of each is attached.
    pub(crate) fn open(port: u16, count: usize) -> Result<Self> {
        let mut all = Self { peers: Vec::with_capacity(count) };
        while all.peers.len() < count {
            let mut some = Vec::new();
            for index in all.peers.len()..count.min(all.peers.len() + AT_ONCE) {
                let mut peer = Peer::connect(port, &format!("idle-{index}"))?;
                let session = peer.engine.begin()?;
                let attach = Attach {
                    name: Str::from(format!("idle-{index}")),
                    role: Role::Receiver,
                    source: Some(Source::at("idle").into()),
                    target: Some(TargetTerminus::from(Target::default())),
                    ..Attach::default()
                };
                peer.engine.attach(session, attach, 1)?;
                peer.write()?;
                some.push((peer, false));
            }
            let limit = Instant::now() + Duration::from_secs(30);
            for (peer, attached) in &mut some {
                while !*attached {
                    let read = peer.read(|_, event, _| {
                        *attached |= matches!(event, Event::Attached(_));
                        Ok(())
                    })?;
                    peer.write()?;
                    if !read && !*attached {
                        peer.wait(Duration::from_millis(100))?;
                    }
                    if Instant::now() > limit {
                        bail!("connections were not answered within 30 s");
                    }
                }
                peer.shrink();
            }
            all.peers.extend(some.into_iter().map(|(peer, _)| peer));
        }
        Ok(all)
    }
}
