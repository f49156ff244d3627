//! Reading a snapshot: pages and exports see one moment, never half a commit.

use super::{Retained, StoreError, displays, retained, tables, write::state_number};
use crate::{
    clock::Mark,
    credentials::{Credentials, SecretHash},
};
use domain::{
    card::Card,
    fact::QuarantineReason,
    ids::{CardId, ConnectorNo, MemberId, OrderId, Outlet, PileId},
    journal::{Entry, Hash, Head, NotReadable, Stamp, Written},
    ledger::{Account, Transfer},
    member::Member,
    messages::ConnectorReport,
    order::{Order, State},
    pile::Pile,
    quarantine::QuarantineItem,
    site::{Key, Loaded, OutletLive},
    station_clock::StationClock,
    tariff::Tariff,
    time::{Mono, Wall},
    units::Fen,
};
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// A snapshot of the database.
pub struct Reader {
    pub(super) read: ReadTransaction,
}

/// Which orders to list; `None` is any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// In this state.
    pub state: Option<State>,
    /// Of this member.
    pub member: Option<MemberId>,
    /// At this pile.
    pub pile: Option<PileId>,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<u64>,
}

/// Which quarantined messages to list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QuarantineFilter {
    /// Those dealt with too.
    pub closed: bool,
    /// Put aside for this reason; `None` is any.
    pub why: Option<QuarantineReason>,
}

/// What waits in quarantine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenItems {
    /// All of it.
    pub all: u64,
    /// Of which records that contradict the one their order has; counted among the oldest 10,000.
    pub conflicts: u64,
    /// Of which bills that the pile splits otherwise; counted likewise.
    pub rating_differences: u64,
    /// When the oldest of it was put aside.
    pub oldest: Option<Wall>,
}

/// What a connector reported, and when that was received.
pub type Sample = (Wall, ConnectorReport);

/// Entries of an index of orders: seq of placing and id.
type Placed = Box<dyn Iterator<Item = Result<(u64, String), StoreError>>>;

/// Numbers of quarantined messages, and whether they may be admitted.
type Numbers = Box<dyn Iterator<Item = Result<(u64, bool), StoreError>>>;

