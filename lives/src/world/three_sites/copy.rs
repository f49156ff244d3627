//! Head office's copy against the sites: after every commit its rows and books are what the site's journal gives up to there; and
//! at the end everything is the same, also when it is made anew.

use super::{
    ThreeSites,
    coverage::Mishap,
    races::{Memory, Races},
};
use books::{
    desk::Office as Process,
    ingest::{
        Read, SiteCopy, Taken,
        books::{Compared, Sheet, compare},
        take,
    },
    store::{
        StoreError, Tx,
        findings::{self, Class, Filter},
        ledger, replica, sites,
    },
    upkeep,
};
use domain::{
    fact::{Fact, PaidFrom},
    ids::{MemberId, OrderId, SiteId},
    journal::{Entry, Hash, Head},
    ledger::Account,
    order::Basis,
    site::{Changes, Key, Loaded, Rows},
    units::Fen,
};
use protocol::{
    frame::{Batch, State},
    key::SigningKey,
    pack::Packer,
};
use std::collections::BTreeMap;

/// A site as its journal gives it, up to where head office has it.
#[derive(Debug, Clone)]
pub(super) struct Mirror {
    pub(super) head: Head,
    pub(super) rows: Rows,
    /// What of each member's wallet was moved there, less what went back.
    pub(super) leased: BTreeMap<MemberId, i64>,
    /// The same, entry by entry.
    pub(super) moved: Vec<(u64, MemberId, i64)>,
    races: Memory,
}

impl Mirror {
    pub(super) fn moves(&mut self, seq: u64, moved: Option<(&MemberId, i64)>) {
        if let Some((member, moved)) = moved {
            *self.leased.entry(member.clone()).or_default() += moved;
            self.moved.push((seq, member.clone(), moved));
        }
    }
}

impl Default for Mirror {
    fn default() -> Self {
        Self {
            head: Head::START,
            rows: Rows::default(),
            leased: BTreeMap::new(),
            moved: Vec::new(),
            races: Memory::default(),
        }
    }
}

type Checked = Result<(), String>;

impl ThreeSites {
    /// Head office has committed something of a site.
    pub(super) fn check_copy(&mut self, site: usize) -> Checked {
        let id = self.sites[site].world.site.clone();
        let of = id.clone();
        let found = self.office.read(move |tx| sites::find(tx, &of))?;
        let found = found.ok_or("a site is gone from head office")?;
        let here = &mut self.sites[site];
        let (before, head) = (here.copy.head, found.head);
        if found.state == State::Forked && here.went_alone {
            self.is_forked(site);
            return Ok(());
        }
        if found.state != State::Following || head.seq < before.seq {
            return Err(format!(
                "head office had {id} up to {before}, and has it up to {head}: {}",
                found.state.word()
            ));
        }
        let mut changes = Changes::default();
        let entries = here.chain(before.seq, head)?;
        let entries: Result<Vec<(Hash, Entry)>, String> = entries
            .into_iter()
            .map(|(hash, bytes)| Ok((hash, Entry::from_bytes(bytes).map_err(|error| error.to_string())?)))
            .collect();
        for (hash, entry) in entries? {
            let copy = &mut here.copy;
            copy.moves(entry.stamp.seq, moved(&entry.fact));
            let memory = (&here.world.desk.told, &mut copy.races);
            // What head office has forgotten comes again, and was met once.
            let mut known = Races::default();
            let races = match here.met.insert(hash.0) {
                true => &mut self.races,
                false => &mut known,
            };
            races.follow(&entry.fact, &copy.rows, memory);
            copy.rows.apply(entry.stamp, &entry.fact, &mut changes);
            copy.head = Head {
                seq: entry.stamp.seq,
                hash,
            };
        }
        if here.copy.head != head {
            return Err(format!(
                "head office has {id} up to {head}, the site has {}",
                here.copy.head
            ));
        }
        if head != before {
            self.compare(site, keys_of(&changes))?;
        }
        Ok(())
    }

    /// Compares rows in the database with those of the journal, and all books of the site.
    fn compare(&mut self, site: usize, keys: Vec<Key>) -> Checked {
        let id = self.sites[site].world.site.clone();
        let rows = std::mem::take(&mut self.sites[site].copy.rows);
        let (differs, rows) = self
            .office
            .read(move |tx| Ok((difference(tx, &id, &rows, keys)?, rows)))?;
        let copy = &mut self.sites[site].copy;
        copy.rows = rows;
        match differs {
            Some(what) => Err(format!("site {site} at entry {}: {what}", copy.head.seq)),
            None => Ok(()),
        }
    }

