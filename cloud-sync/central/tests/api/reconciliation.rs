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
    // They have their night.
    office.pass(DAY_MS);
    let run = office.post(&finance, runs, &ask("2026-03-13")).await.expect(200);
    assert_eq!(
        (&run["scope"], &run["day"], &run["status"], &run["begun_by"]),
        (
            &json!("channel:wechat"),
            &json!("2026-03-13"),
            &json!("final"),
            &json!("token:finance")
        )
    );
    let short = json!({
        "opening": { "count": 0, "amount": "0.00" }, "new": { "count": 1, "amount": "50.00" },
        "cleared": { "count": 0, "amount": "0.00" }, "written_off": { "count": 0, "amount": "0.00" },
        "closing": { "count": 1, "amount": "50.00" },
    });
    assert_eq!(run["totals"]["classes"]["funds SHORT"], short, "{run}");
    // What is final is answered, and not made again.
    let again = office.post(&finance, runs, &ask("2026-03-13")).await.expect(200);
    assert_eq!(again["run"], run["run"]);
    let number = run["run"].as_u64().unwrap();
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
        ("?scope=channel:wechat", true),
        ("?scope=payouts:wechat", false),
        ("?scope=site:north", false),
    ] {
        let found = office.all(&finance, &format!("{list}{filter}"), 10).await;
        assert_eq!(found.len(), usize::from(is_in), "{filter}");
    }
    office
        .get(&finance, &format!("{list}?class=WRONG"))
        .await
        .problem(400, "invalid-url");
    for wrong in [
        "scope=wechat",
        "scope=bank:wechat",
        "scope=site:",
        "scope=channel:wechat&channel=wechat",
    ] {
        let answer = office.get(&finance, &format!("{list}?{wrong}")).await;
        answer.problem(400, "invalid-url");
    }
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

pub(crate) async fn two_people_decide_what_differs_one_by_one_and_many_at_once(office: Office) {
    let maker = office.machine("li", &["finance_maker"]).await;
    let checker = office.machine("zhao", &["finance_checker"]).await;
    let both = office.machine("qian", &["finance_maker", "finance_checker"]).await;
    channel(&office, "wechat", MERCHANT, "wechat").await;
    let credited = office.db.write(|tx| {
        for (id, fen) in [("4201", 5_000_i64), ("4202", 700), ("4203", 30)] {
            tx.execute(
                "INSERT INTO channel_transaction (channel, id, ref, amount, credited, at) VALUES ('wechat', $1, $1, $2, 1, $3)",
                &[id.into(), fen.into(), crate::office::BEGIN.0.into()],
            )?;
        }
        Ok(())
    });
    credited.await.unwrap();
    office.pass(5 * DAY_MS);
    let bill = wechat_trade(&[]);
    for day in ["2026-03-10", "2026-03-11", "2026-03-12", "2026-03-13"] {
        put(&office, &maker, &path("wechat", day, "wechat_trade"), bill.as_bytes())
            .await
            .expect(201);
    }
    let ask = json!({ "channel": "wechat", "day": "2026-03-13" });
    office.post(&maker, "/v1/reconciliation/runs", &ask).await.expect(200);
    let list = "/v1/discrepancies";
    let all = office.all(&maker, &format!("{list}?class=SHORT"), 10).await;
    assert_eq!(all.len(), 3);
    let id = all[0]["id"].as_u64().unwrap();
    let one = format!("{list}/{id}");

    let assigned = office
        .post(&maker, &format!("{one}/assign"), &json!({ "to": "li" }))
        .await;
    assert_eq!(assigned.expect(200)["assigned"], "li");
    office
        .post(&checker, &format!("{one}/comments"), &json!({ "words": "asked" }))
        .await
        .expect(201);
    let propose = |decision: &str| json!({ "decision": decision, "reason": "the channel says so" });
    let proposal = format!("{one}/proposal");
    for (decision, code) in [("adjust", "nobody-credited"), ("credit", "does-not-settle-it")] {
        office
            .post(&maker, &proposal, &propose(decision))
            .await
            .problem(409, code);
    }
    let approve = format!("{one}/approve");
    office
        .post(&checker, &approve, &json!({}))
        .await
        .problem(409, "nothing-proposed");
    let proposed = office.post(&both, &proposal, &propose("write_off")).await.expect(202);
    assert_eq!(
        (&proposed["state"], &proposed["maker"], &proposed["no"]),
        (&json!("proposed"), &json!("token:qian"), &json!(1))
    );
    office
        .post(&maker, &proposal, &propose("write_off"))
        .await
        .problem(409, "discrepancy-not-open");
    office
        .post(&both, &approve, &json!({}))
        .await
        .problem(409, "same-person");
    let rejected = office
        .post(&both, &format!("{one}/reject"), &json!({ "reason": "typed wrong" }))
        .await;
    assert_eq!(rejected.expect(200)["answer"], "typed wrong");

    let many =
        json!({ "of": { "class": "SHORT", "channel": "wechat" }, "decision": "write_off", "reason": "as agreed" });
    let done = office
        .post(&maker, &format!("{list}/proposals"), &many)
        .await
        .expect(200);
    assert_eq!((&done["done"], &done["not_done"]), (&json!(3), &json!(0)));
    let wrong = json!({ "of": { "class": "WRONG" } });
    office
        .post(&checker, &format!("{list}/approvals"), &wrong)
        .await
        .problem(400, "invalid-url");
    let own = office
        .post(&both, &format!("{list}/proposals"), &many)
        .await
        .expect(200);
    assert_eq!((&own["done"], &own["not_done"]), (&json!(0), &json!(0)), "none is open");
    let of = json!({ "of": { "day": "2026-03-13" } });
    let done = office
        .post(&checker, &format!("{list}/approvals"), &of)
        .await
        .expect(200);
    assert_eq!((&done["done"], &done["not_done"]), (&json!(3), &json!(0)), "{done}");

    let told = office.get(&checker, &one).await.expect(200);
    assert_eq!(told["discrepancy"]["state"], "posted");
    let decisions = told["decisions"].as_array().unwrap();
    assert_eq!(
        (
            decisions.len(),
            &decisions[1]["state"],
            &decisions[1]["maker"],
            &decisions[1]["checker"]
        ),
        (2, &json!("approved"), &json!("token:li"), &json!("token:zhao"))
    );
    assert_eq!(told["suspense"]["state"], "written_off");
    let kinds: Vec<&str> = told["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "opened",
            "assigned",
            "commented",
            "proposed",
            "rejected",
            "proposed",
            "approved",
            "posted"
        ]
    );
    let loss = office.db.read(|tx| central::store::ledger::balance(tx, "writeoff"));
    assert_eq!(loss.await.unwrap().0, -5_730);
}

