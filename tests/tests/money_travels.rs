//! Money of a wallet at a real head office, a real station that spends it, and the line between them: an order through head office from
//! the phone to the pile and back, and a voucher while the line is cut. The station's own clock is years off. The mini-program's back end
//! is told of what happens to the order, although it was away at first.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use axum::{Router, extract::State as Of, http::HeaderMap, routing::post};
use central::webhook::Secret;
use domain::{
    order::State,
    topics::{DownKind, UpKind},
};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::net::TcpListener;
use world::{
    back_end,
    head_office::HeadOfficeProcess,
    history,
    station::{SITE, StationProcess},
};

/// Of no matter unless something never happens.
const PATIENCE: Duration = Duration::from_secs(300);

async fn told(office: &HeadOfficeProcess, method: Method, path: &str, body: &Value) -> Value {
    back_end::told(office, method, path, body).await.unwrap()
}

async fn once(office: &HeadOfficeProcess, path: &str, is: impl Fn(&Value) -> bool) -> Value {
    back_end::once(office, path, PATIENCE, is).await.unwrap()
}

fn yuan(value: &Value) -> domain::units::Fen {
    back_end::yuan(value).unwrap()
}

/// What head office and the back end both have.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The mini-program's back end, as far as it is told: it cannot keep the first that comes.
#[derive(Clone, Default)]
struct BackEnd(Arc<Mutex<Vec<(HeaderMap, String)>>>);

