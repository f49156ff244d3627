//! Channels' bills over HTTP and from a watched folder: imported once and whole, or refused and nothing of it there.

use crate::{
    bill_writer::{
        DAY, MERCHANT, PARTNER, Trade, alipay_trade, alipay_zip, payment, trades, wechat_fund, wechat_trade,
        wrong_files,
    },
    cluster::Folder as Home,
    office::{Office, Reply, Somebody},
};
use central::{
    bills::{Format, Sums},
    desk::Clock,
    store::{StoreError, Value as Sql, bills},
};
use domain::units::Fen;
use serde_json::{Value, json};
use service::client::{Call, Client};
use std::{fs, slice};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

pub(crate) async fn channel(office: &Office, name: &str, merchant: &str, bills: &str) {
    let body = json!({
        "signs": "hmac", "secret": SECRET, "merchant": merchant, "fee_ppm": 6_000, "bills": bills,
    });
    let path = format!("/v1/channels/{name}");
    let shown = office.local("PUT", &path, Some(&body)).await.expect(200);
    assert_eq!(shown["bills"], bills, "{shown}");
}

pub(crate) async fn channels(office: &Office) -> Somebody {
    channel(office, "wechat", MERCHANT, "wechat").await;
    channel(office, "alipay", PARTNER, "alipay").await;
    office.machine("finance", &["finance_maker"]).await
}

/// A file as the body of a request.
pub(crate) async fn put(office: &Office, who: &Somebody, path: &str, bytes: &[u8]) -> Reply {
    let mut call = Call::put(path).content("application/octet-stream", bytes.to_vec());
    for (name, value) in &who.0 {
        call = call.header(name, value);
    }
    let answer = Client::at_address(office.address).ask(call).await.unwrap();
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    Reply {
        status: answer.status,
        headers: answer.headers,
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
        text,
    }
}

pub(crate) fn path(channel: &str, day: &str, format: &str) -> String {
    format!("/v1/channels/{channel}/bills/{day}/{format}")
}

pub(crate) async fn count(office: &Office, table: &'static str) -> i64 {
    let counted = office
        .db
        .read(move |tx| tx.query(&format!("SELECT COUNT(*) FROM {table}"), &[]));
    counted.await.unwrap()[0].int(0).unwrap()
}

pub(crate) async fn a_bill_is_imported_once_and_the_same_file_again_changes_nothing(office: Office) {
    let finance = channels(&office).await;
    let bill = wechat_trade(&trades());
    let at = path("wechat", DAY, "wechat_trade");
    let imported = put(&office, &finance, &at, bill.as_bytes()).await.expect(201);
    assert_eq!(imported["outcome"], "imported");
    let shown = imported["bill"].clone();
    assert_eq!(
        (&shown["lines"], &shown["income"], &shown["outgo"], &shown["fees"]),
        (&json!(3), &json!("70.00"), &json!("7.00"), &json!("0.38")),
        "{shown}"
    );
    assert_eq!(
        (&shown["imported_by"], &shown["bytes"]),
        (&json!("token:finance"), &json!(bill.len()))
    );
    let known = put(&office, &finance, &at, bill.as_bytes()).await.expect(200);
    assert_eq!((&known["outcome"], &known["bill"]), (&json!("known"), &shown));
    assert_eq!(
        (count(&office, "bill_file").await, count(&office, "bill_trade").await),
        (1, 3)
    );

    let file = shown["file"].as_u64().unwrap();
    assert_eq!(
        office.get(&finance, &format!("/v1/bills/{file}")).await.expect(200),
        shown
    );
    office.get(&finance, "/v1/bills/99").await.problem(404, "unknown-bill");
    // From a file, as the command line sends it.
    let home = Home::new("bills-sent");
    let sent = home.path().join("bill.zip");
    fs::write(&sent, alipay_zip(&alipay_trade(&trades()))).unwrap();
    let call = Call::put(path("alipay", DAY, "alipay_trade"));
    let mut call = call
        .file("application/octet-stream", fs::File::open(&sent).unwrap())
        .unwrap();
    for (name, value) in &finance.0 {
        call = call.header(name, value);
    }
    let answer = Client::at_address(office.address).ask(call).await.unwrap();
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    let all = office.all(&finance, "/v1/bills", 1).await;
    assert_eq!(
        all.iter().map(|bill| bill["channel"].clone()).collect::<Vec<_>>(),
        ["alipay", "wechat"]
    );
    assert_eq!(
        office.all(&finance, "/v1/bills?channel=wechat", 1).await,
        slice::from_ref(&shown)
    );

    let lines = office.db.read(|tx| {
        tx.query(
            "SELECT l.kind, l.ref, l.out_no, l.origin, l.origin_ref, l.amount, l.settled, l.fee FROM bill_trade l JOIN bill_file f ON f.id = l.file \
             WHERE f.channel = 'wechat' ORDER BY l.line",
            &[],
        )
    });
    let refund = lines.await.unwrap().pop().unwrap().0;
    let text = |text: &str| Sql::Text(text.to_owned());
    let expected = [
        text("refund"),
        text("5000000036120"),
        text("R00036120"),
        text("T00036000"),
        text("4200000036000"),
        Sql::Int(-700),
        Sql::Int(-700),
        Sql::Int(-4),
    ];
    assert_eq!(refund, expected);
    let audit = office.local("GET", "/v1/audit", None).await.expect(200);
    let told = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["action"] == "bill_imported");
    assert_eq!(told.count(), 2, "{audit}");
}

