//! Money of a wallet at a real head office, a real station that spends it, and the line between them: an order through head office from
//! the phone to the pile and back, and a voucher while the line is cut. The station's own clock is years off.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use central::webhook::Secret;
use domain::{
    order::State,
    topics::{DownKind, UpKind},
};
use hyper::Method;
use serde_json::{Value, json};
use service::client::{Answer, Call, Client};
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use world::{
    head_office::HeadOfficeProcess,
    history,
    station::{SITE, StationProcess},
};

/// Of no matter unless something never happens.
const PATIENCE: Duration = Duration::from_secs(300);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async fn ask(office: &HeadOfficeProcess, method: Method, path: &str, body: &Value) -> Answer {
    static KEYS: AtomicU32 = AtomicU32::new(0);
    let key = format!("key-{}", KEYS.fetch_add(1, Ordering::Relaxed));
    let call = Call::new(method, path)
        .header("idempotency-key", key)
        .json(body)
        .unwrap();
    Client::at_socket(office.socket()).ask(call).await.unwrap()
}

async fn told(office: &HeadOfficeProcess, method: Method, path: &str, body: &Value, status: u16) -> Value {
    let answer = ask(office, method, path, body).await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, status, "{path}: {text}");
    serde_json::from_str(&text).unwrap_or_default()
}

/// Head office's answer, once it is so.
async fn once(office: &HeadOfficeProcess, path: &str, is: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let shown: Value = office.get(path).await.unwrap().read().unwrap();
        if is(&shown) {
            return shown;
        }
        assert!(Instant::now() < deadline, "{path}: {shown}\n{}", office.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A member pays in through a channel, which calls back.
async fn top_up(office: &HeadOfficeProcess, amount: &str) {
    let channel = json!({ "signs": "standard_webhooks", "secret": SECRET, "merchant": "1900000001", "fee_ppm": 6_000 });
    told(office, Method::PUT, "/v1/channels/wechat", &channel, 200).await;
    told(office, Method::PUT, "/v1/members/wang", &json!({ "name": "Wang" }), 204).await;
    let asked = json!({ "channel": "wechat", "amount": amount });
    let asked = told(office, Method::POST, "/v1/members/wang/top-ups", &asked, 201).await;
    let paid = json!({
        "out_trade_no": asked["out_trade_no"], "transaction_id": "4200001", "amount": amount, "currency": "CNY", "status": "paid",
    });
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let signature = Secret::of_text(SECRET)
        .unwrap()
        .signature("m1", now_s, &paid.to_string());
    let call = Call::new(Method::POST, "/v1/channels/wechat/callbacks")
        .header("webhook-id", "m1")
        .header("webhook-timestamp", now_s.to_string())
        .header("webhook-signature", signature)
        .json(&paid)
        .unwrap();
    let answer = Client::at_socket(office.socket()).ask(call).await.unwrap();
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
}

fn yuan(value: &Value) -> domain::units::Fen {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_pays_for_an_order_at_a_station_and_carries_money_over_a_line_that_is_cut() {
    let office = HeadOfficeProcess::start("money-travels-office").await.unwrap();
    let mut station = StationProcess::start("money-travels", &history::setup()).await.unwrap();
    let mut agent = office.join(&mut station, SITE).await.unwrap();
    let secret = station.add_pile("P1").await.unwrap();
    let mut pile = history::boot(&station, "P1", &secret).await.unwrap();
    top_up(&office, "100.00").await;

    once(&office, &format!("/v1/stations/{SITE}"), |shown| {
        shown["online"] == true
    })
    .await;
    // The phone says where, head office sends the money and the order along.
    history::report(&mut pile, "plugged", None, history::REGISTER)
        .await
        .unwrap();
    let wish = json!({ "site": SITE, "member": "wang", "pile": "P1", "connector": 1, "prepay": "30.00" });
    let placed = told(&office, Method::POST, "/v1/orders", &wish, 202).await;
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

    // The line is cut: the driver carries the money.
    agent.terminate().await.unwrap();
    let voucher = json!({ "site": SITE, "amount": "20.00", "hours": 2 });
    let voucher = told(&office, Method::POST, "/v1/members/wang/vouchers", &voucher, 201).await;
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

    // What is left of it there comes back when it is asked for.
    let there = station.get("/v1/members/wang").await.unwrap().success().unwrap()["allowance"].clone();
    let all = json!({ "site": SITE, "amount": "100.00" });
    told(&office, Method::POST, "/v1/members/wang/recalls", &all, 202).await;
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
        200,
    )
    .await;
    assert_eq!(check["result"], "equal", "{check}");
    agent.terminate().await.unwrap();
}
