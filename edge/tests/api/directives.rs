//! What head office has a station do, as the program on the box hands it over: signed, once, in order, and on disk before it is
//! answered. And what a driver brings along themselves.

use crate::bench::{Bench, MINUTE, SITE};
use domain::{
    head_office::{Directive, DirectiveNo, DirectiveRow, HqEpoch, Voucher},
    ids::{ConnectorNo, Outlet, SiteId},
    journal::Head,
    messages::CommandKind,
    order::Until,
    time::Wall,
    units::Fen,
};
use protocol::{
    frame::{Ack, Nonce, Pong, SignedDirective, State},
    key::SigningKey,
    voucher,
};
use serde_json::{Value, json};

const EPOCH: HqEpoch = HqEpoch([9; 16]);

fn site() -> SiteId {
    SiteId::new(SITE).unwrap()
}

fn head_office() -> SigningKey {
    SigningKey::from_seed([1; 32])
}

fn nonce_of(answer: &Value) -> Nonce {
    Nonce::try_from(answer["nonce"].as_str().unwrap().to_owned()).unwrap()
}

/// A station that has met its head office, with a pile that is there.
async fn joined() -> Bench {
    let bench = Bench::joined(&head_office(), 7).await;
    bench.flat_tariff().await;
    bench.pile("P1").await;
    bench.connect("P1").await;
    meet(&bench, EPOCH).await;
    bench
}

async fn meet(bench: &Bench, hq_epoch: HqEpoch) {
    let said = bench.on_sync("PUT", "/v1/sync/hello", &[]).await.expect(200);
    let head = Head {
        seq: said["head"]["seq"].as_u64().unwrap(),
        hash: said["head"]["hash"].as_str().unwrap().parse().unwrap(),
    };
    let ack = Ack {
        hq_epoch,
        state: State::Following,
        head,
        nonce: nonce_of(&said),
    };
    let ack = ack.to_bytes(&site(), &head_office());
    bench.frame("/v1/sync/ack", ack).await.expect(200);
}

/// Head office's time is known: the station's, half a second later.
async fn pong(bench: &Bench) -> Wall {
    pong_at(bench, 500, 0).await
}

/// Head office's time is known: so far from the station's, by an answer that took so long.
async fn pong_at(bench: &Bench, off_ms: i64, took_ms: u64) -> Wall {
    let nonce = nonce_of(&bench.on_sync("PUT", "/v1/sync/ping", &[]).await.expect(200));
    bench.station.clock.advance(took_ms);
    let now = bench.now().wall.after_ms(off_ms);
    let pong = Pong { nonce, now }.to_bytes(&site(), &head_office());
    bench.frame("/v1/sync/pong", pong).await.expect(200);
    now
}

fn orders(n: u64) -> DirectiveNo {
    DirectiveNo {
        hq_epoch: EPOCH,
        row: DirectiveRow::Orders,
        n,
    }
}

fn signed(no: DirectiveNo, directive: &Directive, key: &SigningKey) -> Vec<u8> {
    SignedDirective::to_bytes(&SignedDirective::json(no, directive), &site(), key)
}

fn lease(amount: i64) -> Directive {
    Directive::Lease {
        member: "w".parse().unwrap(),
        name: "Wang".to_owned(),
        amount: Fen(amount),
        voucher: None,
    }
}

fn start(order: &str, expires_at: Wall) -> Directive {
    Directive::Start {
        order: order.parse().unwrap(),
        member: "w".parse().unwrap(),
        name: "Wang".to_owned(),
        outlet: Outlet {
            pile: "P1".parse().unwrap(),
            connector: ConnectorNo(1),
        },
        prepay: Fen(3_000),
        until: Until::default(),
        expires_at,
        wished: None,
    }
}

