//! An alert begins once and ends once, also across a restart, and with several processes on one database.

use crate::place::{BEGIN, Home, count, messages, on_both};
use central::{
    alerts::conditions::Thresholds,
    daily,
    store::{
        alerts::{self, Kind},
        findings::{self, Class, Finding},
        identity,
        issues::{self, Issue},
        jobs, members,
        outbox::Channel,
    },
};
use domain::{head_office::HqEpoch, time::Wall, units::Fen};

on_both! {
    an_alert_begins_once_and_ends_once_also_across_a_restart
    of_two_processes_at_once_one_begins_it_and_one_ends_it
    each_process_knows_its_own_disk_and_certificate
    what_the_books_and_the_bills_differ_in_is_an_alert
    money_that_is_long_on_the_road_and_wallets_that_are_frozen_are_alerts_until_they_are_not
}

const MINUTE: i64 = 60_000;
const ALL: [Channel; 2] = [Channel::Webhook, Channel::Mail];

async fn an_alert_begins_once_and_ends_once_also_across_a_restart(home: Home) {
    let db = home.open().await;
    home.hear(&db, "s1").await;
    let watch = home.watch(&db, "p1", &ALL);
    assert!(watch.look(BEGIN).await.unwrap().is_empty());
    home.pass(15 * MINUTE);
    let changes = watch.look(BEGIN).await.unwrap();
    assert_eq!(changes.begin.len(), 1);
    assert!(watch.look(BEGIN).await.unwrap().is_empty());
    drop((watch, db));
    // Another life of the process, which has heard nobody itself: it is silent still, and nobody is told again.
    let db = home.open().await;
    home.pass(MINUTE);
    let watch = home.watch(&db, "p1", &ALL);
    let up_since = BEGIN.after_ms(16 * MINUTE);
    assert!(watch.look(up_since).await.unwrap().is_empty());
    let open = db.read(alerts::open).await.unwrap();
    assert_eq!(
        (open.len(), open[0].kind, open[0].subject.as_str()),
        (1, Kind::SiteSilent, "s1")
    );
    assert_eq!(open[0].begun_at, BEGIN.after_ms(15 * MINUTE));
    assert!(open[0].words.contains("holdfast-sync status"), "{}", open[0].words);
    home.hear(&db, "s1").await;
    let changes = watch.look(up_since).await.unwrap();
    assert_eq!((changes.begin.len(), changes.end.len()), (0, 1));
    assert!(watch.look(up_since).await.unwrap().is_empty());
    // What begins again is another one.
    home.pass(20 * MINUTE);
    assert_eq!(watch.look(up_since).await.unwrap().begin.len(), 1);
    let listed = db.read(|tx| alerts::list(tx, None, None, 10)).await.unwrap();
    let [again, before] = listed.items.try_into().unwrap();
    assert!(again.id != before.id && again.ended_at.is_none());
    assert_eq!(before.ended_at, Some(BEGIN.after_ms(16 * MINUTE)));
    let told: Vec<(String, String)> = messages(&db)
        .await
        .into_iter()
        .map(|(id, channel, ..)| (id, channel))
        .collect();
    let both = |id: String| ["mail", "webhook"].map(|channel| (id.clone(), channel.to_owned()));
    let ids = [
        format!("{}.begun", before.id),
        format!("{}.ended", before.id),
        format!("{}.begun", again.id),
    ];
    assert_eq!(told, ids.map(both).concat());
}

async fn of_two_processes_at_once_one_begins_it_and_one_ends_it(home: Home) {
    let (one, other) = (home.open().await, home.open().await);
    for site in ["s1", "s2", "s3"] {
        home.hear(&one, site).await;
    }
    let watches = [home.watch(&one, "p1", &ALL), home.watch(&other, "p2", &ALL)];
    for round in 1..=10 {
        home.pass(20 * MINUTE);
        let (here, there) = tokio::join!(watches[0].look(BEGIN), watches[1].look(BEGIN));
        assert_eq!(
            here.unwrap().begin.len() + there.unwrap().begin.len(),
            3,
            "round {round}"
        );
        for site in ["s1", "s2", "s3"] {
            home.hear(&one, site).await;
        }
        let (here, there) = tokio::join!(watches[0].look(BEGIN), watches[1].look(BEGIN));
        assert_eq!(here.unwrap().end.len() + there.unwrap().end.len(), 3, "round {round}");
        assert_eq!(count(&one, "SELECT COUNT(*) FROM alert").await, 3 * round);
        assert_eq!(count(&one, "SELECT COUNT(*) FROM outbox").await, 12 * round);
    }
}

