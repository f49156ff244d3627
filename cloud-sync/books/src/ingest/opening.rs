//! A station whose journal does not begin with its first entry any more joins with its rows as they were at a place of it, which it
//! has signed (rule 13): its journal is followed from there. Read and checked here, and laid down as its rows.

use crate::store::{
    StoreError, Tx, openings,
    openings::Part,
    replica,
    sites::{self, Site},
};
use domain::{
    ids::SiteId,
    journal::Head,
    ledger::Account,
    site::{Changes, Loaded, Rows},
    units::Fen,
};
use protocol::{
    key::PublicKeys,
    opening::{Begins, NotRead, Reader, Row},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, io::BufRead};

/// How many bytes of rows are laid down together.
const PART_BYTES: usize = 1024 * 1024;

/// What an opening comes to, for those who approve it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// All rows.
    pub rows: u64,
    /// Members.
    pub members: u64,
    /// Cards.
    pub cards: u64,
    /// Piles.
    pub piles: u64,
    /// Orders.
    pub orders: u64,
    /// Those of them that are not over.
    pub open_orders: u64,
    /// Quarantined messages.
    pub quarantine: u64,
    /// Balances by their kind, as in `allowance`; `sales:electricity` and the like have their own.
    pub balances: BTreeMap<String, Fen>,
}

/// An opening that was read, and that the station has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// What it is.
    pub begins: Begins,
    /// What it comes to.
    pub totals: Totals,
    /// Its rows.
    pub parts: Vec<Part>,
}

/// Why an opening is not taken. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum NotOpened {
    /// It cannot be read, or somebody else has signed it.
    #[error("the opening: {0}")]
    NotRead(#[from] NotRead),
    /// It is another site's.
    #[error("it is the opening of site {0}")]
    OtherSite(SiteId),
    /// Nobody can have signed it.
    #[error("the site has not enrolled: its box comes in first, so that the key is known that it signs with")]
    NotEnrolled,
    /// There is a journal already.
    #[error("the site's journal is here up to {0}: it goes on from there, without an opening")]
    IsFollowed(Head),
    /// It is not needed.
    #[error("the station has its journal from the first entry on, and sends it: no opening is needed")]
    IsWhole,
    /// What comes after it is gone at the station.
    #[error(
        "it is of entry {place}, and the station's journal begins after {begins_after} by now: have another one made there"
    )]
    TooOld {
        /// Of which entry it is.
        place: u64,
        /// Where the station's journal begins.
        begins_after: u64,
    },
    /// Its books are wrong.
    #[error("its balances sum to {0} fen and not to zero")]
    NotZero(i64),
}

/// Whether a site may begin at this place. `begins_after` is the place after which its journal begins, by its last hello.
///
/// # Errors
/// [`NotOpened`].
pub fn may_begin(site: &Site, place: Head, begins_after: Option<Head>) -> Result<(), NotOpened> {
    if site.head != Head::START {
        return Err(NotOpened::IsFollowed(site.head));
    }
    match begins_after {
        Some(Head::START) => Err(NotOpened::IsWhole),
        Some(Head { seq, .. }) if seq > place.seq => Err(NotOpened::TooOld {
            place: place.seq,
            begins_after: seq,
        }),
        _ => Ok(()),
    }
}

/// Reads an opening that the site has signed.
///
/// # Errors
/// [`NotOpened`].
pub fn read(input: impl BufRead, site: &Site) -> Result<Opened, NotOpened> {
    if site.keys.is_empty() {
        return Err(NotOpened::NotEnrolled);
    }
    let mut reader = Reader::new(input)?;
    let begins = reader.begins().clone();
    if begins.site != site.id {
        return Err(NotOpened::OtherSite(begins.site));
    }
    let (mut totals, mut parts, mut lines) = (Totals::default(), Vec::new(), Vec::new());
    while let Some(row) = reader.row()? {
        totals.note(&row);
        let written = serde_json::to_writer(&mut lines, &row);
        written.map_err(|error| NotRead::Io(error.into()))?;
        lines.push(b'\n');
        if lines.len() >= PART_BYTES {
            parts.push(Part::pack(&lines));
            lines.clear();
        }
    }
    parts.push(Part::pack(&lines));
    // What signs the first entry after it signs the opening.
    let key = sites::key_at(&site.keys, begins.head.seq + 1);
    reader.verify(&PublicKeys(key.into_iter().collect()))?;
    let sum: i64 = totals.balances.values().map(|balance| balance.0).sum();
    match sum {
        0 => Ok(Opened { begins, totals, parts }),
        sum => Err(NotOpened::NotZero(sum)),
    }
}

impl Totals {
    fn note(&mut self, row: &Row) {
        self.rows += 1;
        let mut add = |name: &str, balance: Fen| {
            if balance != Fen::ZERO {
                *self.balances.entry(name.to_owned()).or_default() += balance;
            }
        };
        match row {
            Row::Account(account, balance) => add(&account.to_string(), *balance),
            Row::Member { allowance, debt, .. } => {
                add("allowance", *allowance);
                add("debt", *debt);
                self.members += 1;
            }
            Row::Order { order, held } => {
                add("held", *held);
                self.orders += 1;
                self.open_orders += u64::from(order.state.is_open());
            }
            Row::Card(..) => self.cards += 1,
            Row::Pile(_) => self.piles += 1,
            Row::Quarantine(..) => self.quarantine += 1,
            _ => {}
        }
    }
}

