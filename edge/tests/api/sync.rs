//! The line to head office: what is believed of what comes over it, and what is not.

use crate::bench::{Bench, SITE};
use base64::{Engine, engine::general_purpose::STANDARD};
use domain::{
    ids::SiteId,
    journal::{Hash, Head},
    time::Wall,
};
use protocol::{
    frame::{Ack, Batch, HqEpoch, Nonce, Pong, State, Tail},
    key::{PublicKeys, Signature, SigningKey},
    pack::Packer,
};
use serde_json::{Value, json};

fn site() -> SiteId {
    SiteId::new(SITE).unwrap()
}

fn head_office() -> SigningKey {
    SigningKey::from_seed([1; 32])
}

fn ack(key: &SigningKey, state: State, head: Head, nonce: Nonce) -> Vec<u8> {
    let hq_epoch = HqEpoch([9; 16]);
    Ack {
        hq_epoch,
        state,
        head,
        nonce,
    }
    .to_bytes(&site(), key)
}

fn head_of(page: &Value) -> Head {
    Head {
        seq: page["seq"].as_u64().unwrap(),
        hash: page["hash"].as_str().unwrap().parse().unwrap(),
    }
}

fn nonce_of(answer: &Value) -> Nonce {
    Nonce::try_from(answer["nonce"].as_str().unwrap().to_owned()).unwrap()
}

