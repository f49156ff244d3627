//! A message that carries money, or may, and fits nowhere: kept until a person has dealt with it (S03 §3.1).

use crate::{
    contradiction::Contradicts,
    fact::{Fact, QuarantineOutcome, QuarantineReason, Raw, SessionTimes, TypedFigures},
    ids::{ConnectorNo, OrderId, PileId},
    journal::Stamp,
    messages::{Record, Unread},
    register::{Cover, SessionId},
    time::{Mono, Wall},
    units::Energy,
};
use serde::{Deserialize, Serialize};
use std::{fmt, ops::Deref};

/// What covers readings that a person is about to bill.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoveredBy {
    /// An order.
    Order(OrderId),
    /// Another item in quarantine, by its number.
    Item(u64),
    /// Sessions of long ago: that they were is known, and no longer which; or of a meter that is there no more, of which it is
    /// not known what they were.
    Earlier,
}

impl fmt::Display for CoveredBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CoveredBy::Order(order) => write!(f, "order {order}"),
            CoveredBy::Item(item) => write!(f, "quarantine item {item}"),
            CoveredBy::Earlier => f.write_str("earlier sessions"),
        }
    }
}

/// What covers readings, and which of them; of another outlet's order, which readings of its own register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covering {
    /// Whose session.
    pub by: CoveredBy,
    /// From this register on.
    pub from: Energy,
    /// Up to this.
    pub to: Energy,
}

impl From<Cover> for Covering {
    fn from(cover: Cover) -> Self {
        let by = match cover.by {
            Some(SessionId::Order(order)) => CoveredBy::Order(order),
            Some(SessionId::Item(item)) => CoveredBy::Item(item),
            None => CoveredBy::Earlier,
        };
        Self {
            by,
            from: cover.span.from,
            to: cover.span.to,
        }
    }
}

/// What the station knew of its clock when a message was put aside, while that clock could not be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemDoubt {
    /// When the message came, by elapsed time.
    pub mono: Mono,
    /// It was later than this.
    pub certain: Wall,
}

/// What is kept of a message in quarantine. Whoever holds a [`QuarantineItem`] reads these fields; only facts write them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineRow {
    /// Its number.
    pub item: u64,
    /// When it came.
    pub at: Wall,
    /// Why it was put aside.
    pub why: QuarantineReason,
    /// Which pile said it.
    pub pile: PileId,
    /// Which connector, where that could be read.
    pub connector: Option<ConnectorNo>,
    /// The record, where it could be read.
    pub record: Option<Box<Record>>,
    /// The message as it came, where it could not.
    pub raw: Option<Raw>,
    /// When the session was, where the record could be read.
    pub times: Option<Box<SessionTimes>>,
    /// SHA-256 of its content, hex.
    pub digest: String,
    /// What is wrong with it.
    pub detail: String,
    /// What a person did with it.
    pub outcome: Option<QuarantineOutcome>,
    /// The order that it is about, where it names one.
    #[serde(default)]
    pub order: Option<OrderId>,
    /// The station's clock could not be right when it came: its times move with the clock, and are believed once that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<ItemDoubt>,
    /// On which of its connector's meters its session ran, as far as could be told when it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meter: Option<u32>,
    /// What of the record could not be read, as it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<Box<Unread>>,
    /// The figures that a person read from the message, beside the message itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typed: Option<Box<TypedFigures>>,
}

impl QuarantineRow {
    /// What it counts in its pile's quarantine.
    pub fn bytes(&self) -> u64 {
        kept_bytes(self.record.as_deref(), self.raw.as_ref(), self.unread.as_deref())
    }
}

/// A message in quarantine. Its fields can be read; facts change them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QuarantineItem(QuarantineRow);

impl Deref for QuarantineItem {
    type Target = QuarantineRow;

    fn deref(&self) -> &QuarantineRow {
        &self.0
    }
}

impl QuarantineItem {
    /// The item that [`Fact::Quarantined`] begins; its session ran on this one of its connector's meters. `certain` is the
    /// last certain time, where the station's clock cannot be right.
    ///
    /// # Panics
    /// If it is another fact.
    pub(crate) fn put_aside(stamp: Stamp, fact: &Fact, meter: Option<u32>, certain: Option<Wall>) -> Self {
        let Fact::Quarantined {
            why,
            pile,
            record,
            raw,
            times,
            digest,
            detail,
            order,
            connector,
            unread,
        } = fact
        else {
            unreachable!("called for Quarantined alone")
        };
        Self(QuarantineRow {
            item: stamp.seq,
            at: stamp.at,
            why: *why,
            pile: pile.clone(),
            connector: record.as_ref().map(|record| record.connector).or(*connector),
            record: record.clone(),
            raw: raw.clone(),
            times: times.clone(),
            digest: digest.clone(),
            detail: detail.clone(),
            outcome: None,
            order: order.clone(),
            doubt: certain.map(|certain| ItemDoubt {
                mono: stamp.mono,
                certain,
            }),
            meter,
            unread: unread.clone(),
            typed: None,
        })
    }

    /// A person has dealt with it.
    ///
    /// # Errors
    /// That happened before.
    pub(crate) fn close(
        &mut self,
        outcome: &QuarantineOutcome,
        typed: Option<&TypedFigures>,
    ) -> Result<(), Contradicts> {
        if self.outcome.is_some() {
            return Err(Contradicts::ItemClosed(self.item));
        }
        self.0.outcome = Some(outcome.clone());
        self.0.typed = typed.copied().map(Box::new);
        Ok(())
    }
}

/// What a message counts in its pile's quarantine, in bytes: its content as it is kept.
pub fn kept_bytes(record: Option<&Record>, raw: Option<&Raw>, unread: Option<&Unread>) -> u64 {
    let record = record.map_or(0, |record| serde_json::to_vec(record).map_or(0, |json| json.len()));
    let raw = raw.map_or(0, |raw| raw.content().len());
    (record + raw + unread.map_or(0, Unread::bytes)) as u64
}