    /// Everything has come to an end, and the line is up.
    pub(super) fn check_the_end(&mut self) -> Checked {
        for site in 0..self.sites.len() {
            let here = &self.sites[site];
            let (head, rows) = (here.copy.head, &here.copy.rows);
            if *rows != here.world.oracle.rows {
                return Err(format!("what left site {site} is not its journal"));
            }
            let keys = all_keys(rows);
            self.compare(site, keys)?;
            self.compare_sheets(site, head)?;
            let id = self.sites[site].world.site.clone();
            let verified = self.office.read(move |tx| upkeep::replica::verify(tx, &id))?;
            if !verified.is_right() {
                return Err(format!("rebuilt, site {site} is another: {:?}", verified.differences));
            }
        }
        self.check_ledger()?;
        self.check_what_is_lost()?;
        let filter = Filter {
            class: Some(Class::OverRefund),
            ..Filter::default()
        };
        let told = self.office.read(move |tx| findings::list(tx, &filter, None, 10_000))?;
        self.check_marks(&told.into_iter().filter_map(|found| found.finding.order).collect())?;
        match self.findings()?.as_slice() {
            [] => Ok(()),
            found => Err(format!("head office finds what is not there: {found:?}")),
        }
    }

    fn check_ledger(&self) -> Checked {
        let verified = self.office.read(upkeep::ledger::verify)?;
        match verified.is_right() {
            true => Ok(()),
            false => Err(format!("the books do not add up: {:?}", verified.differences)),
        }
    }

    /// The digest over all accounts, as the station's balance sheet says it and as head office's books give it.
    fn compare_sheets(&self, site: usize, head: Head) -> Checked {
        let here = &self.sites[site];
        let store = here.world.store().ok_or("the station is off at the end")?;
        let sheet = store.reader().and_then(|reader| reader.accounts());
        let mut sheet = sheet.map_err(|error| error.to_string())?;
        sheet.retain(|(_, balance)| *balance != Fen::ZERO);
        let id = here.world.site.clone();
        let named: Vec<_> = sheet
            .into_iter()
            .map(|(account, balance)| (account.to_string(), balance))
            .collect();
        let digest = domain::ledger::digest(head.seq, named).map_err(|error| error.to_string())?;
        let sheet = Sheet {
            seq: head.seq,
            digest,
            accounts: None,
        };
        let (_, compared) = self.office.read(move |tx| compare(tx, &id, &sheet))?;
        match compared {
            Compared::Equal => Ok(()),
            other => Err(format!(
                "the balance sheet of site {site} is not what its books are at head office: {other:?}"
            )),
        }
    }

    fn findings(&self) -> Result<Vec<(SiteId, u64)>, String> {
        let found = self
            .office
            .read(|tx| findings::list(tx, &Filter::default(), None, 100))?;
        // What was given back beyond the bill is looked at apart; what a till is short of the station's oracle has checked. What was
        // settled on both branches is said, what members had on the one that was left, and what came of something that was forgotten;
        // to another site the members of the first are not its own, nor was it told of their money.
        let has_lost = self.purses.has_lost;
        let found = found.into_iter().filter(|found| match found.finding.class {
            Class::Fork | Class::AboveFork | Class::OverRefund | Class::Cash => false,
            Class::Forgotten => !has_lost && found.site != crooked_id(),
            Class::MemberId => found.site != crooked_id(),
            _ => true,
        });
        Ok(found.map(|found| (found.site, found.finding.seq)).collect())
    }

