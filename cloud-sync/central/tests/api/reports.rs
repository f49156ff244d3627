//! Reports over HTTP: in every format, for whoever may, and each reading told; and the table of differences, filled in and sent back.

use crate::{
    bill_writer::{MERCHANT, wechat_trade},
    bills::{channel, path, put},
    office::{Office, Reply, Somebody},
};
use serde_json::{Value, json};
use service::client::{Call, Client};

const DAY_MS: i64 = 86_400_000;
const AT: &str = "/v1/reports/2026-03-13";

/// Three wallets were credited with what no bill ever has.
async fn three_short(office: &Office, maker: &Somebody) {
    channel(office, "wechat", MERCHANT, "wechat").await;
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
        put(office, maker, &path("wechat", day, "wechat_trade"), bill.as_bytes())
            .await
            .expect(201);
    }
    let ask = json!({ "channel": "wechat", "day": "2026-03-13" });
    office.post(maker, "/v1/reconciliation/runs", &ask).await.expect(200);
}

pub(crate) async fn a_days_report_is_had_in_every_format_by_who_may_and_each_reading_is_told(office: Office) {
    let maker = office.machine("li", &["finance_maker"]).await;
    let viewer = office.machine("eye", &["viewer"]).await;
    office.get(&viewer, AT).await.problem(404, "unknown-report");
    three_short(&office, &maker).await;
    let report = office.get(&viewer, AT).await;
    assert_eq!(report.headers["content-type"], "application/json");
    let report = report.expect(200);
    assert_eq!(
        (&report["report"]["status"], &report["report"]["balances"]),
        (&json!("provisional"), &json!("no"))
    );
    assert_eq!(report["report"]["channels"][0]["why"], json!(["SHORT 3 (57.30)"]));
    let differences = report["differences"].as_array().unwrap();
    assert_eq!(differences.len(), 3);
    assert_eq!(
        (
            &differences[0]["ours"],
            &differences[0]["ours_fen"],
            &differences[0]["theirs"]
        ),
        (&json!("50.00"), &json!(5_000), &Value::Null)
    );
    assert_eq!(report["bills"].as_array().unwrap().len(), 1);
    let csv = office.get(&viewer, &format!("{AT}?format=csv&channel=wechat")).await;
    assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8");
    assert_eq!(
        csv.headers["content-disposition"],
        "attachment; filename=\"reconciliation-2026-03-13-differences.csv\""
    );
    assert_eq!(csv.headers["content-length"], csv.text.len().to_string());
    assert!(csv.text.starts_with("\u{feff}discrepancy,"), "{}", csv.text);
    let first = office
        .get(&viewer, &format!("{AT}?format=csv&sheet=summary"))
        .await
        .text;
    assert!(first.contains("does it balance,all,balances,no"), "{first}");
    let xlsx = office.get(&viewer, &format!("{AT}?format=xlsx")).await;
    assert!(xlsx.status == 200 && xlsx.text.starts_with("PK"));
    for (query, status, code) in [
        ("?format=pdf", 400, "invalid-url"),
        ("?format=csv&sheet=none", 400, "invalid-url"),
        ("?channel=wechat&site=north", 400, "invalid-url"),
        ("?other=1", 400, "invalid-url"),
        ("?channel=none", 404, "unknown-channel"),
        ("?site=none", 404, "unknown-site"),
    ] {
        office.get(&viewer, &format!("{AT}{query}")).await.problem(status, code);
    }
    office
        .get(&viewer, "/v1/reports/today")
        .await
        .problem(400, "invalid-url");
    let audit = office.local("GET", "/v1/audit", None).await.expect(200);
    let told: Vec<&Value> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["action"] == "report_read")
        .collect();
    assert_eq!(told.len(), 4, "{audit}");
    assert_eq!(
        (&told[0]["by"], &told[0]["subject"], &told[0]["detail"]["format"]),
        (&json!("token:eye"), &json!("2026-03-13"), &json!("xlsx"))
    );
    assert_eq!(told[0]["detail"]["digest"], report["report"]["digest"]);
}

