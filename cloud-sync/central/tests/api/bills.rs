//! Channels' bills over HTTP and from a watched folder: imported once and whole, or refused and nothing of it there.

use crate::{
    bill_writer::{
        DAY, MERCHANT, PARTNER, Trade, alipay_trade, alipay_zip, gbk, payment, trades, wechat_fund, wechat_trade,
        wrong_files,
    },
    cluster::Folder as Home,
    office::{Office, Reply, Somebody},
};
use central::{
    bills::{
        Format, Sums,
        folder::{Folder, REST_MS, Seen, Stuck, TOLD_AFTER},
        import::Importer,
    },
    desk::Clock,
    store::{StoreError, Value as Sql, bills},
};
use domain::units::Fen;
use serde_json::{Value, json};
use service::client::{Call, Client};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    slice,
    sync::Arc,
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async fn channel(office: &Office, name: &str, merchant: &str, bills: &str) {
    let body = json!({
        "signs": "hmac", "secret": SECRET, "merchant": merchant, "fee_ppm": 6_000, "bills": bills,
    });
    let path = format!("/v1/channels/{name}");
    let shown = office.local("PUT", &path, Some(&body)).await.expect(200);
    assert_eq!(shown["bills"], bills, "{shown}");
}

async fn channels(office: &Office) -> Somebody {
    channel(office, "wechat", MERCHANT, "wechat").await;
    channel(office, "alipay", PARTNER, "alipay").await;
    office.machine("finance", &["finance_maker"]).await
}

