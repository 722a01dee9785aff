//! Many connections that do nothing.

use std::time::{Duration, Instant};

use amqp_proto::connection::Event;
use amqp_proto::{Attach, Role, Source, Str, Target, TargetTerminus};
use anyhow::{Result, bail};

use crate::load::peer::Peer;

/// How many are set up at a time.
const AT_ONCE: usize = 400;

/// Open connections with receiving links. Dropping them hangs up.
#[derive(Debug)]
pub(crate) struct IdleClients {
    peers: Vec<Peer>,
}

impl IdleClients {
    /// Opens `count` connections and waits until the link of each is attached.
    pub(crate) fn open(port: u16, count: usize) -> Result<Self> {
        Self::open_at(port, count, |_| vec!["idle".to_owned()])
    }

    /// Opens `count` connections and waits until each has links to all addresses that `addresses` says for it.
    pub(crate) fn open_at(port: u16, count: usize, addresses: impl Fn(usize) -> Vec<String>) -> Result<Self> {
        let mut all = Self { peers: Vec::with_capacity(count) };
        while all.peers.len() < count {
            let mut some = Vec::new();
            for index in all.peers.len()..count.min(all.peers.len() + AT_ONCE) {
                let mut peer = Peer::connect(port, &format!("idle-{index}"))?;
                let session = peer.engine.begin()?;
                let addresses = addresses(index);
                for address in &addresses {
                    let attach = Attach {
                        name: Str::from(format!("idle-{index}-{address}")),
                        role: Role::Receiver,
                        source: Some(Source::at(address.as_str()).into()),
                        target: Some(TargetTerminus::from(Target::default())),
                        ..Attach::default()
                    };
                    peer.engine.attach(session, attach, 1)?;
                }
                peer.write()?;
                some.push((peer, addresses.len()));
            }
            let limit = Instant::now() + Duration::from_secs(30);
            for (peer, missing) in &mut some {
                while *missing > 0 {
                    let read = peer.read(|_, event, _| {
                        *missing -= usize::from(matches!(event, Event::Attached(_)));
                        Ok(())
                    })?;
                    peer.write()?;
                    if !read && *missing > 0 {
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
