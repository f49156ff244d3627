//! A site's balance sheet is compared with its books here, at the entry at which it was drawn up (BOOKS).

use crate::store::{
    Db, StoreError, Tx, branches,
    findings::{self, Class, Finding},
    ledger, replica, sites,
};
use domain::{
    ids::SiteId,
    journal::Hash,
    ledger::{Account, digest},
    time::Wall,
    units::Fen,
};
use protocol::frame::State;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The most accounts that a finding names.
const NAMED_MAX: usize = 100;

/// A site's balance sheet, as its API gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    /// The entry after which it was drawn up.
    pub seq: u64,
    /// The digest over all accounts ([`domain::ledger::digest`]).
    pub digest: Hash,
    /// The accounts, where it lists them: all, or none.
    pub accounts: Option<BTreeMap<Account, Fen>>,
}

/// What a comparison came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// The same books.
    Equal,
    /// Others.
    Differ(Finding),
    /// Head office is not there yet: it is compared later.
    Behind {
        /// How far it is.
        head: u64,
    },
    /// The site goes on with another journal than the one that is here; or did when it drew the sheet up, before the branch
    /// that is followed now left the other, or before its opening.
    Forked,
}

/// One account that differs.
#[derive(Debug, Serialize)]
struct Differing {
    account: Account,
    site: Fen,
    here: Fen,
}

#[derive(Debug, Serialize)]
struct Detail {
    why: String,
    /// The digests.
    site: Hash,
    here: Hash,
    /// The accounts that differ, at most [`NAMED_MAX`], where the sheet lists them.
    accounts: Vec<Differing>,
    /// How many differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    differ: Option<usize>,
}

/// Compares, and keeps what differs. Ingest goes on meanwhile.
///
/// # Errors
/// [`StoreError`]; [`StoreError::Broken`] where there is no such site.
pub async fn check(db: &Db, site: &SiteId, sheet: Sheet, now: Wall) -> Result<Compared, StoreError> {
    let id = site.clone();
    let (branch, compared) = db.read(move |tx| compare(tx, &id, &sheet)).await?;
    if let Compared::Differ(finding) = &compared {
        let (id, finding) = (site.clone(), finding.clone());
        db.write(move |tx| findings::add(tx, &id, branch, &[finding], now))
            .await?;
    }
    Ok(compared)
}

/// Compares on one state of the database, so in a transaction that only reads. On which branch, and what it came to.
///
/// # Errors
/// [`StoreError`]; [`StoreError::Broken`] where there is no such site.
pub fn compare(tx: &mut dyn Tx, site: &SiteId, sheet: &Sheet) -> Result<(u64, Compared), StoreError> {
    let found = sites::find(tx, site)?;
    let found = found.ok_or_else(|| StoreError::Broken(format!("there is no site {site}")))?;
    let head = found.head.seq;
    if found.state == State::Forked {
        return Ok((found.branch, Compared::Forked));
    }
    if sheet.seq < found.begins.seq {
        return Ok((found.branch, Compared::Forked));
    }
    let followed_from = branches::left(tx, site, found.branch)?;
    if followed_from.is_some_and(|from| sheet.seq < from.seq) {
        return Ok((found.branch, Compared::Forked));
    }
    if head < sheet.seq {
        return Ok((found.branch, Compared::Behind { head }));
    }
    let mut balances = replica::balances(tx, site)?;
    // Back from the head to where the sheet was drawn up: what moved since is moved back.
    for (account, moved) in ledger::moved_since(tx, site, found.branch, sheet.seq)? {
        *balances.entry(account).or_default() -= moved;
    }
    balances.retain(|_, balance| *balance != Fen::ZERO);
    let here = digest_of(sheet.seq, &balances)?;
    if here == sheet.digest {
        return Ok((found.branch, Compared::Equal));
    }
    let finding = Finding {
        class: Class::Books,
        seq: sheet.seq,
        order: None,
        detail: detail(sheet, here, &balances),
    };
    Ok((found.branch, Compared::Differ(finding)))
}

/// The digest over accounts in the order of their names.
fn digest_of(seq: u64, balances: &BTreeMap<Account, Fen>) -> Result<Hash, StoreError> {
    let mut named: Vec<(String, Fen)> = balances
        .iter()
        .map(|(name, balance)| (name.to_string(), *balance))
        .collect();
    named.sort();
    digest(seq, named).map_err(|error| StoreError::Broken(error.to_string()))
}

fn detail(sheet: &Sheet, here: Hash, balances: &BTreeMap<Account, Fen>) -> String {
    let mut accounts = Vec::new();
    if let Some(listed) = &sheet.accounts {
        let names: BTreeSet<&Account> = listed.keys().chain(balances.keys()).collect();
        let of = |books: &BTreeMap<Account, Fen>, name: &Account| books.get(name).copied().unwrap_or_default();
        accounts.extend(names.into_iter().map(|name| Differing {
            account: name.clone(),
            site: of(listed, name),
            here: of(balances, name),
        }));
        accounts.retain(|one| one.site != one.here);
    }
    let differ = sheet.accounts.as_ref().map(|_| accounts.len());
    let why = match differ {
        None => "the digests over all accounts differ".to_owned(),
        Some(0) => "the digests differ, and no account that the sheet lists does".to_owned(),
        Some(some) => format!("{some} accounts differ"),
    };
    accounts.truncate(NAMED_MAX);
    let detail = Detail {
        why,
        site: sheet.digest,
        here,
        accounts,
        differ,
    };
    serde_json::to_string(&detail).expect("accounts have string keys and no failing serializer")
}
