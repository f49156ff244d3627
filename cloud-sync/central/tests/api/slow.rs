//! What is answered, and what is refused, while the database has its hands full.

use crate::office::{Office, Reply, Somebody};
use central::store::{StoreError, Tx};
use futures_util::future::Either;
use serde_json::json;
use service::tls::client::ClientKey;
use std::{
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};
use tokio::task::JoinHandle;

/// Holds whoever comes until it is opened.
#[derive(Default)]
struct Gate {
    held: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut held = self.held.lock().unwrap();
        held.0 += 1;
        let _open = self.changed.wait_while(held, |(_, open)| !*open).unwrap();
    }

    fn held(&self) -> usize {
        self.held.lock().unwrap().0
    }

    fn open(&self) {
        self.held.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}

const LEDGER: &str = "/v1/ledger/verification";
/// As many connections read for people, and as many write.
const CONNECTIONS: usize = 4;

type Held = JoinHandle<Result<(), StoreError>>;

/// Fills all connections of a kind with work that waits at the gate.
async fn fill(
    gate: &Arc<Gate>,
    begin: impl Fn(Box<dyn FnOnce(&mut dyn Tx) -> Result<(), StoreError> + Send>) -> Held,
) -> Vec<Held> {
    let work = |_| {
        let gate = Arc::clone(gate);
        begin(Box::new(move |_| {
            gate.pass();
            Ok(())
        }))
    };
    let held = (0..CONNECTIONS).map(work).collect();
    while gate.held() < CONNECTIONS {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    held
}

/// Asks twice at once: one of both is refused, and the other waits.
async fn twice(office: &Arc<Office>, who: &Somebody) -> JoinHandle<Reply> {
    let ask = || {
        let (office, who) = (Arc::clone(office), who.clone());
        tokio::spawn(async move { office.get(&who, LEDGER).await })
    };
    let (refused, waits) = match futures_util::future::select(ask(), ask()).await {
        Either::Left((refused, waits)) | Either::Right((refused, waits)) => (refused.unwrap(), waits),
    };
    assert!(refused.headers.contains_key("retry-after"));
    let refused = refused.problem(429, "busy");
    assert!(refused["detail"].as_str().unwrap().contains("of yours"), "{refused}");
    waits
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_questions_that_take_long_a_caller_has_one_all_have_two_and_desks_do_not_wait_for_them() {
    let office = Arc::new(Office::postgresql().await);
    let callers = [
        office.machine("ann", &["finance_checker"]).await,
        office.machine("bob", &["finance_checker"]).await,
        office.machine("eve", &["finance_checker"]).await,
    ];
    let gate = Arc::<Gate>::default();
    let people = office.db.for_people();
    let held = fill(&gate, |work| {
        let db = people.clone();
        tokio::spawn(async move { db.read(work).await })
    });
    let held = held.await;
    // Desks read beside them, and so do logins.
    office.db.read(|_| Ok(())).await.unwrap();
    let waiting = [twice(&office, &callers[0]).await, twice(&office, &callers[1]).await];
    let refused = office.get(&callers[2], "/v1/ledger/export").await.problem(429, "busy");
    let words = refused["detail"].as_str().unwrap();
    assert!(words.contains("other questions"), "{words}");

    gate.open();
    for held in held {
        held.await.unwrap().unwrap();
    }
    for answered in waiting {
        assert_eq!(answered.await.unwrap().expect(200)["right"], true);
    }
    for who in &callers {
        office.get(who, LEDGER).await.expect(200);
    }
}

/// A stranger costs no write transaction, and a database that is busy writing answers them all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_does_not_count_waits_for_no_writer() {
    let office = Office::postgresql().await;
    let gate = Arc::<Gate>::default();
    let held = fill(&gate, |work| {
        let db = office.db.clone();
        tokio::spawn(async move { db.write(work).await })
    });
    let held = held.await;
    let agent = ClientKey::generate().unwrap().public();
    let body = json!({ "token": "x".repeat(43), "agent_key": agent.to_text(), "edge_key": "08".repeat(32) });
    let stranger = Somebody::default();
    let asked = office.ask(&stranger, "POST", "/v1/enrolments", Some(&body));
    let refused = tokio::time::timeout(Duration::from_secs(60), asked).await;
    gate.open();
    refused.expect("it waits for a writer").problem(403, "unknown-token");
    for held in held {
        held.await.unwrap().unwrap();
    }
}
