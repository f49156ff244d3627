//! Head office's HTTP API: what people and programs ask of it, over all sites. One file per resource; what every daemon's API
//! does alike is in [`service::http`].
//!
//! | file | holds |
//! |---|---|
//! | [`dto`] | the shapes of requests and answers that are head office's alone |
//! | `sites`, `orders`, `members`, `energy`, `quarantine`, `books` | what the sites' journals have come to, in the station's own shapes |
//! | `wallets`, `topups`, `callbacks`, `leases`, `placing` | members' money: what comes in, what lies where, orders through head office |
//! | `refunds`, `decisions` | money back for orders, and decisions on their bills, by one person or two |
//! | `adjustments` | two people add to a wallet, or take from it |
//! | `payouts` | what two people say that channels have paid out |
//! | `money` | what every change of it does alike |
//! | `bills` | channels' bills, streamed in |
//! | `workflow` | what people do about what differs |
//! | `reconciliation` | days held against those bills, runs, and what differs |
//! | `reports` | a day's report, and its table of differences sent back |
//! | `findings` | where a site says one thing, and another is worked out here |
//! | `office` | which sites may come in |
//! | `openings` | how a station with a history joins |
//! | `branches` | sites that stand still: which branch lives, trying again, setting aside, closing |
//! | `upkeep` | whether copies and books are right |
//! | `alerts` | what people must look at |
//! | `stations`, `inbox` | for the mini-program's back end: sites with prices and free connectors; what members are told |
//! | `head_office` | which life of head office's it is, and what sites know of it that its database does not |
//! | `books_check` | whether a site's own books are those that are here |
//! | `station`, `live` | what only the station knows: it is asked over the line |
//! | `users`, `sessions`, `tokens`, `audit` | people, machines, and who changed what |
//! | `credentials`, `passwords`, `attempts` | who asks; passwords, and how often one may be tried |
//! | `slow` | questions that take long: few at once |
//! | `answered` | changes: decided, told to the audit chain and remembered in one transaction |
//! | `health`, `document` | for monitoring, and what the OpenAPI document says besides |
//!
//! To add an endpoint: write the handler with `#[utoipa::path(…, security(("bearer" = ["role"])))]` in its resource's file, add
//! it to `routes!` there and to the table of `cloud-sync/central/tests/api/access.rs`, which walks the document with every role
//! and with none. `document.rs` beside it compares the document with `docs/openapi-central.json`, and says how to write that anew.
//!
//! *Architecture Invariant:* what reads sees one state of the database; what changes something does it in one transaction with
//! its entry in the audit chain.

mod adjustments;
mod alerts;
mod answered;
mod attempts;
mod audit;
mod bill_proposals;
mod bills;
mod books;
mod books_check;
mod branches;
mod callbacks;
mod credentials;
mod credits;
mod decisions;
mod directing;
mod document;
pub mod dto;
mod energy;
mod findings;
mod head_office;
mod health;
mod inbox;
mod leases;
mod live;
mod members;
mod money;
mod office;
mod openings;
mod orders;
mod passwords;
mod payments;
mod payouts;
mod placing;
mod quarantine;
mod reconciliation;
mod refunds;
mod reports;
mod sessions;
mod sites;
mod slow;
mod statements;
mod station;
mod stations;
mod tokens;
mod topups;
mod upkeep;
mod users;
mod wallets;
mod workflow;

