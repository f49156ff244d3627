//! A station's balance sheet against its books at head office: once a business day by itself, and when somebody asks. The
//! question goes over the line, which is played by hand; the answer is what the station's own rows say.

use crate::{
    asked::{answer, asked},
    office::{ME, Office},
    station::{Journal, Lived, lived},
};
use central::{
    daily::Daily,
    desk::Clock,
    store::{Row, StoreError},
};
use domain::{ledger, units::Fen};
use protocol::{
    read_through::{AnswerPart, Question},
    topic::Kind,
};
use serde_json::{Value, json};
use std::sync::{Arc, atomic::Ordering};

/// The sheet that the station draws up at the end of its journal; with so much more in its till than there is.
fn sheet(lived: &Lived, journal: &Journal, more: Fen) -> String {
    let seq = journal.entries.len() as u64;
    let mut accounts: Vec<(String, Fen)> = lived
        .rows()
        .ledger
        .accounts()
        .map(|(account, balance)| (account.to_string(), balance))
        .collect();
    for (account, balance) in &mut accounts {
        *balance += if account == "cash" { more } else { Fen::ZERO };
    }
    accounts.retain(|(_, balance)| *balance != Fen::ZERO);
    accounts.sort();
    let digest = ledger::digest(seq, accounts.clone()).unwrap();
    let listed: Vec<Value> = accounts
        .iter()
        .map(|(account, balance)| json!({ "account": account, "balance": balance }))
        .collect();
    json!({ "seq": seq, "digest": digest, "total": "0.00", "accounts": listed }).to_string()
}

fn daily(office: &Office, process: &str) -> Daily {
    Daily {
        process: process.to_owned(),
        db: office.db.clone(),
        asks: Arc::clone(&office.asks),
        clock: Arc::clone(&office.clock) as Arc<dyn Clock>,
    }
}

/// What is known of the comparisons: for which day it was done last, and what came of it.
async fn job(office: &Office) -> Option<(Option<String>, Option<String>)> {
    let row = office
        .db
        .read(|tx| tx.query_optional("SELECT done, outcome FROM job WHERE kind = 'books' AND key = 's1'", &[]))
        .await
        .unwrap();
    row.map(|mut row: Row| (row.optional_text(0).unwrap(), row.optional_text(1).unwrap()))
}

async fn begin_day(office: &Office, day: &'static str) {
    let begun = office
        .db
        .write(move |tx| tx.execute("UPDATE site SET day = $1 WHERE id = 's1'", &[day.into()]));
    assert_eq!(begun.await, Ok::<u64, StoreError>(1));
}

fn questions(office: &Office) -> usize {
    let frames = office.sent.frames.lock().unwrap();
    frames.iter().filter(|(_, kind, _)| *kind == Kind::Ask).count()
}