pub(crate) async fn many_are_decided_two_hundred_at_a_time_whatever_stands_before_them(office: Office) {
    let maker = office.machine("li", &["finance_maker"]).await;
    let checker = office.machine("zhao", &["finance_checker"]).await;
    let both = office.machine("qian", &["finance_maker", "finance_checker"]).await;
    channel(&office, "wechat", MERCHANT, "wechat").await;
    let credited = office.db.write(|tx| {
        for n in 0..201_i64 {
            tx.execute(
                "INSERT INTO channel_transaction (channel, id, ref, amount, credited, at) VALUES ('wechat', $1, $1, 1, 1, $2)",
                &[format!("{n:04}").into(), (crate::office::BEGIN.0 + n).into()],
            )?;
        }
        Ok(())
    });
    credited.await.unwrap();
    office.pass(5 * DAY_MS);
    let bill = wechat_trade(&[]);
    for day in ["2026-03-10", "2026-03-11", "2026-03-12", "2026-03-13"] {
        put(&office, &maker, &path("wechat", day, "wechat_trade"), bill.as_bytes())
            .await
            .expect(201);
    }
    let ask = json!({ "channel": "wechat", "day": "2026-03-13" });
    office.post(&maker, "/v1/reconciliation/runs", &ask).await.expect(200);

    let (proposals, approvals) = ("/v1/discrepancies/proposals", "/v1/discrepancies/approvals");
    let many = json!({ "of": { "class": "SHORT" }, "decision": "write_off", "reason": "as agreed" });
    let of = json!({ "of": { "class": "SHORT" } });
    let counts = |told: &Value| (told["done"].clone(), told["not_done"].clone(), told["more"].clone());
    let said = |done: u64, not_done: u64, more: bool| (json!(done), json!(not_done), json!(more));
    let done = office.post(&both, proposals, &many).await.expect(200);
    assert_eq!(counts(&done), said(200, 0, true));
    let done = office.post(&maker, proposals, &many).await.expect(200);
    assert_eq!(counts(&done), said(1, 0, false));
    // Of their own they approve none, and the one that is behind them all.
    let done = office.post(&both, approvals, &of).await.expect(200);
    assert_eq!(counts(&done), said(1, 200, false));
    assert_eq!(done["why"].as_array().unwrap().len(), 100);
    let done = office.post(&checker, approvals, &of).await.expect(200);
    assert_eq!(counts(&done), said(200, 0, false));
    let loss = office.db.read(|tx| central::store::ledger::balance(tx, "writeoff"));
    assert_eq!(loss.await.unwrap().0, -201);
}
