//! The journal feed: on the Unix socket only, byte for byte, waiting for news if asked to.

use crate::bench::Bench;
use base64::{Engine, engine::general_purpose::STANDARD};
use domain::journal::{Entry, Hash};
use serde_json::json;
use service::client::{Call, Client};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hash_of_the_feed_follows_from_the_one_before() {
    let bench = Bench::new().await;
    bench.flat_tariff().await;
    bench.member("m1", "100.00").await;
    bench.pile("P1").await;
    let id = bench.charge("m1", "P1", "20.00").await;
    bench.record("P1", &id, "101.0000").await;
    let (mut seq, mut hash) = (0, Hash::GENESIS);
    let head = loop {
        let page = bench
            .local("GET", &format!("/v1/journal?after={seq}&limit=3"))
            .await
            .expect(200);
        assert_eq!(page["after_hash"], hash.to_string());
        assert_eq!(page["epoch"], json!(bench.station.store.identity().epoch));
        let entries = page["entries"].as_array().unwrap();
        // A page ends with a step of the station, which may be longer.
        assert!(entries.len() <= 16);
        assert_eq!(page["signature"].is_null(), entries.is_empty());
        for entry in entries {
            let bytes = STANDARD.decode(entry["bytes"].as_str().unwrap()).unwrap();
            hash = Hash::seal(&hash, &bytes);
            seq += 1;
            assert_eq!(
                (entry["seq"].as_u64(), entry["hash"].as_str()),
                (Some(seq), Some(&*hash.to_string()))
            );
            assert_eq!(Entry::from_bytes(&bytes).unwrap().stamp.seq, seq);
        }
        if entries.is_empty() {
            break page["head"].clone();
        }
    };
    assert_eq!(head, json!({ "seq": seq, "hash": hash.to_string() }));
    assert!(seq > 10);
    let beyond = bench
        .local("GET", &format!("/v1/journal?after={}", seq + 5))
        .await
        .expect(200);
    assert_eq!((&beyond["after_hash"], &beyond["entries"]), (&json!(null), &json!([])));
    bench
        .local("GET", "/v1/journal?wait_s=61")
        .await
        .problem(400, "invalid-url");
    bench
        .local("GET", "/v1/journal?limit=1001")
        .await
        .problem(400, "invalid-url");
    bench.get("/v1/journal").await.problem(403, "socket-only");
    // What writes a file, and what lets the journal be pruned, is for this machine alone.
    let place = json!({ "epoch": "x", "seq": 1, "hash": "00" });
    let acknowledged = bench.put("/v1/journal/acknowledged", &place).await;
    acknowledged.problem(403, "socket-only");
    let file = json!({ "file": "/tmp/never.redb" });
    bench.put("/v1/backup", &file).await.problem(403, "socket-only");
}

/// Comes back once a request waits for the next entry.
async fn somebody_waits(bench: &Bench) {
    while bench.station.journal_followers() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_waits_for_the_next_entry() {
    let bench = Bench::new().await;
    bench.flat_tariff().await;
    let head = bench.local("GET", "/v1/journal").await.expect(200)["head"]["seq"]
        .as_u64()
        .unwrap();
    let path = format!("/v1/journal?after={head}&wait_s=60");
    let (page, ()) = tokio::join!(bench.local("GET", &path), async {
        somebody_waits(&bench).await;
        bench.put("/v1/members/m1", &json!({ "name": "" })).await.expect(200);
    });
    // Whoever waits to the end gets nothing: this came as soon as it was there.
    assert_eq!(page.expect(200)["entries"][0]["seq"], head + 1);
    let begun = Instant::now();
    let path = format!("/v1/journal?after={}&wait_s=1", head + 1);
    let nothing = bench.local("GET", &path).await.expect(200);
    assert_eq!(nothing["entries"], json!([]));
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_who_waits_keeps_the_station_from_ending() {
    let bench = Bench::new().await;
    let socket = bench.socket.clone();
    let waiting = tokio::spawn(async move {
        let station = Client::at_socket(socket).within(Duration::from_secs(300));
        let answer = station.ask(Call::get("/v1/journal?wait_s=60")).await;
        answer.map(|answer| answer.status)
    });
    somebody_waits(&bench).await;
    let socket = bench.socket.clone();
    assert!(bench.stop().await.iter().all(Result::is_ok));
    // Whoever waits after all is cut off when the servers have waited long enough, and gets no answer.
    assert_eq!(waiting.await.unwrap().unwrap(), 200);
    assert!(!socket.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_set_up_is_journaled_with_who_did_it() {
    let bench = Bench::new().await;
    let owner = bench.token("owner", "admin").await;
    let ask = async |method: &str, path: &str, body: Option<&str>| {
        let (token, key) = (format!("Bearer {owner}"), bench.key());
        let headers = [
            ("authorization", &*token),
            ("content-type", "application/json"),
            ("idempotency-key", &*key),
        ];
        let reply = bench.raw(method, path, &headers, body).await;
        assert!((200..300).contains(&reply.status), "{path}: {}", reply.text);
    };
    let prices = crate::bench::tariff("t7", "2026-01-01T00:00:00+08:00").to_string();
    ask("PUT", "/v1/tariffs/t7", Some(&prices)).await;
    ask("POST", "/v1/piles", Some(r#"{"id":"P7"}"#)).await;
    ask("PUT", "/v1/members/m7", Some(r#"{"name":"seven"}"#)).await;
    ask("PUT", "/v1/cards/C7", Some(r#"{"member":"m7"}"#)).await;
    ask("DELETE", "/v1/cards/C7", None).await;
    let page = bench.local("GET", "/v1/journal").await.expect(200);
    let entries = page["entries"].as_array().unwrap().iter();
    let facts = entries.filter_map(|entry| {
        let bytes = STANDARD.decode(entry["bytes"].as_str().unwrap()).unwrap();
        let entry: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let (kind, body) = entry["fact"].as_object().unwrap().iter().next().unwrap();
        Some((kind.clone(), body.get("by")?.as_str()?.to_owned()))
    });
    let named: Vec<String> = facts.filter(|(_, by)| by == "owner").map(|(kind, _)| kind).collect();
    let kinds = [
        "TariffAdded",
        "PileProvisioned",
        "MemberRegistered",
        "CardBound",
        "CardUnbound",
    ];
    assert_eq!(named, kinds);
}
