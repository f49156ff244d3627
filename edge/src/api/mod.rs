//! The station's HTTP API: requests in, answers from rows and the loop out, live views over WebSockets.
//!
//! | file | holds |
//! |---|---|
//! | [`dto`], [`wire`], [`problem`] | the shapes on the wire: resources, amounts and times, errors |
//! | `body`, `respond`, `page` | reading requests strictly; answers that are rendered in the loop; cursors |
//! | `access` | tokens and roles; the least role of an operation is declared in its `security` |
//! | `orders` … `station` | one file per resource: handlers with their place in the document |
//! | `live` | WebSockets |
//! | `serve` | listeners: TCP with tokens, the Unix socket with file permissions |
//! | `limit`, `patience` | what one address may take, and how long a caller may not read |
//!
//! To add an endpoint: write the handler with `#[utoipa::path(…, security(("bearer" = ["role"])))]` in its resource's
//! file, add it to `routes!` there, and run `holdfast-edge openapi > docs/openapi.json`. A test walks the document and
//! finds what has no role.
//!
//! *Architecture Invariant:* nothing here decides. What writes goes through [`crate::station::Station::ask`], and its
//! answer is rendered in the loop and committed with the facts; what reads takes one snapshot.

mod access;
mod backup;
mod bills;
mod body;
mod books;
mod cards;
mod certificates;
mod corrections;
mod desk;
mod document;
pub mod dto;
mod energy;
mod energy_csv;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod health;
mod journal;
mod limit;
mod live;
mod members;
pub mod metrics;
mod orders;
mod page;
mod patience;
mod piles;
pub mod problem;
mod quarantine;
mod respond;
mod reviews;
mod serve;
mod station;
mod tariffs;
mod tokens;
pub mod wire;

pub use access::Caller;
pub use body::Nothing;
pub use serve::{TCP_CONNECTIONS_MAX, UNIX_CONNECTIONS_MAX, UnixSocket, bind_unix, serve, serve_unix};

use crate::{
    station::Station,
    store::{Reader, StoreError},
    tls::Tls,
};
use axum::{Router, http::StatusCode, middleware};
use metrics::Counters;
use problem::Problem;
use std::sync::{Arc, atomic::AtomicU64};
use tokio::sync::{Semaphore, watch};
use utoipa_axum::router::OpenApiRouter;

/// The most WebSockets at once.
const SOCKETS_MAX: usize = 256;

/// What handlers need: cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    station: Station,
    time_zone: Arc<str>,
    counters: Arc<dyn Counters>,
    tls: Option<Arc<Tls>>,
    sockets: Arc<Semaphore>,
    /// One backup at a time.
    backups: Arc<Semaphore>,
    logins: Arc<limit::FailedLogins>,
    /// TCP connections that were turned away because their address had too many.
    turned_away: Arc<AtomicU64>,
    closing: Arc<watch::Sender<bool>>,
}

impl ApiState {
    /// The state for `station`; `time_zone` is the IANA name of the site's zone, `counters` go to `/metrics` besides the
    /// station's own.
    pub fn new(station: Station, time_zone: impl Into<Arc<str>>, counters: impl Counters + 'static) -> Self {
        Self {
            station,
            time_zone: time_zone.into(),
            counters: Arc::new(counters),
            tls: None,
            sockets: Arc::new(Semaphore::new(SOCKETS_MAX)),
            backups: Arc::new(Semaphore::new(1)),
            logins: Arc::default(),
            turned_away: Arc::default(),
            closing: Arc::new(watch::Sender::new(false)),
        }
    }

    /// The same, with the certificates of the listener that piles come to.
    #[must_use]
    pub fn with_tls(mut self, tls: Arc<Tls>) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Reads one snapshot, off the runtime's own threads.
    async fn read<T, F>(&self, read: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    {
        let store = self.station.store.clone();
        let done = tokio::task::spawn_blocking(move || read(&store.reader()?)).await;
        Ok(done.map_err(Problem::internal)??)
    }

    /// Whoever waits for something to happen is sent away.
    fn close(&self) {
        self.closing.send_replace(true);
    }
}

/// Returns when `flag` is true, or its sender is gone.
async fn becomes_true(flag: &mut watch::Receiver<bool>) {
    let _sender_gone = flag.wait_for(|flag| *flag).await;
}

fn operations() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(document::start())
        .merge(orders::routes())
        .merge(reviews::routes())
        .merge(corrections::routes())
        .merge(members::routes())
        .merge(cards::routes())
        .merge(piles::routes())
        .merge(certificates::routes())
        .merge(tariffs::routes())
        .merge(quarantine::routes())
        .merge(books::routes())
        .merge(desk::routes())
        .merge(energy::routes())
        .merge(bills::routes())
        .merge(live::routes())
        .merge(station::routes())
        .merge(tokens::routes())
        .merge(journal::routes())
        .merge(backup::routes())
        .merge(health::routes())
        .merge(metrics::routes())
        .merge(document::routes())
}

/// The OpenAPI document of everything that is served.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let (_, openapi) = operations().split_for_parts();
    document::finish(openapi)
}

/// All operations, behind tokens and roles.
pub fn router(state: ApiState) -> Router {
    let (router, openapi) = operations().split_for_parts();
    let gate = access::Gate::new(
        &openapi,
        Arc::clone(&state.station.credentials),
        Arc::clone(&state.logins),
    );
    router
        .fallback(nothing_there)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(gate, access::guard))
        .with_state(state)
}

async fn nothing_there() -> Problem {
    let detail = "nothing is served under this path; GET /openapi.json lists what is";
    Problem::new(StatusCode::NOT_FOUND, "unknown_path", detail)
}

async fn wrong_method() -> Problem {
    let detail = "this path does not take this method; GET /openapi.json lists what it takes";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", detail)
}
