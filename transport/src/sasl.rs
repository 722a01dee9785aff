//! Passwords and tickets of users, checked by the system's SASL library (Cyrus, `libsasl2`), as the reference does.
//!
//! The library is loaded when it is first needed, so that the program runs without it. What it asks (files, daemons, directories) may
//! take its time: all of it is done on one thread of its own, and workers wait for answers like for anything else.
//!
//! `ANONYMOUS` and `EXTERNAL` do not come here: the first says nothing, and TLS has proved the second.

mod cyrus;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use tokio::sync::oneshot;

/// Where the library finds its settings: `DIR/NAME.conf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaslConfig {
    /// Directory of the file (`saslConfigDir`); the library's own default if unset, which is `/etc/sasl2` for most.
    pub dir: Option<PathBuf>,
    /// Name of the file without `.conf` (`saslConfigName`).
    pub name: String,
}

/// Why users cannot be checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// The library is not there, or not as expected.
    #[error("cannot load libsasl2.so.2, which checks passwords (Debian: libsasl2-2 and libsasl2-modules): {0}")]
    Library(String),
    /// The library does not begin.
    #[error("libsasl2 refuses its configuration: {0}")]
    Init(String),
    /// A process has one such configuration.
    #[error("libsasl2 is in use with other settings ({})", .0.name)]
    Other(SaslConfig),
    /// There is no thread.
    #[error("cannot start the thread for libsasl2: {0}")]
    Thread(String),
}

/// What the library says to a response of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SaslStep {
    /// Ask the client this.
    Challenge(Vec<u8>),
    /// The client is this user.
    Accepted {
        /// The name, with its realm if the mechanism has realms.
        user: String,
    },
    /// It is not; for the log, not for the client.
    Refused(String),
}

enum Request {
    Step { id: u64, mechanism: String, response: Vec<u8>, answer: oneshot::Sender<SaslStep> },
    End(u64),
}

/// The library at work. One for the process.
#[derive(Debug)]
pub struct Sasl {
    requests: Mutex<mpsc::Sender<Request>>,
    mechanisms: Vec<String>,
    next: AtomicU64,
}

impl Sasl {
    /// The library with these settings. It is started at the first call, and stays.
    ///
    /// # Errors
    /// It is not there, it does not start, or it was started with other settings.
    pub fn get(config: &SaslConfig) -> Result<Arc<Self>, SaslError> {
        static STARTED: Mutex<Option<(SaslConfig, Arc<Sasl>)>> = Mutex::new(None);
        let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
        match &*started {
            Some((with, sasl)) if with == config => Ok(Arc::clone(sasl)),
            Some((with, _)) => Err(SaslError::Other(with.clone())),
            None => {
                let sasl = Arc::new(Self::start(config)?);
                *started = Some((config.clone(), Arc::clone(&sasl)));
                Ok(sasl)
            }
        }
    }

    fn start(config: &SaslConfig) -> Result<Self, SaslError> {
        let (requests, inbox) = mpsc::channel();
        let (ready, begun) = mpsc::sync_channel(1);
        let config = config.clone();
        let thread = std::thread::Builder::new().name("sasl".to_owned()).spawn(move || {
            // Everything that the library holds is made, used and freed here.
            let library = cyrus::Library::open(&config).and_then(|library| Ok((library.mechanisms()?, library)));
            match library {
                Ok((mechanisms, library)) => {
                    let _ = ready.send(Ok(mechanisms));
                    serve(&library, &inbox);
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            }
        });
        thread.map_err(|error| SaslError::Thread(error.to_string()))?;
        let mechanisms = begun.recv().map_err(|_| SaslError::Thread("it ended".to_owned()))??;
        Ok(Self { requests: Mutex::new(requests), mechanisms, next: AtomicU64::new(0) })
    }

    /// The mechanisms that the library offers with its settings, strongest first.
    pub fn mechanisms(&self) -> &[String] {
        &self.mechanisms
    }

    /// Begins an exchange with a client that has chosen a mechanism.
    pub fn exchange(self: &Arc<Self>, mechanism: &str) -> SaslExchange {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        SaslExchange { sasl: Arc::clone(self), id, mechanism: mechanism.to_owned() }
    }

    fn send(&self, request: Request) {
        // The thread lives as long as the process.
        let _ = self.requests.lock().unwrap_or_else(PoisonError::into_inner).send(request);
    }
}

/// The exchange with one client. The library forgets it when this is dropped.
#[derive(Debug)]
pub struct SaslExchange {
    sasl: Arc<Sasl>,
    id: u64,
    mechanism: String,
}

impl SaslExchange {
    /// What the library says to a response of the client; the first is the initial one, which may be empty.
    pub async fn step(&self, response: &[u8]) -> SaslStep {
        let (answer, answered) = oneshot::channel();
        let mechanism = self.mechanism.clone();
        self.sasl.send(Request::Step { id: self.id, mechanism, response: response.to_vec(), answer });
        answered.await.unwrap_or_else(|_| SaslStep::Refused("the SASL library gave no answer".to_owned()))
    }
}

impl Drop for SaslExchange {
    fn drop(&mut self) {
        self.sasl.send(Request::End(self.id));
    }
}

/// Answers until nobody can ask any more.
fn serve(library: &cyrus::Library, inbox: &mpsc::Receiver<Request>) {
    let mut exchanges: HashMap<u64, cyrus::Exchange<'_>> = HashMap::new();
    for request in inbox {
        match request {
            Request::End(id) => drop(exchanges.remove(&id)),
            // Nobody waits: the client is gone.
            Request::Step { answer, .. } if answer.is_closed() => {}
            Request::Step { id, mechanism, response, answer } => {
                let step = match exchanges.entry(id) {
                    std::collections::hash_map::Entry::Occupied(mut exchange) => exchange.get_mut().step(&response),
                    std::collections::hash_map::Entry::Vacant(vacant) => match library.exchange() {
                        Ok(exchange) => vacant.insert(exchange).start(&mechanism, &response),
                        Err(error) => SaslStep::Refused(error),
                    },
                };
                let _ = answer.send(step);
            }
        }
    }
}
