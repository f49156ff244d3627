//! Head office under test: its router behind a TCP listener and a Unix socket, over a database with the sites that a test wants.
//! Time stands still unless a test moves it; what goes to sites is caught.

use crate::{
    cluster::{Cluster, Folder},
    station::Journal,
};
use central::{
    api::{self, ApiState},
    asks::Asks,
    bell::{Bell, Ring},
    clock::MachineClock,
    config::AfterSales,
    desk::Clock,
    enrol::{Entrance, Told},
    enrolments::Enrolments,
    ingest::{Read, SiteCopy, Taken, take},
    store::{Db, Place, identity, sites},
};
use domain::{
    ids::SiteId,
    time::{Mono, Wall},
    units::Fen,
};
use protocol::topic::Kind;
use serde_json::{Value, json};
use service::{
    client::{Call, Client},
    http::{
        serve::serve,
        unix::{bind_unix, serve_unix},
    },
    tls::{self, Tls},
};
use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};

/// The time at which a test begins: 10 March 2026, 04:00 UTC.
pub(crate) const BEGIN: Wall = Wall(1_773_115_200_000);
pub(crate) const ME: &str = "here";

/// A clock that a test moves.
pub(crate) struct Moved(AtomicI64);

impl Clock for Moved {
    fn mono(&self) -> Mono {
        Mono(self.0.load(Ordering::SeqCst).unsigned_abs())
    }

    fn wall(&self) -> Wall {
        BEGIN.after_ms(self.0.load(Ordering::SeqCst))
    }
}

/// What went to sites.
#[derive(Default)]
pub(crate) struct Sent {
    pub(crate) frames: Mutex<Vec<(SiteId, Kind, Vec<u8>)>>,
    pub(crate) is_away: AtomicBool,
}

pub(crate) struct Office {
    pub(crate) db: Db,
    /// What head office signs with.
    pub(crate) public_key: protocol::key::PublicKey,
    pub(crate) asks: Arc<Asks>,
    pub(crate) sent: Arc<Sent>,
    pub(crate) state: ApiState,
    pub(crate) address: SocketAddr,
    pub(crate) clock: Arc<Moved>,
    /// What those who keep the desks were told.
    pub(crate) rings: Mutex<mpsc::Receiver<Ring>>,
    /// Who has enrolled, beside the database.
    pub(crate) enrolments: Enrolments,
    socket: PathBuf,
    keys: AtomicU64,
    _stop: watch::Sender<bool>,
    _folder: Folder,
    _cluster: Option<Arc<Cluster>>,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Reply {
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.body
    }

    /// The body of a problem, after a look at what every problem has.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let text = &self.text;
        assert_eq!(self.body["type"], format!("urn:holdfast:problem:{code}"), "{text}");
        assert!(
            self.body["detail"].as_str().is_some_and(|detail| detail.len() > 10),
            "{text}"
        );
        assert!(
            self.body["instance"].is_string() && self.headers.contains_key("x-request-id"),
            "{text}"
        );
        self.body
    }

    pub(crate) fn is_replayed(&self) -> bool {
        self.headers
            .get("idempotent-replayed")
            .is_some_and(|value| value == "true")
    }
}

/// Somebody who asks over TCP: with these headers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Somebody(pub(crate) Vec<(String, String)>);