    /// Another site has the same life as the first, but for one bill that it has rated otherwise: a fen of its service is called
    /// electricity. Everything adds up, and head office must say so all the same.
    pub(super) fn check_that_bills_are_rated_again(&mut self) -> Checked {
        let Some((seq, entries)) = self.crooked()? else {
            return Ok(());
        };
        let (id, key) = (crooked_id(), SigningKey::from_seed([3; 32]));
        let process = self.office.process("beside the desks")?;
        let now = super::super::station::wall(self.now, 0);
        let public = key.public();
        let of = id.clone();
        let mut copy = self.office.write(move |tx| {
            let keys = [sites::EdgeKey { key: public, from: 0 }];
            sites::add(tx, &of, "a site that rates otherwise", &keys)?;
            sites::own(tx, &of, &process.process, now, now.after_ms(1_000))?;
            let site = sites::find(tx, &of)?.ok_or_else(|| StoreError::Broken("it was just added".to_owned()))?;
            Ok((SiteCopy::load(tx, site)?, process))
        })?;
        for bytes in batches(&id, &key, &entries)? {
            let read = Read::of(&bytes, &id, &copy.0.site().keys).map_err(|error| error.to_string())?;
            let (taken, back) = self.office.write(move |tx| {
                let (mut copy, process): (SiteCopy, Process) = copy;
                let taken = take(tx, &process.process, &mut copy, &read, now)?;
                Ok((taken, (copy, process)))
            })?;
            if taken != Taken::Followed {
                return Err(format!("a site that rates otherwise is not followed: {taken:?}"));
            }
            copy = back;
        }
        self.check_ledger()?;
        let found = self.findings()?;
        if found != [(id, seq)] {
            return Err(format!(
                "the bill of entry {seq} is rated otherwise, and head office says {found:?}"
            ));
        }
        self.met.note(Mishap::WrongRating);
        Ok(())
    }

    /// The journal of the first site as that of a third, with one bill changed, and where; none if no bill lends itself to it.
    fn crooked(&self) -> Result<Option<(u64, Vec<Entry>)>, String> {
        let entries = self.sites[0].chain(0, self.sites[0].copy.head)?;
        let entries = entries.into_iter().map(|(_, bytes)| Entry::from_bytes(bytes));
        let entries: Result<Vec<Entry>, _> = entries.collect();
        let mut entries = entries.map_err(|error| error.to_string())?;
        let mut seen: BTreeMap<OrderId, u32> = BTreeMap::new();
        for entry in &entries {
            let moves = matches!(
                &entry.fact,
                Fact::OrderRated { .. }
                    | Fact::OrderSettled { .. }
                    | Fact::OrderEstimated { .. }
                    | Fact::Refunded { .. }
                    | Fact::RefundMarked { .. }
            );
            if let Some(order) = entry.fact.order().filter(|_| moves) {
                *seen.entry(order.clone()).or_default() += 1;
            }
        }
        let once = entries.iter().enumerate().find_map(|(at, entry)| match &entry.fact {
            Fact::OrderRated {
                order,
                basis: Basis::Record,
                bill,
            } if seen.get(order) == Some(&2) && bill.service > Fen::ZERO => {
                let settled = entries.iter().position(|entry| match &entry.fact {
                    Fact::OrderSettled { order: of, payment } => of == order && payment.from_hold.service > Fen::ZERO,
                    _ => false,
                });
                Some((at, settled?))
            }
            _ => None,
        });
        let Some((rated, settled)) = once else { return Ok(None) };
        if let Fact::OrderRated { bill, .. } = &mut entries[rated].fact {
            bill.electricity += Fen(1);
            bill.service -= Fen(1);
        }
        if let Fact::OrderSettled { payment, .. } = &mut entries[settled].fact {
            payment.from_hold.electricity += Fen(1);
            payment.from_hold.service -= Fen(1);
        }
        let id = crooked_id();
        entries.iter_mut().for_each(|entry| entry.site = id.clone());
        Ok(Some((entries[rated].stamp.seq, entries)))
    }
}

fn crooked_id() -> SiteId {
    SiteId::new("crooked").expect("a word is a site id")
}

/// A journal in signed batches of whole steps.
fn batches(site: &SiteId, key: &SigningKey, entries: &[Entry]) -> Result<Vec<Vec<u8>>, String> {
    let (mut head, mut packer, mut frames) = (Head::START, Packer::new(), Vec::new());
    let mut steps: Vec<&[Entry]> = entries
        .chunk_by(|one, next| one.stamp.now() == next.stamp.now())
        .collect();
    while !steps.is_empty() {
        let some: Vec<Vec<u8>> = steps
            .drain(..steps.len().min(60))
            .flatten()
            .map(Entry::to_bytes)
            .collect();
        let before = head;
        for bytes in &some {
            head = Head {
                seq: head.seq + 1,
                hash: Hash::seal(&head.hash, bytes),
            };
        }
        let batch = Batch::pack(before, &some, Batch::sign(site, head, key), &mut packer);
        frames.push(batch.map_err(|error| error.to_string())?.to_bytes());
    }
    Ok(frames)
}

