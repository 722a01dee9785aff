//! Listeners with `http: yes`: what they answer to requests that are no WebSocket.
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | 200 when all workers answer (`healthz`) |
//! | `/metrics` | as on the admin port (`metrics`) |
//! | others | files below `httpRootDir`, if that is set |

mod files;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use router_core::entity::ListenerEntity;
use tokio::runtime::Handle;
use transport::http::{HttpSite, Page, Pages, text};

use crate::observe::{CONTENT_TYPE as METRICS_TYPE, Observer};

/// How long the workers may take to answer `/healthz`.
const HEALTH_LIMIT: Duration = Duration::from_secs(5);

/// Who answers, once it is there: listeners are opened before.
pub(crate) type Answers = Arc<OnceLock<Answerer>>;

/// The observer, and where it works: listeners are on the threads that carry traffic, which metrics would hold up.
#[derive(Debug)]
pub(crate) struct Answerer {
    observer: Weak<Observer>,
    control: Handle,
}

impl Answerer {
    /// Whoever calls this is where it works. Must run inside a tokio runtime.
    pub(crate) fn here(observer: &Arc<Observer>) -> Self {
        Self { observer: Arc::downgrade(observer), control: Handle::current() }
    }

    fn get(&self) -> Option<(Arc<Observer>, Handle)> {
        Some((self.observer.upgrade()?, self.control.clone()))
    }
}

/// What one listener answers.
#[derive(Debug)]
struct ListenerPages {
    healthz: bool,
    metrics: bool,
    root: Option<PathBuf>,
    answers: Answers,
}

/// What a listener is to answer, if it is one for HTTP.
pub(crate) fn site(listener: &ListenerEntity, answers: &Answers) -> Option<HttpSite> {
    if !listener.http && listener.http_root_dir.is_none() {
        return None;
    }
    let pages = ListenerPages {
        healthz: listener.healthz,
        metrics: listener.metrics,
        root: listener.http_root_dir.clone(),
        answers: Arc::clone(answers),
    };
    Some(HttpSite {
        host: listener.host.clone(),
        websockets: listener.websockets,
        origins: listener.websocket_origins.split_whitespace().map(ToOwned::to_owned).collect(),
        pages: Arc::new(pages),
    })
}

impl Pages for ListenerPages {
    fn page(&self, path: &str) -> Pin<Box<dyn Future<Output = Page> + Send>> {
        let answerer = self.answers.get().and_then(Answerer::get);
        match (path, answerer) {
            ("/healthz", Some((observer, _))) if self.healthz => Box::pin(async move {
                match tokio::time::timeout(HEALTH_LIMIT, observer.works()).await {
                    Ok(true) => fresh(text(StatusCode::OK, "OK\n")),
                    _ => fresh(text(StatusCode::SERVICE_UNAVAILABLE, "not all workers answer\n")),
                }
            }),
            ("/metrics", Some((observer, control))) if self.metrics => Box::pin(async move {
                let metrics = control.spawn(async move { observer.text_of_metrics().await });
                let Ok(metrics) = metrics.await else {
                    return fresh(text(StatusCode::SERVICE_UNAVAILABLE, "the router is ending\n"));
                };
                let mut page = fresh(text(StatusCode::OK, metrics));
                page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(METRICS_TYPE));
                page
            }),
            ("/healthz", None) => {
                Box::pin(std::future::ready(text(StatusCode::SERVICE_UNAVAILABLE, "the router is starting\n")))
            }
            _ => {
                let (root, path) = (self.root.clone(), path.to_owned());
                Box::pin(async move {
                    match root {
                        Some(root) => files::page(&root, &path).await,
                        None => text(StatusCode::NOT_FOUND, "there is nothing here\n"),
                    }
                })
            }
        }
    }
}

/// What is true now only.
pub(crate) fn fresh(mut page: Page) -> Page {
    page.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    page
}