/// Fills in the table of differences: what stands under a column in the line of a transaction.
fn filled(csv: &str, cells: &[(&str, &str, &str)]) -> String {
    let mut lines: Vec<Vec<String>> = csv
        .trim_start_matches('\u{feff}')
        .lines()
        .map(|line| line.split(',').map(str::to_owned).collect())
        .collect();
    let place = |name: &str| lines[0].iter().position(|column| column == name).unwrap();
    let reference = place("reference");
    let cells: Vec<_> = cells
        .iter()
        .map(|(of, column, text)| (*of, place(column), *text))
        .collect();
    for (of, column, text) in cells {
        let line = lines
            .iter_mut()
            .find(|line| line[reference].trim_start_matches('\'') == of);
        line.unwrap()[column] = text.to_owned();
    }
    let lines: Vec<String> = lines.iter().map(|line| line.join(",") + "\r\n").collect();
    format!("\u{feff}{}", lines.concat())
}

async fn send(office: &Office, who: &Somebody, table: &[u8], key: Option<&str>) -> Reply {
    let key = key.map_or_else(|| office.key(), str::to_owned);
    let mut call = Call::post("/v1/discrepancies/csv", &key).content("text/csv", table.to_vec());
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

/// How many were proposed, approved, known and refused.
fn counts(view: &Value) -> [i64; 4] {
    ["proposed", "approved", "known", "refused"].map(|of| view[of].as_i64().unwrap())
}

pub(crate) async fn a_table_that_was_filled_in_is_done_line_by_line_and_once(office: Office) {
    let maker = office.machine("li", &["finance_maker"]).await;
    let checker = office.machine("zhao", &["finance_checker"]).await;
    let both = office.machine("qian", &["finance_maker", "finance_checker"]).await;
    three_short(&office, &maker).await;
    let take = async || office.get(&checker, &format!("{AT}?format=csv")).await.text;
    let untouched = take().await;
    let nothing = send(&office, &checker, untouched.as_bytes(), None).await.expect(200);
    assert_eq!((counts(&nothing), &nothing["lines"]), ([0; 4], &json!([])));

    // One line is done, and one is refused by name; the third wants nothing.
    let proposals = filled(
        &untouched,
        &[
            ("4201", "proposal", "write_off"),
            ("4201", "reason", "=never paid"),
            ("4202", "proposal", "credit"),
            ("4202", "reason", "as agreed"),
        ],
    );
    let refused = send(&office, &checker, proposals.as_bytes(), None).await.expect(200);
    assert_eq!(counts(&refused), [0, 0, 0, 2]);
    assert!(
        refused.to_string().contains("wants the role finance_maker"),
        "{refused}"
    );
    let key = office.key();
    let done = send(&office, &maker, proposals.as_bytes(), Some(&key))
        .await
        .expect(200);
    assert_eq!(counts(&done), [1, 0, 0, 1], "{done}");
    let line = |view: &Value, of: &str| {
        let lines = view["lines"].as_array().unwrap().iter();
        let found = lines.filter(|line| line["verdict"] == of).cloned().collect::<Vec<_>>();
        assert_eq!(found.len(), 1, "{view}");
        found[0].clone()
    };
    let why = line(&done, "refused")["detail"].as_str().unwrap().to_owned();
    assert!(why.contains("`credit` does not settle discrepancy"), "{why}");
    let replayed = send(&office, &maker, proposals.as_bytes(), Some(&key)).await;
    assert!(replayed.is_replayed() && replayed.body == done);
    let again = send(&office, &maker, proposals.as_bytes(), None).await.expect(200);
    assert_eq!(counts(&again), [0, 0, 1, 1], "nothing is proposed twice: {again}");

    // What was rejected is not proposed again by the same file.
    let id = line(&done, "proposed")["discrepancy"].as_str().unwrap().to_owned();
    let reject = json!({ "reason": "ask again" });
    let at = format!("/v1/discrepancies/{id}/reject");
    office.post(&checker, &at, &reject).await.expect(200);
    let again = send(&office, &maker, proposals.as_bytes(), None).await.expect(200);
    assert_eq!(counts(&again), [0, 0, 0, 2], "{again}");
    let other = proposals.replace("=never paid", "=never was paid");
    let done = send(&office, &maker, other.as_bytes(), None).await.expect(200);
    assert_eq!(counts(&done), [1, 0, 0, 1], "{done}");

    // The other takes the table anew and approves what stands in it, saved as a spreadsheet does elsewhere.
    let taken = take().await;
    assert!(taken.contains(",write_off,,'=never was paid,token:li,,"), "{taken}");
    let approvals = filled(&taken, &[("4201", "approve", "YES")]);
    let own = send(&office, &maker, approvals.as_bytes(), None).await.expect(200);
    assert!(own.to_string().contains("wants the role finance_checker"), "{own}");
    let other = filled(
        &taken,
        &[("4201", "approve", "yes"), ("4201", "reason", "something else")],
    );
    let other = send(&office, &checker, other.as_bytes(), None).await.expect(200);
    assert!(other.to_string().contains("is not what stands in the table"), "{other}");
    let semicolons = approvals.replace(',', ";");
    let done = send(&office, &checker, semicolons.as_bytes(), None).await.expect(200);
    assert_eq!(counts(&done), [0, 1, 0, 0], "{done}");
    for table in [&semicolons, &approvals] {
        let again = send(&office, &checker, table.as_bytes(), None).await.expect(200);
        assert_eq!(counts(&again), [0, 0, 1, 0], "nothing is posted twice: {again}");
    }
    let loss = office.db.read(|tx| central::store::ledger::balance(tx, "writeoff"));
    assert_eq!(loss.await.unwrap().0, -5_000);

    // Nobody approves what they have proposed.
    let wish = [("4202", "proposal", "write_off"), ("4202", "reason", "small")];
    let done = send(&office, &both, filled(&taken, &wish).as_bytes(), None)
        .await
        .expect(200);
    assert_eq!(counts(&done), [1, 0, 0, 0], "{done}");
    let mine = filled(&take().await, &[("4202", "approve", "yes")]);
    let own = send(&office, &both, mine.as_bytes(), None).await.expect(200);
    assert_eq!(counts(&own), [0, 0, 0, 1], "{own}");

    // What is another one by now than it was judged as is refused by name, and what is read wrong altogether.
    let change = "UPDATE discrepancy SET ours = 31, amount = 31 WHERE ref = '4203'";
    office.db.write(move |tx| tx.execute(change, &[])).await.unwrap();
    let wish = [("4203", "proposal", "write_off"), ("4203", "reason", "small")];
    let stale = send(&office, &maker, filled(&taken, &wish).as_bytes(), None)
        .await
        .expect(200);
    assert_eq!(counts(&stale), [0, 0, 0, 1]);
    let line = line(&stale, "refused");
    let why = line["detail"].as_str().unwrap();
    assert!(
        why.contains("has changed: it was judged as `SHORT 30/30/-/0` and is `SHORT 31/31/-/0` now"),
        "{why}"
    );
    let mut gbk = filled(&taken, &wish).into_bytes();
    gbk.extend([0xd2, 0xf8, b'\r', b'\n']);
    let wrong = send(&office, &maker, &gbk, None).await.problem(422, "csv-unreadable");
    assert_eq!(wrong["line"], 5, "{wrong}");
    let audit = office.local("GET", "/v1/audit", None).await.expect(200);
    let told = audit["items"].as_array().unwrap().iter();
    let told: Vec<&Value> = told
        .filter(|entry| entry["action"] == "discrepancies_sent_back")
        .collect();
    assert!(told.len() > 5 && told.iter().all(|entry| entry["subject"].as_str().unwrap().len() == 64));
}