/// Lays the rows of a site's opening, which `from` has, down in `to`; what is always in memory of them, and what they are of. None
/// where the site's journal is followed from its first entry.
///
/// # Errors
/// [`StoreError`]; [`StoreError::Broken`]: they are not what they were when they were read.
pub(super) fn lay(tx: &mut dyn Tx, to: Option<&mut dyn Tx>, site: &Site) -> Result<Option<(Begins, Rows)>, StoreError> {
    if site.begins == Head::START {
        return Ok(None);
    }
    lay_down(tx, to, site).map(Some)
}

/// The same where the site is to begin with it.
pub(crate) fn lay_down(tx: &mut dyn Tx, to: Option<&mut dyn Tx>, site: &Site) -> Result<(Begins, Rows), StoreError> {
    let missing = || broken(&site.id, "it is missing");
    let (begins, _) = openings::find(tx, &site.id)?.ok_or_else(missing)?;
    let parts = openings::parts(tx, &site.id)?;
    let rows = match to {
        Some(to) => lay_into(to, &site.id, parts),
        None => lay_into(tx, &site.id, parts),
    };
    Ok((begins, rows?))
}

fn broken(id: &SiteId, why: impl std::fmt::Display) -> StoreError {
    StoreError::Broken(format!("the opening of {id}: {why}"))
}

/// What is always in memory of the rows.
fn lay_into(to: &mut dyn Tx, id: &SiteId, parts: Vec<Part>) -> Result<Rows, StoreError> {
    let mut sums = Totals::default();
    for part in parts {
        let lines = part.unpack()?;
        let (mut rows, mut changes) = (Rows::default(), Changes::default());
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let row: Row = serde_json::from_slice(line).map_err(|error| broken(id, error))?;
            sums.note(&row);
            put(row, &mut rows, &mut changes);
        }
        replica::save(to, id, &rows, &changes)?;
    }
    // What a row of a member or an order says that is there no second time.
    let mut there: BTreeMap<String, Fen> = BTreeMap::new();
    for (account, balance) in replica::balances(to, id)? {
        let name = match &account {
            Account::Allowance(_) => "allowance".to_owned(),
            Account::Debt(_) => "debt".to_owned(),
            Account::Held(_) => "held".to_owned(),
            other => other.to_string(),
        };
        *there.entry(name).or_default() += balance;
    }
    for sums in [&mut there, &mut sums.balances] {
        sums.retain(|_, balance| *balance != Fen::ZERO);
    }
    if there != sums.balances {
        return Err(broken(
            id,
            format!("its rows have {there:?}, and it says {:?}", sums.balances),
        ));
    }
    replica::always(to, id)
}

/// A row as it is in memory, to be written.
fn put(row: Row, rows: &mut Rows, changes: &mut Changes) {
    match row {
        Row::Account(account, balance) => {
            rows.ledger.load(account.clone(), balance);
            changes.accounts.insert(account);
        }
        Row::Clock(clock) => (rows.clock, changes.clock) = (clock, true),
        Row::Days(days) => (rows.energy.days, changes.day_began) = (Some(days), true),
        Row::Desk(desk) => (rows.desk, changes.desk) = (desk, true),
        Row::Tariff(tariff) => {
            changes.tariffs.insert(tariff.spec().id.clone());
            rows.tariffs.insert(tariff.spec().id.clone(), *tariff);
        }
        Row::Pile(pile) => {
            changes.piles.insert(pile.id.clone());
            rows.piles.insert(pile.id.clone(), *pile);
        }
        Row::Member {
            member,
            allowance,
            debt,
        } => {
            let id = member.id.clone();
            changes.members.insert(id.clone());
            let member = Some(*member);
            rows.load(Loaded::Member {
                id,
                member,
                allowance,
                debt,
            });
        }
        Row::Card(id, card) => {
            changes.cards.insert(id.clone());
            rows.load(Loaded::Card { id, card: Some(*card) });
        }
        Row::Order { order, held } => {
            let id = order.id.clone();
            changes.orders.insert(id.clone());
            let order = Some(*order);
            rows.load(Loaded::Order { id, order, held });
        }
        Row::Quarantine(item, row) => {
            changes.quarantine.insert(item);
            rows.load(Loaded::Quarantine { item, row: Some(*row) });
        }
        Row::Receipt(receipt, used) => {
            changes.receipts.insert(receipt.clone());
            rows.load(Loaded::Receipt {
                receipt,
                used: Some(used),
            });
        }
        Row::Slip(slip, used) => {
            changes.slips.insert(slip.clone());
            rows.load(Loaded::Slip { slip, used: Some(used) });
        }
        Row::Shift(number, shift) => {
            changes.shifts.insert(number);
            rows.shifts.insert(number, *shift);
        }
        Row::DeskDay(day, first, row) => {
            changes.desk_days.insert((day, first));
            rows.desk_days.insert((day, first), *row);
        }
        Row::EnergyDay(day, outlet, sums) => {
            changes.energy_days.insert((day, outlet.clone()));
            rows.energy.open.insert((day, outlet), *sums);
        }
        Row::EnergyReport(report) => {
            changes.energy_reports.insert(report.day);
            rows.energy_reports.insert(report.day, *report);
        }
    }
}
