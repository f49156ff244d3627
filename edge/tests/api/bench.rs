//! A station under test: database in a folder of its own, loop on its thread, API on TCP and on a Unix socket.
//! Piles are played by hand through the same door the broker uses; what the station sends them is kept. Its clocks stand
//! until the test moves them, so that nothing depends on how fast the machine is.

use crate::shapes::read_back;
use axum::http::{HeaderMap, Method};
use broker::Receipt;
use domain::{
    ids::{PileId, SiteId},
    messages::{self, CommandKind, Down},
    policy::Policy,
    site::{Input, Site},
    time::{Now, Wall},
    topics::UpKind,
};
use edge::{
    api::{self, ApiState},
    clock::SiteClock,
    credentials::SYNC_ROLE,
    head_office::HeadOffice,
    station::{Outbound, Station},
    store::{AnswerBudget, Store},
};
use protocol::key::{PublicKeys, SigningKey};
use serde_json::{Value, json};
use service::{
    client::{Call, Client},
    http::{
        serve::serve,
        unix::{bind_unix, serve_unix},
    },
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

pub(crate) const SITE: &str = "test-site";
pub(crate) const MINUTE: u64 = 60_000;
pub(crate) const HOUR: u64 = 60 * MINUTE;
/// How long after what was before it a pile says something, in milliseconds: as often as piles send heartbeats.
const MESSAGE_AFTER: u64 = 15_000;
/// How long after what was before it somebody asks for a change, in milliseconds.
const CHANGE_AFTER: u64 = 1_000;

/// What went to piles.
#[derive(Clone, Default)]
pub(crate) struct Sent {
    pub(crate) messages: Arc<Mutex<Vec<(PileId, Down)>>>,
    pub(crate) kicked: Arc<Mutex<Vec<PileId>>>,
}

impl Outbound for Sent {
    fn send(&self, pile: &PileId, message: &Down) -> bool {
        self.messages.lock().unwrap().push((pile.clone(), message.clone()));
        true
    }

    fn disconnect(&self, pile: &PileId) {
        self.kicked.lock().unwrap().push(pile.clone());
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Reply {
    /// The body, after a look at the status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.body
    }

    /// The body of a problem, after a look at its status, type and media type.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(
            self.body["type"],
            format!("urn:holdfast:problem:{code}"),
            "{}",
            self.text
        );
        assert_eq!(self.body["status"], status);
        assert!(
            self.body["detail"].as_str().is_some_and(|detail| detail.len() > 10),
            "{}",
            self.text
        );
        self.body
    }

    pub(crate) fn replayed(&self) -> bool {
        self.headers
            .get("idempotent-replayed")
            .is_some_and(|value| value == "true")
    }
}

/// The station under test.
pub(crate) struct Bench {
    pub(crate) station: Station,
    pub(crate) sent: Sent,
    pub(crate) address: SocketAddr,
    pub(crate) socket: PathBuf,
    /// Of the line to head office.
    pub(crate) sync_socket: PathBuf,
    /// An administrator's token.
    pub(crate) admin: String,
    folder: PathBuf,
    stop: watch::Sender<bool>,
    servers: Vec<JoinHandle<anyhow::Result<()>>>,
    keys: AtomicU64,
    piles: Mutex<BTreeMap<String, Played>>,
}

