//! What drivers are told: by the real ingest, from journals of stations that head office has orders placed at.

use crate::{
    bench::{HOUR, yuan},
    joined::{Joined, charged, lease, soon, start},
    office::{BEGIN, Office},
    station::Journal,
};
use central::store::inbox;
use domain::order::State;
use serde_json::{Value, json};

/// A station where the driver `w` of head office's has charged to the end, as `hq-1`, for 3 yuan of 30.
pub(crate) fn one_order() -> Joined {
    let mut site = Joined::new();
    let ends = soon(&site.bench);
    site.done(start("hq-1", "w", "P1", "30", ends));
    charged(&mut site, &crate::bench::order_id("hq-1"), "P1", "1003");
    site
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["kind"].as_str().unwrap()).collect()
}

pub(crate) async fn a_driver_is_told_of_each_step_of_an_order_in_its_order(office: Office) {
    let site = one_order();
    for name in ["s1", "s2"] {
        office.follow(&Journal::of(&site.bench, name)).await;
    }
    let back_end = office.machine("back-end", &["station"]).await;
    let mut events = office.all(&back_end, "/v1/members/w/inbox", 3).await;
    events.reverse();
    let of_order = ["order_placed", "charging_started", "charging_ended", "settled"];
    assert_eq!(kinds(&events), [of_order, of_order].concat());
    for (event, n) in events.iter().zip(1_u64..) {
        let site = if n <= 4 { "s1" } else { "s2" };
        assert_eq!((&event["seq"], &event["member"]), (&json!(n), &json!("w")));
        assert_eq!(event["at"], BEGIN.to_string());
        let body = &event["body"];
        assert_eq!((&body["site"], &body["order"]), (&json!(site), &json!("hq-1")));
        assert_eq!((&body["pile"], &body["connector"]), (&json!("P1"), &json!(1)));
        assert!(
            event["id"].as_str().unwrap().starts_with(&format!("{site}:0:")),
            "{event}"
        );
    }
    let states: Vec<&Value> = events[..4].iter().map(|event| &event["body"]["state"]).collect();
    assert_eq!(states, ["PLACE", "CHARGING", "SETTLE", "PAYED"]);
    let settled = &events[3]["body"];
    assert_eq!(
        (&settled["bill"]["fee"], &settled["bill"]["energy_kwh"]),
        (&json!("3.00"), &json!("3.0000"))
    );
    assert_eq!(settled["paid"]["charged"], "3.00");
    assert_eq!(settled["text"], "充电已结束，费用 3.00 元，已退回 27.00 元");
    assert!(
        events[..3]
            .iter()
            .all(|event| event["body"]["text"].is_null() && event["body"]["bill"].is_null())
    );
    // What a site sends again is told once.
    let journal = Journal::of(&site.bench, "s1");
    office.take(&journal, journal.batches(1)).await;
    assert_eq!(office.all(&back_end, "/v1/members/w/inbox", 200).await.len(), 8);
}

pub(crate) async fn who_cannot_pay_is_told_what_is_owed_and_who_is_a_sites_own_is_told_nothing(office: Office) {
    let mut site = Joined::new();
    site.done(start("hq-1", "w", "P1", "5", soon(&site.bench)));
    let order = crate::bench::order_id("hq-1");
    charged(&mut site, &order, "P1", "1008");
    assert_eq!(site.bench.state(&order), State::Unpaid);
    let own = site.bench.place("m", "P2", "20");
    charged(&mut site, &own, "P2", "1002");
    site.done(start("hq-2", "v", "P3", "10", soon(&site.bench)));
    site.bench.advance(HOUR);
    office.follow(&Journal::of(&site.bench, "s1")).await;
    let reader = office.machine("reader", &["viewer"]).await;
    let told = office.all(&reader, "/v1/members/w/inbox", 200).await;
    assert_eq!(told[0]["kind"], "in_debt");
    let body = &told[0]["body"];
    let owed = yuan(body["paid"]["debt"].as_str().unwrap());
    assert_eq!(owed, site.bench.debt("w"));
    assert!(owed > yuan("0") && body["state"] == "UNPAID");
    assert!(body["text"].as_str().unwrap().contains("欠费"), "{body}");
    assert_eq!(
        office.all(&reader, "/v1/members/m/inbox", 200).await,
        Vec::<Value>::new()
    );
    // The pile never answered: the money went back, and the driver is told so.
    let failed = office.all(&reader, "/v1/members/v/inbox", 200).await;
    assert_eq!(kinds(&failed), ["start_timed_out", "order_placed"]);
    assert_eq!(failed[0]["body"]["text"], "启动超时，请重试");
}

