//! What people type at head office: each command says what is so, and one that cannot be done fails and says what to do.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

#[path = "office/books.rs"]
mod books;

use books::{books_are_equal, charge, database};
use central::store::Place;
use service::client::{Call, Client};
use std::path::PathBuf;
use world::{
    head_office::HeadOfficeProcess,
    history,
    station::{SITE, StationProcess, repository},
};

/// What a command says that fails.
fn refused(office: &HeadOfficeProcess, words: &[&str]) -> String {
    office.cli(words).unwrap_err().to_string()
}

/// What stands behind a name in what is printed.
fn field<'a>(said: &'a str, name: &str) -> &'a str {
    let line = said.lines().find_map(|line| line.trim().strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in:\n{said}")).trim()
}

/// Whether head office's API knows a machine by this token.
async fn is_known(office: &HeadOfficeProcess, token: &str) -> bool {
    let client = Client::at_socket(office.socket());
    let call = Call::get("/v1/sites").header("authorization", format!("Bearer {token}"));
    client.ask(call).await.unwrap().status == 200
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_of_head_office_say_what_is_so_and_what_to_do() {
    let mut office = HeadOfficeProcess::start("commands-office").await.unwrap();
    let mut station = StationProcess::start("commands", &history::setup()).await.unwrap();
    let mut agent = office.join(&mut station, SITE).await.unwrap();
    let db = database(Place::File(office.database())).await;
    station.add_member("anna", "100.00").await.unwrap();
    let secret = station.add_pile("P1").await.unwrap();
    let mut pile = history::boot(&station, "P1", &secret).await.unwrap();
    let order = charge(&station, &mut pile, "P1", history::REGISTER, "1003.0000").await;
    let head = books_are_equal(&station, &db).await;

    sites(&office, head);
    ledger(&office, &order);
    people(&office);
    machines(&office).await;

    let written = std::fs::read_to_string(repository().join("docs/openapi-central.json")).unwrap();
    assert_eq!(office.cli(&["openapi"]).unwrap().trim(), written.trim());
    let json: serde_json::Value =
        serde_json::from_str(&office.cli(&["--json", "site", "show", SITE]).unwrap()).unwrap();
    assert_eq!(json["id"], SITE, "{json}");

    agent.terminate().await.unwrap();
    office.terminate().await.unwrap();
    let nobody = refused(&office, &["site", "list"]);
    assert!(nobody.contains("central.sock"), "{nobody}");
}

fn sites(office: &HeadOfficeProcess, head: u64) {
    let list = office.cli(&["site", "list"]).unwrap();
    let row = list.lines().find(|line| line.starts_with(SITE));
    let row: Vec<&str> = row.unwrap_or_else(|| panic!("{list}")).split_whitespace().collect();
    assert_eq!(row[..3], [SITE, SITE, "following"], "{list}");
    assert!(row[3].parse::<u64>().unwrap() >= head, "{list}");

    let again = refused(office, &["site", "resume", SITE]);
    assert!(again.contains("there is nothing to try again"), "{again}");
    let entry = format!("1:{}", "0".repeat(64));
    let aside = refused(office, &["site", "set-aside", SITE, &entry, "--reason", "a try"]);
    assert!(aside.contains("only at a site that is broken"), "{aside}");
    let nobodys = refused(office, &["site", "show", "nowhere"]);
    assert!(nobodys.contains("nowhere"), "{nobodys}");

    // Over the socket everybody is the same person.
    let close = ["site", "close", SITE, "--reason", "the yard is sold"];
    let proposed = office.cli(&close).unwrap();
    assert!(proposed.contains("another person approves it"), "{proposed}");
    let name = proposed
        .split('`')
        .nth(1)
        .and_then(|said| said.strip_prefix("--approve "));
    let approve = ["site", "close", SITE, "--approve", name.unwrap()];
    let own = refused(office, &approve);
    assert!(own.contains("another person has to approve it"), "{own}");
    let neither = refused(office, &["site", "close", SITE]);
    assert!(neither.contains("--reason"), "{neither}");
}

fn ledger(office: &HeadOfficeProcess, order: &str) {
    let right = office.cli(&["ledger", "verify"]).unwrap();
    assert_eq!(field(&right, "right"), "true", "{right}");
    let checked = office.cli(&["ledger", "check", SITE]).unwrap();
    assert_eq!(field(&checked, "right"), "true", "{checked}");

    let file: PathBuf = office.folder().join("movements.csv");
    let export = ["ledger", "export", file.to_str().unwrap()];
    let exported = office.cli(&export).unwrap();
    let table = std::fs::read_to_string(&file).unwrap();
    let movements = table.lines().count() - 1;
    assert_eq!(field(&exported, "movements"), movements.to_string(), "{exported}");
    assert!(table.lines().any(|line| line.contains(order)), "{table}");
    let again = refused(office, &export);
    assert!(again.contains("movements.csv"), "no file is written over: {again}");
}

fn people(office: &HeadOfficeProcess) {
    let added = office.cli(&["user", "add", "ann", "--role", "viewer"]).unwrap();
    assert!(field(&added, "password").len() > 12, "{added}");
    let twice = refused(office, &["user", "add", "ann", "--role", "viewer"]);
    assert!(twice.contains("ann"), "{twice}");
    let unknown = refused(office, &["user", "add", "bob", "--role", "king"]);
    assert!(unknown.contains("finance_checker"), "the roles there are: {unknown}");
    let roles = ["user", "roles", "ann", "--role", "finance_maker", "--role", "risk"];
    office.cli(&roles).unwrap();
    office.cli(&["user", "disable", "ann"]).unwrap();
    let row = |list: &str| {
        let row = list.lines().find(|line| line.starts_with("ann "));
        row.unwrap_or_else(|| panic!("{list}")).to_owned()
    };
    let disabled = row(&office.cli(&["user", "list"]).unwrap());
    assert!(
        disabled.contains("finance_maker") && disabled.contains("risk") && !disabled.contains("viewer"),
        "{disabled}"
    );
    assert!(disabled.contains("true"), "{disabled}");
    office.cli(&["user", "enable", "ann"]).unwrap();
    let anew = office.cli(&["user", "password", "ann"]).unwrap();
    assert_ne!(field(&anew, "password"), field(&added, "password"));
}

async fn machines(office: &HeadOfficeProcess) {
    let added = office.cli(&["token", "add", "wall", "--role", "viewer"]).unwrap();
    let token = field(&added, "token").to_owned();
    assert!(is_known(office, &token).await);
    let list = office.cli(&["token", "list"]).unwrap();
    let row = list.lines().find(|line| line.starts_with("wall"));
    assert!(row.is_some_and(|row| row.contains("viewer")), "{list}");
    assert!(!list.contains(&token), "it is printed once: {list}");
    assert_eq!(
        office.cli(&["token", "remove", "wall"]).unwrap().trim(),
        "it counts no more"
    );
    assert!(!is_known(office, &token).await);
}
