//! Members' money over HTTP: what comes in by signed callbacks, what goes to sites, who is told no.

use crate::{
    office::{BEGIN, Office, Reply, Somebody},
    station::lived,
};
use central::webhook::Secret;
use protocol::{key::PublicKeys, voucher};
use ring::hmac;
use serde_json::{Value, json};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async fn channel(office: &Office, name: &str, signs: &str) {
    let body = json!({ "signs": signs, "secret": SECRET, "merchant": "1900000001", "fee_ppm": 6_000 });
    let path = format!("/v1/channels/{name}");
    let shown = office.local("PUT", &path, Some(&body)).await.expect(200);
    assert_eq!(
        (&shown["settle_days"], &shown["secret"]),
        (&json!(3), &Value::Null),
        "{shown}"
    );
}

async fn asked(office: &Office, station: &Somebody, amount: &str) -> String {
    let body = json!({ "channel": "wechat", "amount": amount });
    let asked = office.post(station, "/v1/members/w/top-ups", &body).await.expect(201);
    assert_eq!(asked["state"], "pending");
    asked["out_trade_no"].as_str().unwrap().to_owned()
}

fn paid(reference: &str, transaction: &str, amount: &str) -> Value {
    json!({
        "out_trade_no": reference, "transaction_id": transaction, "amount": amount, "currency": "CNY", "status": "paid",
    })
}

/// A callback as the channel signs it, at a time in seconds.
async fn signed(office: &Office, id: &str, at_s: i64, body: &Value) -> Reply {
    let signature = Secret::of_text(SECRET).unwrap().signature(id, at_s, &body.to_string());
    let channel = Somebody::default()
        .with("webhook-id", id)
        .with("webhook-timestamp", &at_s.to_string())
        .with("webhook-signature", &signature);
    office
        .ask(&channel, "POST", "/v1/channels/wechat/callbacks", Some(body))
        .await
}

async fn wallet(office: &Office, who: &Somebody) -> Value {
    office.get(who, "/v1/members/w/wallet").await.expect(200)
}

pub(crate) async fn a_channel_credits_what_it_has_signed_and_nobody_else_does(office: Office) {
    let station = office.machine("mini-program", &["station"]).await;
    office
        .ask(&station, "PUT", "/v1/members/w", Some(&json!({ "name": "Wang" })))
        .await
        .expect(204);
    let other = json!({ "channel": "alipay", "amount": "5.00" });
    office
        .post(&station, "/v1/members/w/top-ups", &other)
        .await
        .problem(422, "invalid-body");
    channel(&office, "wechat", "standard_webhooks").await;
    let reference = asked(&office, &station, "50.00").await;
    let (now_s, body) = (BEGIN.0 / 1_000, paid(&reference, "4200001", "50.00"));

    let nobody = Somebody::default();
    let path = "/v1/channels/wechat/callbacks";
    office
        .ask(&nobody, "POST", path, Some(&body))
        .await
        .problem(401, "not-signed");
    signed(&office, "m1", now_s - 301, &body)
        .await
        .problem(401, "not-signed");
    let forged = Somebody::default()
        .with("webhook-id", "m1")
        .with("webhook-timestamp", &now_s.to_string())
        .with("webhook-signature", "v1,AAAA v2,BBBB");
    office
        .ask(&forged, "POST", path, Some(&body))
        .await
        .problem(401, "not-signed");
    assert_eq!(wallet(&office, &station).await["balance"], "0.00");

    let less = paid(&reference, "4200002", "49.99");
    signed(&office, "m2", now_s, &less).await.problem(409, "other-amount");
    let stranger = paid("T-nobody", "4200003", "50.00");
    signed(&office, "m3", now_s, &stranger)
        .await
        .problem(409, "unknown-top-up");
    let dollars = json!({
        "out_trade_no": reference, "transaction_id": "4200004", "amount": "50.00", "currency": "USD", "status": "paid",
    });
    signed(&office, "m4", now_s, &dollars)
        .await
        .problem(422, "invalid-body");

    assert_eq!(
        signed(&office, "m5", now_s, &body).await.expect(200)["outcome"],
        "credited"
    );
    assert_eq!(
        signed(&office, "m5", now_s, &body).await.expect(200)["outcome"],
        "known"
    );
    assert_eq!(
        signed(&office, "m6", now_s, &body).await.expect(200)["outcome"],
        "known"
    );
    assert_eq!(wallet(&office, &station).await["balance"], "50.00");
    let top_ups = office.get(&station, "/v1/members/w/top-ups").await.expect(200);
    assert_eq!(top_ups[0]["state"], "credited");

    // A channel that signs the body alone.
    channel(&office, "wechat", "hmac").await;
    let reference = asked(&office, &station, "7.00").await;
    let body = paid(&reference, "4200009", "7.00");
    let secret = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &SECRET[6..]).unwrap();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), body.to_string().as_bytes());
    let signature = format!("sha256={}", domain::journal::hex(tag.as_ref()));
    let by_hmac = Somebody::default().with("x-signature", &signature);
    assert_eq!(
        office.ask(&by_hmac, "POST", path, Some(&body)).await.expect(200)["outcome"],
        "credited"
    );
    let more = paid(&reference, "4200009", "70.00");
    office
        .ask(&by_hmac, "POST", path, Some(&more))
        .await
        .problem(401, "not-signed");
    assert_eq!(wallet(&office, &station).await["balance"], "57.00");
    let audit = office.local("GET", "/v1/audit", None).await.expect(200);
    assert_eq!(audit["items"][0]["action"], "top_up_credited", "{audit}");
}

