//! The station's HTTP API: one file per resource. What every daemon's API does alike is in [`service::http`].
//!
//! | file | holds |
//! |---|---|
//! | [`dto`] | the shapes of requests and answers |
//! | `orders` … `station` | one file per resource: handlers with their place in the document |
//! | `respond`, `refusal` | answers that are rendered in the loop; refusals with their status and the way out |
//! | `live` | what WebSockets show |
//! | `document` | what the OpenAPI document says besides |
//!
//! To add an endpoint: write the handler with `#[utoipa::path(…, security(("bearer" = ["role"])))]` in its resource's
//! file, add it to `routes!` there, and run `holdfast-edge openapi > docs/openapi.json`. A test walks the document and
//! finds what has no role.
//!
//! *Architecture Invariant:* nothing here decides. What writes goes through [`crate::station::Station::ask`], and its
//! answer is rendered in the loop and committed with the facts; what reads takes one snapshot.

mod backup;
mod bills;
mod books;
mod cards;
mod certificates;
mod corrections;
mod desk;
mod displays;
mod document;
pub mod dto;
mod energy;
mod energy_csv;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod health;
mod journal;
mod live;
mod members;
mod metrics;
mod opening;
mod orders;
mod piles;
mod quarantine;
mod refusal;
mod respond;
mod reviews;
mod station;
mod sync;
mod tariffs;
mod tokens;
mod told;

use crate::{
    head_office::HeadOffice,
    station::Station,
    store::{Reader, StoreError},
};
use axum::{Router, http::StatusCode, middleware};
use dto::station::MakeBackup;
use limits::InUse;
use service::{
    http::{
        access::{self, Access, Tokens},
        becomes_true, body,
        feed::Sockets,
        limit::FailedLogins,
        metrics::Counters,
        page,
        problem::{self, Problem},
        request_id::Numbers,
        serve::{Api, Counts},
    },
    tls::Tls,
    wire,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::{Semaphore, watch};
use utoipa_axum::router::OpenApiRouter;

/// Requests that may take longer than others: waiting for the journal to grow, and a backup, which has a shorter time of
/// its own.
const SLOW: &[(&str, Duration)] = &[
    ("/v1/journal", Duration::from_secs(90)),
    ("/v1/sync/tail", Duration::from_secs(300)),
    ("/v1/backup", Duration::from_secs(MakeBackup::WITHIN_S_MAX + 60)),
    ("/v1/opening", Duration::from_secs(MakeBackup::WITHIN_S_MAX + 60)),
];

/// What handlers need: cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    station: Station,
    time_zone: Arc<str>,
    counters: Arc<dyn Counters>,
    tls: Option<Arc<Tls>>,
    head_office: Option<Arc<HeadOffice>>,
    sockets: Sockets,
    /// One backup at a time.
    backups: Arc<Semaphore>,
    audits: InUse<String>,
    logins: Arc<FailedLogins>,
    counts: Arc<Counts>,
    numbers: Arc<Numbers>,
    /// Whoever waits for something to happen is sent away when this is true.
    closing: Arc<watch::Sender<bool>>,
}

impl ApiState {
    /// The state for `station`; `time_zone` is the IANA name of the site's zone, `counters` go to `/metrics` besides the
    /// station's own.
    ///
    /// # Errors
    /// If the operating system gives no randomness.
    pub fn new(
        station: Station,
        time_zone: impl Into<Arc<str>>,
        counters: impl Counters + 'static,
    ) -> anyhow::Result<Self> {
        let closing = Arc::new(watch::Sender::new(false));
        let tokens: Arc<dyn Tokens> = Arc::clone(&station.credentials) as Arc<dyn Tokens>;
        Ok(Self {
            station,
            time_zone: time_zone.into(),
            counters: Arc::new(counters),
            tls: None,
            head_office: None,
            sockets: Sockets::new(tokens, Arc::clone(&closing)),
            backups: Arc::new(Semaphore::new(1)),
            audits: InUse::default(),
            logins: Arc::default(),
            counts: Arc::default(),
            numbers: Arc::new(Numbers::of_this_run().map_err(anyhow::Error::msg)?),
            closing,
        })
    }

    /// The same, with the certificates of the station's listeners.
    #[must_use]
    pub fn with_tls(mut self, tls: Arc<Tls>) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The same, with the station's end of the line to head office.
    #[must_use]
    pub fn with_head_office(mut self, head_office: Arc<HeadOffice>) -> Self {
        self.head_office = Some(head_office);
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
        .merge(displays::routes())
        .merge(tariffs::routes())
        .merge(told::routes())
        .merge(quarantine::routes())
        .merge(books::routes())
        .merge(desk::routes())
        .merge(energy::routes())
        .merge(bills::routes())
        .merge(live::routes())
        .merge(station::routes())
        .merge(tokens::routes())
        .merge(journal::routes())
        .merge(sync::routes())
        .merge(backup::routes())
        .merge(opening::routes())
        .merge(health::routes())
        .merge(metrics::routes())
        .merge(document::routes())
}

/// The OpenAPI document of everything that is served.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let (_, openapi) = operations().split_for_parts();
    service::http::openapi::finish(openapi)
}

/// All operations, behind tokens and roles.
pub fn router(state: ApiState) -> Router {
    let (router, openapi) = operations().split_for_parts();
    let access = Access::new(
        &openapi,
        Arc::clone(&state.station.credentials) as Arc<dyn Tokens>,
        Arc::clone(&state.logins),
        Arc::clone(&state.numbers),
        SLOW,
    );
    router
        .fallback(nothing_there)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(access, access::guard))
        .with_state(state)
}

/// The same, to be served.
pub fn api(state: ApiState) -> Api {
    let (closing, counts) = (Arc::clone(&state.closing), Arc::clone(&state.counts));
    Api::new(router(state), closing, counts)
}

async fn nothing_there() -> Problem {
    let detail = "nothing is served under this path; GET /openapi.json lists what is";
    Problem::new(StatusCode::NOT_FOUND, "unknown_path", detail)
}

async fn wrong_method() -> Problem {
    let detail = "this path does not take this method; GET /openapi.json lists what it takes";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", detail)
}
