//! A real station and head office, and the line between them: what one journals the other has, through a line that is cut, a
//! head office that starts again, and a station that is restored from a copy. The books of both sides are equal to the fen.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use broker::Broker;
use central::{
    desk::{Clock, Desk, Office},
    door::{self, Door, ToSites},
    store::{Db, Place, ledger::mirrored, sites},
};
use domain::{
    ids::SiteId,
    ledger::{Account, digest},
    order::State,
    time::{Mono, Wall},
    topics::{DownKind, UpKind},
    units::Fen,
};
use protocol::{frame::HqEpoch, key::SigningKey};
use serde_json::{Value, json};
use service::secret::Secret;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use sync::{line, run::Agent, station::Station};
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
    task::JoinHandle,
};
use world::{
    hand::Hand,
    history,
    line::Line,
    station::{SITE, Setup, StationProcess},
};

/// Of no matter unless something never happens: a connection is tried again after up to a minute, on a machine as slow as it is.
const PATIENCE: Duration = Duration::from_secs(600);
const ME: &str = "here";

fn key() -> SigningKey {
    SigningKey::from_seed([1; 32])
}

fn site() -> SiteId {
    SITE.parse().unwrap()
}

struct Clocks(Instant);

impl Clock for Clocks {
    fn mono(&self) -> Mono {
        Mono(u64::try_from(self.0.elapsed().as_millis()).unwrap())
    }

    fn wall(&self) -> Wall {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Wall(i64::try_from(since.as_millis()).unwrap())
    }
}

/// Head office while it runs.
struct HeadOffice {
    broker: Broker,
    address: SocketAddr,
    desk: JoinHandle<()>,
}

impl HeadOffice {
    async fn start(db: &Db, secret: &Secret, at: SocketAddr) -> Self {
        let door = Arc::new(Door::default());
        let says = door.admit(site(), secret.hash());
        let broker = door::open(&door);
        let listener = TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(broker.serve(listener));
        let office = Office {
            process: ME.to_owned(),
            hq_epoch: HqEpoch([3; 16]),
            key: key(),
        };
        let clock = Arc::new(Clocks(Instant::now()));
        let desk = Desk::new(Arc::new(office), clock, db.clone(), site(), ToSites(broker.handle()));
        let desk = tokio::spawn(async move { desk.run(says).await.unwrap() });
        Self { broker, address, desk }
    }

    async fn stop(self) -> SocketAddr {
        self.desk.abort();
        let _all_left = self.broker.shutdown(Duration::from_secs(1)).await;
        self.address
    }
}

