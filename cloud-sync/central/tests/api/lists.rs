//! What the sites' journals have come to, over two sites that have orders of the same numbers: in the station's own shapes, page
//! by page, and the same as the station's own rows.

use crate::{
    bench::{DAY, HOUR},
    office::{BEGIN, Office, Somebody},
    station::{Lived, lived},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use central::store::{
    Value as Stored,
    findings::{self, Class, Finding},
};
use domain::{
    fact::Fact,
    journal::{Hash, Head, Written},
    ledger::Account,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use service::wire::{
    Yuan,
    bill::BillView,
    energy::{EnergyReportBrief, EnergyReportView},
    member::MemberView,
    order::{LogEntry, OrderView},
    quarantine::QuarantineView,
};

/// Head office with two sites that lived the same life, and somebody who reads.
async fn two_sites(office: &Office) -> (Lived, Somebody) {
    let lived = lived();
    for site in ["s1", "s2"] {
        office.follow(&lived.journal(site)).await;
    }
    (lived, office.machine("reader", &["viewer"]).await)
}

/// What is shown is of this shape, and says this.
#[track_caller]
fn is<T: Serialize + DeserializeOwned>(shown: &Value, expected: &T) {
    let mut shown = shown.clone();
    shown.as_object_mut().unwrap().remove("site");
    assert_eq!(shown, serde_json::to_value(expected).unwrap());
    let read: T = serde_json::from_value(shown.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), shown);
}

fn ids(rows: &[Value]) -> Vec<(&str, &str)> {
    let id = |row: &'_ Value| (row["site"].as_str().map(str::len), row["id"].as_str().map(str::len));
    assert!(rows.iter().all(|row| id(row).0.is_some() && id(row).1.is_some()));
    rows.iter()
        .map(|row| (row["site"].as_str().unwrap(), row["id"].as_str().unwrap()))
        .collect()
}

pub(crate) async fn orders_of_all_sites_are_listed_by_every_filter_and_page_size(office: Office) {
    let (lived, reader) = two_sites(&office).await;
    let mut expected: Vec<(i64, &str, String)> = Vec::new();
    for order in lived.rows().orders() {
        expected.extend(["s1", "s2"].map(|site| (order.placed_at.0, site, order.id.to_string())));
    }
    expected.sort();
    expected.reverse();
    let expected: Vec<(&str, &str)> = expected.iter().map(|(_, site, id)| (*site, id.as_str())).collect();
    assert_eq!(expected.len(), 14);
    for limit in [1, 3, 14, 200] {
        assert_eq!(
            ids(&office.all(&reader, "/v1/orders", limit).await),
            expected,
            "pages of {limit}"
        );
    }
    let of = |site: &str, which: &dyn Fn(&domain::order::Order) -> bool| -> usize {
        let count = lived.rows().orders().filter(|order| which(order)).count();
        if site.is_empty() { 2 * count } else { count }
    };
    let third = lived.rows().orders[&lived.paid[2]].clone().unwrap();
    let at = third.placed_at.to_string();
    let day = third.counted.unwrap().day;
    let cases: Vec<(String, usize)> = vec![
        ("site=s1".to_owned(), of("s1", &|_| true)),
        ("site=s3".to_owned(), 0),
        ("member=n".to_owned(), of("", &|order| order.member.as_str() == "n")),
        (
            "member=n&site=s2".to_owned(),
            of("s2", &|order| order.member.as_str() == "n"),
        ),
        (
            "site=s1&pile=P3".to_owned(),
            of("s1", &|order| order.outlet.pile.as_str() == "P3"),
        ),
        (
            "state=PAYED".to_owned(),
            of("", &|order| order.state == domain::order::State::Payed),
        ),
        ("state=CHARGING".to_owned(), 2),
        (
            format!("from={at}"),
            of("", &|order| order.placed_at >= third.placed_at),
        ),
        (format!("to={at}"), of("", &|order| order.placed_at < third.placed_at)),
        (format!("from={at}&to={at}"), 0),
        (
            format!("day={day}"),
            of("", &|order| order.counted.is_some_and(|counted| counted.day == day)),
        ),
    ];
    for (query, count) in cases {
        let all = office.all(&reader, &format!("/v1/orders?{query}"), 200).await;
        assert_eq!(all.len(), count, "{query}");
        assert_eq!(
            office.all(&reader, &format!("/v1/orders?{query}"), 1).await,
            all,
            "{query}"
        );
    }
    assert!(of("", &|order| order.counted.is_some_and(|counted| counted.day == day)) > 0);
}

pub(crate) async fn an_order_its_bill_and_its_log_are_the_stations_own(office: Office) {
    let (lived, reader) = two_sites(&office).await;
    for id in lived.paid.iter().chain([&lived.open]) {
        let order = lived.rows().orders[id].as_ref().unwrap();
        for site in ["s1", "s2"] {
            let path = format!("/v1/sites/{site}/orders/{id}");
            let shown = office.get(&reader, &path).await.expect(200);
            assert_eq!(shown["site"], site);
            is::<OrderView>(&shown, &OrderView::from(order));
            is::<BillView>(
                &office.get(&reader, &format!("{path}/bill")).await.expect(200),
                &BillView::from(order),
            );
            let log: Vec<LogEntry> = lived
                .journal(site)
                .entries
                .iter()
                .zip(&lived.bench.facts)
                .filter(|(_, (_, fact))| fact.order() == Some(id))
                .map(|(bytes, _)| {
                    let entry = Written::from_bytes(bytes).unwrap();
                    LogEntry {
                        seq: entry.stamp.seq,
                        at: service::wire::At(entry.stamp.at),
                        kind: entry.fact.kind,
                        body: entry.fact.body.into(),
                    }
                })
                .collect();
            assert!(log.len() > 3);
            for limit in [1, 2, log.len(), 200] {
                let shown = office.all(&reader, &format!("{path}/log"), limit).await;
                assert_eq!(
                    Value::from(shown),
                    serde_json::to_value(&log).unwrap(),
                    "pages of {limit}"
                );
            }
        }
    }
    for (path, code) in [
        ("/v1/sites/s1/orders/nobodys", "unknown-order"),
        ("/v1/sites/s1/orders/nobodys/bill", "unknown-order"),
        ("/v1/sites/s1/orders/nobodys/log", "unknown-order"),
        ("/v1/sites/s9/piles", "unknown-site"),
        ("/v1/sites/s9/journal", "unknown-site"),
        ("/v1/sites/s1/members/nobody", "unknown-member"),
        ("/v1/sites/s1/tariffs/none", "unknown-tariff"),
        ("/v1/sites/s1/quarantine/99", "unknown-quarantine-item"),
        ("/v1/sites/s1/energy-reports/2020-01-01", "unknown-energy-report"),
    ] {
        let who = if path.ends_with("journal") {
            office.machine("admin", &["admin"]).await
        } else {
            reader.clone()
        };
        office.get(&who, path).await.problem(404, code);
    }
}

pub(crate) async fn members_piles_tariffs_energy_and_quarantine_are_the_stations_own(office: Office) {
    let (lived, reader) = two_sites(&office).await;
    let rows = lived.rows();
    let view = |id: &str| {
        let member = rows.member(&crate::bench::member(id)).unwrap();
        let held = |order: &_| rows.ledger.balance(&Account::Held(domain::ids::OrderId::clone(order)));
        let held = member.open_orders.iter().map(held).sum();
        MemberView::new(
            member,
            rows.ledger.allowance(&member.id),
            held,
            rows.ledger.debt(&member.id),
        )
    };
    assert_ne!(view("m").held, Yuan(domain::units::Fen::ZERO));
    let members = office.all(&reader, "/v1/members", 1).await;
    assert_eq!(ids(&members), [("s1", "m"), ("s2", "m"), ("s1", "n"), ("s2", "n")]);
    for row in &members {
        is::<MemberView>(row, &view(row["id"].as_str().unwrap()));
    }
    assert_eq!(
        ids(&office.all(&reader, "/v1/members?member=m", 1).await),
        [("s1", "m"), ("s2", "m")]
    );
    assert_eq!(
        ids(&office.all(&reader, "/v1/members?site=s2", 1).await),
        [("s2", "m"), ("s2", "n")]
    );
    is::<MemberView>(
        &office.get(&reader, "/v1/sites/s2/members/m").await.expect(200),
        &view("m"),
    );

    let piles = office.all(&reader, "/v1/sites/s1/piles", 2).await;
    let names: Vec<&Value> = piles.iter().map(|pile| &pile["id"]).collect();
    assert_eq!(names, ["P1", "P2", "P3"]);
    let register = rows.piles[&crate::bench::pile("P1")]
        .connectors
        .values()
        .next()
        .unwrap()
        .register
        .unwrap();
    assert_eq!(
        piles[0]["connectors"][0]["register_kwh"],
        service::wire::Kwh(register).0.to_string()
    );

    let tariffs = office.all(&reader, "/v1/sites/s1/tariffs", 1).await;
    let tariff = serde_json::to_value(rows.tariffs.values().next().unwrap()).unwrap();
    assert_eq!(tariffs, std::slice::from_ref(&tariff));
    assert_eq!(office.get(&reader, "/v1/sites/s1/tariffs/t1").await.expect(200), tariff);

    let reports = office.all(&reader, "/v1/energy-reports", 1).await;
    let days: Vec<String> = rows.energy_reports.keys().rev().map(ToString::to_string).collect();
    assert!(!days.is_empty());
    let expected: Vec<(&str, &str)> = days
        .iter()
        .flat_map(|day| [("s2", day.as_str()), ("s1", day.as_str())])
        .collect();
    let shown: Vec<(&str, &str)> = reports
        .iter()
        .map(|row| (row["site"].as_str().unwrap(), row["day"].as_str().unwrap()))
        .collect();
    assert_eq!(shown, expected);
    for (day, report) in &rows.energy_reports {
        let brief = office
            .all(&reader, &format!("/v1/energy-reports?site=s1&day={day}"), 2)
            .await;
        assert_eq!(brief.len(), 1);
        is::<EnergyReportBrief>(&brief[0], &EnergyReportBrief::of(report));
        let whole = office
            .get(&reader, &format!("/v1/sites/s2/energy-reports/{day}"))
            .await
            .expect(200);
        is::<EnergyReportView>(&whole, &EnergyReportView::of(report));
    }

    let items = office.all(&reader, "/v1/quarantine", 1).await;
    assert_eq!(items.len(), 2);
    let item = rows.quarantine.values().flatten().next().unwrap();
    is::<QuarantineView>(&items[0], &QuarantineView::brief(item));
    let whole = office
        .get(&reader, &format!("/v1/sites/s1/quarantine/{}", item.item))
        .await
        .expect(200);
    is::<QuarantineView>(&whole, &QuarantineView::full(item));
    assert_eq!(
        office.all(&reader, "/v1/quarantine?site=s2&closed=true", 1).await.len(),
        1
    );
}

pub(crate) async fn what_was_dealt_with_is_listed_only_where_that_is_asked(office: Office) {
    let mut lived = lived();
    let item = lived.rows().quarantine.values().flatten().next().unwrap().item;
    lived.bench.ok(crate::bench::Bench::close_item_input(item, None));
    office.follow(&lived.journal("s1")).await;
    let reader = office.machine("reader", &["viewer"]).await;
    assert_eq!(office.all(&reader, "/v1/quarantine", 5).await, Vec::<Value>::new());
    assert_eq!(office.all(&reader, "/v1/quarantine?closed=true", 5).await.len(), 1);
}

pub(crate) async fn the_books_are_the_stations_and_their_sums_are_zero(office: Office) {
    let (lived, _) = two_sites(&office).await;
    let maker = office.machine("maker", &["finance_maker"]).await;
    let sums = office.get(&maker, "/v1/accounts/sums").await.expect(200);
    let fen = |row: &Value| row["amount"].as_str().unwrap().parse::<domain::units::Fen>().unwrap().0;
    let total: i64 = sums["items"].as_array().unwrap().iter().map(fen).sum();
    assert_eq!(total, 0);
    assert!(sums["items"].as_array().unwrap().len() > 3);
    for (account, balance) in lived.rows().ledger.accounts() {
        let name = central::store::ledger::mirrored(&"s2".parse().unwrap(), account);
        let kind = name.split(':').next().unwrap();
        let all = office.all(&maker, &format!("/v1/accounts?kind={kind}"), 2).await;
        let shown = all.iter().find(|row| row["name"] == name.as_str());
        match shown {
            Some(shown) => assert_eq!(shown["balance"], balance.to_string(), "{name}"),
            None => assert_eq!(balance.0, 0, "{name}"),
        }
    }
    let of_site = office.all(&maker, "/v1/transfers?site=s1", 7).await;
    assert_eq!(of_site.len(), lived.bench.transfers.len());
    assert!(of_site.iter().all(|row| row["site"] == "s1"));
    let whole = office.all(&maker, "/v1/transfers?site=s1", 200).await;
    assert_eq!(of_site, whole);
    let of_member = office.all(&maker, "/v1/transfers?member=n", 3).await;
    let expected = lived
        .bench
        .transfers
        .iter()
        .filter(|transfer| transfer.member.as_ref().is_some_and(|member| member.as_str() == "n"));
    assert_eq!(of_member.len(), 2 * expected.count());
    let id = &lived.paid[0];
    let of_order = office
        .all(&maker, &format!("/v1/transfers?site=s2&order={id}"), 2)
        .await;
    assert!(
        of_order.len() > 1
            && of_order
                .iter()
                .all(|row| row["order"] == id.as_str() && row["site"] == "s2")
    );
    let sums = office
        .get(&maker, &format!("/v1/transfers/sums?site=s2&order={id}"))
        .await
        .expect(200);
    for sum in sums["items"].as_array().unwrap() {
        let of_code: Vec<&Value> = of_order.iter().filter(|row| row["code"] == sum["of"]).collect();
        assert_eq!(sum["count"], of_code.len());
        assert_eq!(fen(sum), of_code.into_iter().map(fen).sum::<i64>());
    }
    for query in ["", "?code=CAPTURE", "?site=s1&code=a-b", "?order=x&member=n"] {
        office
            .get(&maker, &format!("/v1/transfers{query}"))
            .await
            .problem(400, "invalid-url");
    }
}

pub(crate) async fn findings_are_listed_the_newest_first_by_every_filter_and_page_size(office: Office) {
    let (lived, reader) = two_sites(&office).await;
    assert_eq!(
        office.all(&reader, "/v1/findings", 5).await,
        Vec::<Value>::new(),
        "an honest site has none"
    );
    let order = lived.paid[0].clone();
    let finding = |class, seq, order| Finding {
        class,
        seq,
        order,
        detail: json!({ "why": "it differs", "site": "1.00", "here": "2.00" }).to_string(),
    };
    let some = [
        finding(Class::Rating, 7, Some(order.clone())),
        finding(Class::Rating, 9, None),
        finding(Class::Books, 9, None),
    ];
    for (n, site) in (0..).zip(["s1", "s2"]) {
        let (site, some): (domain::ids::SiteId, _) = (site.parse().unwrap(), some.clone());
        let added = office
            .db
            .write(move |tx| findings::add(tx, &site, 0, &some, BEGIN.after_ms(n)));
        added.await.unwrap();
    }
    let places = |rows: &[Value]| -> Vec<String> {
        rows.iter()
            .map(|row| format!("{} {} {}", row["site"], row["seq"], row["class"]).replace('"', ""))
            .collect()
    };
    let expected = [
        "s2 9 RATING",
        "s2 9 BOOKS",
        "s2 7 RATING",
        "s1 9 RATING",
        "s1 9 BOOKS",
        "s1 7 RATING",
    ];
    for limit in [1, 2, 6, 7] {
        assert_eq!(places(&office.all(&reader, "/v1/findings", limit).await), expected);
    }
    assert_eq!(
        places(&office.all(&reader, "/v1/findings?site=s1&class=RATING", 1).await),
        ["s1 9 RATING", "s1 7 RATING"]
    );
    let of_order = office.all(&reader, &format!("/v1/findings?order={order}"), 1).await;
    assert_eq!(places(&of_order), ["s2 7 RATING", "s1 7 RATING"]);
    assert_eq!(
        of_order[0]["detail"],
        json!({ "why": "it differs", "site": "1.00", "here": "2.00" })
    );
    office
        .get(&reader, "/v1/findings?cursor=1,s1,0,7,NONE")
        .await
        .problem(400, "invalid-url");
}

pub(crate) async fn a_journal_is_handed_out_as_the_site_stored_it(office: Office) {
    let (lived, _) = two_sites(&office).await;
    let (admin, journal) = (office.machine("admin", &["admin"]).await, lived.journal("s2"));
    for limit in [1, 7, 1_000] {
        let mut head = Head {
            seq: 0,
            hash: Hash::GENESIS,
        };
        loop {
            let page = office
                .get(
                    &admin,
                    &format!("/v1/sites/s2/journal?after={}&limit={limit}", head.seq),
                )
                .await
                .expect(200);
            assert_eq!(page["after_hash"], head.hash.to_string());
            assert_eq!(
                page["head"],
                json!({ "seq": journal.head().seq, "hash": journal.head().hash.to_string() })
            );
            let entries = page["entries"].as_array().unwrap();
            if entries.is_empty() {
                break;
            }
            assert!(entries.len() <= limit);
            for entry in entries {
                let bytes = STANDARD.decode(entry["bytes"].as_str().unwrap()).unwrap();
                head.follow(
                    entry["seq"].as_u64().unwrap(),
                    entry["hash"].as_str().unwrap().parse().unwrap(),
                    &bytes,
                )
                .unwrap();
            }
        }
        assert_eq!(head, journal.head());
    }
    let beyond = office
        .get(&admin, "/v1/sites/s2/journal?after=18446744073709551615")
        .await
        .expect(200);
    assert_eq!((&beyond["after_hash"], &beyond["entries"]), (&Value::Null, &json!([])));
}

pub(crate) async fn a_site_shows_its_state_its_backlog_and_what_it_said(office: Office) {
    let (lived, reader) = two_sites(&office).await;
    let (head, now) = (lived.journal("s1").head(), BEGIN.after_ms(-90_000));
    let hello = json!({
        "site": "s1", "protocol": 1, "station": "0.1.0", "agent": "0.1.1", "epoch": "e1", "recovering": false,
        "time_zone": "Asia/Shanghai", "head": { "seq": head.seq + 17, "hash": head.hash.to_string() },
        "begins_after": { "seq": 0, "hash": Hash::GENESIS.to_string() }, "waiting_since": now, "of_tomorrow": 1,
    });
    let values: Vec<Stored> = vec![hello.to_string().into(), now.0.into()];
    let heard = office
        .db
        .write(move |tx| tx.execute("UPDATE site SET hello = $1, heard_at = $2 WHERE id = 's1'", &values));
    assert_eq!(heard.await, Ok(1));
    let broken = office.db.write(|tx| {
        tx.execute(
            "UPDATE site SET state = 'broken', trouble = 'it contradicts' WHERE id = 's2'",
            &[],
        )
    });
    assert_eq!(broken.await, Ok(1));
    let site = office.get(&reader, "/v1/sites/s1").await.expect(200);
    assert_eq!(site["head"], json!({ "seq": head.seq, "hash": head.hash.to_string() }));
    assert_eq!(
        site["backlog"],
        json!({ "entries": 17, "since": now.to_string(), "age_s": 90 })
    );
    assert_eq!(
        (&site["said"]["station_version"], &site["said"]["agent_version"]),
        (&json!("0.1.0"), &json!("0.1.1"))
    );
    assert_eq!(
        (&site["state"], &site["trouble"], &site["heard_at"]),
        (&json!("following"), &Value::Null, &json!(now.to_string()))
    );
    let all = office.all(&reader, "/v1/sites", 1).await;
    assert_eq!(all[0], site);
    assert_eq!(
        (&all[1]["state"], &all[1]["trouble"], &all[1]["said"]),
        (&json!("broken"), &json!("it contradicts"), &Value::Null)
    );
    assert_eq!(office.all(&reader, "/v1/sites?state=broken", 1).await, all[1..]);
    office
        .get(&reader, "/v1/sites?state=lost")
        .await
        .problem(400, "invalid-url");
    let metrics = office.get(&reader, "/metrics").await;
    let mut lines = vec![
        "holdfast_sites{state=\"following\"} 1".to_owned(),
        "holdfast_sites{state=\"broken\"} 1".to_owned(),
        "holdfast_sites{state=\"forked\"} 0".to_owned(),
        format!("holdfast_site_head_seq{{site=\"s2\"}} {}", head.seq),
        "holdfast_site_backlog_entries{site=\"s1\"} 17".to_owned(),
        "holdfast_site_backlog_seconds{site=\"s1\"} 90".to_owned(),
        "holdfast_site_backlog_seconds{site=\"s2\"} 0".to_owned(),
        "holdfast_site_heard_ago_seconds{site=\"s1\"} 90".to_owned(),
        "holdfast_http_requests_total{outcome=\"refused\"} 1".to_owned(),
    ];
    lines.retain(|line| !metrics.text.lines().any(|shown| shown == line));
    assert_eq!(lines, Vec::<String>::new(), "{}", metrics.text);
    assert!(!metrics.text.contains("holdfast_site_heard_ago_seconds{site=\"s2\"}"));
}

pub(crate) async fn what_cannot_be_asked_is_told_by_its_place_in_the_url(office: Office) {
    let reader = office.machine("reader", &["viewer"]).await;
    for path in [
        "/v1/orders?limit=0",
        "/v1/orders?limit=201",
        "/v1/orders?cursor=x",
        "/v1/orders?cursor=x,s1,o1",
        "/v1/orders?state=PAID",
        "/v1/orders?day=2026-02-30",
        "/v1/orders?from=yesterday",
        "/v1/orders?pile=P1",
        "/v1/orders?member=a%20b",
        "/v1/orders?nothing=1",
        "/v1/members?cursor=x",
        "/v1/quarantine?cursor=s1,x",
        "/v1/energy-reports?cursor=2026-02-30,s1",
        "/v1/sites/a%20b",
        "/v1/sites/s1/energy-reports/yesterday",
    ] {
        office.get(&reader, path).await.problem(400, "invalid-url");
    }
}

#[test]
fn the_life_of_the_tests_has_what_they_look_for() {
    let lived = lived();
    assert!(
        lived
            .bench
            .facts
            .iter()
            .any(|(_, fact)| matches!(fact, Fact::EnergyReported { .. }))
    );
    let (first, last) = (lived.bench.facts[0].0.at, lived.bench.now.wall);
    assert!(
        last.ms_since(first) > i64::try_from(12 * HOUR).unwrap() && last.ms_since(first) < i64::try_from(DAY).unwrap()
    );
}