pub(crate) async fn what_was_paid_and_credits_nobody_is_listed_until_it_does(office: Office) {
    let station = with_money(&office).await;
    let viewer = office.machine("viewer", &["viewer"]).await;
    let path = "/v1/payments/set-aside";
    let none = office.get(&viewer, path).await.expect(200);
    assert_eq!(none["items"], json!([]));
    let at_s = BEGIN.0 / 1_000;
    let reference = asked(&office, &station, "20.00").await;
    for (n, body) in [
        paid("T-nobodys", "tx-a", "7.00"),
        paid(&reference, "tx-b", "30.00"),
        paid("T-nobodys", "tx-a", "7.00"),
    ]
    .iter()
    .enumerate()
    {
        office.pass(1_000);
        let id = format!("aside-{n}");
        signed(&office, &id, at_s, body).await.expect(409);
    }
    let all = office.get(&viewer, path).await.expect(200);
    let told: Vec<[&str; 4]> = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| ["transaction_id", "out_trade_no", "amount", "channel"].map(|field| item[field].as_str().unwrap()))
        .collect();
    let expected = [
        ["tx-b", reference.as_str(), "30.00", "wechat"],
        ["tx-a", "T-nobodys", "7.00", "wechat"],
    ];
    assert_eq!(told, expected, "the newest first, and each once");
    assert!(all["items"][0]["why"].as_str().unwrap().contains("20.00"), "{all}");
    assert_eq!(office.all(&viewer, path, 1).await, *all["items"].as_array().unwrap());
    let other = office.get(&viewer, &format!("{path}?channel=alipay")).await.expect(200);
    assert_eq!(other["items"], json!([]));
    office
        .get(&viewer, &format!("{path}?cursor=x"))
        .await
        .problem(400, "invalid-url");

    // The channel mends what it said: it counts, and nobody needs to look any more.
    signed(&office, "mended", at_s, &paid(&reference, "tx-b", "20.00"))
        .await
        .expect(200);
    let left = office.get(&viewer, path).await.expect(200);
    assert_eq!(left["items"], json!([all["items"][1]]));
}

/// A member `w` with 50.00 in the wallet.
pub(crate) async fn with_money(office: &Office) -> Somebody {
    let station = office.machine("mini-program", &["station"]).await;
    office
        .ask(&station, "PUT", "/v1/members/w", Some(&json!({ "name": "Wang" })))
        .await
        .expect(204);
    channel(office, "wechat", "standard_webhooks").await;
    let reference = asked(office, &station, "50.00").await;
    signed(office, "m1", BEGIN.0 / 1_000, &paid(&reference, "4200001", "50.00"))
        .await
        .expect(200);
    station
}