pub(crate) async fn a_file_that_is_wrong_leaves_nothing_and_is_told_with_its_line(office: Office) {
    let finance = channels(&office).await;
    for wrong in wrong_files() {
        let channel = if wrong.format.starts_with("alipay") {
            "alipay"
        } else {
            "wechat"
        };
        let at = path(channel, DAY, wrong.format);
        let problem = put(&office, &finance, &at, &wrong.bytes)
            .await
            .problem(422, "bill-refused");
        assert_eq!(problem["reason"], wrong.why, "{}: {problem}", wrong.what);
        if let Some(line) = wrong.line {
            assert_eq!(problem["line"], line, "{}: {problem}", wrong.what);
            assert!(
                problem["detail"]
                    .as_str()
                    .unwrap()
                    .starts_with(&format!("line {line}: ")),
                "{problem}"
            );
        }
    }
    for table in ["bill_file", "bill_trade", "bill_fund"] {
        assert_eq!(count(&office, table).await, 0, "{table}");
    }
    let bill = wechat_trade(&trades());
    put(&office, &finance, &path("wechat", DAY, "wechat_trade"), bill.as_bytes())
        .await
        .expect(201);
}

pub(crate) async fn a_day_has_one_bill_and_a_bill_one_day(office: Office) {
    let finance = channels(&office).await;
    let bill = wechat_trade(&trades());
    let at = path("wechat", DAY, "wechat_trade");
    put(&office, &finance, &at, bill.as_bytes()).await.expect(201);
    let other = wechat_trade(&trades()[..1]);
    let problem = put(&office, &finance, &at, other.as_bytes())
        .await
        .problem(409, "other-bill");
    assert!(
        problem["detail"].as_str().unwrap().contains("is not replaced"),
        "{problem}"
    );
    let elsewhere = path("wechat", "2026-03-08", "wechat_trade");
    put(&office, &finance, &elsewhere, bill.as_bytes())
        .await
        .problem(409, "bill-elsewhere");
    put(&office, &finance, &path("wechat", DAY, "alipay_trade"), b"")
        .await
        .problem(409, "no-such-bills");
    put(&office, &finance, &path("nobody", DAY, "csv"), b"")
        .await
        .problem(404, "unknown-channel");
    put(&office, &finance, &path("wechat", DAY, "xls"), b"")
        .await
        .problem(400, "invalid-url");
    let today = put(&office, &finance, &path("wechat", "2026-03-10", "wechat_trade"), b"").await;
    assert_eq!(today.problem(422, "bill-refused")["reason"], "day");
    // Nothing on two days is the same file twice.
    let nothing = wechat_fund(&[]);
    for day in [DAY, "2026-03-08"] {
        put(
            &office,
            &finance,
            &path("wechat", day, "wechat_fund"),
            nothing.as_bytes(),
        )
        .await
        .expect(201);
    }
    assert_eq!(count(&office, "bill_file").await, 3);
}

pub(crate) async fn each_day_of_a_channel_is_known_as_present_or_missing(office: Office) {
    let finance = channels(&office).await;
    office.pass(3 * 86_400_000);
    let at = path("wechat", "2026-03-11", "wechat_trade");
    let bill = wechat_trade(&[]);
    put(&office, &finance, &at, bill.as_bytes()).await.expect(201);
    let fund = wechat_fund(&[]);
    put(
        &office,
        &finance,
        &path("wechat", "2026-03-12", "wechat_fund"),
        fund.as_bytes(),
    )
    .await
    .expect(201);
    let shown = office.get(&finance, "/v1/channels/wechat/bills").await.expect(200);
    assert_eq!(shown["daily"], "wechat_trade");
    let day = |day: &Value| {
        (
            day["day"].clone(),
            day["present"].clone(),
            day["files"].as_array().unwrap().len(),
        )
    };
    let days: Vec<_> = shown["days"].as_array().unwrap().iter().map(day).collect();
    let expected = [
        ("2026-03-10", false, 0),
        ("2026-03-11", true, 1),
        ("2026-03-12", false, 1),
    ];
    let expected = expected.map(|(day, present, files)| (json!(day), json!(present), files));
    assert_eq!(days, expected, "the fund bill alone is not the day's");
    let some = office
        .get(&finance, "/v1/channels/wechat/bills?from=2026-03-09&to=2026-03-11")
        .await
        .expect(200);
    assert_eq!(some["days"].as_array().unwrap().len(), 3);
}