pub(crate) async fn a_balance_sheet_that_a_station_draws_up_is_compared_when_somebody_asks(office: Office) {
    let lived = lived();
    let journal = lived.journal("s1");
    office.follow(&journal).await;
    let checker = office.machine("checker", &["finance_checker"]).await;
    let path = "/v1/sites/s1/books-check";
    let nothing = json!({});
    let right = sheet(&lived, &journal, Fen::ZERO);
    let (reply, ()) = tokio::join!(
        office.ask(&checker, "PUT", path, Some(&nothing)),
        answer(&office, &Question::BalanceSheet, 200, right.as_bytes())
    );
    let seq = journal.entries.len();
    assert_eq!(
        reply.expect(200),
        json!({ "right": true, "result": "equal", "seq": seq, "detail": null })
    );
    let wrong = sheet(&lived, &journal, Fen(7));
    let (reply, ()) = tokio::join!(
        office.ask(&checker, "PUT", path, Some(&nothing)),
        answer(&office, &Question::BalanceSheet, 200, wrong.as_bytes())
    );
    let reply = reply.expect(200);
    assert_eq!((&reply["right"], &reply["result"]), (&json!(false), &json!("differ")));
    assert_eq!(reply["detail"]["accounts"][0]["account"], "cash", "{reply}");
    let found = office.get(&checker, "/v1/findings?class=BOOKS").await.expect(200);
    assert_eq!(found["items"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found["items"][0]["seq"], seq);
    let told = office.get(&checker, "/v1/audit").await.expect(200);
    let told: Vec<&str> = told["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["action"] == "books_compared")
        .map(|entry| entry["subject"].as_str().unwrap())
        .collect();
    assert_eq!(told, ["s1", "s1"]);
    // What is no sheet, and a station that is not there.
    for (status, body, told, code) in [
        (200, "{}", 502, "site-refused"),
        (503, "{\"detail\":\"later\"}", 503, "site-busy"),
        (403, "{}", 502, "site-refused"),
    ] {
        let (reply, ()) = tokio::join!(
            office.ask(&checker, "PUT", path, Some(&nothing)),
            answer(&office, &Question::BalanceSheet, status, body.as_bytes())
        );
        reply.problem(told, code);
    }
    office.sent.is_away.store(true, Ordering::SeqCst);
    let away = office.ask(&checker, "PUT", path, Some(&nothing)).await;
    away.problem(503, "site-away");
    let unknown = office
        .ask(&checker, "PUT", "/v1/sites/s9/books-check", Some(&nothing))
        .await;
    unknown.problem(404, "unknown-site");
}

pub(crate) async fn each_business_day_the_books_are_compared_once_whichever_process_does_it(office: Office) {
    let lived = lived();
    let journal = lived.journal("s1");
    office.follow(&journal).await;
    let right = sheet(&lived, &journal, Fen::ZERO);
    // Two that both take the site for theirs, as when it goes from one process to another.
    let (here, there) = (daily(&office, ME), daily(&office, ME));
    let stranger = daily(&office, "elsewhere");
    assert_eq!(stranger.look().await, Ok(0), "another process has the site's desk");
    let (one, other, ()) = tokio::join!(
        here.look(),
        there.look(),
        answer(&office, &Question::BalanceSheet, 200, right.as_bytes())
    );
    assert_eq!(one.unwrap() + other.unwrap(), 1);
    let (done, outcome) = job(&office).await.unwrap();
    assert!(done.is_some());
    assert_eq!(outcome.as_deref(), Some("equal"));
    assert_eq!(
        (here.look().await, questions(&office)),
        (Ok(0), 0),
        "it is done for this day"
    );
    // Whatever time passes, and a process that starts anew: not before another day has begun at the site.
    office.pass(40 * 3_600_000);
    assert_eq!(daily(&office, ME).look().await, Ok(0));
    begin_day(&office, "2026-03-20").await;
    let wrong = sheet(&lived, &journal, Fen(7));
    let (looked, ()) = tokio::join!(
        here.look(),
        answer(&office, &Question::BalanceSheet, 200, wrong.as_bytes())
    );
    assert_eq!(looked, Ok(1));
    assert_eq!(
        job(&office).await,
        Some((Some("2026-03-20".to_owned()), Some("differ".to_owned())))
    );
    let found = office.local("GET", "/v1/findings?class=BOOKS", None).await.expect(200);
    assert_eq!(found["items"].as_array().unwrap().len(), 1, "{found}");
}

pub(crate) async fn a_site_that_is_away_is_asked_again_later(office: Office) {
    let lived = lived();
    let journal = lived.journal("s1");
    office.follow(&journal).await;
    let here = daily(&office, ME);
    office.sent.is_away.store(true, Ordering::SeqCst);
    assert_eq!(here.look().await, Ok(1));
    assert_eq!(job(&office).await, Some((None, None)));
    office.sent.is_away.store(false, Ordering::SeqCst);
    assert_eq!((here.look().await, questions(&office)), (Ok(0), 0), "it is too early");
    office.pass(300_000);
    let right = sheet(&lived, &journal, Fen::ZERO);
    let (looked, ()) = tokio::join!(
        here.look(),
        answer(&office, &Question::BalanceSheet, 200, right.as_bytes())
    );
    assert_eq!(looked, Ok(1));
    assert_eq!(job(&office).await.unwrap().1.as_deref(), Some("equal"));
}

pub(crate) async fn a_sheet_that_is_ahead_of_what_is_here_waits_for_it(office: Office) {
    let lived = lived();
    let journal = lived.journal("s1");
    office.enter(&journal).await;
    let mut batches = journal.batches(20);
    let last = batches.pop().unwrap();
    office.take(&journal, batches).await;
    let right = sheet(&lived, &journal, Fen::ZERO);
    let here = daily(&office, ME);
    let arrives = async {
        let (from, ask) = asked(&office).await;
        for part in AnswerPart::split(ask.id, 200, right.as_bytes()).unwrap() {
            assert!(office.asks.hear(&from, &part.to_bytes()));
        }
        office.take(&journal, [last]).await;
    };
    let (looked, ()) = tokio::join!(here.look(), arrives);
    assert_eq!(looked, Ok(1));
    assert_eq!(job(&office).await.unwrap().1.as_deref(), Some("equal"));
}