use crate::{
    asks::Asks,
    config::AfterSales,
    desk::{Clock, Office},
    enrol::Entrance,
    store::{
        Db, StoreError, Tx, answers, bills as kept_bills, callbacks as kept_callbacks, inbox as told, outbox, people,
    },
};
use attempts::Attempts;
use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::Response,
};
pub use bills::Bills;
use credentials::Credentials;
use domain::ids::SiteId;
use passwords::Passwords;
use service::http::{
    access::{self, Access, Tokens},
    feed::Sockets,
    limit::FailedLogins,
    metrics::Counters,
    problem::Problem,
    request_id::Numbers,
    serve::{Api, Counts},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;
use utoipa_axum::router::OpenApiRouter;

/// How long a station may take to answer what it is asked: within what a request may take.
const ASK_TIME_MAX: Duration = Duration::from_secs(20);

/// Requests that read a whole journal, or all the books.
const SLOW: &[(&str, Duration)] = &[
    ("/v1/sites/{site}/journal/verification", Duration::from_secs(3_600)),
    ("/v1/sites/{site}/replica/verification", Duration::from_secs(3_600)),
    ("/v1/sites/{site}/replica", Duration::from_secs(3_600)),
    ("/v1/sites/{site}/branch", Duration::from_secs(3_600)),
    ("/v1/sites/{site}/opening", Duration::from_secs(3_600)),
    ("/v1/sites/{site}/opening/approval", Duration::from_secs(3_600)),
    ("/v1/sites/{site}/books-check", Duration::from_secs(120)),
    ("/v1/ledger/verification", Duration::from_secs(3_600)),
    ("/v1/ledger/export", Duration::from_secs(3_600)),
    (
        "/v1/channels/{channel}/bills/{day}/{format}",
        Duration::from_secs(3_600),
    ),
    ("/v1/reconciliation/runs", Duration::from_secs(3_600)),
    ("/v1/reports/{day}", Duration::from_secs(3_600)),
    ("/v1/discrepancies/csv", Duration::from_secs(300)),
    ("/v1/backup", Duration::from_secs(3_600)),
];

/// What handlers need: cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    db: Db,
    asks: Arc<Asks>,
    clock: Arc<dyn Clock>,
    /// Where sites come in; none where the API stands alone.
    entrance: Option<Arc<Entrance>>,
    /// What head office signs with; none where the API stands alone.
    office: Option<Arc<Office>>,
    after_sales: AfterSales,
    credentials: Arc<Credentials>,
    /// Callbacks of channels that wait.
    credits: Arc<credits::Credits>,
    passwords: Arc<Passwords>,
    attempts: Arc<Attempts>,
    counters: Arc<dyn Counters>,
    sockets: Sockets,
    logins: Arc<FailedLogins>,
    counts: Arc<Counts>,
    numbers: Arc<Numbers>,
    answered: Arc<AnsweredCounts>,
    slow: Arc<slow::Slow>,
    bills: Arc<Bills>,
    /// How long a station may take to answer.
    ask_time_max: Duration,
    /// Whoever waits for something to happen is sent away when this is true.
    closing: Arc<watch::Sender<bool>>,
}

/// Requests by how they were answered.
#[derive(Debug, Default)]
struct AnsweredCounts {
    fine: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

impl ApiState {
    /// The state over this database; `counters` go to `/metrics` besides its own.
    ///
    /// # Errors
    /// If the operating system gives no randomness.
    pub fn new(
        db: Db,
        asks: Arc<Asks>,
        clock: Arc<dyn Clock>,
        counters: impl Counters + 'static,
    ) -> Result<Self, getrandom::Error> {
        let closing = Arc::new(watch::Sender::new(false));
        let credentials = Arc::new(Credentials {
            db: db.clone(),
            clock: Arc::clone(&clock),
        });
        let tokens: Arc<dyn Tokens> = Arc::clone(&credentials) as Arc<dyn Tokens>;
        Ok(Self {
            // What people ask for keeps neither desks nor logins waiting.
            db: db.for_people(),
            asks,
            clock,
            entrance: None,
            office: None,
            after_sales: AfterSales::default(),
            credentials,
            credits: Arc::default(),
            passwords: Arc::new(Passwords::new()?),
            attempts: Arc::default(),
            counters: Arc::new(counters),
            sockets: Sockets::new(tokens, Arc::clone(&closing)),
            logins: Arc::default(),
            counts: Arc::default(),
            numbers: Arc::new(Numbers::of_this_run()?),
            answered: Arc::default(),
            slow: Arc::default(),
            bills: Arc::default(),
            ask_time_max: ASK_TIME_MAX,
            closing,
        })
    }

    /// The same, where sites come in.
    #[must_use]
    pub fn with_entrance(mut self, entrance: Arc<Entrance>) -> Self {
        self.entrance = Some(entrance);
        self
    }

    /// The same, where vouchers are signed.
    #[must_use]
    pub fn with_office(mut self, office: Arc<Office>) -> Self {
        self.office = Some(office);
        self
    }

    /// The same, with these limits of what one person may decide.
    #[must_use]
    pub fn with_after_sales(mut self, after_sales: AfterSales) -> Self {
        self.after_sales = after_sales;
        self
    }