pub(crate) async fn money_goes_to_a_site_by_lease_order_and_voucher_and_all_of_it_is_shown(office: Office) {
    office.follow(&lived().journal("s1")).await;
    let station = with_money(&office).await;
    let of = json!({ "site": "s1", "amount": "10.00" });
    let leased = office.post(&station, "/v1/members/w/leases", &of).await.expect(202);
    assert_eq!(leased["directive"]["n"], 1);
    office.post(&station, "/v1/members/w/recalls", &of).await.expect(202);

    let voucher = json!({ "site": "s1", "amount": "10.00", "hours": 2 });
    office
        .local("PUT", "/v1/sites/s2", Some(&json!({ "name": "new" })))
        .await
        .expect(204);
    let nowhere = json!({ "site": "s2", "amount": "10.00" });
    office
        .post(&station, "/v1/members/w/vouchers", &nowhere)
        .await
        .problem(409, "site-never-heard");
    let with_key = station.clone().with("idempotency-key", "the-same");
    let path = "/v1/members/w/vouchers";
    for hours in [0, 25] {
        let voucher = json!({ "site": "s1", "amount": "10.00", "hours": hours });
        office.post(&station, path, &voucher).await.problem(422, "invalid-body");
    }
    let made = office.ask(&with_key, "POST", path, Some(&voucher)).await.expect(201);
    let again = office.ask(&with_key, "POST", path, Some(&voucher)).await;
    assert!(again.is_replayed());
    assert_eq!(again.body, made);
    let keys = PublicKeys::from(office.public_key);
    let carried = voucher::from_text(made["text"].as_str().unwrap(), &keys).unwrap();
    assert_eq!(
        (carried.amount.to_string().as_str(), carried.epoch.as_str()),
        ("10.00", "e1")
    );
    let listed = office.get(&station, path).await.expect(200);
    assert_eq!(listed[0]["text"], made["text"]);

    let order = json!({ "site": "s1", "member": "w", "pile": "P1", "connector": 1, "prepay": "25.00" });
    office
        .post(&station, "/v1/orders", &order)
        .await
        .problem(409, "site-no-line");
    let heard = office
        .db
        .write(|tx| central::store::sites::heard(tx, &"s1".parse().unwrap(), None, BEGIN));
    heard.await.unwrap();
    let order = json!({ "site": "s1", "member": "w", "pile": "P1", "connector": 1, "prepay": "25.00" });
    let placed = office.post(&station, "/v1/orders", &order).await.expect(202);
    assert_eq!(
        (&placed["state"], &placed["directive"]["n"]),
        (&json!("sent"), &json!(3))
    );
    let id = placed["order"].as_str().unwrap();
    let shown = office.get(&station, &format!("/v1/orders/{id}")).await.expect(200);
    assert_eq!(shown["prepay"], "25.00");
    let too_much = office
        .post(&station, "/v1/orders", &order)
        .await
        .problem(409, "too-little-in-wallet");
    assert_eq!(
        (&too_much["has"], &too_much["wanted"]),
        (&json!("5.00"), &json!("25.00"))
    );
    let stop = format!("/v1/sites/s1/orders/{id}/stop");
    office.post(&station, &stop, &json!({})).await.expect(202);
    let nobodys = "/v1/sites/s1/orders/nobodys/stop";
    office
        .post(&station, nobodys, &json!({}))
        .await
        .problem(404, "unknown-order");

    let shown = wallet(&office, &station).await;
    assert_eq!(
        (&shown["balance"], &shown["spendable"]),
        (&json!("5.00"), &json!("5.00"))
    );
    let kinds: Vec<&str> = shown["on_road"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds.len(), 3, "{kinds:?}");
    for kind in ["lease", "voucher", "start"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    let viewer = office.machine("viewer", &["viewer"]).await;
    let directives = office
        .get(&viewer, "/v1/sites/s1/directives?state=waiting")
        .await
        .expect(200);
    assert_eq!(directives.as_array().unwrap().len(), 4, "{directives}");
    let none = office
        .get(&viewer, "/v1/sites/s1/directives?state=done")
        .await
        .expect(200);
    assert_eq!(none, json!([]));
    office
        .get(&viewer, "/v1/sites/s1/directives?state=odd")
        .await
        .problem(400, "invalid-url");
    let on_road = office.get(&viewer, "/v1/on-road").await.expect(200);
    assert_eq!(on_road.as_array().unwrap().len(), 3);
    let sent = BEGIN.to_string();
    for of in on_road.as_array().unwrap() {
        assert_eq!(of["made_at"], sent.as_str(), "{of}");
        let ends = (of["kind"] == "voucher").then(|| BEGIN.after_ms(2 * 3_600_000).to_string());
        assert_eq!(of["expires_at"], json!(ends), "{of}");
    }
    // Its age is told by when it was sent.
    office.pass(90 * 60_000);
    let later = json!({ "site": "s1", "amount": "1.00" });
    office.post(&station, "/v1/members/w/leases", &later).await.expect(202);
    let on_road = office.get(&viewer, "/v1/on-road").await.expect(200);
    let sent: Vec<&Value> = on_road.as_array().unwrap().iter().map(|of| &of["made_at"]).collect();
    let (first, last) = (json!(BEGIN.to_string()), json!(BEGIN.after_ms(90 * 60_000).to_string()));
    assert_eq!(sent, [&first, &first, &first, &last], "the oldest first");
    let sums = office.local("GET", "/v1/accounts/sums", None).await.expect(200);
    assert!(sums.to_string().contains("transit"), "{sums}");
    let verified = office.local("GET", "/v1/ledger/verification", None).await.expect(200);
    assert_eq!(verified["differences"], json!([]), "{verified}");
}

pub(crate) async fn who_is_frozen_blocked_or_unknown_is_told_so(office: Office) {
    office.follow(&lived().journal("s1")).await;
    let station = with_money(&office).await;
    let risk = office.machine("risk", &["risk"]).await;
    let lease = json!({ "site": "s1", "amount": "1.00" });
    let leases = "/v1/members/w/leases";
    let freeze = "/v1/members/w/wallet/freeze";
    office
        .ask(&risk, "PUT", freeze, Some(&json!({ "reason": "a claim" })))
        .await
        .expect(204);
    office
        .post(&station, leases, &lease)
        .await
        .problem(409, "wallet-frozen");
    office.ask(&risk, "PUT", freeze, Some(&json!({}))).await.expect(204);
    let block = "/v1/members/w/block";
    office
        .ask(&risk, "PUT", block, Some(&json!({ "reason": "stole a cable" })))
        .await
        .expect(204);
    office
        .post(&station, leases, &lease)
        .await
        .problem(409, "member-blocked");
    office.ask(&risk, "PUT", block, Some(&json!({}))).await.expect(204);
    office.post(&station, leases, &lease).await.expect(202);

    office
        .post(&station, "/v1/members/x/leases", &lease)
        .await
        .problem(404, "unknown-member");
    let nowhere = json!({ "site": "s9", "amount": "1.00" });
    office
        .post(&station, leases, &nowhere)
        .await
        .problem(404, "unknown-site");
    let nothing = json!({ "site": "s1", "amount": "0.00" });
    office
        .post(&station, leases, &nothing)
        .await
        .problem(422, "invalid-body");
    let desks = json!({ "name": "made at a desk" });
    office
        .ask(&station, "PUT", "/v1/members/s3_li", Some(&desks))
        .await
        .problem(400, "invalid-url");
    let wallets = json!({ "reason": "an audit" });
    office
        .local("PUT", "/v1/head-office/wallets", Some(&wallets))
        .await
        .expect(204);
    office
        .post(&station, leases, &lease)
        .await
        .problem(409, "wallets-frozen");
    // The site has not said that it goes by this life of head office's.
    let silent = office.local("PUT", "/v1/head-office/wallets", Some(&json!({}))).await;
    assert_eq!(silent.problem(409, "sites-missing")["sites"], json!(["s1"]));
    office
        .local(
            "PUT",
            "/v1/head-office/wallets",
            Some(&json!({ "missing": ["s1"], "reason": "why" })),
        )
        .await
        .problem(422, "invalid-body");
    office
        .local("PUT", "/v1/head-office/wallets", Some(&json!({ "missing": ["s1"] })))
        .await
        .expect(204);
    office
        .local("PUT", "/v1/head-office/wallets", Some(&json!({})))
        .await
        .problem(409, "not-frozen");
    office.post(&station, leases, &lease).await.expect(202);
    let card = json!({ "member": "x" });
    office
        .ask(&station, "PUT", "/v1/cards/c1", Some(&card))
        .await
        .problem(404, "unknown-member");
    let card = json!({ "member": "w" });
    office
        .ask(&station, "PUT", "/v1/cards/c1", Some(&card))
        .await
        .expect(204);
    let viewer = office.machine("viewer", &["viewer"]).await;
    let directives = office.get(&viewer, "/v1/sites/s1/directives").await.expect(200);
    let kinds: Vec<&str> = directives
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["kind"].as_str().unwrap())
        .collect();
    assert!(kinds.contains(&"card") && kinds.contains(&"member"), "{kinds:?}");
}