pub(crate) async fn an_inbox_is_listed_by_every_filter_and_page_size(office: Office) {
    let member: domain::ids::MemberId = "w".parse().unwrap();
    let told = office.db.write(move |tx| {
        for n in 1..=7 {
            let kind = if n % 3 == 0 { "settled" } else { "order_placed" };
            let told = inbox::tell(
                tx,
                &member,
                kind,
                &format!("e:{n}"),
                &json!({ "n": n }),
                BEGIN.after_ms(n),
            )?;
            assert!(told);
        }
        Ok(())
    });
    told.await.unwrap();
    let reader = office.machine("reader", &["viewer"]).await;
    let numbers =
        |events: &[Value]| -> Vec<u64> { events.iter().map(|event| event["seq"].as_u64().unwrap()).collect() };
    for limit in 1..=8 {
        for (query, expected) in [
            ("", vec![7, 6, 5, 4, 3, 2, 1]),
            ("?kind=settled", vec![6, 3]),
            ("?after=4", vec![7, 6, 5]),
            ("?after=4&kind=settled", vec![6]),
            ("?after=7", vec![]),
        ] {
            let listed = office.all(&reader, &format!("/v1/members/w/inbox{query}"), limit).await;
            assert_eq!(numbers(&listed), expected, "{query}, pages of {limit}");
        }
    }
    for query in ["?cursor=x", "?limit=0", "?after=-1", "?nothing=1"] {
        office
            .get(&reader, &format!("/v1/members/w/inbox{query}"))
            .await
            .problem(400, "invalid-url");
    }
    assert_eq!(
        office.all(&reader, "/v1/members/nobody/inbox", 5).await,
        Vec::<Value>::new()
    );
}

pub(crate) async fn dead_letters_are_listed_and_sent_again_when_a_person_asks(office: Office) {
    let written = office.db.write(|tx| {
        inbox::begin(tx, BEGIN)?;
        for (n, member) in (0..).zip(["ann", "bob", "ann"]) {
            let at = BEGIN.after_ms(n);
            inbox::tell(
                tx,
                &member.parse().unwrap(),
                "settled",
                &format!("s1:0:{n}"),
                &json!({}),
                at,
            )?;
            let claimed = inbox::claim(tx, at, at.after_ms(1_000), 5)?;
            assert_eq!(claimed.len(), 1);
            inbox::dead(tx, &claimed[0], "the server answered 410", at)?;
        }
        Ok(())
    });
    written.await.unwrap();
    let service = office.machine("service", &["service"]).await;
    let ids = |rows: &[Value]| -> Vec<String> {
        rows.iter()
            .map(|row| row["event"]["id"].as_str().unwrap().to_owned())
            .collect()
    };
    for limit in 1..=4 {
        let all = office.all(&service, "/v1/webhooks/dead", limit).await;
        assert_eq!(ids(&all), ["s1:0:2", "s1:0:1", "s1:0:0"]);
        let of_ann = office.all(&service, "/v1/webhooks/dead?member=ann", limit).await;
        assert_eq!(ids(&of_ann), ["s1:0:2", "s1:0:0"]);
        assert_eq!((&all[0]["tries"], &all[0]["resending"]), (&json!(1), &json!(false)));
        assert_eq!(all[0]["died_at"], BEGIN.after_ms(2).to_string());
    }
    office
        .get(&service, "/v1/webhooks/dead?cursor=x,y")
        .await
        .problem(400, "invalid-url");
    let metrics = office.local("GET", "/metrics", None).await.text;
    for line in ["holdfast_webhook_dead_letters 3", "holdfast_webhook_members_waiting 0"] {
        assert!(metrics.lines().any(|one| one == line), "{line}: {metrics}");
    }
    office
        .post(&service, "/v1/webhooks/dead/s9:0:1/resend", &json!({}))
        .await
        .problem(404, "unknown-dead-letter");
    let asked = office
        .post(&service, "/v1/webhooks/dead/s1:0:1/resend", &json!({}))
        .await
        .expect(202);
    assert_eq!(
        (&asked["event"]["member"], &asked["resending"]),
        (&json!("bob"), &json!(true))
    );
    let due = office
        .db
        .write(|tx| inbox::claim(tx, BEGIN, BEGIN.after_ms(1_000), 5))
        .await
        .unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!((due[0].told.event.id.as_str(), due[0].tries), ("s1:0:1", 1));
    let audit = office.local("GET", "/v1/audit?limit=1", None).await.expect(200);
    let entry = &audit["items"][0];
    assert_eq!(
        (&entry["action"], &entry["subject"]),
        (&json!("dead_letter_resent"), &json!("bob"))
    );
    assert_eq!(entry["detail"]["event"], "s1:0:1");
    let viewer = office.machine("viewer", &["viewer", "station"]).await;
    office
        .get(&viewer, "/v1/webhooks/dead")
        .await
        .problem(403, "role-too-low");
}

/// A lease alone is nothing that happens to an order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_comes_for_later_is_no_news_of_an_order() {
    let office = Office::sqlite().await;
    let mut site = Joined::new();
    site.done(lease("w", "50"));
    office.follow(&Journal::of(&site.bench, "s1")).await;
    let reader = office.machine("reader", &["viewer"]).await;
    assert_eq!(office.all(&reader, "/v1/members/w/inbox", 5).await, Vec::<Value>::new());
}