const PATH: &str = "/v1/sync/directive";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directive_that_was_changed_by_one_bit_is_nobodys_and_what_is_signed_is_done_once() {
    let bench = joined().await;
    let good = signed(orders(1), &lease(5_000), &head_office());
    let strange = signed(orders(1), &lease(5_000), &SigningKey::from_seed([3; 32]));
    bench.frame(PATH, strange).await.problem(422, "frame-not-signed");
    for at in (0..good.len()).step_by(7) {
        let mut forged = good.clone();
        forged[at] ^= 1;
        let refused = bench.frame(PATH, forged).await.expect(422);
        assert!(refused["detail"].is_string(), "at {at}: {refused}");
    }
    bench
        .frame(PATH, good[..good.len() - 1].to_vec())
        .await
        .problem(422, "frame-not-signed");
    bench.frame(PATH, vec![0; 300_000]).await.problem(413, "body-too-large");
    for _ in 0..2 {
        let taken = bench.frame(PATH, good.clone()).await.expect(200);
        assert_eq!(
            taken,
            json!({ "hq_epoch": EPOCH.to_string(), "orders": 1, "others": 0 })
        );
    }
    let member = bench.get("/v1/members/w").await.expect(200);
    assert_eq!(
        (&member["allowance"], &member["head_office"]),
        (&json!("50.00"), &json!(true))
    );

    // Out of turn, of another life, and another content under its number.
    let refused = bench.frame(PATH, signed(orders(3), &lease(100), &head_office())).await;
    assert_eq!(refused.problem(409, "directive-out-of-order")["expected"], 2);
    let other = signed(orders(1), &lease(100), &head_office());
    bench.frame(PATH, other).await.problem(409, "other-directive");
    let earlier = DirectiveNo {
        hq_epoch: HqEpoch([8; 16]),
        ..orders(2)
    };
    let earlier = signed(earlier, &lease(100), &head_office());
    bench.frame(PATH, earlier).await.problem(409, "other-hq-epoch");
    // Rule 4: another life begins anew, and what is still on its way of the one before counts for nothing.
    meet(&bench, HqEpoch([8; 16])).await;
    let late = signed(orders(2), &lease(100), &head_office());
    bench.frame(PATH, late).await.problem(409, "other-hq-epoch");
    let said = bench.on_sync("PUT", "/v1/sync/hello", &[]).await.expect(200);
    let fresh = json!({ "hq_epoch": HqEpoch([8; 16]).to_string(), "orders": 0, "others": 0 });
    assert_eq!(said["directives"], fresh);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_goes_to_the_pile_in_time_and_not_later_whatever_the_stations_clock_says() {
    let bench = joined().await;
    // Nobody knows the time: there was no pong, and the clock is not trusted.
    let soon = bench.now().wall.after_ms(60_000);
    let untimed = signed(orders(1), &start("hq-1", soon), &head_office());
    bench.frame(PATH, untimed).await.expect(200);
    bench.get("/v1/orders/hq-1").await.expect(404);

    let now = pong(&bench).await;
    let in_time = signed(orders(2), &start("hq-2", now.after_ms(60_000)), &head_office());
    bench.frame(PATH, in_time).await.expect(200);
    let order = bench.get("/v1/orders/hq-2").await.expect(200);
    assert_eq!(
        (&order["state"], &order["source"]),
        (&json!("PLACE"), &json!("head_office"))
    );
    let command = bench.command("P1", CommandKind::Start).unwrap();
    assert_eq!(command.order_id.to_string(), "hq-2");
    let stop = Directive::Stop {
        order: "hq-2".parse().unwrap(),
        by: "the driver".to_owned(),
    };
    bench
        .frame(PATH, signed(orders(3), &stop, &head_office()))
        .await
        .expect(200);

    // A minute on, by elapsed time: what ended a second ago comes too late.
    bench.station.clock.advance(MINUTE);
    let late = signed(orders(4), &start("hq-3", now.after_ms(59_000)), &head_office());
    bench.frame(PATH, late).await.expect(200);
    bench.get("/v1/orders/hq-3").await.expect(404);
    let member = bench.get("/v1/members/w").await.expect(200);
    assert_eq!(
        (&member["allowance"], &member["held"]),
        (&json!("0.00"), &json!("0.00"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_is_judged_by_head_offices_time_with_the_stations_clock_five_hours_off_either_way() {
    const FIVE_HOURS: i64 = 5 * 3_600_000;
    for (off_ms, trusted) in [
        (FIVE_HOURS, false),
        (FIVE_HOURS, true),
        (-FIVE_HOURS, false),
        (-FIVE_HOURS, true),
    ] {
        let bench = joined().await;
        bench.station.clock.set_trusted(trusted);
        let told = async |n: u64, expires_at: Wall| {
            let order = format!("hq-{n}");
            let directive = signed(orders(n), &start(&order, expires_at), &head_office());
            bench.frame(PATH, directive).await.expect(200);
            bench.get(&format!("/v1/orders/{order}")).await.status
        };
        // The answer took two seconds: it may be so late there already, or not yet.
        let said = pong_at(&bench, off_ms, 2_000).await;
        assert_eq!(told(1, said.after_ms(-60_000)).await, 404, "{off_ms} ms off");
        assert_eq!(told(2, said).await, 404, "{off_ms} ms off");
        assert_eq!(
            told(3, said.after_ms(1_500)).await,
            404,
            "within what may be wrong with it"
        );
        assert_eq!(told(4, said.after_ms(2_000)).await, 404, "it may be just now");
        assert_eq!(told(5, said.after_ms(2_001)).await, 200, "{off_ms} ms off");
        let command = bench.command("P1", CommandKind::Start).unwrap();
        assert_eq!(command.order_id.to_string(), "hq-5");
        let member = bench.get("/v1/members/w").await.expect(200);
        assert_eq!(
            (&member["allowance"], &member["held"]),
            (&json!("0.00"), &json!("30.00")),
            "what was refused has gone back"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voucher_is_taken_at_the_desk_without_a_line_and_once() {
    let bench = joined().await;
    let epoch = bench.station.store.identity().epoch.clone();
    let made = |id: &str, site: &str| Voucher {
        site: site.parse().unwrap(),
        hq_epoch: EPOCH,
        epoch: epoch.clone(),
        id: id.to_owned(),
        member: "w".parse().unwrap(),
        name: "Wang".to_owned(),
        amount: Fen(2_000),
        expires_at: bench.now().wall.after_ms(3_600_000),
    };
    let text = voucher::to_text(&made("v1", SITE), &head_office());
    let shown = |text: &str| json!({ "voucher": text });
    for _ in 0..2 {
        let member = bench.post("/v1/vouchers", &shown(&text)).await.expect(201);
        assert_eq!(member["allowance"], "20.00");
    }
    let elsewhere = voucher::to_text(&made("v2", "another"), &head_office());
    bench
        .post("/v1/vouchers", &shown(&elsewhere))
        .await
        .problem(409, "voucher-of-other-site");
    let strange = voucher::to_text(&made("v2", SITE), &SigningKey::from_seed([3; 32]));
    bench
        .post("/v1/vouchers", &shown(&strange))
        .await
        .problem(422, "frame-not-signed");
    bench
        .post("/v1/vouchers", &shown("HFV1 what"))
        .await
        .problem(422, "frame-malformed");
    bench.post("/v1/vouchers", &shown("")).await.expect(422);

    // Its end, as head office's time makes certain.
    let ends = made("v3", SITE).expires_at;
    bench
        .station
        .tell(domain::site::Input::CloseVouchers { certainly: ends });
    bench.settled().await;
    let closed = voucher::to_text(&made("v3", SITE), &head_office());
    bench
        .post("/v1/vouchers", &shown(&closed))
        .await
        .problem(409, "voucher-closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_head_office_owns_is_refused_at_the_desk_and_the_desk_lifts_what_was_paid_elsewhere() {
    let bench = joined().await;
    let name = json!({ "name": "Wang" });
    bench
        .put("/v1/members/w", &name)
        .await
        .problem(409, "not-this-sites-member");
    bench.put("/v1/members/s7_1", &name).await.expect(200);
    bench
        .put("/v1/cards/C1", &json!({ "member": "s7_1" }))
        .await
        .problem(409, "head-office-owns");
    bench
        .frame(PATH, signed(orders(1), &lease(5_000), &head_office()))
        .await
        .expect(200);
    bench
        .put("/v1/members/w", &json!({ "name": "Li" }))
        .await
        .problem(409, "head-office-owns");
    let owes = Directive::Owes {
        member: "w".parse().unwrap(),
        amount: Fen(500),
    };
    let others = DirectiveNo {
        row: DirectiveRow::Others,
        ..orders(1)
    };
    bench
        .frame(PATH, signed(others, &owes, &head_office()))
        .await
        .expect(200);
    let order = json!({ "member": "w", "pile": "P1", "connector": 1, "prepay": "20.00" });
    bench.post("/v1/orders", &order).await.problem(409, "owes-elsewhere");
    bench
        .put("/v1/members/w/owes", &json!({ "receipt": "" }))
        .await
        .expect(422);
    let member = bench
        .put("/v1/members/w/owes", &json!({ "receipt": "hq-r1" }))
        .await
        .expect(200);
    assert_eq!(member["owes"], "0.00");
    bench.post("/v1/orders", &order).await.expect(201);
}

/// Rule 11. What the configuration names is the old key, and stays there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_counts_when_the_old_one_has_announced_it_and_the_old_one_until_the_mark_of_vouchers_has_passed() {
    let bench = joined().await;
    let (old, new) = (head_office(), SigningKey::from_seed([4; 32]));
    let others = |n| DirectiveNo {
        row: DirectiveRow::Others,
        ..orders(n)
    };
    let end = bench.now().wall.after_ms(86_400_000);
    let counts = |of: &SigningKey, ends| Directive::Key {
        key: of.public().into(),
        ends,
    };
    let by_new = signed(orders(1), &lease(100), &new);
    bench.frame(PATH, by_new.clone()).await.problem(422, "frame-not-signed");
    let announced = signed(others(1), &counts(&new, None), &old);
    bench.frame(PATH, announced).await.expect(200);
    bench.frame(PATH, by_new).await.expect(200);
    let ended = signed(others(2), &counts(&old, Some(end)), &new);
    bench.frame(PATH, ended).await.expect(200);

    // Both count: acknowledgements, the time, vouchers.
    let ping = async |key: &SigningKey| {
        let nonce = nonce_of(&bench.on_sync("PUT", "/v1/sync/ping", &[]).await.expect(200));
        let now = bench.now().wall;
        let pong = Pong { nonce, now }.to_bytes(&site(), key);
        bench.frame("/v1/sync/pong", pong).await
    };
    ping(&old).await.expect(200);
    ping(&new).await.expect(200);
    let made = |id: &str, key: &SigningKey, ends: Wall| {
        let voucher = Voucher {
            site: site(),
            hq_epoch: EPOCH,
            epoch: bench.station.store.identity().epoch.clone(),
            id: id.to_owned(),
            member: "w".parse().unwrap(),
            name: "Wang".to_owned(),
            amount: Fen(2_000),
            expires_at: ends,
        };
        json!({ "voucher": voucher::to_text(&voucher, key) })
    };
    bench.post("/v1/vouchers", &made("v1", &old, end)).await.expect(201);
    bench.post("/v1/vouchers", &made("v2", &new, end)).await.expect(201);

    bench
        .station
        .tell(domain::site::Input::CloseVouchers { certainly: end });
    bench.settled().await;
    ping(&old).await.problem(422, "frame-not-signed");
    let late = signed(orders(2), &lease(100), &old);
    bench.frame(PATH, late).await.problem(422, "frame-not-signed");
    let later = end.after_ms(60_000);
    bench
        .post("/v1/vouchers", &made("v3", &old, later))
        .await
        .problem(422, "frame-not-signed");
    bench.post("/v1/vouchers", &made("v4", &new, later)).await.expect(201);
    ping(&new).await.expect(200);
    bench
        .frame(PATH, signed(orders(2), &lease(100), &new))
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_see_what_head_office_had_done_what_was_refused_and_why_and_which_vouchers_came() {
    let bench = joined().await;
    let none = bench.get("/v1/directives").await.expect(200);
    let fresh = json!({ "hq_epoch": EPOCH.to_string(), "orders": 0, "others": 0 });
    bench.station.clock.advance(1_000);
    assert_eq!(
        (&none["taken"], &none["items"], &none["next"]),
        (&fresh, &json!([]), &json!(null))
    );
    bench
        .frame(PATH, signed(orders(1), &lease(5_000), &head_office()))
        .await
        .expect(200);
    bench.station.clock.advance(1_000);
    // Nobody knows the time.
    let soon = bench.now().wall.after_ms(60_000);
    bench
        .frame(PATH, signed(orders(2), &start("hq-1", soon), &head_office()))
        .await
        .expect(200);
    bench.station.clock.advance(1_000);
    let now = pong(&bench).await;
    bench
        .frame(
            PATH,
            signed(orders(3), &start("hq-3", now.after_ms(60_000)), &head_office()),
        )
        .await
        .expect(200);

    let shown = bench.get("/v1/directives").await.expect(200);
    assert_eq!(shown["taken"]["orders"], 3);
    let items = shown["items"].as_array().unwrap();
    let row = |n: usize| {
        let item = &items[3 - n];
        assert_eq!((&item["n"], &item["row"]), (&json!(n), &json!("orders")), "{item}");
        item
    };
    assert_eq!(items.len(), 3);
    assert_eq!(row(1)["journaled"], json!(["MemberRegistered", "LeaseReceived"]));
    assert_eq!((&row(1)["member"], &row(1)["amount"]), (&json!("w"), &json!("50.00")));
    assert_eq!(
        (&row(2)["refused"], &row(2)["journaled"]),
        (&json!("no_time"), &json!([]))
    );
    assert!(row(2)["detail"].as_str().is_some_and(|words| !words.is_empty()));
    assert_eq!((&row(3)["refused"], &row(3)["order"]), (&json!(null), &json!("hq-3")));
    let journaled = row(3)["journaled"].to_string();
    assert!(
        journaled.contains("OrderPlaced") && journaled.contains("HoldTaken"),
        "{journaled}"
    );
    let refused = bench.get("/v1/directives?refused=true").await.expect(200);
    assert_eq!(refused["items"], json!([row(2)]));
    let first = bench.get("/v1/directives?limit=1").await.expect(200);
    let cursor = first["next"].as_str().unwrap();
    let rest = bench.get(&format!("/v1/directives?cursor={cursor}")).await.expect(200);
    assert_eq!(rest["items"], json!([row(2), row(1)]));
    bench.get("/v1/directives?cursor=x").await.expect(400);

    let none = bench.get("/v1/vouchers").await.expect(200);
    assert_eq!((&none["closed_until"], &none["items"]), (&json!(null), &json!([])));
    let voucher = Voucher {
        site: site(),
        hq_epoch: EPOCH,
        epoch: bench.station.store.identity().epoch.clone(),
        id: "v1".to_owned(),
        member: "w".parse().unwrap(),
        name: "Wang".to_owned(),
        amount: Fen(2_000),
        expires_at: bench.now().wall.after_ms(3_600_000),
    };
    let text = voucher::to_text(&voucher, &head_office());
    bench
        .post("/v1/vouchers", &json!({ "voucher": text }))
        .await
        .expect(201);
    let certainly = bench.now().wall;
    bench.station.tell(domain::site::Input::CloseVouchers { certainly });
    bench.settled().await;
    let shown = bench.get("/v1/vouchers").await.expect(200);
    let (closed, taken) = (&shown["items"][0], &shown["items"][1]);
    assert_eq!(
        (&closed["what"], &closed["until"]),
        (&json!("closed"), &shown["closed_until"])
    );
    assert_eq!(
        (&taken["what"], &taken["voucher"], &taken["member"], &taken["amount"]),
        (&json!("taken"), &json!("v1"), &json!("w"), &json!("20.00"))
    );
    assert_eq!(
        shown["items"].as_array().unwrap().len(),
        2,
        "a lease of a directive is no voucher: {shown}"
    );
}
