//! The station's durable state in memory: which rows there are, how they come from disk, and when they are forgotten.
//! The edge keeps these rows on disk; replaying the journal from empty gives the identical rows. `apply.rs` changes them.

use super::Rejected;
use crate::{
    card::Card,
    desk::{Desk, DeskDay, Shift},
    energy::{EnergyBooks, EnergyReport},
    fact::{Fact, ReceiptUse, SlipUse},
    head_office::HeadOfficeRow,
    ids::{CardId, MemberId, OrderId, Outlet, PileId, TariffId},
    journal::Stamp,
    ledger::{Account, Ledger, Transfer},
    member::Member,
    order::{Order, OrderRow},
    pile::{Connector, Pile},
    planted::{Bug, is_planted},
    quarantine::QuarantineItem,
    station_clock::StationClock,
    tariff::Tariff,
    time::Day,
    units::Fen,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
};

/// A row that can be fetched on demand.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// An order.
    Order(OrderId),
    /// A member, with the accounts `allowance` and `debt`.
    Member(MemberId),
    /// Whose a card is, and was.
    Card(CardId),
    /// A quarantined message.
    Quarantine(u64),
    /// Under which number a pile's message with this content was quarantined.
    SetAside(PileId, String),
    /// What a receipt of the desk was written for.
    Receipt(String),
    /// What a bank's slip was written for.
    Slip(String),
}

impl Key {
    /// The row was looked for, and is not there: of all rows that are not in memory, where every row there is stays in it.
    pub fn absent(self) -> Loaded {
        match self {
            Key::Order(id) => Loaded::Order {
                id,
                order: None,
                held: Fen::ZERO,
            },
            Key::Member(id) => Loaded::Member {
                id,
                member: None,
                allowance: Fen::ZERO,
                debt: Fen::ZERO,
            },
            Key::Card(id) => Loaded::Card { id, card: None },
            Key::Quarantine(item) => Loaded::Quarantine { item, row: None },
            Key::SetAside(pile, digest) => Loaded::SetAside {
                content: (pile, digest),
                item: None,
            },
            Key::Receipt(receipt) => Loaded::Receipt { receipt, used: None },
            Key::Slip(slip) => Loaded::Slip { slip, used: None },
        }
    }
}

/// A row as it is on disk, with the balances that belong to it. `None` says that it was looked for and is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "it is made for one row, taken in, and gone")]
pub enum Loaded {
    /// An order.
    Order {
        /// Its number.
        id: OrderId,
        /// The row.
        order: Option<Order>,
        /// What is reserved for it.
        held: Fen,
    },
    /// A member.
    Member {
        /// Who.
        id: MemberId,
        /// The row.
        member: Option<Member>,
        /// The balance of `allowance`.
        allowance: Fen,
        /// The balance of `debt`: zero or less.
        debt: Fen,
    },
    /// Whose a card is, and was.
    Card {
        /// Which.
        id: CardId,
        /// The row.
        card: Option<Card>,
    },
    /// A quarantined message.
    Quarantine {
        /// Its number.
        item: u64,
        /// The row.
        row: Option<QuarantineItem>,
    },
    /// Under which number a pile's message with this content was quarantined.
    SetAside {
        /// Which pile, and the digest of the content.
        content: (PileId, String),
        /// The number.
        item: Option<u64>,
    },
    /// What a receipt of the desk was written for.
    Receipt {
        /// Its number.
        receipt: String,
        /// The row.
        used: Option<ReceiptUse>,
    },
    /// What a bank's slip was written for.
    Slip {
        /// Its number.
        slip: String,
        /// The row.
        used: Option<SlipUse>,
    },
}

