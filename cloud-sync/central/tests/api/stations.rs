//! Where a driver can charge and what it costs, over two sites.

use crate::{
    bench::{Bench, HOUR, pile},
    joined::{Joined, soon, start},
    office::{BEGIN, Office},
    station::{Journal, lived},
};
use central::store::sites;
use domain::{journal::Head, messages::EventKind, site::Input, tariff::Tariff};
use serde_json::{Value, json};
use service::wire::tariff::TariffInForce;

/// The site is heard now.
async fn hear(office: &Office, site: &str, hello: Option<String>, ago_ms: i64) {
    let (site, at) = (site.parse().unwrap(), BEGIN.after_ms(-ago_ms));
    let heard = office.db.write(move |tx| sites::heard(tx, &site, hello.as_deref(), at));
    heard.await.unwrap();
}

fn states(station: &Value) -> Vec<(&str, &str)> {
    let piles = station["piles"].as_array().unwrap();
    piles
        .iter()
        .flat_map(|pile| {
            let id = pile["id"].as_str().unwrap();
            let connectors = pile["connectors"].as_array().unwrap();
            connectors
                .iter()
                .map(move |connector| (id, connector["state"].as_str().unwrap()))
        })
        .collect()
}

pub(crate) async fn sites_are_shown_with_their_prices_and_free_connectors(office: Office) {
    // At one an order runs at P3; at the other one at P1, and one of head office's at P2.
    let first = lived();
    office.follow(&first.journal("s1")).await;
    let mut second = Joined::new();
    second.bench.charge("m", "P1", "5");
    second.done(start("hq-1", "w", "P2", "30", soon(&second.bench)));
    office.follow(&Journal::of(&second.bench, "s2")).await;
    let back_end = office.machine("back-end", &["station"]).await;
    for site in ["s1", "s2"] {
        hear(&office, site, None, 10_000).await;
    }
    for limit in [1, 2, 200] {
        let all = office.all(&back_end, "/v1/stations", limit).await;
        let names: Vec<&Value> = all.iter().map(|station| &station["site"]).collect();
        assert_eq!(names, ["s1", "s2"]);
        assert_eq!(states(&all[0]), [("P1", "free"), ("P2", "free"), ("P3", "occupied")]);
        assert_eq!(
            states(&all[1]),
            [("P1", "occupied"), ("P2", "occupied"), ("P3", "free")]
        );
        assert_eq!((&all[0]["free"], &all[1]["free"]), (&json!(2), &json!(1)));
        assert_eq!(all[0]["piles"][0]["connectors"][0]["max_kw"], "7.000");
        let tariffs: Vec<&Tariff> = first.rows().tariffs.values().collect();
        let in_force = TariffInForce::of(tariffs, BEGIN).unwrap();
        for station in &all {
            assert_eq!(
                station["tariff"],
                serde_json::to_value(&in_force).unwrap(),
                "as the station itself shows it"
            );
            assert_eq!(station["online"], true);
            assert_eq!(station["as_of"], BEGIN.after_ms(-10_000).to_string());
        }
        assert_eq!(office.get(&back_end, "/v1/stations/s2").await.expect(200), all[1]);
    }
    office
        .get(&back_end, "/v1/stations/s9")
        .await
        .problem(404, "unknown-site");
    // One that is shut out is served no more.
    let revoked = office.db.write(|tx| {
        let at = BEGIN.0;
        tx.execute("UPDATE site SET revoked_at = $1 WHERE id = 's1'", &[at.into()])
    });
    revoked.await.unwrap();
    assert_eq!(office.all(&back_end, "/v1/stations", 1).await.len(), 1);
    office
        .get(&back_end, "/v1/stations/s1")
        .await
        .problem(404, "unknown-site");
}

pub(crate) async fn a_site_whose_line_is_down_says_so_and_up_to_when_it_is_known(office: Office) {
    let journal = lived().journal("s1");
    office.follow(&journal).await;
    let reader = office.machine("reader", &["viewer"]).await;
    let shown = async || {
        let station = office.get(&reader, "/v1/stations/s1").await.expect(200);
        (station["online"].clone(), station["as_of"].clone())
    };
    assert_eq!(shown().await, (json!(false), Value::Null), "never heard");
    hear(&office, "s1", None, 60_000).await;
    assert_eq!(shown().await, (json!(true), json!(BEGIN.after_ms(-60_000).to_string())));
    hear(&office, "s1", None, 60_001).await;
    assert_eq!(
        shown().await,
        (json!(false), json!(BEGIN.after_ms(-60_001).to_string()))
    );
    // Back again, and what happened meanwhile has yet to come.
    let head = journal.head();
    let since = BEGIN.after_ms(-3_600_000);
    let hello = |seq: u64| {
        let head = Head { seq, ..head };
        Some(json!({ "head": head, "waiting_since": since }).to_string())
    };
    hear(&office, "s1", hello(head.seq + 5), 0).await;
    assert_eq!(shown().await, (json!(true), json!(since.to_string())));
    hear(&office, "s1", hello(head.seq), 0).await;
    assert_eq!(shown().await, (json!(true), json!(BEGIN.to_string())));
}

pub(crate) async fn a_connector_that_cannot_be_had_says_why(office: Office) {
    let mut bench = Bench::new();
    bench.event("P1", EventKind::Estop);
    bench.ok(Input::SetMaintenance {
        pile: pile("P2"),
        reason: Some("the cable is cut".to_owned()),
        by: "desk".to_owned(),
    });
    bench.ok(Input::RemovePile {
        pile: pile("P3"),
        by: "desk".to_owned(),
    });
    bench.advance(HOUR);
    let mut bare = Bench::bare(domain::policy::Policy::default());
    bare.ok(Input::ProvisionPile {
        pile: pile("P1"),
        by: "desk".to_owned(),
    });
    office.follow(&Journal::of(&bench, "s1")).await;
    office.follow(&Journal::of(&bare, "s2")).await;
    let reader = office.machine("reader", &["viewer"]).await;
    let all = office.all(&reader, "/v1/stations", 5).await;
    assert_eq!(states(&all[0]), [("P1", "faulted"), ("P2", "out_of_service")]);
    assert_eq!(all[0]["free"], 0);
    assert_eq!((&all[1]["tariff"], &all[1]["free"]), (&Value::Null, &json!(0)));
    assert_eq!(all[1]["piles"], json!([{ "id": "P1", "connectors": [] }]));
}