pub(crate) async fn sites_are_told_of_prices_piles_and_whose_their_members_are(office: Office) {
    office.follow(&lived().journal("s1")).await;
    let station = with_money(&office).await;
    let tariffs = office.local("GET", "/v1/sites/s1/tariffs", None).await.expect(200);
    let mut tariff = tariffs["items"][0].clone();
    tariff["id"] = json!("winter");
    let path = "/v1/sites/s1/tariffs/winter";
    let told = office.local("PUT", path, Some(&tariff)).await.expect(202);
    assert_eq!(told["directive"]["row"], "others");
    office
        .local("PUT", "/v1/sites/s1/tariffs/other", Some(&tariff))
        .await
        .problem(422, "invalid-body");
    tariff["periods"] = json!([]);
    office
        .local("PUT", path, Some(&tariff))
        .await
        .problem(422, "invalid-body");
    let fence = json!({ "reason": "a cable is torn" });
    let path = "/v1/sites/s1/piles/P1/maintenance";
    office.ask(&station, "PUT", path, Some(&fence)).await.expect(202);
    office
        .ask(&station, "PUT", "/v1/sites/s9/piles/P1/maintenance", Some(&fence))
        .await
        .problem(404, "unknown-site");
    let why = json!({ "reason": "the same identity card" });
    let path = "/v1/sites/s1/members/w/adopted";
    office.local("PUT", path, Some(&why)).await.expect(204);
    office
        .local("PUT", path, Some(&json!({ "reason": "" })))
        .await
        .problem(422, "invalid-body");
    let unknown = "/v1/sites/s1/members/x/adopted";
    office
        .local("PUT", unknown, Some(&why))
        .await
        .problem(404, "unknown-member");
    let waiting = office.local("GET", "/v1/sites/s1/directives", None).await.expect(200);
    let kinds: Vec<&str> = waiting
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|told| told["kind"].as_str())
        .collect();
    for kind in ["tariff", "maintenance", "member"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
}

