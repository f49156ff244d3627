//! Two processes of head office on one PostgreSQL, behind brokers of somebody else's: Debian's mosquitto, and three RabbitMQ nodes
//! that are a cluster. One of each kind is killed while cars go on charging: nothing is lost, nothing is there twice.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

#[path = "office/books.rs"]
mod books;
#[allow(dead_code, reason = "the tests of the store use more of it")]
#[path = "../../cloud-sync/central/tests/store/cluster.rs"]
mod cluster;
#[path = "office/mosquitto.rs"]
mod mosquitto;
#[path = "office/rabbitmq.rs"]
mod rabbitmq;

use books::{PATIENCE, books_are_equal, charge, site};
use central::store::{Db, Place};
use cluster::Cluster;
use mosquitto::Mosquitto;
use rabbitmq::RabbitMq;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use world::{
    hand::Hand,
    head_office::{AgentProcess, HeadOfficeProcess},
    history,
    relay::Relay,
    station::{SITE, StationProcess},
};

/// A station with a pile, and two processes of head office, of which the first has its desk.
struct Chain {
    station: StationProcess,
    agent: AgentProcess,
    pile: Hand,
    /// What the pile's register shows, in kWh.
    register: u32,
    /// The orders that were charged.
    orders: Vec<String>,
    first: HeadOfficeProcess,
    second: HeadOfficeProcess,
    db: Db,
    /// The ways to the broker, each through the one before.
    lines: Vec<Relay>,
}

/// The first process of head office, which runs alone, and its database.
async fn first_process(name: &str, database: &str, broker: &str) -> HeadOfficeProcess {
    let mut first = HeadOfficeProcess::new(&format!("{name}-1"), &configuration(database, broker)).unwrap();
    first.start_again().await.unwrap();
    first
}

fn configuration(database: &str, broker: &str) -> String {
    format!("[database]\nurl = \"{database}\"\n{broker}")
}

impl Chain {
    /// The station comes in, and the second process begins beside the first.
    async fn meet(name: &str, first: HeadOfficeProcess, database: &str, broker_of_second: &str) -> Self {
        let mut station = StationProcess::start(name, &history::setup()).await.unwrap();
        let agent = first.join(&mut station, SITE).await.unwrap();
        let more = configuration(database, broker_of_second);
        let mut second = HeadOfficeProcess::new(&format!("{name}-2"), &more).unwrap();
        second.share_authority_of(&first).unwrap();
        second.start_again().await.unwrap();
        let db = books::database(Place::Postgres(database.to_owned())).await;
        station.add_member("anna", "100.00").await.unwrap();
        let secret = station.add_pile("P1").await.unwrap();
        let pile = history::boot(&station, "P1", &secret).await.unwrap();
        Self {
            station,
            agent,
            pile,
            register: 1_000,
            orders: Vec::new(),
            first,
            second,
            db,
            lines: Vec::new(),
        }
    }

    /// An order of one kWh.
    async fn charge(&mut self) {
        let [from, to] = [self.register, self.register + 1].map(|kwh| format!("{kwh}.0000"));
        let order = charge(&self.station, &mut self.pile, "P1", &from, &to).await;
        self.register += 1;
        self.orders.push(order);
    }

    /// The process with the site's desk is killed when it has some of what the station sends, and not all.
    async fn killed_while_batches_are_on_their_way(&mut self) {
        let (before, last) = self.batches_are_on_their_way().await;
        self.first.kill().unwrap();
        self.rest_arrives(before, last).await;
    }