pub(crate) async fn the_same_file_twice_at_once_is_imported_once(office: Office) {
    let finance = channels(&office).await;
    let many: Vec<Trade> = (0..12_000).map(|n| payment(n, 5_000, 30)).collect();
    let bill = wechat_trade(&many);
    let at = path("wechat", DAY, "wechat_trade");
    // One caller waits for its own, so there are two.
    let other = office.machine("other", &["finance_maker"]).await;
    let (one, two) = tokio::join!(
        put(&office, &finance, &at, bill.as_bytes()),
        put(&office, &other, &at, bill.as_bytes())
    );
    let mut status = [one.status, two.status];
    status.sort_unstable();
    assert_eq!(status, [200, 201], "{} {}", one.text, two.text);
    assert_eq!(one.body["bill"], two.body["bill"]);
    let counted = office.db.read(|tx| {
        tx.query(
            "SELECT COUNT(*) FROM bill_trade l JOIN bill_file f ON f.id = l.file WHERE f.state = 'imported'",
            &[],
        )
    });
    assert_eq!(counted.await.unwrap()[0].int(0).unwrap(), 12_000);
    office.state.prune().await.unwrap();
    assert_eq!(
        count(&office, "bill_trade").await,
        12_000,
        "what the slower one wrote is gone"
    );
}

pub(crate) async fn what_an_import_that_was_killed_has_written_never_counts_and_goes(office: Office) {
    let finance = channels(&office).await;
    let now = office.clock.wall();
    let begun = bills::File {
        id: 0,
        channel: "wechat".to_owned(),
        format: Format::WechatTrade,
        day: DAY.parse().unwrap(),
        sha256: "00".repeat(32),
        bytes: 1,
        sums: Sums {
            lines: 50_000,
            income: Fen(50_000),
            ..Sums::default()
        },
        made_at: now,
        made_by: "killed".to_owned(),
    };
    let written = office.db.write(move |tx| {
        let id = bills::begin(tx, &begun, now)?;
        let row = |line: i64| {
            vec![
                id.into(),
                line.into(),
                "wechat".into(),
                "payment".into(),
                "r".into(),
                "o".into(),
                Sql::Null,
                Sql::Null,
                1_i64.into(),
                1_i64.into(),
                0_i64.into(),
                "SUCCESS".into(),
                0_i64.into(),
                "".into(),
            ]
        };
        let rows: Vec<Vec<Sql>> = (1..=30_000).map(row).collect();
        assert!(bills::add(tx, id, Format::WechatTrade, &rows, now)?);
        Ok(id)
    });
    let id = written.await.unwrap();
    assert_eq!(office.all(&finance, "/v1/bills", 10).await, Vec::<Value>::new());
    office
        .get(&finance, &format!("/v1/bills/{id}"))
        .await
        .problem(404, "unknown-bill");
    office.state.prune().await.unwrap();
    assert_eq!(count(&office, "bill_trade").await, 30_000, "it may be alive");

    // It stands in nobody's way meanwhile.
    let bill = wechat_trade(&trades());
    let at = path("wechat", DAY, "wechat_trade");
    put(&office, &finance, &at, bill.as_bytes()).await.expect(201);
    office.pass(bills::ALIVE_MS);
    office.state.prune().await.unwrap();
    assert_eq!(count(&office, "bill_trade").await, 3);
    // Whoever is alive after all finds that out.
    let now = office.clock.wall();
    let (added, finished) = office
        .db
        .write(move |tx| {
            Ok((
                bills::add(tx, id, Format::WechatTrade, &[], now)?,
                bills::finish(tx, id, now)?,
            ))
        })
        .await
        .unwrap();
    assert!(!added && !finished);
}

pub(crate) async fn the_same_bytes_for_two_channels_at_once_are_one_bill(office: Office) {
    let finance = channels(&office).await;
    channel(&office, "wechat2", MERCHANT, "wechat").await;
    let other = office.machine("other", &["finance_maker"]).await;
    let many: Vec<Trade> = (0..12_000).map(|n| payment(n, 5_000, 30)).collect();
    let bill = wechat_trade(&many);
    let (first, second) = (
        path("wechat", DAY, "wechat_trade"),
        path("wechat2", DAY, "wechat_trade"),
    );
    let (one, two) = tokio::join!(
        put(&office, &finance, &first, bill.as_bytes()),
        put(&office, &other, &second, bill.as_bytes())
    );
    let mut status = [one.status, two.status];
    status.sort_unstable();
    assert_eq!(status, [201, 409], "{} {}", one.text, two.text);
    let refused = if one.status == 409 { one } else { two };
    refused.problem(409, "bill-elsewhere");
    assert_eq!(office.all(&finance, "/v1/bills", 10).await.len(), 1);
    // Nor where both have come to the end of their lines before one of them counts.
    let now = office.clock.wall();
    let twice = office.db.write(move |tx| {
        let file = bills::of_day(tx, "wechat", Format::WechatTrade, DAY.parse().unwrap())?;
        let mut file = file
            .or(bills::of_day(tx, "wechat2", Format::WechatTrade, DAY.parse().unwrap())?)
            .unwrap();
        file.day = "2026-03-08".parse().unwrap();
        let id = bills::begin(tx, &file, now)?;
        bills::finish(tx, id, now)
    });
    assert!(matches!(twice.await, Err(StoreError::Constraint(_))));
}
