//! Reading a snapshot: pages and exports see one moment, never half a commit.
//! What there is once is read here; the rest by its subject, in the files below.

mod accounts;
mod journal;
mod members;
mod orders;
mod piles;
mod quarantine;
mod steps;
mod told;

pub(super) use journal::{entry, split_entry, stamp, written};
pub use orders::OrderFilter;
pub use piles::Sample;
pub use quarantine::{OpenItems, QuarantineFilter};
pub use told::{DirectiveTaken, OfVouchers};

use super::{Retained, StoreError, displays, retained, tables};
use crate::{
    clock::Mark,
    credentials::{Credentials, SecretHash},
};
use domain::{
    head_office::HeadOfficeRow,
    ids::PileId,
    ledger::Account,
    site::{Key, Loaded},
    station_clock::StationClock,
    units::Fen,
};
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// A snapshot of the database.
pub struct Reader {
    pub(super) read: ReadTransaction,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<u64>,
}

/// How many index entries one page may look at before it ends early with a cursor.
const LOOKED_AT_MAX: usize = 5_000;

pub(super) fn parse<T: DeserializeOwned>(
    table: &'static str,
    key: &dyn std::fmt::Display,
    bytes: &[u8],
) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|error| StoreError::BadRow {
        table,
        key: key.to_string(),
        why: error.to_string(),
    })
}

pub(super) fn bad(table: &'static str, key: &str, why: impl std::fmt::Display) -> StoreError {
    StoreError::BadRow {
        table,
        key: key.to_owned(),
        why: why.to_string(),
    }
}

impl Reader {
    pub(super) fn new(db: &Database) -> Result<Self, StoreError> {
        Ok(Self { read: db.begin_read()? })
    }

    /// Retained messages to piles.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn retained(&self) -> Result<Retained, StoreError> {
        retained::read(&self.read)
    }

    /// Loads one row into memory, or the knowledge that it is not there.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn load(&self, key: &Key) -> Result<Loaded, StoreError> {
        Ok(match key {
            Key::Order(id) => {
                let order = self.order(id)?;
                let held = match &order {
                    Some(order) => self.balance(&Account::Held(order.id.clone()))?,
                    None => Fen::ZERO,
                };
                let id = id.clone();
                Loaded::Order { id, order, held }
            }
            Key::Member(id) => {
                let member = self.member(id)?;
                let (mut allowance, mut debt) = (Fen::ZERO, Fen::ZERO);
                if member.is_some() {
                    allowance = self.balance(&Account::Allowance(id.clone()))?;
                    debt = self.balance(&Account::Debt(id.clone()))?;
                }
                Loaded::Member {
                    id: id.clone(),
                    member,
                    allowance,
                    debt,
                }
            }
            Key::Card(id) => Loaded::Card {
                id: id.clone(),
                card: self.card(id)?,
            },
            Key::Quarantine(item) => Loaded::Quarantine {
                item: *item,
                row: self.quarantine_item(*item)?,
            },
            Key::SetAside(pile, digest) => {
                let by_content = self.read.open_table(tables::QUARANTINE_BY_CONTENT)?;
                let item = by_content.get((pile.as_str(), digest.as_str()))?;
                let item = item.map(|item| item.value());
                let content = (pile.clone(), digest.clone());
                Loaded::SetAside { content, item }
            }
            Key::Receipt(receipt) => {
                let receipts = self.read.open_table(tables::RECEIPTS)?;
                let used = receipts.get(receipt.as_str())?;
                let used = used.map(|row| parse("receipts", receipt, row.value())).transpose()?;
                let receipt = receipt.clone();
                Loaded::Receipt { receipt, used }
            }
            Key::Slip(slip) => Loaded::Slip {
                slip: slip.clone(),
                used: self.slip(slip)?,
            },
        })
    }

    /// What is known of the station's wall clock.
    pub(super) fn station_clock(&self) -> Result<StationClock, StoreError> {
        self.one_of(tables::STATION_CLOCK)
    }

    /// What is remembered of head office.
    ///
    /// # Errors
    /// [`StoreError::BadRow`] or [`StoreError::Io`].
    pub fn head_office(&self) -> Result<HeadOfficeRow, StoreError> {
        self.one_of(tables::HEAD_OFFICE)
    }

    /// What there is one of, in the table `meta`.
    fn one_of<T: DeserializeOwned + Default>(&self, name: &'static str) -> Result<T, StoreError> {
        let meta = self.read.open_table(tables::META)?;
        let row = meta.get(name)?;
        let row = row.map(|row| parse("meta", &name, row.value()));
        Ok(row.transpose()?.unwrap_or_default())
    }

    pub(super) fn mark(&self) -> Result<Mark, StoreError> {
        let meta = self.read.open_table(tables::META)?;
        Ok(meta
            .get("mark")?
            .map(|row| parse("meta", &"mark", row.value()))
            .transpose()?
            .unwrap_or_default())
    }

    pub(super) fn credentials(&self) -> Result<Credentials, StoreError> {
        let secrets = self.read.open_table(tables::PILE_SECRETS)?;
        let mut piles = BTreeMap::new();
        for row in secrets.iter()? {
            let (pile, hash) = row?;
            let id = PileId::new(pile.value()).map_err(|error| bad("pile_secrets", pile.value(), error))?;
            piles.insert(id, SecretHash::stored(hash.value()));
        }
        let rows = self.read.open_table(tables::PILE_CERTIFICATES)?;
        let mut certificates = BTreeMap::new();
        for row in rows.iter()? {
            let (pile, known) = row?;
            let id = PileId::new(pile.value()).map_err(|error| bad("pile_certificates", pile.value(), error))?;
            certificates.insert(id, parse("pile_certificates", &pile.value(), known.value())?);
        }
        let rows = self.read.open_table(tables::TOKENS)?;
        let mut tokens = BTreeMap::new();
        for row in rows.iter()? {
            let (name, token) = row?;
            tokens.insert(name.value().to_owned(), parse("tokens", &name.value(), token.value())?);
        }
        let displays = displays::read(&self.read.open_table(tables::META)?)?;
        Ok(Credentials::new(piles, certificates, displays, tokens))
    }
}