/// A file as the body of a request.
async fn put(office: &Office, who: &Somebody, path: &str, bytes: &[u8]) -> Reply {
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

fn path(channel: &str, day: &str, format: &str) -> String {
    format!("/v1/channels/{channel}/bills/{day}/{format}")
}

async fn count(office: &Office, table: &'static str) -> i64 {
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

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A folder that is watched, and that of a channel in it.
fn watched(office: &Office, home: &Home) -> (PathBuf, Folder) {
    let wechat = home.path().join("in/wechat");
    fs::create_dir_all(&wechat).unwrap();
    let folder = Folder {
        folder: home.path().join("in"),
        spool: home.path().join("spool"),
        importer: Importer {
            db: office.db.clone(),
            clock: Arc::clone(&office.clock) as Arc<dyn Clock>,
            csv: Arc::new([]),
        },
        stuck: Stuck::default(),
    };
    (wechat, folder)
}

/// Looks once, and once more when what is there has come to rest.
async fn look_twice(office: &Office, folder: &Folder, seen: &mut Seen) {
    folder.look(seen).await;
    office.pass(i64::try_from(REST_MS).unwrap());
    folder.look(seen).await;
}

pub(crate) async fn a_folder_that_is_watched_is_emptied_into_imported_and_refused(office: Office) {
    channels(&office).await;
    let home = Home::new("bills");
    let (wechat, folder) = watched(&office, &home);
    let bill = wechat_trade(&trades());
    let name = format!("{DAY}.wechat_trade.csv");
    fs::write(wechat.join(&name), &bill.as_bytes()[..100]).unwrap();
    fs::write(wechat.join(format!("{DAY}.wechat_fund.csv")), gbk("记账时间\n")).unwrap();
    fs::write(wechat.join("bill.csv"), &bill).unwrap();
    fs::write(wechat.join(format!("{name}.part")), &bill).unwrap();
    let mut resting = Seen::default();
    let rest = i64::try_from(REST_MS).unwrap();
    folder.look(&mut resting).await;
    office.pass(rest - 1);
    // It is still being written.
    fs::write(wechat.join(&name), &bill).unwrap();
    folder.look(&mut resting).await;
    assert_eq!(names(&wechat).len(), 4);
    office.pass(1);
    folder.look(&mut resting).await;
    assert_eq!(names(&wechat), [name.clone(), format!("{name}.part")]);
    let refused = wechat.join("refused");
    let fund = format!("{DAY}.wechat_fund.csv");
    assert_eq!(
        names(&refused),
        [
            fund.clone(),
            format!("{fund}.reason.txt"),
            "bill.csv".to_owned(),
            "bill.csv.reason.txt".to_owned()
        ]
    );
    let reason = |name: &str| fs::read_to_string(refused.join(format!("{name}.reason.txt"))).unwrap();
    assert!(reason(&fund).starts_with("line 1: is not utf-8"), "{}", reason(&fund));
    assert!(reason("bill.csv").contains("a bill is called by its day and format"));
    office.pass(rest);
    folder.look(&mut resting).await;
    assert_eq!(names(&wechat), [format!("{name}.part")]);
    assert_eq!(names(&wechat.join("imported")), slice::from_ref(&name));
    assert_eq!(count(&office, "bill_trade").await, 3);

    // The same again is known; nothing that is there is overwritten.
    fs::write(wechat.join(&name), &bill).unwrap();
    folder.look(&mut resting).await;
    office.pass(rest);
    folder.look(&mut resting).await;
    assert_eq!(names(&wechat.join("imported")), [name.clone(), format!("{name}.2")]);
    assert_eq!(count(&office, "bill_trade").await, 3);
    assert_eq!(names(&home.path().join("spool")), Vec::<String>::new());
}

pub(crate) async fn no_link_and_no_pipe_in_the_folder_is_read(office: Office) {
    channels(&office).await;
    let home = Home::new("bills-links");
    let (wechat, folder) = watched(&office, &home);
    let secret = home.path().join("secret");
    fs::write(&secret, "what nobody may read").unwrap();
    let named = |day: &str| wechat.join(format!("2026-03-0{day}.wechat_trade"));
    symlink(&secret, named("1")).unwrap();
    fs::hard_link(&secret, named("2")).unwrap();
    assert!(Command::new("mkfifo").arg(named("3")).status().unwrap().success());
    symlink("/nowhere", named("4")).unwrap();
    let bill = wechat_trade(&trades());
    fs::write(named("9"), &bill).unwrap();
    // The folder of another channel is a link to one of somebody else's.
    let elsewhere = home.path().join("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    fs::write(
        elsewhere.join("2026-03-09.alipay_trade"),
        alipay_zip(&alipay_trade(&trades())),
    )
    .unwrap();
    symlink(&elsewhere, home.path().join("in/alipay")).unwrap();
    let mut seen = Seen::default();
    look_twice(&office, &folder, &mut seen).await;
    let refused = wechat.join("refused");
    for (day, what) in [("1", "a link"), ("2", "hard links"), ("3", "a pipe"), ("4", "a link")] {
        let name = format!("2026-03-0{day}.wechat_trade");
        assert!(refused.join(&name).symlink_metadata().is_ok(), "{name}");
        let reason = fs::read_to_string(refused.join(format!("{name}.reason.txt"))).unwrap();
        assert!(
            reason.contains(what) && reason.contains("is not read"),
            "{name}: {reason}"
        );
        assert!(!reason.contains("nobody may read"));
    }
    assert_eq!(fs::read_to_string(&secret).unwrap(), "what nobody may read");
    assert_eq!(
        names(&wechat.join("imported")),
        ["2026-03-09.wechat_trade"],
        "the others wait for nobody"
    );
    assert_eq!(names(&elsewhere), ["2026-03-09.alipay_trade"]);
    assert_eq!(count(&office, "bill_file").await, 1);
    assert_eq!(folder.stuck.words(), None);
    for _ in 0..TOLD_AFTER {
        office.pass(600_000);
        folder.look(&mut seen).await;
    }
    let told = folder.stuck.words().unwrap();
    assert!(
        told.contains("in/alipay was tried") && told.contains("is a link"),
        "{told}"
    );
    fs::remove_file(home.path().join("in/alipay")).unwrap();
    folder.look(&mut seen).await;
    assert_eq!(folder.stuck.words(), None);
}

pub(crate) async fn what_is_put_away_goes_through_no_link_and_over_nothing(office: Office) {
    channels(&office).await;
    let home = Home::new("bills-away");
    let (wechat, folder) = watched(&office, &home);
    let elsewhere = home.path().join("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    symlink(&elsewhere, wechat.join("refused")).unwrap();
    let wrong = wechat.join("wrong.csv");
    fs::write(&wrong, "1").unwrap();
    let mut seen = Seen::default();
    look_twice(&office, &folder, &mut seen).await;
    assert_eq!(names(&elsewhere), Vec::<String>::new());
    assert_eq!(fs::read_to_string(&wrong).unwrap(), "1", "it stays");
    fs::remove_file(wechat.join("refused")).unwrap();
    // A reason that points elsewhere, or that is there, is not written over.
    let refused = wechat.join("refused");
    fs::create_dir(&refused).unwrap();
    let victim = elsewhere.join("victim");
    fs::write(&victim, "mine").unwrap();
    symlink(&victim, refused.join("wrong.csv.reason.txt")).unwrap();
    fs::write(refused.join("wrong.csv.2"), "an earlier one").unwrap();
    office.pass(600_000);
    folder.look(&mut seen).await;
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    assert_eq!(
        fs::read_to_string(refused.join("wrong.csv.2")).unwrap(),
        "an earlier one"
    );
    assert_eq!(
        names(&refused),
        ["wrong.csv.2", "wrong.csv.3", "wrong.csv.3.reason.txt"]
    );
    assert_eq!(fs::read_to_string(refused.join("wrong.csv.3")).unwrap(), "1");
}

pub(crate) async fn a_database_that_says_no_is_asked_again_after_a_pause(office: Office) {
    channels(&office).await;
    let home = Home::new("bills-again");
    let (wechat, folder) = watched(&office, &home);
    let name = format!("{DAY}.wechat_trade");
    fs::write(wechat.join(&name), wechat_trade(&trades())).unwrap();
    let rename = async |from: &'static str, to: &'static str| {
        let renamed = office
            .db
            .write(move |tx| tx.execute(&format!("ALTER TABLE {from} RENAME TO {to}"), &[]));
        renamed.await.unwrap();
    };
    rename("bill_file", "away").await;
    let mut seen = Seen::default();
    look_twice(&office, &folder, &mut seen).await;
    for _ in 1..TOLD_AFTER {
        assert_eq!(folder.stuck.words(), None);
        office.pass(600_000);
        folder.look(&mut seen).await;
    }
    assert_eq!(names(&wechat), slice::from_ref(&name), "it is no fault of the file's");
    let told = folder.stuck.words().unwrap();
    assert!(
        told.contains(&format!("wechat/{name} was tried {TOLD_AFTER} times")),
        "{told}"
    );
    rename("away", "bill_file").await;
    folder.look(&mut seen).await;
    assert_eq!(names(&wechat), slice::from_ref(&name), "its pause is not over");
    office.pass(600_000);
    folder.look(&mut seen).await;
    assert_eq!(names(&wechat.join("imported")), [name]);
    assert_eq!(folder.stuck.words(), None);
}

/// A run of reconciliation of a day, as final as it says.
async fn run(office: &Office, id: i64, day: &'static str, status: &'static str) {
    let run = office.db.write(move |tx| {
        tx.execute(
            "INSERT INTO run (id, day, scope, no, status, inputs, totals, digest, alive_until, begun_at, begun_by, ended_at) \
             VALUES ($1, $2, 'channel:wechat', $1, $3, '[]', '{}', '00', 0, 0, 'rule', 1)",
            &[id.into(), day.into(), status.into()],
        )
    });
    run.await.unwrap();
}

pub(crate) async fn a_file_that_should_not_be_there_is_withdrawn_by_two(office: Office) {
    let maker = channels(&office).await;
    let both = office.machine("both", &["finance_maker", "finance_checker"]).await;
    let checker = office.machine("checker", &["finance_checker"]).await;
    let bill = wechat_trade(&trades());
    let at = path("wechat", DAY, "wechat_trade");
    let wrong = wechat_trade(&trades()[..1]);
    let file = put(&office, &maker, &at, wrong.as_bytes()).await.expect(201)["bill"]["file"].clone();
    let withdrawal = format!("/v1/bills/{file}/withdrawal");
    let why = json!({ "reason": "it was cut by hand" });
    office
        .post(&both, &withdrawal, &json!({ "reason": " " }))
        .await
        .problem(422, "invalid-body");
    let nobodys = office.post(&both, "/v1/bills/99/withdrawal", &why).await;
    nobodys.problem(404, "unknown-bill");
    let proposed = office.post(&both, &withdrawal, &why).await.expect(202);
    let is = json!({
        "kind": "withdraw", "channel": "wechat", "day": DAY, "format": "wechat_trade", "file": file,
        "reason": "it was cut by hand", "state": "proposed", "proposed_by": "token:both", "decided_by": null,
    });
    for (field, value) in is.as_object().unwrap() {
        assert_eq!(&proposed[field], value, "{field}: {proposed}");
    }
    let again = office.post(&maker, &withdrawal, &why).await;
    again.problem(409, "already-proposed");
    let of = |proposal: &Value, what: &str| format!("/v1/bill-proposals/{}/{what}", proposal["id"].as_str().unwrap());
    let own = office.post(&both, &of(&proposed, "approve"), &json!({})).await;
    own.problem(409, "same-person");
    let other = put(&office, &maker, &at, bill.as_bytes()).await;
    let present = other.problem(409, "other-bill");
    assert!(present["detail"].as_str().unwrap().contains(&withdrawal), "{present}");

    // Whoever proposed it may take it back.
    office
        .post(&both, &of(&proposed, "reject"), &json!({}))
        .await
        .expect(200);
    let late = office.post(&checker, &of(&proposed, "approve"), &json!({})).await;
    late.problem(409, "decided-already");
    office.pass(1);
    let proposed = office.post(&maker, &withdrawal, &why).await.expect(202);
    let approved = office
        .post(&checker, &of(&proposed, "approve"), &json!({}))
        .await
        .expect(200);
    assert_eq!(
        (&approved["state"], &approved["decided_by"]),
        (&json!("approved"), &json!("token:checker"))
    );
    let gone = office.get(&maker, &format!("/v1/bills/{file}")).await;
    gone.problem(404, "unknown-bill");
    assert_eq!(office.all(&maker, "/v1/bills", 10).await, Vec::<Value>::new());
    // Its lines stay for whoever asks why, and nothing sweeps them away.
    office.pass(2 * bills::ALIVE_MS);
    office.state.prune().await.unwrap();
    assert_eq!(count(&office, "bill_trade").await, 1);

    // The day takes another; and the same file is taken anew where it belongs.
    put(&office, &maker, &at, bill.as_bytes()).await.expect(201);
    channel(&office, "wechat2", MERCHANT, "wechat").await;
    let elsewhere = path("wechat2", DAY, "wechat_trade");
    put(&office, &maker, &elsewhere, wrong.as_bytes()).await.expect(201);
    let states: Vec<Value> = office
        .all(&checker, "/v1/bill-proposals", 1)
        .await
        .iter()
        .map(|proposal| proposal["state"].clone())
        .collect();
    assert_eq!(states, ["approved", "rejected"]);
    let waiting = office.all(&checker, "/v1/bill-proposals?state=proposed", 1).await;
    assert_eq!(waiting, Vec::<Value>::new());
    let audit = office.local("GET", "/v1/audit", None).await.expect(200);
    let told = audit["items"].as_array().unwrap().iter();
    let told: Vec<&str> = told
        .filter_map(|entry| entry["action"].as_str())
        .filter(|action| action.starts_with("bill_"))
        .collect();
    let oldest_first = [
        "bill_imported",
        "bill_proposed",
        "bill_proposal_rejected",
        "bill_proposed",
        "bill_withdrawn",
        "bill_imported",
        "bill_imported",
    ];
    assert!(told.iter().rev().eq(&oldest_first), "{told:?}");
}

pub(crate) async fn of_a_day_that_is_final_no_file_is_withdrawn(office: Office) {
    let maker = channels(&office).await;
    let checker = office.machine("checker", &["finance_checker"]).await;
    let why = json!({ "reason": "it is wrong" });
    let at = path("wechat", DAY, "wechat_trade");
    let bill = put(&office, &maker, &at, wechat_trade(&trades()).as_bytes())
        .await
        .expect(201);
    let withdrawal = format!("/v1/bills/{}/withdrawal", bill["bill"]["file"]);
    run(&office, 1, DAY, "provisional").await;
    let proposed = office.post(&maker, &withdrawal, &why).await.expect(202);
    // Final after it was proposed, and before it was approved.
    run(&office, 2, DAY, "final").await;
    let approve = format!("/v1/bill-proposals/{}/approve", proposed["id"].as_str().unwrap());
    office
        .post(&checker, &approve, &json!({}))
        .await
        .problem(409, "day-final");
    let nothing = format!("{}/nothing", path("wechat", DAY, "wechat_fund"));
    office.post(&maker, &nothing, &why).await.problem(409, "day-final");
    let reject = approve.replace("/approve", "/reject");
    office.post(&checker, &reject, &json!({})).await.expect(200);
    office.post(&maker, &withdrawal, &why).await.problem(409, "day-final");
    assert_eq!(office.all(&maker, "/v1/bills", 10).await.len(), 1);
}

pub(crate) async fn a_day_without_a_trade_is_confirmed_by_two(office: Office) {
    let maker = channels(&office).await;
    let checker = office.machine("checker", &["finance_checker"]).await;
    let why = json!({ "reason": "closed for works; the channel has no file of it" });
    let nothing = |channel: &str, day: &str, format: &str| format!("{}/nothing", path(channel, day, format));
    for (of, status, problem) in [
        (nothing("nobody", DAY, "wechat_trade"), 404, "unknown-channel"),
        (nothing("wechat", DAY, "alipay_trade"), 409, "no-such-bills"),
        (nothing("wechat", "2026-03-10", "wechat_trade"), 409, "day-not-over"),
    ] {
        office.post(&maker, &of, &why).await.problem(status, problem);
    }
    let of_day = nothing("wechat", DAY, "wechat_trade");
    let proposed = office.post(&maker, &of_day, &why).await.expect(202);
    assert_eq!(
        (&proposed["kind"], &proposed["file"]),
        (&json!("nothing"), &Value::Null)
    );
    let days = format!("/v1/channels/wechat/bills?from={DAY}&to={DAY}");
    let present = |days: Value| days["days"][0]["present"].clone();
    assert_eq!(present(office.get(&maker, &days).await.expect(200)), false);
    let approve = format!("/v1/bill-proposals/{}/approve", proposed["id"].as_str().unwrap());
    let approved = office.post(&checker, &approve, &json!({})).await.expect(200);
    assert_eq!(present(office.get(&maker, &days).await.expect(200)), true);
    let shown = office
        .get(&maker, &format!("/v1/bills/{}", approved["file"]))
        .await
        .expect(200);
    assert_eq!(
        (&shown["lines"], &shown["bytes"], &shown["imported_by"]),
        (&json!(0), &json!(0), &json!("token:finance"))
    );
    office.post(&maker, &of_day, &why).await.problem(409, "other-bill");
    // A file that comes after all is not lost: the empty one is withdrawn for it.
    let bill = wechat_trade(&trades());
    let at = path("wechat", DAY, "wechat_trade");
    put(&office, &maker, &at, bill.as_bytes())
        .await
        .problem(409, "other-bill");
    let withdrawal = format!("/v1/bills/{}/withdrawal", approved["file"]);
    let proposed = office.post(&maker, &withdrawal, &why).await.expect(202);
    let approve = format!("/v1/bill-proposals/{}/approve", proposed["id"].as_str().unwrap());
    office.post(&checker, &approve, &json!({})).await.expect(200);
    put(&office, &maker, &at, bill.as_bytes()).await.expect(201);
    // And one that comes before the second person does stands.
    let of_fund = nothing("wechat", DAY, "wechat_fund");
    let proposed = office.post(&maker, &of_fund, &why).await.expect(202);
    let fund = wechat_fund(&[]);
    let at = path("wechat", DAY, "wechat_fund");
    put(&office, &maker, &at, fund.as_bytes()).await.expect(201);
    let approve = format!("/v1/bill-proposals/{}/approve", proposed["id"].as_str().unwrap());
    office
        .post(&checker, &approve, &json!({}))
        .await
        .problem(409, "other-bill");
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
