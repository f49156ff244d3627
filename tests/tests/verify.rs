//! `journal verify` on the real daemon and on copies of its database: what was changed is found, and so is an end that was
//! cut off, by whoever knows where it was.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use domain::order::State;
use hyper::Method;
use serde_json::{Value, json};
use std::fs;
use world::{
    history,
    station::{Answer, StationProcess},
};

fn head_of(said: &str) -> String {
    said.trim().rsplit_once("head ").unwrap().1.to_owned()
}

async fn acknowledge(station: &StationProcess, epoch: &Value, seq: &Value, hash: &Value) -> Answer {
    let body = json!({ "epoch": epoch, "seq": seq, "hash": hash });
    station
        .ask(Method::PUT, "/v1/journal/acknowledged", Some(&body), None)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_journal_that_was_cut_back_is_found_by_who_knows_its_end() {
    let mut station = StationProcess::start("cut-back", &history::setup()).await.unwrap();
    let mut history = history::play(&station).await.unwrap();
    let early = station.database().with_file_name("early.redb");
    station.cli(&["backup", early.to_str().unwrap()]).unwrap();
    let order = history.orders[&State::Charging].clone();
    let pile = history.piles.get_mut("P4").unwrap();
    history::record(pile, &order, history::REGISTER, "1004.0000")
        .await
        .unwrap();
    drop(history);
    let said = station.cli(&["journal", "verify"]).unwrap();
    let end = head_of(&said);
    assert!(said.contains("none is acknowledged"), "{said}");
    assert!(station.terminate().await.unwrap());

    // Somebody puts an old copy in the place of the database, by hand: it is whole in itself.
    let whole = fs::read(station.database()).unwrap();
    fs::copy(&early, station.database()).unwrap();
    station.start_again().await.unwrap();
    station.cli(&["journal", "verify"]).unwrap();
    let said = station
        .cli(&["journal", "verify", "--head", &end])
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("the end of it is missing") && said.contains("holdfast-edge restore"),
        "{said}"
    );
    // And goes on, so that there are as many entries, but others.
    for n in 0..60 {
        station.add_member(&format!("new-{n}"), "0.00").await.unwrap();
    }
    let said = station
        .cli(&["journal", "verify", "--head", &end])
        .unwrap_err()
        .to_string();
    assert!(said.contains("is another than the one that was there"), "{said}");
    assert!(station.terminate().await.unwrap());
    let copy = station.database().with_file_name("copy.redb");
    fs::write(&copy, &whole).unwrap();
    for (file, fits) in [(&copy, true), (&early, false)] {
        let words = [
            "journal",
            "verify",
            "--head",
            &end,
            "--database",
            file.to_str().unwrap(),
        ];
        assert_eq!(station.offline(&words).is_ok(), fits, "{}", file.display());
    }
    let said = station
        .offline(&["journal", "verify", "--head", "57"])
        .unwrap_err()
        .to_string();
    assert!(said.contains("a colon and its hash"), "{said}");
}

#[tokio::test]
async fn what_head_office_acknowledged_is_kept_shown_and_looked_for() {
    let mut station = StationProcess::start("acknowledged", &history::setup()).await.unwrap();
    let _piles = history::play(&station).await.unwrap();
    let page = station.get("/v1/journal?limit=20").await.unwrap().success().unwrap();
    assert_eq!(page["acknowledged"], Value::Null);
    assert_eq!(page["begins_after"]["seq"], 0);
    let epoch = &page["epoch"];
    let (tenth, last) = (&page["entries"][9], &page["entries"][19]);

    let forked = acknowledge(&station, epoch, &tenth["seq"], &last["hash"]).await;
    assert_eq!(
        (forked.status, &forked.body["type"]),
        (409, &json!("urn:holdfast:problem:journal-fork"))
    );
    assert!(
        forked.body["detail"].as_str().unwrap().contains("a person has to look"),
        "{forked:?}"
    );
    let beyond = acknowledge(&station, epoch, &json!(10_000), &last["hash"]).await;
    assert_eq!(
        (beyond.status, &beyond.body["type"]),
        (409, &json!("urn:holdfast:problem:journal-fork"))
    );
    let other = acknowledge(&station, &json!("0123"), &tenth["seq"], &tenth["hash"]).await;
    assert_eq!(
        (other.status, &other.body["type"]),
        (409, &json!("urn:holdfast:problem:other-epoch"))
    );
    let unread = acknowledge(&station, epoch, &tenth["seq"], &json!("abc")).await;
    assert_eq!(unread.status, 422, "{unread:?}");
    let seen = station.get("/v1/station").await.unwrap().success().unwrap();
    assert_eq!(seen["acknowledged"], Value::Null, "nothing of that counts");

    for entry in [last, tenth, last] {
        let place = acknowledge(&station, epoch, &entry["seq"], &entry["hash"])
            .await
            .expect(200)
            .unwrap();
        assert_eq!(
            place["seq"], 20,
            "the furthest counts, however often and late others come"
        );
    }
    station.kill().unwrap();
    station.start_again().await.unwrap();
    let seen = station.get("/v1/station").await.unwrap().success().unwrap();
    assert_eq!(
        seen["acknowledged"],
        json!({ "seq": 20, "hash": last["hash"] }),
        "it was on disk when it was answered"
    );
    let status = station.cli(&["status"]).unwrap();
    assert!(status.contains("acknowledged up to entry 20"), "{status}");
    let said = station.cli(&["journal", "verify"]).unwrap();
    assert!(said.contains("acknowledged up to entry 20"), "{said}");
}
