//! Alerts as people see them: what is open first, page by page, and as numbers.

use crate::office::{BEGIN, Office};
use central::store::{
    alerts::{Alert, Kind, begin, end},
    forgotten::{self, Forgotten},
    identity,
};

pub(crate) async fn what_is_open_is_listed_first_and_counted(office: Office) {
    let written = office.db.write(|tx| {
        for n in 0..7 {
            let alert = Alert {
                id: format!("alert_{n}"),
                kind: if n < 5 { Kind::SiteSilent } else { Kind::Disk },
                subject: format!("s{n}"),
                begun_at: BEGIN.after_ms(n / 2),
                ended_at: None,
                words: "look at it".to_owned(),
            };
            assert!(begin(tx, &alert)?);
            let again = Alert {
                id: "again".to_owned(),
                ..alert.clone()
            };
            assert!(!begin(tx, &again)?, "it is open already");
            if n % 3 == 0 {
                assert!(end(tx, &alert.id, BEGIN.after_ms(60_000))?);
                assert!(!end(tx, &alert.id, BEGIN)?, "it is over already");
            }
        }
        Ok(())
    });
    written.await.unwrap();
    let viewer = office.machine("viewer", &["viewer"]).await;
    let ids = |items: &[serde_json::Value]| -> Vec<String> {
        items
            .iter()
            .map(|one| one["id"].as_str().unwrap().replace("alert_", ""))
            .collect()
    };
    let (open, over) = (["5", "4", "2", "1"], ["6", "3", "0"]);
    for limit in 1..=8 {
        let all = office.all(&viewer, "/v1/alerts", limit).await;
        assert_eq!(ids(&all), [&open[..], &over[..]].concat());
        assert_eq!(ids(&office.all(&viewer, "/v1/alerts?open=true", limit).await), open);
        assert_eq!(ids(&office.all(&viewer, "/v1/alerts?open=false", limit).await), over);
        assert_eq!(all[0]["ended_at"], serde_json::Value::Null);
        assert_eq!((&all[0]["kind"], &all[0]["subject"]), (&"disk".into(), &"s5".into()));
    }
    office
        .get(&viewer, "/v1/alerts?cursor=2,0,x")
        .await
        .problem(400, "invalid-url");
    let metrics = office.get(&viewer, "/metrics").await.text;
    for line in [
        "holdfast_alerts_open{kind=\"site_silent\"} 3",
        "holdfast_alerts_open{kind=\"disk\"} 1",
        "holdfast_alerts_open{kind=\"forked\"} 0",
        "holdfast_messages_waiting 0",
    ] {
        assert!(metrics.lines().any(|one| one == line), "{line}: {metrics}");
    }
}

pub(crate) async fn what_a_site_knows_and_head_office_does_not_is_shown_with_what_to_do(office: Office) {
    office.follow(&crate::station::lived().journal("s1")).await;
    let viewer = office.machine("viewer", &["viewer"]).await;
    let metric = |text: &str| text.lines().any(|line| line == "holdfast_sites_forgotten 1");
    let epoch = office
        .db
        .write(|tx| Ok(identity::of(tx, BEGIN)?.hq_epoch))
        .await
        .unwrap();
    let shown = office.get(&viewer, "/v1/head-office").await.expect(200);
    let known = serde_json::json!({ "hq_epoch": epoch, "restored": null, "forgotten": [] });
    assert_eq!(shown, known);
    assert!(!metric(&office.get(&viewer, "/metrics").await.text));

    let place = "9:abababababababababababababababababababababababababababababababab";
    let said = Forgotten {
        site: "s1".parse().unwrap(),
        hq_epoch: Some(epoch),
        acknowledged: Some(place.parse().unwrap()),
        said_at: BEGIN,
        is_known: false,
    };
    office.db.write(move |tx| forgotten::put(tx, &said)).await.unwrap();
    let shown = office.get(&viewer, "/v1/head-office").await.expect(200);
    let words = shown["restored"].as_str().unwrap();
    assert!(
        words.contains("site s1") && words.contains("holdfast-central restored"),
        "{words}"
    );
    assert_eq!(shown["forgotten"][0]["acknowledged"], place);
    assert!(metric(&office.get(&viewer, "/metrics").await.text));

    office.db.write(|tx| identity::begin_anew(tx, BEGIN)).await.unwrap();
    let shown = office.get(&viewer, "/v1/head-office").await.expect(200);
    assert_eq!(
        (&shown["restored"], &shown["forgotten"]),
        (&known["restored"], &known["forgotten"])
    );
    assert_ne!(shown["hq_epoch"], known["hq_epoch"]);
}