    /// Head office has some of what the station sends. The rest cannot arrive before it is let go: the line holds it. The entries
    /// before, and the last.
    async fn batches_are_on_their_way(&mut self) -> (u64, u64) {
        let line = Relay::to(self.agent.broker().unwrap()).await.unwrap();
        self.agent.terminate().await.unwrap();
        self.agent.meet_at(line.address).unwrap();
        let before = self.head().await;
        history::much(&self.station, "anna").await.unwrap();
        let seen = self.station.get("/v1/station").await.unwrap().success().unwrap();
        let last = seen["journal"]["seq"].as_u64().unwrap();
        line.hold_after(128 * 1_024);
        self.agent.start().await.unwrap();
        let deadline = Instant::now() + PATIENCE;
        while self.head().await == before {
            assert!(Instant::now() < deadline, "{}", self.first.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.lines.push(line);
        (before, last)
    }

    /// What the line has held is let go, to whoever is there by now.
    async fn rest_arrives(&self, before: u64, last: u64) {
        let here = self.head().await;
        assert!(before < here && here < last, "{before} {here} {last}");
        self.lines.last().unwrap().let_go();
    }

    /// How far head office has the journal.
    async fn head(&self) -> u64 {
        let found = self.db.read(|tx| central::store::sites::find(tx, &site()));
        found.await.unwrap().unwrap().head.seq
    }

    /// Waits until head office has it all, and compares what there is on both sides.
    async fn nothing_is_lost_or_there_twice(&self) {
        let head = books_are_equal(&self.station, &self.db).await;
        let found = self.db.read(move |tx| {
            let sum = "SELECT CAST(sum(last - first + 1) AS BIGINT) FROM batch WHERE site = $1 AND last <= $2";
            let site = site();
            let entries = tx.query(sum, &[site.as_str().into(), i64::try_from(head).unwrap().into()])?;
            let booked = "SELECT order_id, count(*) FROM transfer WHERE order_id IS NOT NULL GROUP BY order_id";
            let mut booked = tx.query(booked, &[])?;
            let booked: Result<BTreeMap<String, i64>, _> =
                booked.iter_mut().map(|row| Ok((row.text(0)?, row.int(1)?))).collect();
            Ok((entries.into_iter().next().unwrap().int(0)?, booked?))
        });
        let (entries, booked) = found.await.unwrap();
        assert_eq!(u64::try_from(entries), Ok(head), "every entry is in one batch");
        let mut orders: Vec<&String> = booked.keys().collect();
        let mut charged: Vec<&String> = self.orders.iter().collect();
        orders.sort();
        charged.sort();
        assert_eq!(orders, charged);
        let transfers = booked[&self.orders[0]];
        assert!(booked.values().all(|count| *count == transfers), "{booked:?}");
    }

    /// The status and the problem, if it is one, of a question that only the station can answer.
    async fn curve_by(&self, process: &HeadOfficeProcess) -> (u16, String) {
        let path = format!("/v1/sites/{SITE}/orders/{}/curve", self.orders[0]);
        let answer = process.get(&path).await.unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        (answer.status, body["detail"].as_str().unwrap_or_default().to_owned())
    }
}

/// Waits until a log says this.
async fn says(what: &str, log: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !log().contains(what) {
        assert!(Instant::now() < deadline, "waited in vain for {what:?}:\n{}", log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_mosquitto_the_second_process_goes_on_with_the_site_of_one_that_is_killed() {
    let cluster = Cluster::start();
    let database = cluster.new_database();
    let mut broker = Mosquitto::new();
    let first = first_process("mosquitto", &database, &broker.in_central_toml()).await;
    broker.start(&first.tls_folder().join("ca.crt"));
    let mut chain = Chain::meet("mosquitto", first, &database, &broker.in_central_toml()).await;
    chain.charge().await;
    chain.nothing_is_lost_or_there_twice().await;

    // Only the process that has the site's desk can ask its station; the other says so at once.
    let (status, detail) = chain.curve_by(&chain.second).await;
    assert_eq!(status, 503, "{detail}");
    assert!(
        detail.contains("another process of head office has its desk"),
        "{detail}"
    );
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (status, detail) = chain.curve_by(&chain.first).await;
        if status == 200 {
            break;
        }
        assert!(Instant::now() < deadline, "{status} {detail}");
    }

    chain.killed_while_batches_are_on_their_way().await;
    chain.charge().await;
    chain.charge().await;
    chain.nothing_is_lost_or_there_twice().await;
    assert!(chain.second.log().contains("this process has the site's desk"));

    // And the broker itself, with what it remembered: head office has it all, and nothing is on its way.
    chain.first.start_again().await.unwrap();
    broker.kill();
    chain.charge().await;
    broker.start_again();
    chain.charge().await;
    chain.nothing_is_lost_or_there_twice().await;

    // Once more, with what has not come through it yet.
    let (before, last) = chain.batches_are_on_their_way().await;
    broker.kill();
    chain.rest_arrives(before, last).await;
    chain.charge().await;
    broker.start_again();
    chain.charge().await;
    chain.nothing_is_lost_or_there_twice().await;
    chain.agent.terminate().await.unwrap();
    chain.second.terminate().await.unwrap();
    chain.first.terminate().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_three_rabbitmq_nodes_one_of_which_is_killed_everybody_comes_back_by_another() {
    let starting = tokio::task::spawn_blocking(|| (Cluster::start(), RabbitMq::start()));
    let (cluster, mut broker) = starting.await.unwrap();
    let database = cluster.new_database();
    // Sites are told of the first node and then the third, head office of the first and then the second: after the first is
    // gone they meet across the cluster.
    let of_central = |order| format!("[sites.broker]\naddress = {}\nplain = true\n", broker.addresses(order));
    let [of_first, of_second] = [of_central([0, 1, 2]), of_central([2, 1, 0])];
    let told = format!("[sites]\naddress = {}\n{of_first}", broker.addresses([0, 2, 1]));
    let first = first_process("rabbitmq", &database, &told).await;
    let mut chain = Chain::meet("rabbitmq", first, &database, &of_second).await;
    chain.charge().await;
    chain.nothing_is_lost_or_there_twice().await;
    says(&connected(&broker, 0), || chain.first.log()).await;
    assert!(
        chain
            .agent
            .log()
            .contains(&format!("head office at {}", broker.address(0)))
    );

    broker.kill(0);
    chain.charge().await;
    chain.charge().await;
    chain.nothing_is_lost_or_there_twice().await;
    // By whichever node is ready: one that has just lost another of its cluster may refuse for a while.
    let by_another = |log: String, word: &str| {
        let by = |node| log.contains(&format!("{word} at {}", broker.address(node)));
        if by(1) || by(2) { ANOTHER.to_owned() } else { log }
    };
    says(ANOTHER, || by_another(chain.first.log(), "connected to the broker")).await;
    says(ANOTHER, || by_another(chain.agent.log(), "connected to head office")).await;

    // A process that ends well lets its sites go at once.
    chain.first.terminate().await.unwrap();
    chain.charge().await;
    chain.nothing_is_lost_or_there_twice().await;
    assert!(chain.second.log().contains("this process has the site's desk"));
    chain.agent.terminate().await.unwrap();
    chain.second.terminate().await.unwrap();
}

/// What is said where a log tells of a node that lives.
const ANOTHER: &str = "connected by another node";

fn connected(broker: &RabbitMq, node: usize) -> String {
    format!("connected to the broker at {}", broker.address(node))
}