/// Durable state. Where a value is an `Option`, `None` says that the row was looked for and is not there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rows {
    /// All piles.
    pub piles: BTreeMap<PileId, Pile>,
    /// All tariff versions.
    pub tariffs: BTreeMap<TariffId, Tariff>,
    /// Open orders, and what was asked for.
    pub orders: BTreeMap<OrderId, Option<Order>>,
    /// Members of open orders, and what was asked for.
    pub members: BTreeMap<MemberId, Option<Member>>,
    /// Cards that were asked for.
    pub cards: BTreeMap<CardId, Option<Card>>,
    /// Quarantined messages that were asked for.
    pub quarantine: BTreeMap<u64, Option<QuarantineItem>>,
    /// The number of a pile's quarantined message by its content's digest, where that was asked for.
    pub set_aside: BTreeMap<(PileId, String), Option<u64>>,
    /// Receipts of the desk that were asked for.
    pub receipts: BTreeMap<String, Option<ReceiptUse>>,
    /// Accounts of the members and orders above, and the station's own.
    pub ledger: Ledger,
    /// Business days whose energy is not reported yet.
    pub energy: EnergyBooks,
    /// Reports that were made just now.
    pub energy_reports: BTreeMap<Day, EnergyReport>,
    /// What is known of the station's wall clock.
    pub clock: StationClock,
    /// Which shift is open at the desk, and which row of a day goes on.
    pub desk: Desk,
    /// The open shift, and those that were closed just now.
    pub shifts: BTreeMap<u64, Shift>,
    /// What the business day did to the till, and rows of days that ended just now: by day and first movement.
    pub desk_days: BTreeMap<(Day, u64), DeskDay>,
    /// Slips of the bank that were asked for.
    pub slips: BTreeMap<String, Option<SlipUse>>,
    /// What is remembered of head office.
    pub head_office: HeadOfficeRow,
}

/// Rows that differ from what is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Piles.
    pub piles: BTreeSet<PileId>,
    /// Tariff versions.
    pub tariffs: BTreeSet<TariffId>,
    /// Orders.
    pub orders: BTreeSet<OrderId>,
    /// Members.
    pub members: BTreeSet<MemberId>,
    /// Cards.
    pub cards: BTreeSet<CardId>,
    /// Quarantined messages.
    pub quarantine: BTreeSet<u64>,
    /// Receipts of the desk.
    pub receipts: BTreeSet<String>,
    /// Accounts.
    pub accounts: BTreeSet<Account>,
    /// Transfers, to be added.
    pub transfers: Vec<Transfer>,
    /// Sums of business days; those that are there no more are in a report.
    pub energy_days: BTreeSet<(Day, Outlet)>,
    /// Reports of business days, to be added.
    pub energy_reports: BTreeSet<Day>,
    /// Another business day has begun.
    pub day_began: bool,
    /// What is known of the station's wall clock.
    pub clock: bool,
    /// Another shift is open at the desk, or none, or another row of a day goes on.
    pub desk: bool,
    /// Shifts.
    pub shifts: BTreeSet<u64>,
    /// What business days did to the till.
    pub desk_days: BTreeSet<(Day, u64)>,
    /// Slips of the bank.
    pub slips: BTreeSet<String>,
    /// What is remembered of head office.
    pub head_office: bool,
}

impl Changes {
    /// Whether anything differs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The rows of a running station: they can be read, and facts change them.
#[derive(Debug, Clone)]
pub(super) struct Kept(Rows);

impl Deref for Kept {
    type Target = Rows;

    fn deref(&self) -> &Rows {
        &self.0
    }
}

impl Kept {
    pub(super) fn new(mut rows: Rows) -> Self {
        if is_planted(Bug::ForgetOutbox) {
            rows.orders.values_mut().flatten().for_each(Order::forget_outbox);
        }
        Self(rows)
    }

    pub(super) fn apply(&mut self, stamp: Stamp, fact: &Fact, changes: &mut Changes) {
        self.0.apply(stamp, fact, changes);
    }

    pub(super) fn load(&mut self, row: Loaded) {
        self.0.load(row);
    }

    pub(super) fn evict(&mut self) {
        self.0.evict();
    }

    /// As [`Ledger::take_drift`].
    pub(super) fn take_drift(&mut self) -> Fen {
        self.0.ledger.take_drift()
    }
}

impl Rows {
    /// Puts a row in memory as it is on disk.
    pub fn load(&mut self, row: Loaded) {
        match row {
            Loaded::Order { id, order, held } => {
                self.ledger.load(Account::Held(id.clone()), held);
                self.orders.insert(id, order);
            }
            Loaded::Member {
                id,
                member,
                allowance,
                debt,
            } => {
                self.ledger.load(Account::Allowance(id.clone()), allowance);
                self.ledger.load(Account::Debt(id.clone()), debt);
                self.members.insert(id, member);
            }
            Loaded::Card { id, card } => {
                self.cards.insert(id, card);
            }
            Loaded::Quarantine { item, row } => {
                self.quarantine.insert(item, row);
            }
            Loaded::SetAside { content, item } => {
                self.set_aside.insert(content, item);
            }
            Loaded::Receipt { receipt, used } => {
                self.receipts.insert(receipt, used);
            }
            Loaded::Slip { slip, used } => {
                self.slips.insert(slip, used);
            }
        }
    }