pub(crate) async fn what_a_channel_called_back_is_kept_as_it_came_with_its_answer(office: Office) {
    let station = office.machine("mini-program", &["station"]).await;
    office
        .ask(&station, "PUT", "/v1/members/w", Some(&json!({ "name": "Wang" })))
        .await
        .expect(204);
    channel(&office, "wechat", "standard_webhooks").await;
    channel(&office, "alipay", "standard_webhooks").await;
    let reference = asked(&office, &station, "50.00").await;
    let (now_s, body) = (BEGIN.0 / 1_000, paid(&reference, "4200001", "50.00"));
    let path = "/v1/channels/wechat/callbacks";
    office
        .ask(&Somebody::default(), "POST", path, Some(&body))
        .await
        .problem(401, "not-signed");
    signed(&office, "m1", now_s, &json!({ "status": "paid" }))
        .await
        .problem(422, "invalid-body");
    let less = paid(&reference, "4200001", "49.99");
    signed(&office, "m2", now_s, &less).await.problem(409, "other-amount");
    signed(&office, "m3", now_s, &body).await.expect(200);
    signed(&office, "m4", now_s, &body).await.expect(200);

    let finance = office.machine("finance", &["finance_maker"]).await;
    for limit in [1, 3, 200] {
        let all = office.all(&finance, path, limit).await;
        let mut told: Vec<_> = all
            .iter()
            .map(|of| {
                (
                    of["outcome"].as_str().unwrap(),
                    of["status"].as_u64().unwrap(),
                    of["signed"].as_bool().unwrap(),
                )
            })
            .collect();
        told.sort_unstable();
        assert_eq!(
            told,
            [
                ("credited", 200, true),
                ("invalid_body", 422, true),
                ("known", 200, true),
                ("not_signed", 401, false),
                ("other_amount", 409, true)
            ]
        );
    }
    let found = office
        .all(&finance, &format!("{path}?transaction_id=4200001"), 50)
        .await;
    assert_eq!(found.len(), 3);
    let found = office
        .all(&finance, &format!("{path}?out_trade_no={reference}&signed=true"), 50)
        .await;
    assert_eq!(found.len(), 3);
    let credited = found.iter().find(|of| of["outcome"] == "credited").unwrap();
    assert_eq!(credited["body"].as_str().unwrap(), body.to_string());
    assert_eq!(credited["headers"]["webhook-id"], "m3");
    assert_eq!(credited["why"], json!(null));
    let other = found.iter().find(|of| of["outcome"] == "other_amount").unwrap();
    assert!(
        other["why"].as_str().unwrap().contains("50.00 yuan were asked for"),
        "{other}"
    );
    let unsigned = office.all(&finance, &format!("{path}?signed=false"), 50).await;
    assert_eq!(
        (unsigned.len(), unsigned[0]["body"].as_str().unwrap()),
        (1, body.to_string().as_str())
    );
    let elsewhere = office.all(&finance, "/v1/channels/alipay/callbacks", 50).await;
    assert!(elsewhere.is_empty());
}
