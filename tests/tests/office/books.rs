//! Orders that are charged at a station, and the books of both sides: what the station has journaled head office has, and every
//! account of both is equal to the fen.

use central::store::{Db, Place, ledger::mirrored, sites};
use domain::{
    ids::SiteId,
    ledger::{Account, digest},
    units::Fen,
};
use serde_json::json;
use std::time::{Duration, Instant};
use world::{
    hand::Hand,
    history,
    station::{SITE, StationProcess},
};

/// Of no matter unless something never happens: a connection is tried again after up to a minute, on a machine as slow as it is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) fn site() -> SiteId {
    SITE.parse().unwrap()
}

/// Head office's database, looked at from beside.
pub(crate) async fn database(place: Place) -> Db {
    // It must not be opened on a thread of the runtime.
    let opening = tokio::task::spawn_blocking(move || Db::open(&place));
    opening.await.unwrap().unwrap()
}

/// An order from its placing to its money.
pub(crate) async fn charge(station: &StationProcess, pile: &mut Hand, id: &str, from: &str, to: &str) -> String {
    history::charge(station, pile, id, (from, to)).await.unwrap()
}

/// Waits until head office has everything that the station has journaled, and compares the books.
pub(crate) async fn books_are_equal(station: &StationProcess, db: &Db) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let sheet = station.get("/v1/balance-sheet").await.unwrap().success().unwrap();
        let seq = sheet["seq"].as_u64().unwrap();
        let found = db.read(move |tx| {
            let head = sites::find(tx, &site())?.unwrap().head;
            let mut rows = tx.query("SELECT name, balance FROM account WHERE balance <> 0", &[])?;
            let accounts: Vec<(String, i64)> = rows
                .iter_mut()
                .map(|row| Ok((row.text(0)?, row.int(1)?)))
                .collect::<Result<_, _>>()?;
            Ok((head.seq, accounts))
        });
        let (head, accounts) = match found.await {
            // The database was gone, and what is there of the connection to it is seen to be so now.
            Err(error) if error.is_transient() && Instant::now() < deadline => continue,
            found => found.unwrap(),
        };
        if head == seq {
            assert_eq!(accounts.iter().map(|(_, balance)| balance).sum::<i64>(), 0);
            assert_eq!(sheet["digest"], json!(digest_of(seq, &accounts)), "at entry {seq}");
            return seq;
        }
        assert!(
            Instant::now() < deadline,
            "head office has {head} of {seq}:\n{}",
            station.log()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The digest over the station's accounts, as head office's books have them.
fn digest_of(seq: u64, accounts: &[(String, i64)]) -> String {
    let own = |name: &str| -> String {
        let (kind, rest) = name.split_once(':').unwrap();
        let account = match rest.split_once(':') {
            Some((_, of)) => format!("{kind}:{of}"),
            None => kind.to_owned(),
        };
        let parsed: Account = account.parse().unwrap();
        assert_eq!(mirrored(&site(), &parsed), name);
        account
    };
    let mut own: Vec<(String, Fen)> = accounts
        .iter()
        .map(|(name, balance)| (own(name), Fen(*balance)))
        .collect();
    own.sort();
    digest(seq, own).unwrap().to_string()
}