/// What is remembered of a pile that is played.
#[derive(Default)]
struct Played {
    /// The number of its last message.
    seq: u64,
    /// When its last session began.
    began: Option<Now>,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(Policy::default()).await
    }

    pub(crate) async fn with(policy: Policy) -> Self {
        Self::starting(policy, "2026-03-01T10:00:00+08:00").await
    }

    /// Its wall clock stands there at first.
    pub(crate) async fn starting(policy: Policy, start: &str) -> Self {
        Self::on(policy, start, AnswerBudget::default()).await
    }

    /// Each caller has this budget of remembered answers.
    pub(crate) async fn with_answer_budget(budget: AnswerBudget) -> Self {
        Self::on(Policy::default(), "2026-03-01T10:00:00+08:00", budget).await
    }

    /// It has a head office that signs with this key.
    pub(crate) async fn with_head_office(key: &SigningKey) -> Self {
        let start = "2026-03-01T10:00:00+08:00";
        Self::made(Policy::default(), start, AnswerBudget::default(), key.public().into()).await
    }

    /// The same, where head office has given the site this number and owns what it owns.
    pub(crate) async fn joined(key: &SigningKey, site_number: u64) -> Self {
        let policy = Policy {
            head_office: true,
            site_number: Some(site_number),
            ..Policy::default()
        };
        let start = "2026-03-01T10:00:00+08:00";
        Self::made(policy, start, AnswerBudget::default(), key.public().into()).await
    }

    async fn on(policy: Policy, start: &str, budget: AnswerBudget) -> Self {
        Self::made(policy, start, budget, PublicKeys::default()).await
    }

    async fn made(policy: Policy, start: &str, budget: AnswerBudget, keys: PublicKeys) -> Self {
        // No number of a process is unique for ever, and what a test that was killed has left is nobody's station.
        let folder = std::env::temp_dir().join(format!("holdfast-api-{:016x}", getrandom::u64().unwrap()));
        std::fs::create_dir(&folder).unwrap();
        let store = Store::open(&folder.join("test.redb"), &SiteId::new(SITE).unwrap(), 4 << 20).unwrap();
        let store = store.with_answer_budget(budget);
        let start = Wall::parse(start).unwrap();
        let clock = |mark: &_| SiteClock::resume(mark).standing(start);
        let (station, brain) = Station::recover(store, policy, clock).unwrap();
        let sent = Sent::default();
        let outbound = sent.clone();
        std::thread::spawn(move || brain.run(outbound).unwrap());
        let end = HeadOffice::new(SiteId::new(SITE).unwrap(), keys, SigningKey::from_seed([2; 32]));
        let state = ApiState::new(station.clone(), "Asia/Shanghai", ()).unwrap();
        let api = api::api(state.with_head_office(Arc::new(end)));
        let (stop, stopping) = watch::channel(false);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let socket = folder.join("edge.sock");
        let unix = bind_unix(&socket).await.unwrap();
        let sync_socket = folder.join("sync/sync.sock");
        let sync = bind_unix(&sync_socket).await.unwrap().only_for(SYNC_ROLE);
        let servers = vec![
            tokio::spawn(serve_unix(sync, api.clone(), stopping.clone())),
            tokio::spawn(serve(listener, None, 128, api.clone(), stopping.clone())),
            tokio::spawn(serve_unix(unix, api, stopping)),
        ];
        let mut bench = Self {
            station,
            sent,
            address,
            socket,
            sync_socket,
            admin: String::new(),
            folder,
            stop,
            servers,
            keys: AtomicU64::new(0),
            piles: Mutex::default(),
        };
        bench.admin = bench.token("root", "admin").await;
        bench
    }

    /// Ends the servers and the loop, and says how they ended.
    pub(crate) async fn stop(mut self) -> Vec<anyhow::Result<()>> {
        self.stop.send_replace(true);
        let mut ended = Vec::new();
        for server in std::mem::take(&mut self.servers) {
            ended.push(server.await.unwrap());
        }
        self.station.stop().await;
        ended
    }

    /// Makes a token, as somebody at the machine would.
    pub(crate) async fn token(&self, name: &str, role: &str) -> String {
        let body = json!({ "name": name, "role": role }).to_string();
        let station = Client::at_socket(&self.socket);
        let key = self.key();
        let headers = [("content-type", "application/json"), ("idempotency-key", &*key)];
        let made = exchange(&station, "POST", "/v1/tokens", &headers, Some(&body))
            .await
            .expect(201);
        made["token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn key(&self) -> String {
        format!("key-{}", self.keys.fetch_add(1, Ordering::Relaxed))
    }

    /// The station's time.
    pub(crate) fn now(&self) -> Now {
        self.station.clock.now()
    }

    /// Lets so many milliseconds pass, and waits until the station has done what was due in them.
    pub(crate) async fn advance(&self, ms: u64) {
        self.station.clock.advance(ms);
        // A look may come between two things that are due, but each comes after at least one of them.
        for _ in 0..100 {
            let is_due = |site: &Site, now: Now| site.next_deadline().is_some_and(|at| at <= now.mono);
            if !self.station.look(is_due).await.unwrap() {
                return;
            }
        }
        panic!("something is due and stays so");
    }

    /// A request over TCP with these headers and no others. Time passes before one that may change something.
    pub(crate) async fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Reply {
        if !["GET", "HEAD"].contains(&method) {
            self.advance(CHANGE_AFTER).await;
        }
        let station = Client::at_address(self.address);
        let reply = exchange(&station, method, path, headers, body).await;
        if (200..300).contains(&reply.status) {
            read_back(method, path, &reply.body);
        }
        reply
    }

    /// A request over the Unix socket.
    pub(crate) async fn local(&self, method: &str, path: &str) -> Reply {
        let station = Client::at_socket(&self.socket);
        exchange(&station, method, path, &[], None).await
    }

    /// A request on the socket of the line to head office, with these headers.
    pub(crate) async fn on_sync(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        exchange(&Client::at_socket(&self.sync_socket), method, path, headers, None).await
    }

    /// A frame, put there.
    pub(crate) async fn frame(&self, path: &str, frame: Vec<u8>) -> Reply {
        let call = Call::put(path).content("application/octet-stream", frame);
        let answer = Client::at_socket(&self.sync_socket).ask(call).await.unwrap();
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        Reply {
            status: answer.status,
            headers: answer.headers,
            body: serde_json::from_str(&text).unwrap_or(Value::Null),
            text,
        }
    }

    /// A PUT over the Unix socket.
    pub(crate) async fn local_put(&self, path: &str, body: &Value) -> Reply {
        let station = Client::at_socket(&self.socket);
        let headers = [("content-type", "application/json")];
        exchange(&station, "PUT", path, &headers, Some(&body.to_string())).await
    }

    /// A POST over the Unix socket, by somebody with a token or by anybody.
    pub(crate) async fn local_post(&self, path: &str, token: Option<&str>, body: &Value) -> Reply {
        let station = Client::at_socket(&self.socket);
        let (key, bearer) = (self.key(), token.map(|token| format!("Bearer {token}")));
        let mut headers = vec![("content-type", "application/json"), ("idempotency-key", &*key)];
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        exchange(&station, "POST", path, &headers, Some(&body.to_string())).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.raw(
            "GET",
            path,
            &[("authorization", &format!("Bearer {}", self.admin))],
            None,
        )
        .await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.raw(
            "DELETE",
            path,
            &[("authorization", &format!("Bearer {}", self.admin))],
            None,
        )
        .await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Reply {
        let token = format!("Bearer {}", self.admin);
        let headers = [("authorization", &*token), ("content-type", "application/json")];
        self.raw("PUT", path, &headers, Some(&body.to_string())).await
    }

    /// A POST with a key of its own.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_with(path, &self.key(), &body.to_string()).await
    }

    pub(crate) async fn post_with(&self, path: &str, key: &str, body: &str) -> Reply {
        let token = format!("Bearer {}", self.admin);
        let headers = [
            ("authorization", &*token),
            ("content-type", "application/json"),
            ("idempotency-key", key),
        ];
        self.raw("POST", path, &headers, Some(body)).await
    }

    /// One price all day: 0.60 for electricity, 0.25 for service.
    pub(crate) async fn flat_tariff(&self) {
        self.put("/v1/tariffs/flat", &tariff("flat", "2026-01-01T00:00:00+08:00"))
            .await
            .expect(200);
    }

    /// A member with money.
    pub(crate) async fn member(&self, id: &str, money: &str) {
        self.put(&format!("/v1/members/{id}"), &json!({ "name": "张三" }))
            .await
            .expect(200);
        let body = json!({ "amount": money, "receipt": format!("R1-{id}") });
        self.post(&format!("/v1/members/{id}/topups"), &body).await.expect(201);
    }

    /// A pile with one connector of 600 kW, connected and idle at 100 kWh.
    pub(crate) async fn pile(&self, id: &str) {
        self.post("/v1/piles", &json!({ "id": id })).await.expect(201);
        self.connect(id).await;
    }

    pub(crate) async fn connect(&self, id: &str) {
        let pile = PileId::new(id).unwrap();
        self.station.pile_connection(Input::Connected { pile });
        let connectors = json!([{ "no": 1, "max_kw": "600.0", "meter_kwh": "100.0000" }]);
        let boot = json!({ "vendor": "ACME", "model": "X1", "firmware": "1.0", "connectors": connectors });
        self.says(id, UpKind::Boot, boot).await;
        self.heartbeat(id, "idle", None, "100.0000").await;
    }

    pub(crate) async fn disconnect(&self, id: &str) {
        let pile = PileId::new(id).unwrap();
        self.station
            .pile_connection(Input::Disconnected { pile, dropped: false });
        self.settled().await;
    }

    /// Waits until everything said so far has been decided and committed.
    pub(crate) async fn settled(&self) {
        self.station.look(|_, _| ()).await.unwrap();
    }

    /// After a while a pile says something.
    pub(crate) async fn says(&self, id: &str, kind: UpKind, mut body: Value) {
        self.advance(MESSAGE_AFTER).await;
        let seq = {
            let mut piles = self.piles.lock().unwrap();
            let pile = piles.entry(id.to_owned()).or_default();
            pile.seq += 1;
            pile.seq
        };
        let now = self.now();
        body["boot_id"] = json!("b1");
        body["seq"] = json!(seq);
        body["mono_ms"] = json!(now.mono.0);
        body["ts"] = json!(now.wall.to_string());
        body["msg_id"] = json!(format!("m{seq}"));
        let message = messages::read_up(kind, body.to_string().as_bytes()).unwrap();
        let pile = PileId::new(id).unwrap();
        self.station
            .pile_says(Input::Message { pile, message }, None, Receipt::inert(), 0);
        self.settled().await;
    }

    pub(crate) async fn heartbeat(&self, id: &str, status: &str, order: Option<&str>, meter: &str) {
        let connector = json!({
            "no": 1, "status": status, "order_id": order, "voltage_v": 400.0, "current_a": 250.0, "soc_pct": 40,
            "meter_kwh": meter, "faults": [],
        });
        self.says(id, UpKind::Heartbeat, json!({ "connectors": [connector] }))
            .await;
    }

    /// The last command of a kind that went to a pile.
    pub(crate) fn command(&self, id: &str, kind: CommandKind) -> Option<messages::CommandMessage> {
        let messages = self.sent.messages.lock().unwrap();
        messages.iter().rev().find_map(|(pile, message)| match message {
            Down::Command(command) if pile.as_str() == id && command.kind == kind => Some(command.clone()),
            _ => None,
        })
    }

    /// Places an order; the pile starts it.
    pub(crate) async fn charge(&self, member: &str, pile: &str, prepay: &str) -> String {
        let body = json!({ "member": member, "pile": pile, "connector": 1, "prepay": prepay });
        let placed = self.post("/v1/orders", &body).await.expect(201);
        assert_eq!(placed["state"], "PLACE");
        let id = placed["id"].as_str().unwrap().to_owned();
        self.confirm_start(pile).await;
        self.heartbeat(pile, "charging", Some(&id), "100.0000").await;
        assert_eq!(
            self.get(&format!("/v1/orders/{id}")).await.expect(200)["state"],
            "CHARGING"
        );
        id
    }

    /// The pile says yes to the last start.
    pub(crate) async fn confirm_start(&self, pile: &str) {
        let start = self.command(pile, CommandKind::Start).unwrap();
        let reply = json!({ "command_id": start.command_id, "ok": true, "code": 0, "message": "" });
        self.says(pile, UpKind::Reply, reply).await;
        let now = self.now();
        self.piles.lock().unwrap().entry(pile.to_owned()).or_default().began = Some(now);
    }

    /// The pile's record of a session from 100 kWh to `stop`.
    pub(crate) async fn record(&self, pile: &str, order: &str, stop: &str) {
        let record = self.record_of(pile, order, stop);
        self.says(pile, UpKind::Record, record).await;
    }

    /// The same, not sent: from when the pile's last session began until now.
    pub(crate) fn record_of(&self, pile: &str, order: &str, stop: &str) -> Value {
        let now = self.now();
        let began = self.piles.lock().unwrap().get(pile).and_then(|pile| pile.began);
        let began = began.unwrap_or(now);
        json!({
            "order_id": order, "connector": 1, "start_ts": began.wall.to_string(), "stop_ts": now.wall.to_string(),
            "start_mono_ms": began.mono.0, "stop_mono_ms": now.mono.0, "meter_start_kwh": "100.0000",
            "meter_stop_kwh": stop, "reason": { "code": 0, "text": "" },
        })
    }

    /// The books must sum to zero.
    pub(crate) async fn books(&self) -> Value {
        let sheet = self.get("/v1/balance-sheet?detail=true").await.expect(200);
        assert_eq!(sheet["total"], "0.00", "{sheet}");
        // Whoever has the accounts can work the digest out.
        let accounts = sheet["accounts"].as_array().unwrap().iter();
        let accounts = accounts.map(|one| (one["account"].as_str().unwrap(), one["balance"].as_str().unwrap()));
        let accounts = accounts.map(|(name, balance)| (name, balance.parse().unwrap()));
        let digest = domain::ledger::digest(sheet["seq"].as_u64().unwrap(), accounts).unwrap();
        assert_eq!(sheet["digest"], digest.to_string());
        sheet
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _already_gone = std::fs::remove_dir_all(&self.folder);
    }
}

pub(crate) fn tariff(id: &str, from: &str) -> Value {
    json!({
        "id": id, "effective_from": from, "currency": "CNY",
        "prices": { "flat": { "electricity": "0.60", "service": "0.25" } },
        "schedules": [{ "periods": [{ "from": "00:00", "to": "24:00", "kind": "flat" }] }],
    })
}

async fn exchange(at: &Client, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Reply {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut call = Call::new(method, path).body(body.unwrap_or_default().to_owned());
    for (name, value) in headers {
        call = call.header(*name, *value);
    }
    let answer = at.ask(call).await.unwrap();
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    Reply {
        status: answer.status,
        headers: answer.headers,
        body: serde_json::from_str(&text).unwrap_or_default(),
        text,
    }
}