impl Somebody {
    pub(crate) fn with_token(token: &str) -> Self {
        Self(vec![("authorization".to_owned(), format!("Bearer {token}"))])
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Office {
    pub(crate) async fn sqlite() -> Self {
        Self::at(&Place::Memory, None).await
    }

    /// With its database in a file, where others read while one writes.
    pub(crate) async fn in_file(file: PathBuf) -> Self {
        Self::at(&Place::File(file), None).await
    }

    pub(crate) async fn postgresql() -> Self {
        // Starting it waits for its processes.
        let started = tokio::task::spawn_blocking(|| {
            let cluster = Cluster::shared();
            (cluster.new_database(), cluster)
        });
        let (address, cluster) = started.await.unwrap();
        Self::at(&Place::Postgres(address), Some(cluster)).await
    }

    async fn at(place: &Place, cluster: Option<Arc<Cluster>>) -> Self {
        let place = place.clone();
        let db = tokio::task::spawn_blocking(move || Db::open(&place))
            .await
            .unwrap()
            .unwrap();
        let sent = Arc::new(Sent::default());
        let catch = Arc::clone(&sent);
        let asks = Asks::new(move |site, kind, payload| {
            if catch.is_away.load(Ordering::SeqCst) {
                return false;
            }
            catch.frames.lock().unwrap().push((site.clone(), kind, payload));
            true
        });
        let (asks, clock) = (Arc::new(asks.unwrap()), Arc::new(Moved(AtomicI64::new(0))));
        let of_api = Arc::clone(&clock) as Arc<dyn Clock>;
        let state = ApiState::new(db.clone(), Arc::clone(&asks), of_api, ()).unwrap();
        // What is answered is answered before: nobody waits so long.
        let state = state.with_ask_time_max(Duration::from_secs(25));
        let state = state.with_after_sales(AfterSales {
            refund_second_person_above: Fen(200),
            bill_second_person_above: Fen(100),
        });
        let identity = db.write(|tx| identity::of(tx, BEGIN)).await.unwrap();
        let public_key = identity.key.public();
        let state = state.with_office(Arc::new(central::desk::Office {
            process: ME.to_owned(),
            hq_epoch: identity.hq_epoch,
            key: identity.key.into(),
        }));
        let folder = Folder::new("central-api");
        let (bell, rings) = Bell::new();
        let state = state.with_entrance(Arc::new(entrance(folder.path(), bell)));
        let (stop, stopping) = watch::channel(false);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let socket = folder.path().join("central.sock");
        let unix = bind_unix(&socket).await.unwrap();
        tokio::spawn(serve(listener, None, 128, api::api(state.clone()), stopping.clone()));
        tokio::spawn(serve_unix(unix, api::api(state.clone()), stopping));
        Self {
            public_key,
            db,
            asks,
            sent,
            state,
            address,
            clock,
            rings: Mutex::new(rings),
            enrolments: Enrolments::of(folder.path()),
            socket,
            keys: AtomicU64::new(0),
            _stop: stop,
            _folder: folder,
            _cluster: cluster,
        }
    }

    /// Time passes.
    pub(crate) fn pass(&self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) fn key(&self) -> String {
        format!("key-{}", self.keys.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes a site in and all of its journal, in batches of some steps.
    pub(crate) async fn follow(&self, journal: &Journal) {
        self.enter(journal).await;
        self.take(journal, journal.batches(20)).await;
    }

    /// Takes a site in; this process has its desk.
    pub(crate) async fn enter(&self, journal: &Journal) {
        let keys = [sites::EdgeKey {
            key: journal.key.public(),
            from: 0,
        }];
        let site = journal.site.clone();
        let entered = self.db.write(move |tx| {
            sites::add(tx, &site, &format!("station {site}"), &keys)?;
            sites::own(tx, &site, ME, BEGIN, BEGIN.after_ms(20_000))
        });
        assert!(entered.await.unwrap());
    }

    /// Takes batches of a site's journal.
    pub(crate) async fn take(&self, journal: &Journal, batches: impl IntoIterator<Item = Vec<u8>>) {
        let site = journal.site.clone();
        let copy = self.db.read(move |tx| {
            let found = sites::find(tx, &site)?.unwrap();
            SiteCopy::load(tx, found)
        });
        let copy = Arc::new(Mutex::new(copy.await.unwrap()));
        let keys = copy.lock().unwrap().site().keys.clone();
        for batch in batches {
            let read = Read::of(&batch, &journal.site, &keys).unwrap();
            let copy = Arc::clone(&copy);
            let taken = self
                .db
                .write(move |tx| take(tx, ME, &mut copy.lock().unwrap(), &read, BEGIN));
            assert_eq!(taken.await.unwrap(), Taken::Followed);
        }
    }

    /// A request over TCP.
    pub(crate) async fn ask(&self, who: &Somebody, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let mut call = Call::new(method.parse().unwrap(), path);
        for (name, value) in &who.0 {
            call = call.header(name, value);
        }
        if let Some(body) = body {
            call = call.json(body).unwrap();
        }
        reply(&Client::at_address(self.address), call).await
    }

    /// A GET over TCP.
    pub(crate) async fn get(&self, who: &Somebody, path: &str) -> Reply {
        self.ask(who, "GET", path, None).await
    }

    /// A POST over TCP, with a key of its own.
    pub(crate) async fn post(&self, who: &Somebody, path: &str, body: &Value) -> Reply {
        let who = who.clone().with("idempotency-key", &self.key());
        self.ask(&who, "POST", path, Some(body)).await
    }

    /// A request by somebody at head office's own machine.
    pub(crate) async fn local(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let mut call = Call::new(method.parse().unwrap(), path).header("idempotency-key", self.key());
        if let Some(body) = body {
            call = call.json(body).unwrap();
        }
        reply(&Client::at_socket(&self.socket), call).await
    }

    /// A machine with these roles, its token made on head office's own machine.
    pub(crate) async fn machine(&self, name: &str, roles: &[&str]) -> Somebody {
        let token = json!({ "name": name, "roles": roles });
        let made = self.local("POST", "/v1/tokens", Some(&token)).await.expect(201);
        Somebody::with_token(made["token"].as_str().unwrap())
    }

    /// Every row of a list, in pages of so many.
    pub(crate) async fn all(&self, who: &Somebody, path: &str, limit: usize) -> Vec<Value> {
        let and = if path.contains('?') { '&' } else { '?' };
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self
                .get(who, &format!("{path}{and}limit={limit}{cursor}"))
                .await
                .expect(200);
            let rows = page["items"].as_array().unwrap();
            assert!(rows.len() <= limit, "{path}");
            items.extend(rows.iter().cloned());
            assert!(items.len() < 10_000, "{path} has an end");
            let Some(next) = page["next"].as_str() else {
                return items;
            };
            assert_eq!(rows.len(), limit, "a page before another is full");
            cursor = format!("&cursor={next}");
        }
    }
}

/// Where sites come in.
fn entrance(folder: &std::path::Path, bell: Bell) -> Entrance {
    let config = tls::Config {
        table: "http.tls",
        renew_with: "",
        names: Vec::new(),
        own: None,
        client_ca: None,
    };
    let tls = Tls::open(&config, &folder.join("tls"), "Test", Arc::new(MachineClock::start())).unwrap();
    Entrance {
        tls: Arc::new(tls),
        told: Told {
            https: "localhost:443".to_owned(),
            brokers: vec!["localhost:8883".to_owned()],
            plain: false,
            broker_authority: String::new(),
            https_authority: String::new(),
        },
        bell,
        process: ME.to_owned(),
        enrolments: Enrolments::of(folder),
    }
}

async fn reply(client: &Client, call: Call) -> Reply {
    let answer = client.ask(call).await.unwrap();
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    Reply {
        status: answer.status,
        headers: answer.headers,
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
        text,
    }
}