/// The program on the box.
struct OnTheBox {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

fn speak(station: &StationProcess, secret: &Secret, at: SocketAddr) -> OnTheBox {
    let agent = Agent {
        site: site(),
        station: Station::at(station.sync_socket()),
        broker: line::Broker {
            host: at.ip().to_string(),
            port: at.port(),
            credentials: Some((SITE.to_owned(), secret.reveal().to_owned())),
            tls: None,
        },
    };
    let (stop, stopped) = oneshot::channel();
    let (told, _) = watch::channel(sync::courier::Progress::default());
    let task = tokio::spawn(sync::run::run(agent, told, async move {
        let _or_dropped = stopped.await;
    }));
    OnTheBox { stop, task }
}

impl OnTheBox {
    async fn end(self) {
        let _gone = self.stop.send(());
        self.task.await.unwrap();
    }
}

async fn set_up(name: &str) -> (StationProcess, Db, Secret) {
    let setup = Setup {
        head_office: Line::in_configuration(&key()),
        ..history::setup()
    };
    let station = StationProcess::start(name, &setup).await.unwrap();
    let (hello, _) = Line::of(&station, SITE, key()).hello().await.unwrap();
    let edge_key = hello["key"].as_str().unwrap().parse().unwrap();
    let db = Db::open(&Place::File(station.folder().join("central.sqlite"))).unwrap();
    let secret = Secret::generate().unwrap();
    let far = Wall(i64::MAX / 2);
    let added = db.write(move |tx| {
        sites::add(tx, &site(), "a station", &[sites::EdgeKey { key: edge_key, from: 0 }])?;
        sites::own(tx, &site(), ME, Wall(0), far)
    });
    assert!(added.await.unwrap());
    (station, db, secret)
}

/// An order from its placing to its money.
async fn charge(station: &StationProcess, pile: &mut Hand, id: &str, from: &str, to: &str) -> String {
    history::report(pile, "plugged", None, from).await.unwrap();
    let body = json!({ "member": "anna", "pile": id, "connector": 1, "prepay": "20.00" });
    let placed = station.post("/v1/orders", &body).await.unwrap().expect(201).unwrap();
    let order = placed["id"].as_str().unwrap().to_owned();
    let start = pile.hear(DownKind::Command).await.unwrap();
    let reply = json!({ "command_id": start["command_id"], "ok": true });
    pile.say(UpKind::Reply, &reply).await.unwrap();
    history::report(pile, "charging", Some(&order), from).await.unwrap();
    history::record(pile, &order, from, to).await.unwrap();
    station.wait_for_order(&order, State::Payed, PATIENCE).await.unwrap();
    order
}

/// Waits until head office has everything that the station has journaled, and compares the books.
async fn books_are_equal(station: &StationProcess, db: &Db) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let sheet = station.get("/v1/balance-sheet").await.unwrap().success().unwrap();
        let seq = sheet["seq"].as_u64().unwrap();
        let found = db.read(move |tx| {
            let head = sites::find(tx, &site())?.unwrap().head;
            let mut rows = tx.query("SELECT name, balance FROM account WHERE balance <> 0", &[])?;
            let accounts: Vec<(String, i64)> = rows
                .iter_mut()
                .map(|row| Ok((row.text(0)?, row.int(1)?)))
                .collect::<Result<_, _>>()?;
            Ok((head.seq, accounts))
        });
        let (head, accounts) = found.await.unwrap();
        if head == seq {
            assert_eq!(accounts.iter().map(|(_, balance)| balance).sum::<i64>(), 0);
            assert_eq!(sheet["digest"], json!(digest_of(seq, &accounts)), "at entry {seq}");
            return seq;
        }
        assert!(
            Instant::now() < deadline,
            "head office has {head} of {seq}:\n{}",
            station.log()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The digest over the station's accounts, as head office's books have them.
fn digest_of(seq: u64, accounts: &[(String, i64)]) -> String {
    let own = |name: &str| -> String {
        let (kind, rest) = name.split_once(':').unwrap();
        let account = match rest.split_once(':') {
            Some((_, of)) => format!("{kind}:{of}"),
            None => kind.to_owned(),
        };
        let parsed: Account = account.parse().unwrap();
        assert_eq!(mirrored(&site(), &parsed), name);
        account
    };
    let mut own: Vec<(String, Fen)> = accounts
        .iter()
        .map(|(name, balance)| (own(name), Fen(*balance)))
        .collect();
    own.sort();
    digest(seq, own).unwrap().to_string()
}

fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_station_books_while_the_line_is_cut_and_head_office_starts_again_is_there_afterwards() {
    let (station, db, secret) = set_up("two-halves-cut").await;
    let head_office = HeadOffice::start(&db, &secret, anywhere()).await;
    let on_the_box = speak(&station, &secret, head_office.address);
    station.add_member("anna", "100.00").await.unwrap();
    let pile_secret = station.add_pile("P1").await.unwrap();
    let mut pile = history::boot(&station, "P1", &pile_secret).await.unwrap();
    charge(&station, &mut pile, "P1", history::REGISTER, "1001.0000").await;
    let before = books_are_equal(&station, &db).await;

    // The line is cut: cars go on charging.
    let address = head_office.stop().await;
    charge(&station, &mut pile, "P1", "1001.0000", "1003.0000").await;
    charge(&station, &mut pile, "P1", "1003.0000", "1004.0000").await;
    let head_office = HeadOffice::start(&db, &secret, address).await;
    let after = books_are_equal(&station, &db).await;
    assert!(after > before + 15, "{before} {after}");

    // The station knows how far it is, by head office's own word.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = station.get("/v1/station").await.unwrap().success().unwrap();
        if seen["acknowledged"]["seq"].as_u64().is_some_and(|seq| seq > 0) {
            break;
        }
        assert!(Instant::now() < deadline, "{seen}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    on_the_box.end().await;
    head_office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_station_that_is_restored_from_a_copy_gets_its_lost_hours_back_over_the_line() {
    let (mut station, db, secret) = set_up("two-halves-restore").await;
    let head_office = HeadOffice::start(&db, &secret, anywhere()).await;
    let on_the_box = speak(&station, &secret, head_office.address);
    station.add_member("anna", "100.00").await.unwrap();
    let pile_secret = station.add_pile("P1").await.unwrap();
    let mut pile = history::boot(&station, "P1", &pile_secret).await.unwrap();
    charge(&station, &mut pile, "P1", history::REGISTER, "1001.0000").await;
    let copy = station.folder().join("data/copy.redb");
    station.cli(&["backup", copy.to_str().unwrap()]).unwrap();
    let lost = charge(&station, &mut pile, "P1", "1001.0000", "1003.0000").await;
    let head = books_are_equal(&station, &db).await;
    let (_, fee) = told(&station, &lost).await;

    station.kill().unwrap();
    drop(pile);
    let config = station.config_path();
    let words = [
        "restore",
        "--move-aside",
        copy.to_str().unwrap(),
        "--config",
        config.to_str().unwrap(),
    ];
    station.offline(&words).unwrap();
    station.start_again().await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = station.get("/v1/station").await.unwrap().success().unwrap();
        if seen["recovering"].is_null() {
            break;
        }
        assert!(Instant::now() < deadline, "{seen}\n{}", station.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        told(&station, &lost).await,
        ("PAYED".to_owned(), fee),
        "nothing that head office has is lost"
    );
    let after = books_are_equal(&station, &db).await;
    assert!(after > head, "another run of the journal goes on after entry {head}");
    on_the_box.end().await;
    head_office.stop().await;
}

/// State and fee of an order.
async fn told(station: &StationProcess, order: &str) -> (String, Value) {
    let order = station
        .get(&format!("/v1/orders/{order}"))
        .await
        .unwrap()
        .success()
        .unwrap();
    (order["state"].as_str().unwrap().to_owned(), order["fee"].clone())
}