    /// The same, where a station may take only so long to answer what it is asked.
    #[must_use]
    pub fn with_ask_time_max(mut self, ask_time_max: Duration) -> Self {
        self.ask_time_max = ask_time_max;
        self
    }

    /// Forgets sessions that are over, messages and events that were told, answers that nobody may ask for again and what imports have
    /// left behind: to be called now and then.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prune(&self) -> Result<(), StoreError> {
        let now = self.clock.wall();
        let pruned = self.db.write(move |tx| {
            answers::prune(tx, now)?;
            outbox::prune(tx, now)?;
            told::prune(tx, now)?;
            people::prune(tx, now)
        });
        pruned.await?;
        while self.db.write(move |tx| kept_callbacks::prune(tx, now)).await? {}
        while self.db.write(move |tx| kept_bills::sweep(tx, now)).await? {}
        Ok(())
    }

    async fn read<T, F>(&self, read: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Tx) -> Result<T, StoreError> + Send + 'static,
    {
        Ok(self.db.read(read).await?)
    }
}

/// Nothing that is known by this id at this site; or no such site.
fn unknown_at(what: &str, id: impl std::fmt::Display, site: &SiteId) -> Problem {
    Problem::unknown(what, format!("{id} of site {site}")).with("site", site.as_str())
}

fn operations() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(document::start())
        .merge(sites::routes())
        .merge(office::routes())
        .merge(openings::routes())
        .merge(upkeep::routes())
        .merge(branches::routes())
        .merge(books_check::routes())
        .merge(orders::routes())
        .merge(members::routes())
        .merge(energy::routes())
        .merge(quarantine::routes())
        .merge(books::routes())
        .merge(wallets::routes())
        .merge(topups::routes())
        .merge(callbacks::routes())
        .merge(leases::routes())
        .merge(directing::routes())
        .merge(placing::routes())
        .merge(refunds::routes())
        .merge(adjustments::routes())
        .merge(decisions::routes())
        .merge(findings::routes())
        .merge(alerts::routes())
        .merge(statements::routes())
        .merge(payments::routes())
        .merge(payouts::routes())
        .merge(bills::routes())
        .merge(bill_proposals::routes())
        .merge(reconciliation::routes())
        .merge(workflow::routes())
        .merge(reports::routes())
        .merge(stations::routes())
        .merge(inbox::routes())
        .merge(station::routes())
        .merge(live::routes())
        .merge(users::routes())
        .merge(sessions::routes())
        .merge(tokens::routes())
        .merge(audit::routes())
        .merge(head_office::routes())
        .merge(health::routes())
        .merge(document::routes())
}

/// The OpenAPI document of everything that is served.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let (_, openapi) = operations().split_for_parts();
    service::http::openapi::finish(openapi)
}

/// All operations, behind tokens, sessions and roles: for a TCP listener and for the Unix socket alike.
pub fn router(state: ApiState) -> Router {
    let (router, openapi) = operations().split_for_parts();
    let access = Access::new(
        &openapi,
        Arc::clone(&state.credentials) as Arc<dyn Tokens>,
        Arc::clone(&state.logins),
        Arc::clone(&state.numbers),
        SLOW,
    );
    let answered = Arc::clone(&state.answered);
    router
        .fallback(nothing_there)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(access, access::guard))
        .layer(middleware::from_fn_with_state(answered, count))
        .with_state(state)
}

/// The same, to be served by [`service::http::serve`] and [`service::http::unix`].
pub fn api(state: ApiState) -> Api {
    let (closing, counts) = (Arc::clone(&state.closing), Arc::clone(&state.counts));
    Api::new(router(state), closing, counts)
}

async fn count(State(answered): State<Arc<AnsweredCounts>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let counter = match response.status().as_u16() {
        500.. => &answered.failed,
        400.. => &answered.refused,
        _ => &answered.fine,
    };
    counter.fetch_add(1, Ordering::Relaxed);
    response
}

async fn nothing_there() -> Problem {
    let detail = "nothing is served under this path; GET /openapi.json lists what is";
    Problem::new(StatusCode::NOT_FOUND, "unknown_path", detail)
}

async fn wrong_method() -> Problem {
    let detail = "this path does not take this method; GET /openapi.json lists what it takes";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", detail)
}