async fn each_process_knows_its_own_disk_and_certificate(home: Home) {
    let db = home.open().await;
    let [mut full, well] = ["p1", "p2"].map(|process| home.watch(&db, process, &[]));
    full.thresholds.disk_free = u64::MAX;
    full.certificate_until = Box::new(|| Some(BEGIN));
    let begun = full.look(BEGIN).await.unwrap().begin;
    let expected = [Kind::Certificate, Kind::Disk].map(|kind| (kind, "p1".to_owned()));
    assert_eq!(begun.into_keys().collect::<Vec<_>>(), expected);
    assert!(
        well.look(BEGIN).await.unwrap().is_empty(),
        "of another process it knows nothing"
    );
    full.thresholds = Thresholds {
        disk_free: 0,
        ..full.thresholds
    };
    full.certificate_until = Box::new(|| None);
    assert_eq!(full.look(BEGIN).await.unwrap().end.len(), 2);
}

async fn what_the_books_and_the_bills_differ_in_is_an_alert(home: Home) {
    let db = home.open().await;
    home.hear(&db, "s1").await;
    let watch = home.watch(&db, "p1", &[]);
    let written = db.write(|tx| {
        let site = "s1".parse().unwrap();
        let finding = Finding {
            class: Class::Rating,
            seq: 5,
            order: None,
            detail: "{}".to_owned(),
        };
        findings::add(tx, &site, 0, &[finding], BEGIN)?;
        jobs::done(tx, daily::KIND, "s1", Some("2026-03-10"), daily::DIFFER, BEGIN)
    });
    written.await.unwrap();
    let begun = watch.look(BEGIN).await.unwrap().begin;
    let kinds: Vec<Kind> = begun.into_keys().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [Kind::Books, Kind::Rating]);
    // The next comparison finds the books equal, and a day after the last wrong bill it is over.
    let equal = db.write(|tx| jobs::done(tx, daily::KIND, "s1", Some("2026-03-11"), daily::EQUAL, BEGIN));
    equal.await.unwrap();
    let ended = watch.look(BEGIN).await.unwrap().end;
    assert_eq!(ended.iter().map(|alert| alert.kind).collect::<Vec<_>>(), [Kind::Books]);
    home.pass(24 * 60 * MINUTE + 1);
    home.hear(&db, "s1").await;
    let ended = watch.look(BEGIN).await.unwrap().end;
    assert_eq!(ended.iter().map(|alert| alert.kind).collect::<Vec<_>>(), [Kind::Rating]);
}

async fn money_that_is_long_on_the_road_and_wallets_that_are_frozen_are_alerts_until_they_are_not(home: Home) {
    let db = home.open().await;
    home.hear(&db, "s1").await;
    let watch = home.watch(&db, "p1", &[]);
    let issue = |id: &str, kind: issues::Kind, expires_at: Option<Wall>| Issue {
        id: id.to_owned(),
        site: "s1".parse().unwrap(),
        member: "w".parse().unwrap(),
        kind,
        amount: Fen(1_000),
        rest: Fen(1_000),
        state: issues::State::OnRoad,
        order: None,
        expires_at,
        epoch: None,
        hq_epoch: HqEpoch([1; 16]),
        made_at: BEGIN,
        made_by: "li".to_owned(),
    };
    let voucher = issue("v1", issues::Kind::Voucher, Some(BEGIN.after_ms(120 * MINUTE)));
    let lease = issue("l1", issues::Kind::Lease, None);
    let sent = [voucher.clone(), lease.clone()];
    let written = db.write(move |tx| {
        members::put(tx, &"w".parse().unwrap(), "Wang", "li", BEGIN)?;
        for issue in &sent {
            issues::add(tx, issue)?;
        }
        Ok(())
    });
    written.await.unwrap();
    let look = async |minutes: i64| {
        home.pass(minutes * MINUTE);
        home.hear(&db, "s1").await;
        let changes = watch.look(BEGIN).await.unwrap();
        let begun: Vec<(Kind, String)> = changes
            .begin
            .into_iter()
            .map(|((kind, _), words)| (kind, words))
            .collect();
        let ended: Vec<Kind> = changes.end.iter().map(|alert| alert.kind).collect();
        (begun, ended)
    };
    assert_eq!(look(59).await, (vec![], vec![]));
    let (begun, _) = look(1).await;
    assert_eq!(begun.len(), 1);
    assert!(
        begun[0].0 == Kind::OnRoadLong && begun[0].1.contains("10.00 yuan"),
        "{begun:?}"
    );
    let given_back = db.write(move |tx| issues::give_back(tx, &lease, BEGIN));
    given_back.await.unwrap();
    assert_eq!(
        look(1).await,
        (vec![], vec![Kind::OnRoadLong]),
        "a voucher is carried about"
    );
    // An hour after its end it should have come back.
    assert_eq!(look(118).await, (vec![], vec![]));
    assert_eq!(look(1).await.0.len(), 1);

    let frozen = db.write(|tx| identity::freeze(tx, Some("restored from a copy")));
    frozen.await.unwrap();
    let (begun, _) = look(1).await;
    assert!(begun.len() == 1 && begun[0].0 == Kind::WalletsFrozen, "{begun:?}");
    assert!(begun[0].1.contains("restored from a copy"), "{begun:?}");
    let let_go = db.write(|tx| identity::freeze(tx, None));
    let_go.await.unwrap();
    assert_eq!(look(1).await, (vec![], vec![Kind::WalletsFrozen]));
}