/// What a fact moves of a wallet's money: to the site, or back.
pub(super) fn moved(fact: &Fact) -> Option<(&MemberId, i64)> {
    match fact {
        Fact::LeaseReceived { member, amount, .. }
        | Fact::DebtPaid {
            member,
            amount,
            from: PaidFrom::HeadOffice,
            ..
        } => Some((member, amount.0)),
        Fact::LeaseReturned { member, amount, .. } => Some((member, -amount.0)),
        _ => None,
    }
}

fn keys_of(changes: &Changes) -> Vec<Key> {
    let orders = changes.orders.iter().cloned().map(Key::Order);
    let members = changes.members.iter().cloned().map(Key::Member);
    let cards = changes.cards.iter().cloned().map(Key::Card);
    let items = changes.quarantine.iter().copied().map(Key::Quarantine);
    let receipts = changes.receipts.iter().cloned().map(Key::Receipt);
    let slips = changes.slips.iter().cloned().map(Key::Slip);
    orders
        .chain(members)
        .chain(cards)
        .chain(items)
        .chain(receipts)
        .chain(slips)
        .collect()
}

fn all_keys(rows: &Rows) -> Vec<Key> {
    keys_of(&Changes {
        orders: rows.orders.keys().cloned().collect(),
        members: rows.members.keys().cloned().collect(),
        cards: rows.cards.keys().cloned().collect(),
        quarantine: rows.quarantine.keys().copied().collect(),
        receipts: rows.receipts.keys().cloned().collect(),
        slips: rows.slips.keys().cloned().collect(),
        ..Changes::default()
    })
}

/// A row as the journal gives it; of what is not compared, what is in the database.
fn by_journal(rows: &Rows, here: &Loaded) -> Loaded {
    match here.clone() {
        Loaded::Order { id, .. } => Loaded::Order {
            order: rows.orders.get(&id).cloned().flatten(),
            held: rows.ledger.balance(&Account::Held(id.clone())),
            id,
        },
        Loaded::Member { id, .. } => Loaded::Member {
            member: rows.members.get(&id).cloned().flatten(),
            allowance: rows.ledger.allowance(&id),
            debt: -rows.ledger.debt(&id),
            id,
        },
        Loaded::Card { id, .. } => Loaded::Card {
            card: rows.cards.get(&id).cloned().flatten(),
            id,
        },
        Loaded::Quarantine { item, .. } => Loaded::Quarantine {
            item,
            row: rows.quarantine.get(&item).cloned().flatten(),
        },
        Loaded::Receipt { receipt, .. } => Loaded::Receipt {
            used: rows.receipts.get(&receipt).cloned().flatten(),
            receipt,
        },
        Loaded::Slip { slip, .. } => Loaded::Slip {
            used: rows.slips.get(&slip).cloned().flatten(),
            slip,
        },
        content @ Loaded::SetAside { .. } => content,
    }
}

/// In which way the database differs from the rows of a journal: in these, in those that are always in memory, or in the books.
fn difference(tx: &mut dyn Tx, site: &SiteId, rows: &Rows, keys: Vec<Key>) -> Result<Option<String>, StoreError> {
    for here in replica::load(tx, site, keys)? {
        let there = by_journal(rows, &here);
        if here != there {
            return Ok(Some(format!(
                "head office has {here:?}, by the journal it is {there:?}"
            )));
        }
    }
    let always = replica::always(tx, site)?;
    let same = [
        ("piles", always.piles == rows.piles),
        ("tariffs", always.tariffs == rows.tariffs),
        (
            "days",
            always.energy.days == rows.energy.days && always.energy.open == rows.energy.open,
        ),
        ("clock", always.clock == rows.clock),
        ("desk", always.desk == rows.desk),
        ("head office", always.head_office == rows.head_office),
    ];
    if let Some((what, _)) = same.into_iter().find(|(_, same)| !same) {
        return Ok(Some(format!("head office has other {what} than the journal gives")));
    }
    let mut here = ledger::of_sites(tx)?;
    here.retain(|name, _| ledger::of_site(site, name).is_some());
    // What came from head office and went back is on the road there, by member.
    let there = rows
        .ledger
        .accounts()
        .filter(|(account, balance)| *balance != Fen::ZERO && **account != Account::HeadOffice);
    let there: BTreeMap<String, i64> = there
        .map(|(account, balance)| (ledger::mirrored(site, account), balance.0))
        .collect();
    if here != there {
        return Ok(Some(format!("the books are {here:?}, by the journal {there:?}")));
    }
    Ok((ledger::total(tx)? != 0).then(|| "all accounts do not sum to zero".to_owned()))
}