async fn hello(bench: &Bench) -> Value {
    bench.on_sync("PUT", "/v1/sync/hello", &[]).await.expect(200)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_head_office_only_what_it_has_signed_is_acknowledged() {
    let bench = Bench::with_head_office(&head_office()).await;
    bench.flat_tariff().await;
    let said = hello(&bench).await;
    let head = head_of(&said["head"]);
    assert!(
        head.seq > 0 && said["acknowledged"].is_null() && said["recovering"] == false,
        "{said}"
    );
    assert!(
        said["waiting_since"].is_string() && said["hq_epoch"].is_null(),
        "{said}"
    );

    let unsigned = json!({ "epoch": said["epoch"], "seq": head.seq, "hash": head.hash.to_string() });
    let put = bench.put("/v1/journal/acknowledged", &unsigned).await;
    put.problem(403, "socket-only");
    let put = bench.local_put("/v1/journal/acknowledged", &unsigned).await;
    put.problem(409, "ack-not-signed");

    let good = ack(&head_office(), State::Following, head, Nonce::NONE);
    let strange = ack(&SigningKey::from_seed([3; 32]), State::Following, head, Nonce::NONE);
    bench
        .frame("/v1/sync/ack", strange)
        .await
        .problem(422, "frame-not-signed");
    for at in [4, 21, 40, good.len() - 1] {
        let mut forged = good.clone();
        forged[at] ^= 1;
        bench
            .frame("/v1/sync/ack", forged)
            .await
            .problem(422, "frame-not-signed");
    }
    let cut = good[..good.len() - 1].to_vec();
    bench.frame("/v1/sync/ack", cut).await.problem(422, "frame-malformed");
    bench
        .frame("/v1/sync/ack", Vec::new())
        .await
        .problem(422, "frame-malformed");
    bench
        .frame("/v1/sync/ack", vec![0; 2_000])
        .await
        .problem(413, "body-too-large");
    let other = Ack {
        hq_epoch: HqEpoch([9; 16]),
        state: State::Following,
        head,
        nonce: Nonce::NONE,
    };
    let other = other.to_bytes(&SiteId::new("another").unwrap(), &head_office());
    bench
        .frame("/v1/sync/ack", other)
        .await
        .problem(422, "frame-not-signed");
    assert!(hello(&bench).await["acknowledged"].is_null());

    // Two journals of one site.
    let fork = Head {
        seq: head.seq,
        hash: Hash([5; 32]),
    };
    let nonce = nonce_of(&hello(&bench).await);
    for nonce in [Nonce::NONE, nonce] {
        let fork = ack(&head_office(), State::Following, fork, nonce);
        bench.frame("/v1/sync/ack", fork).await.problem(409, "journal-fork");
    }
    // Of head office's life that follows the other journal the station knows nothing.
    assert!(hello(&bench).await["hq_epoch"].is_null());
    let forked = ack(&head_office(), State::Forked, head, Nonce::NONE);
    let answer = bench.frame("/v1/sync/ack", forked).await.expect(200);
    assert!(
        answer["state"] == "forked" && answer["acknowledged"].is_null(),
        "{answer}"
    );

    let answer = bench.frame("/v1/sync/ack", good.clone()).await.expect(200);
    assert_eq!(head_of(&answer["acknowledged"]), head);
    // An old one that comes once more takes nothing back.
    bench.put("/v1/members/m1", &json!({ "name": "" })).await.expect(200);
    // The first answer to a hello says which life of head office the station goes by: an entry of its own.
    let first = hello(&bench).await;
    let seen = ack(
        &head_office(),
        State::Following,
        head_of(&first["head"]),
        nonce_of(&first),
    );
    bench.frame("/v1/sync/ack", seen).await.expect(200);
    let further = head_of(&hello(&bench).await["head"]);
    assert_eq!(further.seq, head_of(&first["head"]).seq + 1);
    let nonce = nonce_of(&hello(&bench).await);
    let answered = ack(&head_office(), State::Following, further, nonce);
    bench.frame("/v1/sync/ack", answered.clone()).await.expect(200);
    let answer = bench.frame("/v1/sync/ack", good).await.expect(200);
    assert_eq!(head_of(&answer["acknowledged"]), further);
    let said = hello(&bench).await;
    assert!(said["waiting_since"].is_null(), "{said}");
    assert_eq!(said["hq_epoch"], HqEpoch([9; 16]).to_string());
    bench.frame("/v1/sync/ack", answered).await.problem(409, "answer-stale");
}

/// Otherwise an old acknowledgement that a broker sends once more would set it back, and the next hello would name a life of head
/// office's that nobody there knows any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_answers_the_latest_hello_says_which_life_of_head_office_it_is() {
    let bench = Bench::with_head_office(&head_office()).await;
    bench.flat_tariff().await;
    let said = hello(&bench).await;
    let head = head_of(&said["head"]);
    let of_life = |life: u8, nonce: Nonce| {
        let hq_epoch = HqEpoch([life; 16]);
        let state = State::Following;
        Ack {
            hq_epoch,
            state,
            head,
            nonce,
        }
        .to_bytes(&site(), &head_office())
    };
    bench.frame("/v1/sync/ack", of_life(1, Nonce::NONE)).await.expect(200);
    let said = hello(&bench).await;
    assert!(said["acknowledged"].is_object() && said["hq_epoch"].is_null(), "{said}");
    let answer = of_life(2, nonce_of(&said));
    bench.frame("/v1/sync/ack", answer).await.expect(200);
    bench.frame("/v1/sync/ack", of_life(1, Nonce::NONE)).await.expect(200);
    assert_eq!(hello(&bench).await["hq_epoch"], HqEpoch([2; 16]).to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feed_signs_the_place_of_the_last_entry_of_each_page() {
    let bench = Bench::with_head_office(&head_office()).await;
    bench.flat_tariff().await;
    let key = hello(&bench).await["key"].as_str().unwrap().parse().unwrap();
    let page = bench.on_sync("GET", "/v1/journal", &[]).await.expect(200);
    let last = page["entries"].as_array().unwrap().last().unwrap();
    let signature = STANDARD.decode(page["signature"].as_str().unwrap()).unwrap();
    let signature = Signature(signature.try_into().unwrap());
    let entries: Vec<Vec<u8>> = page["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| STANDARD.decode(entry["bytes"].as_str().unwrap()).unwrap())
        .collect();
    let batch = Batch::pack(Head::START, &entries, signature, &mut Packer::new()).unwrap();
    let unpacked = batch.unpack().unwrap();
    assert_eq!(unpacked.head(), head_of(last));
    assert_eq!(batch.verify(&site(), &unpacked, &PublicKeys(vec![key])).unwrap(), key);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_2_head_offices_time_bounds_the_clock_by_the_answer_to_the_latest_ping_alone() {
    let bench = Bench::with_head_office(&head_office()).await;
    let late = Wall::parse("2027-03-01T10:00:00+08:00").unwrap();
    let pong = |nonce| Pong { nonce, now: late }.to_bytes(&site(), &head_office());
    let ping = async || nonce_of(&bench.on_sync("PUT", "/v1/sync/ping", &[]).await.expect(200));
    let doubted = async || !bench.get("/v1/station").await.expect(200)["clock"]["doubted_since"].is_null();

    bench
        .frame("/v1/sync/pong", pong(Nonce::NONE))
        .await
        .problem(409, "answer-stale");
    let (old, latest) = (ping().await, ping().await);
    bench
        .frame("/v1/sync/pong", pong(old))
        .await
        .problem(409, "answer-stale");
    let strange = Pong {
        nonce: latest,
        now: late,
    };
    let strange = strange.to_bytes(&site(), &SigningKey::from_seed([3; 32]));
    bench
        .frame("/v1/sync/pong", strange)
        .await
        .problem(422, "frame-not-signed");
    assert!(!doubted().await);
    bench.station.clock.advance(40);
    let time = bench.frame("/v1/sync/pong", pong(latest)).await.expect(200);
    assert_eq!(time["error_ms"], 20);
    assert!(doubted().await, "it shows a year less than is certain");
    bench
        .frame("/v1/sync/pong", pong(latest))
        .await
        .problem(409, "answer-stale");
}

/// Its time bounds a station's clock from below alone (rule 2): ten years behind says nothing, ten years ahead puts the clock in doubt
/// until a person looks, and the station goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_office_whose_clock_is_years_off_puts_a_station_in_doubt_at_most() {
    let bench = Bench::with_head_office(&head_office()).await;
    bench.flat_tariff().await;
    let heard = async |at: &str| {
        let nonce = nonce_of(&bench.on_sync("PUT", "/v1/sync/ping", &[]).await.expect(200));
        let now = Wall::parse(at).unwrap();
        let pong = Pong { nonce, now }.to_bytes(&site(), &head_office());
        bench.frame("/v1/sync/pong", pong).await.expect(200);
        let shown = bench.get("/v1/station").await.expect(200);
        !shown["clock"]["doubted_since"].is_null()
    };
    let shows = bench.get("/v1/station").await.expect(200)["clock"]["wall"].clone();
    let shows = shows.as_str().unwrap();
    assert!(!heard("2016-03-01T10:00:00+08:00").await, "ten years behind {shows}");
    assert!(heard("2036-03-01T10:00:00+08:00").await, "ten years ahead of {shows}");
    // What it says later does not tell which of both was right.
    assert!(heard(shows).await);
    bench.put("/v1/members/m1", &json!({ "name": "" })).await.expect(200);
    bench.post("/v1/station/clock-confirmed", &json!({})).await.expect(200);
    assert!(!heard(shows).await, "a person has looked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_station_that_is_not_recovering_takes_no_tail_and_works_alone_without_a_key() {
    let bench = Bench::with_head_office(&head_office()).await;
    let batch = Batch::pack(
        Head::START,
        &[b"{}".to_vec()],
        Batch::sign(&site(), Head::START, &head_office()),
        &mut Packer::new(),
    );
    let tail = Tail(batch.unwrap()).to_bytes(&site(), &head_office());
    bench
        .frame("/v1/sync/tail", tail.clone())
        .await
        .problem(409, "not-recovering");
    let alone = json!({ "reason": "no line" });
    bench
        .local_put("/v1/recovery/alone", &alone)
        .await
        .problem(409, "not-recovering");

    let bench = Bench::new().await;
    let said = hello(&bench).await;
    for (path, frame) in [
        (
            "/v1/sync/ack",
            ack(&head_office(), State::Following, head_of(&said["head"]), Nonce::NONE),
        ),
        ("/v1/sync/tail", tail),
    ] {
        bench.frame(path, frame).await.problem(409, "no-head-office");
    }
}
