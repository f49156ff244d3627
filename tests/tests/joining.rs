//! A real station that has run for months before it gets a head office: it joins with its opening, which two people take.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

#[path = "office/books.rs"]
mod books;

use books::{PATIENCE, books_are_equal, charge, database};
use central::store::Place;
use serde_json::json;
use service::client::{Call, Client};
use std::time::{Duration, Instant};
use world::{
    head_office::HeadOfficeProcess,
    history,
    station::{SITE, Setup, StationProcess},
};

const DAY_MS: i64 = 86_400_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_station_that_has_forgotten_its_first_entries_joins_with_its_opening() {
    let setup = history::setup();
    let start = setup.clock_start.unwrap();
    let setup = Setup {
        policy: "[retention]\ndays = 35\n".to_owned(),
        ..setup
    };
    let mut station = StationProcess::start("joining", &setup).await.unwrap();
    station.add_member("anna", "100.00").await.unwrap();
    let pile_secret = station.add_pile("P1").await.unwrap();
    let mut pile = history::boot(&station, "P1", &pile_secret).await.unwrap();
    charge(&station, &mut pile, "P1", history::REGISTER, "1001.0000").await;
    drop(pile);
    // Months later the first entries are gone.
    for days in [40, 80] {
        assert!(station.terminate().await.unwrap());
        station.set_clock(start.after_ms(days * DAY_MS));
        station.start_again().await.unwrap();
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = station.get("/v1/station").await.unwrap().success().unwrap();
        if seen["journal_begins_after"]["seq"].as_u64() > Some(0) {
            break;
        }
        assert!(Instant::now() < deadline, "{seen}\n{}", station.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    let head_office = HeadOfficeProcess::start("joining-office").await.unwrap();
    let agent = head_office.join(&mut station, SITE).await.unwrap();
    let db = database(Place::File(head_office.database())).await;
    let file = station.folder().join("data/joining.opening");
    let file = file.to_str().unwrap();
    let said = station.cli(&["opening", file]).unwrap();
    assert!(said.contains("rows after entry"), "{said}");
    let again = station.cli(&["opening", file]).unwrap_err().to_string();
    assert!(again.contains("joining.opening"), "{again}");

    // Cars go on charging until it is approved.
    let mut pile = history::boot_at(&station, "P1", &pile_secret, "1001.0000")
        .await
        .unwrap();
    charge(&station, &mut pile, "P1", "1001.0000", "1002.0000").await;
    let proposed = head_office.cli(&["site", "opening", SITE, file, "--reason", "it runs since spring"]);
    let proposed = proposed.unwrap();
    assert!(
        proposed.contains("allowance") && proposed.contains("members"),
        "{proposed}"
    );
    let alone = head_office
        .cli(&["site", "opening", SITE, "--approve"])
        .unwrap_err()
        .to_string();
    assert!(alone.contains("another person has to approve it"), "{alone}");
    let token = json!({ "name": "second", "roles": ["admin"] });
    let socket = Client::at_socket(head_office.socket());
    let call = Call::post("/v1/tokens", "key-1").json(&token).unwrap();
    let made: serde_json::Value = socket.read(call).await.unwrap();
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let call = Call::put(format!("/v1/sites/{SITE}/opening/approval")).header("authorization", &bearer);
    let approved = Client::at_address(head_office.http)
        .ask(call.json(&json!({})).unwrap())
        .await;
    assert_eq!(approved.unwrap().status, 204);

    books_are_equal(&station, &db).await;
    charge(&station, &mut pile, "P1", "1002.0000", "1003.0000").await;
    books_are_equal(&station, &db).await;
    for command in [
        ["replica", "verify", SITE],
        ["journal", "verify", SITE],
        ["ledger", "check", SITE],
    ] {
        let right = head_office.cli(&command);
        assert!(right.is_ok(), "{right:?}");
    }
    let status = agent.cli(&["status"]).unwrap();
    assert!(status.contains("following"), "{status}");
}
