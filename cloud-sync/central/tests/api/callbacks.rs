//! Callbacks that a channel has not signed: some are kept for people, and whoever sends many hides nothing and holds up nobody.

use crate::{
    cluster::Folder,
    office::{BEGIN, Office, Somebody},
};
use central::store::callbacks::{self, Heard, UNSIGNED_MAX, UNSIGNED_OF_ADDRESS_MAX};
use serde_json::{Value, json};
use std::time::Duration;

const PATH: &str = "/v1/channels/wechat/callbacks";

async fn open(office: &Office) {
    let body = json!({
        "signs": "standard_webhooks", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "merchant": "1900000001", "fee_ppm": 6_000,
    });
    office
        .local("PUT", "/v1/channels/wechat", Some(&body))
        .await
        .expect(200);
}

/// So many were kept before, from this address.
async fn kept(office: &Office, address: &str, count: u64, is_signed: bool) {
    let heard = |n: u64| Heard {
        id: format!("{address}-{is_signed}-{n}"),
        channel: "wechat".to_owned(),
        at: BEGIN,
        address: Some(address.to_owned()),
        headers: "{}".to_owned(),
        body: b"before".to_vec(),
        is_signed,
        reference: None,
        transaction: None,
        status: 401,
        outcome: "not_signed".to_owned(),
        why: None,
    };
    let all: Vec<Heard> = (0..count).map(heard).collect();
    office.db.write(move |tx| callbacks::add_all(tx, &all)).await.unwrap();
}

/// Somebody calls from this machine, unsigned; how many of theirs are kept.
async fn calls(office: &Office) -> usize {
    let body = json!({ "status": "paid" });
    let stranger = Somebody::default();
    office
        .ask(&stranger, "POST", PATH, Some(&body))
        .await
        .problem(401, "not-signed");
    let finance = office
        .local("GET", &format!("{PATH}?signed=false&limit=200"), None)
        .await;
    let all = finance.expect(200);
    let text = body.to_string();
    let is_theirs = |of: &&Value| of["body"].as_str() == Some(text.as_str());
    all["items"].as_array().unwrap().iter().filter(is_theirs).count()
}

pub(crate) async fn unsigned_callbacks_are_kept_by_address_so_that_a_stranger_hides_nobodys(office: Office) {
    open(&office).await;
    kept(&office, "203.0.113.9", UNSIGNED_OF_ADDRESS_MAX, false).await;
    assert_eq!(
        calls(&office).await,
        1,
        "one address has as many as it may, others have room"
    );
    for n in 1..UNSIGNED_MAX / UNSIGNED_OF_ADDRESS_MAX {
        kept(&office, &format!("203.0.113.{n}"), UNSIGNED_OF_ADDRESS_MAX, false).await;
    }
    assert_eq!(
        calls(&office).await,
        1,
        "many addresses have filled the room of the channel"
    );
    kept(&office, "127.0.0.1", 1, true).await;
    assert_eq!(
        calls(&office).await,
        2,
        "from here the channel has signed something: its own are kept"
    );
    kept(&office, "127.0.0.1", UNSIGNED_OF_ADDRESS_MAX - 2, false).await;
    assert_eq!(calls(&office).await, 2, "as many as an address may");
    office.pass(3_600_001);
    assert_eq!(calls(&office).await, 3, "an hour later there is room again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unsigned_callback_beyond_the_bound_does_not_wait_for_the_databases_writer() {
    let folder = Folder::new("central-api-callbacks");
    let office = Office::in_file(folder.path().join("central.sqlite")).await;
    open(&office).await;
    kept(&office, "127.0.0.1", UNSIGNED_OF_ADDRESS_MAX, false).await;
    // Somebody writes, for as long as the callback takes.
    let (begun, has_begun) = std::sync::mpsc::channel();
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let db = office.db.clone();
    let writes = tokio::spawn(async move {
        db.write(move |tx| {
            tx.execute("UPDATE head_office SET frozen = frozen", &[])?;
            begun.send(()).unwrap();
            // Ends with the test, whatever becomes of it.
            let _ended = is_done.recv();
            Ok(())
        })
        .await
    });
    let has_begun = tokio::task::spawn_blocking(move || has_begun.recv());
    has_begun.await.unwrap().unwrap();
    let stranger = Somebody::default();
    let body = json!({ "status": "paid" });
    let called = office.ask(&stranger, "POST", PATH, Some(&body));
    let answer = tokio::time::timeout(Duration::from_secs(60), called).await;
    answer
        .expect("it is answered while somebody else writes")
        .problem(401, "not-signed");
    drop(done);
    writes.await.unwrap().unwrap();
}
