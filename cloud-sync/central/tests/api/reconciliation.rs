//! Reconciliation over HTTP: asked for, listed by every filter, and told of what happened to what it found.

use crate::{
    bill_writer::{MERCHANT, wechat_trade},
    bills::{channel, path, put},
    office::Office,
};
use serde_json::{Value, json};

const DAY_MS: i64 = 86_400_000;

pub(crate) async fn a_day_is_reconciled_when_somebody_asks_and_what_differs_is_listed(office: Office) {
    let finance = office.machine("finance", &["finance_maker"]).await;
    let runs = "/v1/reconciliation/runs";
    let ask = |day: &str| json!({ "channel": "wechat", "day": day });
    office
        .post(&finance, runs, &ask("2026-03-10"))
        .await
        .problem(404, "unknown-channel");
    channel(&office, "wechat", MERCHANT, "wechat").await;
    let over = office.post(&finance, runs, &ask("2026-03-10")).await;
    over.problem(409, "day-not-over");
    let before = office.post(&finance, runs, &ask("2026-03-08")).await;
    before.problem(409, "before-first-day");
    // A wallet is credited, and no bill ever has it.
    let credited = office.db.write(|tx| {
        tx.execute(
            "INSERT INTO channel_transaction (channel, id, ref, amount, credited, at) VALUES ('wechat', '4201', 'T1', 5000, 1, $1)",
            &[crate::office::BEGIN.0.into()],
        )
    });
    credited.await.unwrap();
    office.pass(5 * DAY_MS);
    let bill = wechat_trade(&[]);
    for day in ["2026-03-10", "2026-03-11", "2026-03-12", "2026-03-13"] {
        put(&office, &finance, &path("wechat", day, "wechat_trade"), bill.as_bytes())
            .await
            .expect(201);
    }
    let run = office.post(&finance, runs, &ask("2026-03-13")).await.expect(200);
    assert_eq!(
        (&run["scope"], &run["day"], &run["status"], &run["begun_by"]),
        (
            &json!("channel:wechat"),
            &json!("2026-03-13"),
            &json!("provisional"),
            &json!("token:finance")
        )
    );
    let short = json!({
        "opening": { "count": 0, "amount": "0.00" }, "new": { "count": 1, "amount": "50.00" },
        "cleared": { "count": 0, "amount": "0.00" }, "written_off": { "count": 0, "amount": "0.00" },
        "closing": { "count": 1, "amount": "50.00" },
    });
    assert_eq!(run["totals"]["classes"]["funds SHORT"], short, "{run}");
    // The bill has a night; what is final then is answered, and not made again.
    office.pass(DAY_MS);
    let again = office.post(&finance, runs, &ask("2026-03-13")).await.expect(200);
    assert_eq!(
        (&again["run"], &again["digest"], &again["status"]),
        (&run["run"], &run["digest"], &json!("final"))
    );
    let (number, run) = (run["run"].as_u64().unwrap(), again);
    assert_eq!(office.get(&finance, &format!("{runs}/{number}")).await.expect(200), run);
    office
        .get(&finance, &format!("{runs}/99"))
        .await
        .problem(404, "unknown-run");
    let days = |rows: Vec<Value>| rows.into_iter().map(|run| run["day"].clone()).collect::<Vec<_>>();
    let expected = ["2026-03-13", "2026-03-12", "2026-03-11", "2026-03-10"];
    assert_eq!(days(office.all(&finance, runs, 1).await), expected);
    assert_eq!(
        days(office.all(&finance, &format!("{runs}?channel=wechat"), 3).await),
        expected
    );
    assert_eq!(
        office.all(&finance, &format!("{runs}?channel=alipay"), 3).await,
        Vec::<Value>::new()
    );

    let list = "/v1/discrepancies";
    let all = office.all(&finance, list, 1).await;
    let [one] = all.as_slice() else { panic!("{all:?}") };
    let shown = |key: &str| one[key].clone();
    assert_eq!(
        [
            shown("class"),
            shown("source"),
            shown("reference"),
            shown("day"),
            shown("of_day"),
            shown("state"),
            shown("ours"),
            shown("theirs")
        ],
        [
            json!("SHORT"),
            json!("credit"),
            json!("4201"),
            json!("2026-03-13"),
            json!("2026-03-10"),
            json!("open"),
            json!("50.00"),
            Value::Null
        ]
    );
    assert_eq!(one["age"], "2-3");
    for (filter, is_in) in [
        ("?class=SHORT&state=open&day=2026-03-13&channel=wechat", true),
        ("?class=LONG", false),
        ("?state=cleared", false),
        ("?day=2026-03-12", false),
        ("?channel=alipay", false),
    ] {
        let found = office.all(&finance, &format!("{list}{filter}"), 10).await;
        assert_eq!(found.len(), usize::from(is_in), "{filter}");
    }
    office
        .get(&finance, &format!("{list}?class=WRONG"))
        .await
        .problem(400, "invalid-url");
    let id = one["id"].as_u64().unwrap();
    let told = office.get(&finance, &format!("{list}/{id}")).await.expect(200);
    assert_eq!(told["discrepancy"], *one);
    let events = told["events"].as_array().unwrap();
    assert_eq!(
        (events.len(), &events[0]["kind"], &events[0]["by"]),
        (1, &json!("opened"), &json!("token:finance"))
    );
    office
        .get(&finance, &format!("{list}/99"))
        .await
        .problem(404, "unknown-discrepancy");
    let audit = office.local("GET", "/v1/audit", None).await.expect(200);
    let told = audit["items"].as_array().unwrap().iter();
    assert_eq!(
        told.filter(|entry| entry["action"] == "reconciled").count(),
        2,
        "{audit}"
    );
}