impl BackEnd {
    /// Where it listens.
    async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let server = Router::new()
            .route("/events", post(Self::hear))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, server).await.unwrap() });
        at
    }

    async fn hear(Of(this): Of<Self>, headers: HeaderMap, body: String) -> StatusCode {
        let mut heard = this.0.lock().unwrap();
        heard.push((headers, body));
        match heard.len() {
            1 => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::NO_CONTENT,
        }
    }

    /// The events of an order, once this is among them: each with its id, as it came. All of them are signed.
    async fn told(&self, order: &str, kind: &str) -> Vec<(String, String)> {
        let begun = Instant::now();
        loop {
            let heard = self.0.lock().unwrap().clone();
            let mut events = Vec::new();
            for (headers, body) in heard {
                let header = |name: &str| headers[name].to_str().unwrap().to_owned();
                let (id, at_s) = (header("webhook-id"), header("webhook-timestamp").parse().unwrap());
                let secret = Secret::of_text(SECRET).unwrap();
                assert!(secret.has_signed(&header("webhook-signature"), &id, at_s, body.as_bytes()));
                let event: Value = serde_json::from_str(&body).unwrap();
                if event["data"]["body"]["order"] == order {
                    events.push((id, event["type"].as_str().unwrap().to_owned()));
                }
            }
            if events.iter().any(|(_, of)| of == kind) {
                return events;
            }
            assert!(begun.elapsed() < PATIENCE, "{events:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_pays_for_an_order_at_a_station_and_carries_money_over_a_line_that_is_cut() {
    let back_end_of_drivers = BackEnd::default();
    let more = format!(
        "[mini_program.webhook]\nurl = \"http://{}/events\"\nsecret_file = \"secret\"\nallow_private = true",
        back_end_of_drivers.listen().await
    );
    let mut office = HeadOfficeProcess::with_sites("money-travels-office", &more).unwrap();
    std::fs::write(office.folder().join("secret"), SECRET).unwrap();
    office.start_again().await.unwrap();
    let mut station = StationProcess::start("money-travels", &history::setup()).await.unwrap();
    let mut agent = office.join(&mut station, SITE).await.unwrap();
    let secret = station.add_pile("P1").await.unwrap();
    let mut pile = history::boot(&station, "P1", &secret).await.unwrap();
    back_end::open_channel(&office).await.unwrap();
    back_end::add_member(&office, "wang", "Wang").await.unwrap();
    back_end::top_up(&office, "wang", "100.00").await.unwrap();

    once(&office, &format!("/v1/stations/{SITE}"), |shown| {
        shown["online"] == true
    })
    .await;
    // The phone says where, head office sends the money and the order along.
    history::report(&mut pile, "plugged", None, history::REGISTER)
        .await
        .unwrap();
    let wish = json!({ "site": SITE, "member": "wang", "pile": "P1", "connector": 1, "prepay": "30.00" });
    let placed = told(&office, Method::POST, "/v1/orders", &wish).await;
    let order = placed["order"].as_str().unwrap().to_owned();
    let start = pile.hear(DownKind::Command).await.unwrap();
    assert_eq!(start["order_id"], json!(order), "{start}");
    let reply = json!({ "command_id": start["command_id"], "ok": true });
    pile.say(UpKind::Reply, &reply).await.unwrap();
    history::report(&mut pile, "charging", Some(&order), history::REGISTER)
        .await
        .unwrap();
    once(&office, &format!("/v1/orders/{order}"), |shown| {
        shown["state"] == "placed"
    })
    .await;
    let wallet = office
        .get("/v1/members/wang/wallet")
        .await
        .unwrap()
        .read::<Value>()
        .unwrap();
    assert_eq!(wallet["balance"], "70.00");
    history::record(&mut pile, &order, history::REGISTER, "1005.0000")
        .await
        .unwrap();
    let settled = station.wait_for_order(&order, State::Payed, PATIENCE).await.unwrap();
    let fee = yuan(&settled["bill"]["fee"]);
    let left = "100.00".parse::<domain::units::Fen>().unwrap() - fee;
    let path = "/v1/members/wang/wallet";
    once(&office, path, |shown| {
        yuan(&shown["balance"]) == left && shown["on_road"] == json!([])
    })
    .await;

    // Each step comes to the back end in its order; the first, which it could not keep, once more.
    let mut events = back_end_of_drivers.told(&order, "inbox.settled").await;
    let first = events.remove(0);
    assert_eq!(first, events[0], "{events:?}");
    // Any of them may come twice, where the answer took too long.
    events.dedup();
    let kinds: Vec<&str> = events.iter().map(|(_, kind)| kind.as_str()).collect();
    let steps = ["order_placed", "charging_started", "charging_ended", "settled"];
    assert_eq!(kinds, steps.map(|step| format!("inbox.{step}")), "{events:?}");

    // The line is cut: the driver carries the money.
    agent.terminate().await.unwrap();
    let voucher = json!({ "site": SITE, "amount": "20.00", "hours": 2 });
    let voucher = told(&office, Method::POST, "/v1/members/wang/vouchers", &voucher).await;
    let shown = json!({ "voucher": voucher["text"] });
    station.post("/v1/vouchers", &shown).await.unwrap().success().unwrap();
    station.post("/v1/vouchers", &shown).await.unwrap().success().unwrap();
    let member = station.get("/v1/members/wang").await.unwrap().success().unwrap();
    assert_eq!(member["allowance"], "20.00", "{member}");
    history::report(&mut pile, "plugged", None, "1005.0000").await.unwrap();
    let order = station.place("wang", "P1", "20.00").await.unwrap();
    let start = pile.hear(DownKind::Command).await.unwrap();
    let reply = json!({ "command_id": start["command_id"], "ok": true });
    pile.say(UpKind::Reply, &reply).await.unwrap();
    history::report(&mut pile, "charging", Some(&order), "1005.0000")
        .await
        .unwrap();
    history::record(&mut pile, &order, "1005.0000", "1006.0000")
        .await
        .unwrap();
    station.wait_for_order(&order, State::Payed, PATIENCE).await.unwrap();
    let wallet = office.get(path).await.unwrap().read::<Value>().unwrap();
    assert_eq!(
        wallet["on_road"][0]["kind"], "voucher",
        "head office does not know: {wallet}"
    );

    agent.start().await.unwrap();
    let wallet = once(&office, path, |shown| shown["on_road"] == json!([])).await;
    assert_eq!(yuan(&wallet["balance"]), left - "20.00".parse().unwrap());
    once(&office, &format!("/v1/sites/{SITE}/orders/{order}"), |shown| {
        shown["state"] == "PAYED"
    })
    .await;

    // People at the station see what head office had it do, and what drivers brought along.
    let id = voucher["id"].as_str().unwrap();
    let vouchers = station.cli(&["voucher", "show"]).unwrap();
    let taken = vouchers.lines().find(|line| line.contains(id));
    let is_told = taken.is_some_and(|line| line.contains("taken") && line.contains("wang") && line.contains("20.00"));
    assert!(is_told, "{vouchers}");
    let directives = station.cli(&["directive", "show"]).unwrap();
    assert!(directives.starts_with("head office's life "), "{directives}");
    assert!(
        directives.contains("LeaseReceived OrderPlaced") && directives.contains("hq-"),
        "{directives}"
    );
    let refused = station.cli(&["directive", "show", "--refused"]).unwrap();
    assert!(
        refused
            .trim_end()
            .ends_with("no directive is in what was looked through"),
        "{refused}"
    );

    // Rule 11: head office signs with another key from here on, and what the old one has signed counts as well.
    let by_old = json!({ "site": SITE, "amount": "10.00", "hours": 2 });
    let by_old = told(&office, Method::POST, "/v1/members/wang/vouchers", &by_old).await;
    let announced = office.cli(&["key", "rotate", "--reason", "once a year"]).unwrap();
    assert!(
        announced.contains("is announced") && announced.contains(&format!("{SITE}: was told")),
        "{announced}"
    );
    let begun = std::time::Instant::now();
    loop {
        let changed = office.cli(&["key", "rotate", "--reason", "once a year"]).unwrap();
        if changed.contains("signs from now on") {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{changed}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // One is announced, and the other one ends.
    loop {
        let shown = station.get("/v1/directives").await.unwrap().success().unwrap();
        let items = shown["items"].as_array().unwrap();
        let of_keys = items
            .iter()
            .filter(|item| item["journaled"] == json!(["HeadOfficeKeySet"]));
        if of_keys.count() == 2 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{shown}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let shown = json!({ "voucher": by_old["text"] });
    station.post("/v1/vouchers", &shown).await.unwrap().success().unwrap();
    let wallet = once(&office, path, |shown| shown["on_road"] == json!([])).await;

    // What is left of it there comes back when it is asked for.
    let there = station.get("/v1/members/wang").await.unwrap().success().unwrap()["allowance"].clone();
    let all = json!({ "site": SITE, "amount": "100.00" });
    told(&office, Method::POST, "/v1/members/wang/recalls", &all).await;
    let back = yuan(&wallet["balance"]) + yuan(&there);
    once(&office, path, |shown| yuan(&shown["balance"]) == back).await;
    let verified = office
        .get("/v1/ledger/verification")
        .await
        .unwrap()
        .read::<Value>()
        .unwrap();
    assert_eq!(verified["differences"], json!([]), "{verified}");
    let check = told(
        &office,
        Method::PUT,
        &format!("/v1/sites/{SITE}/books-check"),
        &json!({}),
    )
    .await;
    assert_eq!(check["result"], "equal", "{check}");
    agent.terminate().await.unwrap();
}