    /// What the till holds by the books.
    pub fn till(&self) -> Fen {
        -self.ledger.balance(&Account::Cash)
    }

    /// The shift that is open at the desk.
    pub fn open_shift(&self) -> Option<&Shift> {
        self.shifts.get(&self.desk.shift?)
    }

    /// What the business day has done to the till so far.
    pub fn desk_day(&self) -> Option<&DeskDay> {
        self.desk_days.get(&self.desk.day?)
    }

    pub(super) fn needs_member(&self, member: &MemberId, keys: &mut Vec<Key>) {
        if !self.members.contains_key(member) {
            keys.push(Key::Member(member.clone()));
        }
    }

    /// A member that is in memory.
    pub fn member(&self, id: &MemberId) -> Option<&Member> {
        self.members.get(id)?.as_ref()
    }

    /// A card that is in memory.
    pub fn card(&self, id: &CardId) -> Option<&Card> {
        self.cards.get(id)?.as_ref()
    }

    /// An order that is in memory.
    pub fn order(&self, id: &OrderId) -> Option<&Order> {
        self.orders.get(id)?.as_ref()
    }

    /// A connector that is known.
    pub fn connector(&self, outlet: &Outlet) -> Option<&Connector> {
        self.piles.get(&outlet.pile)?.connectors.get(&outlet.connector)
    }

    /// The same for whoever cannot go on without it.
    pub(super) fn known_connector(&self, outlet: &Outlet) -> Result<&Connector, Rejected> {
        if !self.piles.contains_key(&outlet.pile) {
            return Err(Rejected::UnknownPile(outlet.pile.clone()));
        }
        self.connector(outlet)
            .ok_or_else(|| Rejected::UnknownConnector(outlet.clone()))
    }

    /// Whether an order began with the meter that counts now: what it says of the register is said of this one.
    pub(super) fn has_its_meter(&self, order: &Order) -> bool {
        order.meter
            == self
                .connector(&order.outlet)
                .map_or(0, |connector| connector.meters_before)
    }

    /// Every order in memory.
    pub fn orders(&self) -> impl Iterator<Item = &Order> {
        self.orders.values().flatten()
    }

    /// The tariff an order is pinned to.
    pub fn tariff_of(&self, order: &OrderRow) -> &Tariff {
        self.tariffs
            .get(&order.tariff)
            .expect("tariff versions are never removed, and an order is pinned to a known one")
    }

    /// How many rows are in memory besides piles and tariffs, which always are.
    pub fn in_memory(&self) -> usize {
        let Self {
            piles: _,
            tariffs: _,
            orders,
            members,
            cards,
            quarantine,
            set_aside,
            receipts,
            ledger: _,
            energy: _,
            energy_reports,
            clock: _,
            desk: _,
            shifts,
            desk_days,
            slips,
            head_office: _,
        } = self;
        let of_people = orders.len() + members.len() + cards.len() + receipts.len();
        let of_desk = shifts.len() + desk_days.len() + slips.len();
        of_people + of_desk + quarantine.len() + set_aside.len() + energy_reports.len()
    }

    /// Takes out of memory what nothing open needs. What stays: piles, tariffs, open orders with their members, the accounts
    /// of both and the station's own, business days that are not reported, the station's clock, the desk with its open shift
    /// and its row of the day. Changed rows must have been written.
    pub fn evict(&mut self) {
        self.orders
            .retain(|_, order| order.as_ref().is_some_and(|order| order.state.is_open()));
        let kept: BTreeSet<&MemberId> = self.orders.values().flatten().map(|order| &order.member).collect();
        self.members.retain(|id, _| kept.contains(id));
        self.cards.clear();
        self.quarantine.clear();
        self.set_aside.clear();
        self.receipts.clear();
        self.energy_reports.clear();
        self.slips.clear();
        let Desk { shift, day } = self.desk;
        self.shifts.retain(|number, _| Some(*number) == shift);
        self.desk_days.retain(|key, _| Some(*key) == day);
        let gone: Vec<Account> = self
            .ledger
            .accounts()
            .filter(|(account, _)| match account {
                Account::Allowance(member) | Account::Debt(member) => !self.members.contains_key(member),
                Account::Held(order) => !self.orders.contains_key(order),
                Account::SalesElectricity | Account::SalesService | Account::Refund => false,
                Account::Cash | Account::CashOver | Account::Bank | Account::HeadOffice => false,
            })
            .map(|(account, _)| account.clone())
            .collect();
        for account in gone {
            self.ledger.forget(&account);
        }
    }
}