/// How many open quarantine items are counted by their reasons.
const COUNTED_MAX: usize = 10_000;
/// How many index entries one page may look at before it ends early with a cursor.
const LOOKED_AT_MAX: usize = 5_000;
/// How many samples, of whatever connector, one answer may look at: some tens of milliseconds.
const SAMPLES_LOOKED_AT_MAX: usize = 50_000;

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

    /// The journal's last entry and its hash; zero and [`Hash::GENESIS`] before the first.
    ///
    /// # Errors
    /// [`StoreError::BadRow`] or [`StoreError::Io`], as all of these.
    pub fn head(&self) -> Result<(Stamp, Hash), StoreError> {
        let journal = self.read.open_table(tables::JOURNAL)?;
        let Some((seq, stored)) = journal.last()? else {
            return Ok((
                Stamp {
                    seq: 0,
                    at: Wall(0),
                    mono: Mono(0),
                },
                Hash::GENESIS,
            ));
        };
        let (hash, bytes) = split_entry(seq.value(), stored.value())?;
        Ok((stamp(seq.value(), bytes)?, hash))
    }

    /// Retained messages to piles.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn retained(&self) -> Result<Retained, StoreError> {
        retained::read(&self.read)
    }

    /// Journal entries from `from` on, at most `limit`: seq, hash, stored bytes.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn journal(&self, from: u64, limit: usize) -> Result<Vec<(u64, Hash, Vec<u8>)>, StoreError> {
        let journal = self.read.open_table(tables::JOURNAL)?;
        let mut entries = Vec::new();
        for row in journal.range(from..)?.take(limit) {
            let (seq, stored) = row?;
            let (hash, bytes) = split_entry(seq.value(), stored.value())?;
            entries.push((seq.value(), hash, bytes.to_vec()));
        }
        Ok(entries)
    }

    /// The number of the first journal entry at or after `at` by the wall clock; the one after the last if there is none.
    /// A clock that was stepped back leaves entries out of order: then it is one such number.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn seq_from(&self, at: Wall) -> Result<u64, StoreError> {
        let journal = self.read.open_table(tables::JOURNAL)?;
        let Some((first, _)) = journal.first()? else {
            return Ok(1);
        };
        let (mut low, mut high) = (first.value(), self.head()?.0.seq + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let found = journal.get(middle)?;
            let stored = found.ok_or_else(|| bad("journal", &middle.to_string(), "is missing"))?;
            if stamp(middle, split_entry(middle, stored.value())?.1)?.at < at {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Shows `each` the stored bytes of these journal entries, in order.
    ///
    /// # Errors
    /// As [`Reader::head`], and what `each` fails with.
    pub(super) fn each_entry(
        &self,
        entries: std::ops::Range<u64>,
        mut each: impl FnMut(u64, &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let journal = self.read.open_table(tables::JOURNAL)?;
        for row in journal.range(entries)? {
            let (seq, stored) = row?;
            each(seq.value(), split_entry(seq.value(), stored.value())?.1)?;
        }
        Ok(())
    }

    /// What a member was told, newest first, before `before` (a journal seq), at most `limit`.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn notices(&self, member: &MemberId, before: Option<u64>, limit: usize) -> Result<Page<Entry>, StoreError> {
        self.entries_of(tables::NOTICES_BY_MEMBER, member.as_str(), before, limit, entry)
    }

    /// Journal entries that an index names under `name`, newest first, before `before`, at most `limit`.
    pub(super) fn entries_of<T>(
        &self,
        index: TableDefinition<'static, (&'static str, u64), ()>,
        name: &str,
        before: Option<u64>,
        limit: usize,
        read: impl Fn(u64, &[u8]) -> Result<T, StoreError>,
    ) -> Result<Page<T>, StoreError> {
        let index = self.read.open_table(index)?;
        let journal = self.read.open_table(tables::JOURNAL)?;
        let kept = self.read.open_table(tables::KEPT_ENTRIES)?;
        let end = (name, before.unwrap_or(u64::MAX));
        let mut page = Page {
            items: Vec::new(),
            next: None,
        };
        for row in index.range((name, 0)..end)?.rev() {
            let (_, seq) = row?.0.value();
            if page.items.len() == limit {
                return Ok(page);
            }
            page.next = Some(seq);
            if let Some(stored) = journal
                .get(seq)?
                .map_or_else(|| kept.get(seq), |stored| Ok(Some(stored)))?
            {
                page.items.push(read(seq, split_entry(seq, stored.value())?.1)?);
            }
        }
        page.next = None;
        Ok(page)
    }

    /// An order's log from journal number `from` on, oldest first, at most `limit` entries.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn order_log_from(&self, id: &OrderId, from: u64, limit: usize) -> Result<Vec<Written>, StoreError> {
        let log = self.read.open_table(tables::ORDER_LOG)?;
        let journal = self.read.open_table(tables::JOURNAL)?;
        let kept = self.read.open_table(tables::KEPT_ENTRIES)?;
        let mut entries = Vec::new();
        for row in log.range((id.as_str(), from)..=(id.as_str(), u64::MAX))?.take(limit) {
            let (_, seq) = row?.0.value();
            if let Some(stored) = journal
                .get(seq)?
                .map_or_else(|| kept.get(seq), |stored| Ok(Some(stored)))?
            {
                entries.push(written(seq, split_entry(seq, stored.value())?.1)?);
            }
        }
        Ok(entries)
    }

    /// How many orders there are, and how many of them owe something.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn order_counts(&self) -> Result<(u64, u64), StoreError> {
        let all = self.read.open_table(tables::ORDERS_PLACED)?.len()?;
        let index = self.read.open_table(tables::ORDERS_BY_STATE)?;
        let unpaid = state_number(State::Unpaid);
        let owing = index.range((unpaid, 0)..=(unpaid, u64::MAX))?.count();
        Ok((all, owing as u64))
    }

    /// One order.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn order(&self, id: &OrderId) -> Result<Option<Order>, StoreError> {
        let orders = self.read.open_table(tables::ORDERS)?;
        orders
            .get(id.as_str())?
            .map(|row| parse("orders", id, row.value()))
            .transpose()
    }

    /// Orders, newest first, that were placed before `before` (a cursor from [`Page::next`]).
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn orders(&self, filter: &OrderFilter, before: Option<u64>, limit: usize) -> Result<Page<Order>, StoreError> {
        let end = before.unwrap_or(u64::MAX);
        let mut page = Page {
            items: Vec::new(),
            next: None,
        };
        for (looked_at, row) in self.placed_before(filter, end)?.enumerate() {
            if page.items.len() == limit || looked_at == LOOKED_AT_MAX {
                return Ok(page);
            }
            let (seq, id) = row?;
            page.next = Some(seq);
            let id = OrderId::new(&id).map_err(|error| bad("orders", &id, error))?;
            if let Some(order) = self.order(&id)?.filter(|order| filter.admits(order)) {
                page.items.push(order);
            }
        }
        page.next = None;
        Ok(page)
    }

    /// Seq and id of the orders placed before `end`, newest first, by the narrowest index for `filter`.
    fn placed_before(&self, filter: &OrderFilter, end: u64) -> Result<Placed, StoreError> {
        Ok(if let Some(member) = &filter.member {
            let index = self.read.open_table(tables::ORDERS_BY_MEMBER)?;
            let rows = index.range((member.as_str(), 0)..(member.as_str(), end))?.rev();
            Box::new(rows.map(|row| Ok(row.map(|(key, id)| (key.value().1, id.value().to_owned()))?)))
        } else if let Some(pile) = &filter.pile {
            let index = self.read.open_table(tables::ORDERS_BY_PILE)?;
            let rows = index.range((pile.as_str(), 0)..(pile.as_str(), end))?.rev();
            Box::new(rows.map(|row| Ok(row.map(|(key, id)| (key.value().1, id.value().to_owned()))?)))
        } else if let Some(state) = filter.state.map(state_number) {
            let index = self.read.open_table(tables::ORDERS_BY_STATE)?;
            let rows = index.range((state, 0)..(state, end))?.rev();
            Box::new(rows.map(|row| Ok(row.map(|(key, id)| (key.value().1, id.value().to_owned()))?)))
        } else {
            let index = self.read.open_table(tables::ORDERS_PLACED)?;
            let rows = index.range(..end)?.rev();
            Box::new(rows.map(|row| Ok(row.map(|(seq, id)| (seq.value(), id.value().to_owned()))?)))
        })
    }

    /// Ids of all orders that are not at an end.
    pub(super) fn open_orders(&self) -> Result<Vec<OrderId>, StoreError> {
        let index = self.read.open_table(tables::ORDERS_BY_STATE)?;
        let mut ids = Vec::new();
        for state in State::ALL.into_iter().filter(|state| state.is_open()) {
            let state = state_number(state);
            for row in index.range((state, 0)..=(state, u64::MAX))? {
                let (_, id) = row?;
                ids.push(OrderId::new(id.value()).map_err(|error| bad("orders_by_state", id.value(), error))?);
            }
        }
        Ok(ids)
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
        let meta = self.read.open_table(tables::META)?;
        let clock = meta.get(tables::STATION_CLOCK)?;
        let clock = clock.map(|row| parse("meta", &tables::STATION_CLOCK, row.value()));
        Ok(clock.transpose()?.unwrap_or_default())
    }

    /// One member.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn member(&self, id: &MemberId) -> Result<Option<Member>, StoreError> {
        let members = self.read.open_table(tables::MEMBERS)?;
        members
            .get(id.as_str())?
            .map(|row| parse("members", id, row.value()))
            .transpose()
    }

    /// Members in order of their ids, after `after`, at most `limit`.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn members(&self, after: Option<&str>, limit: usize) -> Result<Vec<Member>, StoreError> {
        let members = self.read.open_table(tables::MEMBERS)?;
        let start = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let mut page = Vec::new();
        for row in members.range::<&str>((start, std::ops::Bound::Unbounded))?.take(limit) {
            let (id, row) = row?;
            page.push(parse("members", &id.value(), row.value())?);
        }
        Ok(page)
    }

    /// A card with its holders.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn card(&self, id: &CardId) -> Result<Option<Card>, StoreError> {
        let cards = self.read.open_table(tables::CARDS)?;
        let card = cards.get(id.as_str())?;
        card.map(|row| parse("cards", id, row.value())).transpose()
    }

    /// Every card that was ever given to anybody, with its holders, after `after`, at most `limit`.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn cards(&self, after: Option<&str>, limit: usize) -> Result<Vec<(CardId, Card)>, StoreError> {
        let cards = self.read.open_table(tables::CARDS)?;
        let start = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let mut page = Vec::new();
        for row in cards.range::<&str>((start, std::ops::Bound::Unbounded))?.take(limit) {
            let (id, row) = row?;
            let card = CardId::new(id.value()).map_err(|error| bad("cards", id.value(), error))?;
            page.push((card, parse("cards", &id.value(), row.value())?));
        }
        Ok(page)
    }

    /// All piles.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn piles(&self) -> Result<Vec<Pile>, StoreError> {
        let piles = self.read.open_table(tables::PILES)?;
        piles
            .iter()?
            .map(|row| {
                row.map_err(Into::into)
                    .and_then(|(id, row)| parse("piles", &id.value(), row.value()))
            })
            .collect()
    }

    /// One pile.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn pile(&self, id: &PileId) -> Result<Option<Pile>, StoreError> {
        let piles = self.read.open_table(tables::PILES)?;
        piles
            .get(id.as_str())?
            .map(|row| parse("piles", id, row.value()))
            .transpose()
    }

    /// All tariff versions.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn tariffs(&self) -> Result<Vec<Tariff>, StoreError> {
        let tariffs = self.read.open_table(tables::TARIFFS)?;
        let rows = tariffs.iter()?;
        rows.map(|row| {
            row.map_err(Into::into)
                .and_then(|(id, row)| parse("tariffs", &id.value(), row.value()))
        })
        .collect()
    }

    /// One quarantined message.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn quarantine_item(&self, number: u64) -> Result<Option<QuarantineItem>, StoreError> {
        let quarantine = self.read.open_table(tables::QUARANTINE)?;
        quarantine
            .get(number)?
            .map(|row| parse("quarantine", &number, row.value()))
            .transpose()
    }

    /// Quarantined messages, newest first, before `before`.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn quarantine(
        &self,
        filter: QuarantineFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Page<QuarantineItem>, StoreError> {
        let mut page = Page {
            items: Vec::new(),
            next: None,
        };
        for (looked_at, number) in self.items_before(filter, before.unwrap_or(u64::MAX))?.enumerate() {
            if page.items.len() == limit || looked_at == LOOKED_AT_MAX {
                return Ok(page);
            }
            let (number, may_be_admitted) = number?;
            page.next = Some(number);
            if may_be_admitted {
                let item = self.quarantine_item(number)?;
                let admitted = item.filter(|item| filter.why.is_none_or(|why| item.why == why));
                page.items.extend(admitted);
            }
        }
        page.next = None;
        Ok(page)
    }

    /// Numbers of quarantined messages before `end`, newest first, and whether they may be admitted: the index of open ones
    /// tells which are of another reason.
    fn items_before(&self, filter: QuarantineFilter, end: u64) -> Result<Numbers, StoreError> {
        Ok(if filter.closed {
            let rows = self.read.open_table(tables::QUARANTINE)?.range(..end)?.rev();
            Box::new(rows.map(|row| Ok((row?.0.value(), true))))
        } else {
            let rows = self.read.open_table(tables::QUARANTINE_OPEN)?.range(..end)?.rev();
            Box::new(rows.map(move |row| {
                let (number, why) = row?;
                let admitted = filter.why.is_none_or(|wanted| wanted.word() == why.value());
                Ok((number.value(), admitted))
            }))
        })
    }

    /// What waits in quarantine.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn open_items(&self) -> Result<OpenItems, StoreError> {
        let index = self.read.open_table(tables::QUARANTINE_OPEN)?;
        let mut open = OpenItems {
            all: index.len()?,
            ..OpenItems::default()
        };
        for row in index.iter()?.take(COUNTED_MAX) {
            match row?.1.value() {
                why if why == QuarantineReason::Conflict.word() => open.conflicts += 1,
                why if why == QuarantineReason::RatingDiffers.word() => open.rating_differences += 1,
                _ => {}
            }
        }
        if let Some((oldest, _)) = index.first()? {
            open.oldest = self.quarantine_item(oldest.value())?.map(|item| item.at);
        }
        Ok(open)
    }

    /// An account's balance: credits less debits, zero if it was never used.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn balance(&self, account: &Account) -> Result<Fen, StoreError> {
        let accounts = self.read.open_table(tables::ACCOUNTS)?;
        let balance = accounts.get(account.to_string().as_str())?;
        Ok(balance.map_or(Fen::ZERO, |balance| Fen(balance.value())))
    }

    /// Every account that is not empty, in order of their names. They sum to zero.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn accounts(&self) -> Result<Vec<(Account, Fen)>, StoreError> {
        let accounts = self.read.open_table(tables::ACCOUNTS)?;
        let mut sheet = Vec::new();
        for row in accounts.iter()? {
            let (name, balance) = row?;
            let account = name
                .value()
                .parse()
                .map_err(|error| bad("accounts", name.value(), error))?;
            sheet.push((account, Fen(balance.value())));
        }
        Ok(sheet)
    }

    pub(super) fn station_accounts(&self) -> Result<Vec<(Account, Fen)>, StoreError> {
        Account::OF_STATION
            .into_iter()
            .map(|account| self.balance(&account).map(|balance| (account, balance)))
            .collect()
    }

    /// A member's movements, newest first, before `before` (a journal seq), at most about `limit`.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn statement(
        &self,
        member: &MemberId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Page<Transfer>, StoreError> {
        let index = self.read.open_table(tables::TRANSFERS_BY_MEMBER)?;
        let transfers = self.read.open_table(tables::TRANSFERS)?;
        let end = (member.as_str(), before.unwrap_or(u64::MAX), 0);
        let mut page = Page {
            items: Vec::new(),
            next: None,
        };
        for row in index.range((member.as_str(), 0, 0)..end)?.rev() {
            let (_, seq, n) = row?.0.value();
            if page.items.len() >= limit && page.next != Some(seq) {
                return Ok(page);
            }
            page.next = Some(seq);
            if let Some(transfer) = transfers.get((seq, n))? {
                page.items
                    .push(parse("transfers", &format!("{seq}.{n}"), transfer.value())?);
            }
        }
        page.next = None;
        Ok(page)
    }

    /// The samples of a connector from `from` to `to`, at most `limit`; and how far they go, where that is not to `to`:
    /// rows lie by time, so those of every other connector are looked at too, and no more than so many at once.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn samples(
        &self,
        outlet: &Outlet,
        from: Wall,
        to: Wall,
        limit: usize,
    ) -> Result<(Vec<Sample>, Option<Wall>), StoreError> {
        let samples = self.read.open_table(tables::SAMPLES)?;
        let mut found = Vec::new();
        let mut before = from;
        for (looked_at, row) in samples
            .range((from.0, "", 0)..=(to.0, "\u{10ffff}", u8::MAX))?
            .enumerate()
        {
            let (key, report) = row?;
            let (at, pile, connector) = key.value();
            // A moment is looked at as a whole or not at all.
            if looked_at >= SAMPLES_LOOKED_AT_MAX && Wall(at) > before {
                return Ok((found, Some(before)));
            }
            before = Wall(at);
            if pile == outlet.pile.as_str() && connector == outlet.connector.0 {
                found.push((Wall(at), parse("samples", &at, report.value())?));
                if found.len() == limit {
                    return Ok((found, Some(Wall(at))));
                }
            }
        }
        Ok((found, None))
    }

    pub(super) fn mark(&self) -> Result<Mark, StoreError> {
        let meta = self.read.open_table(tables::META)?;
        Ok(meta
            .get("mark")?
            .map(|row| parse("meta", &"mark", row.value()))
            .transpose()?
            .unwrap_or_default())
    }

    /// A place in the journal that is kept under this name.
    pub(super) fn place(&self, name: &'static str) -> Result<Option<Head>, StoreError> {
        let meta = self.read.open_table(tables::META)?;
        meta.get(name)?.map(|row| parse("meta", &name, row.value())).transpose()
    }

    pub(super) fn live(&self) -> Result<Vec<(Outlet, OutletLive)>, StoreError> {
        let live = self.read.open_table(tables::LIVE)?;
        let mut outlets = Vec::new();
        for row in live.iter()? {
            let (key, row) = row?;
            let (pile, connector) = key.value();
            let pile = PileId::new(pile).map_err(|error| bad("live", pile, error))?;
            let outlet = Outlet {
                pile,
                connector: ConnectorNo(connector),
            };
            let state = parse("live", &outlet, row.value())?;
            outlets.push((outlet, state));
        }
        Ok(outlets)
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

impl OrderFilter {
    fn admits(&self, order: &Order) -> bool {
        self.state.is_none_or(|state| order.state == state)
            && self.member.as_ref().is_none_or(|member| order.member == *member)
            && self.pile.as_ref().is_none_or(|pile| order.outlet.pile == *pile)
    }
}

pub(super) fn split_entry(seq: u64, stored: &[u8]) -> Result<(Hash, &[u8]), StoreError> {
    let (hash, bytes) = stored
        .split_first_chunk::<32>()
        .ok_or_else(|| bad("journal", &seq.to_string(), "too short"))?;
    Ok((Hash(*hash), bytes))
}

fn no_entry(seq: u64) -> impl Fn(NotReadable) -> StoreError {
    move |error| bad("journal", &seq.to_string(), error)
}

/// For whoever draws conclusions from the fact.
pub(super) fn entry(seq: u64, bytes: &[u8]) -> Result<Entry, StoreError> {
    Entry::from_bytes(bytes).map_err(no_entry(seq))
}

/// For whoever shows the fact, which may be of a kind that is not known here.
pub(super) fn written(seq: u64, bytes: &[u8]) -> Result<Written, StoreError> {
    Written::from_bytes(bytes).map_err(no_entry(seq))
}

/// For whoever asks when it was.
pub(super) fn stamp(seq: u64, bytes: &[u8]) -> Result<Stamp, StoreError> {
    Stamp::of_entry(bytes).map_err(no_entry(seq))
}
