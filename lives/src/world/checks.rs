//! What must be true: after every step of what the step touched, after a crash and at the end of everything.

use super::{
    HOUR, MINUTE, Time, World,
    drivers::CONNECTOR,
    people::{Asked, Desk, Request},
};
use crate::pile::Behaviour;
use domain::{
    fact::Fact,
    faults::{EVENTS_MAX, EVENTS_WINDOW_MS},
    ids::{Outlet, PileId},
    journal::{Entry, Hash, Head, Stamp},
    ledger::Account,
    messages::EventKind,
    order::State,
    site::{Changes, Rejected, Replica, Rows},
    time::{Mono, Wall},
};
use edge::store::{OrderFilter, QuarantineFilter, Reader};
use std::collections::BTreeMap;

type Checked = Result<(), String>;

fn store_failed(error: impl std::fmt::Display) -> String {
    format!("the store failed: {error}")
}

impl World {
    /// Follows the journal to its end, and compares the balances that it changed.
    pub(super) fn follow_journal(&mut self) -> Checked {
        let Some(store) = self.store() else { return Ok(()) };
        let journal = store
            .reader()
            .and_then(|reader| reader.journal(self.oracle.head + 1, usize::MAX));
        for (_, hash, bytes) in journal.map_err(store_failed)? {
            let entry = self.oracle.follow(hash, &bytes, &self.desk, &self.physics, self.now)?;
            self.check_fact(&entry.fact)?;
            if let Some(order) = entry.fact.order().filter(|order| !self.orders.contains(*order)) {
                self.orders.insert(order.clone());
            }
            if let Fact::Notified { member, order, notice } = &entry.fact {
                self.to_tell.push((member.clone(), order.clone(), notice.clone()));
            }
            self.check_that_the_journal_is_not_flooded(entry.stamp.mono, &entry.fact)?;
            self.trace.add(|| {
                let text: String = String::from_utf8_lossy(&bytes).chars().skip(60).take(600).collect();
                format!("    journal: {text}")
            });
        }
        for oddity in std::mem::take(&mut self.oracle.met) {
            self.report.coverage.note_oddity(oddity);
        }
        let touched = self.oracle.take_touched();
        if touched.is_empty() {
            return Ok(());
        }
        let Some(store) = self.store() else { return Ok(()) };
        let reader = store.reader().map_err(store_failed)?;
        for account in touched {
            let (mut found, mut expected) = (
                reader.balance(&account).map_err(store_failed)?.0,
                self.oracle.balance(&account),
            );
            if is_sales(&account) {
                let both = [Account::SalesElectricity, Account::SalesService];
                found = both
                    .iter()
                    .map(|account| reader.balance(account).map(|balance| balance.0))
                    .sum::<Result<i64, _>>()
                    .map_err(store_failed)?;
                expected = both.iter().map(|account| self.oracle.balance(account)).sum();
            }
            if found != expected {
                return Err(format!("{account} has {found} fen and must have {expected}"));
            }
        }
        Ok(())
    }

    /// Since when a pile has been within reach and has spoken of its connector; none if it does not.
    fn within_reach_since(&self, pile: &PileId) -> Option<Time> {
        let process = self.process.as_ref()?;
        let unit = self.unit_of(pile).map(|pile| &self.units[pile])?;
        let link = self.links.get(pile)?;
        let is_up = link.pile_side.is_some() && link.pile_side == link.station_side;
        let since = process
            .since
            .max(link.since)
            .max(link.stalled_until)
            .max(unit.speaks_since);
        (is_up && !unit.hushed && self.now > since).then_some(since)
    }

    /// While a pile says that a session goes on, no estimate ends it.
    fn check_fact(&self, fact: &Fact) -> Checked {
        let Fact::OrderEstimated { order, .. } = fact else {
            return Ok(());
        };
        let mut sessions = self.physics.sessions.get(order).into_iter().flatten();
        let Some(running) = sessions.find(|session| session.ended.is_none()) else {
            return Ok(());
        };
        let since = self.within_reach_since(&running.pile);
        let heard = since.is_some_and(|since| self.now > since.max(running.began) + 45 * MINUTE);
        let closed = |request: &Request| matches!(&request.asked, Asked::Close(which) if which == order);
        if heard && !self.desk.requests.values().any(closed) {
            return Err(format!(
                "order {order} was estimated, and its pile has been saying that the session goes on"
            ));
        }
        Ok(())
    }

    /// A contact that bounces is told a few times and no more.
    fn check_that_the_journal_is_not_flooded(&mut self, at: Mono, fact: &Fact) -> Checked {
        let Fact::PileEvent {
            outlet,
            kind: EventKind::Plugged | EventKind::Unplugged,
            ..
        } = fact
        else {
            return Ok(());
        };
        let told = self.comings_and_goings.entry(outlet.clone()).or_default();
        told.push_back(at);
        while told
            .front()
            .is_some_and(|first| at.ms_since(*first) >= EVENTS_WINDOW_MS)
        {
            told.pop_front();
        }
        // Two kinds, and windows that begin with their first event: any five minutes may have parts of two.
        match told.len() > 4 * EVENTS_MAX as usize {
            true => Err(format!(
                "{outlet}: {} times plugged in and out within five minutes",
                told.len()
            )),
            false => Ok(()),
        }
    }

    /// No order charges on in the books while its pile is there and speaks of something else.
    pub(super) fn check_that_nothing_hangs(&self) -> Checked {
        for row in self.oracle.rows.orders().filter(|order| order.state == State::Charging) {
            let sessions = self.physics.sessions.get(&row.id).into_iter().flatten();
            let running = sessions.clone().any(|session| session.ended.is_none());
            let ended = sessions.filter_map(|session| session.ended).max().unwrap_or(0);
            let link = self.links.get(&row.outlet.pile);
            let linked = link.filter(|link| link.pile_side.is_some() && link.pile_side == link.station_side);
            let (Some(link), Some(process)) = (linked, &self.process) else {
                continue;
            };
            let since = process.since.max(link.since).max(link.stalled_until).max(ended);
            if !running && self.now > since + 2 * HOUR {
                return Err(format!(
                    "order {} charges, its pile is there, and nothing has been going on there for two hours",
                    row.id
                ));
            }
        }
        Ok(())
    }

    /// A session that was asked to stop does, once its pile has been within reach for a while.
    pub(super) fn check_stops(&self) -> Checked {
        let Some(process) = &self.process else { return Ok(()) };
        for (order, asked) in &self.oracle.stops {
            let row = self.oracle.rows.orders.get(order).and_then(Option::as_ref);
            let Some(row) = row.filter(|row| row.state == State::Charging) else {
                continue;
            };
            let Some(unit) = self.unit_of(&row.outlet.pile).map(|pile| &self.units[pile]) else {
                continue;
            };
            let Some(link) = self
                .links
                .get(&unit.id)
                .filter(|link| link.pile_side.is_some() && link.pile_side == link.station_side)
            else {
                continue;
            };
            let within_reach = process.since.max(link.since).max(link.stalled_until).max(*asked);
            let deaf = unit.behaves(|behaviour| matches!(behaviour, Behaviour::NoReply | Behaviour::SlowReply { .. }));
            let mut running = self.physics.sessions.get(order).into_iter().flatten();
            let running = running.any(|session| session.ended.is_none());
            if running && !deaf && self.now > within_reach + 15 * MINUTE {
                return Err(format!(
                    "order {order} was asked to stop, its pile is there, and it charges on"
                ));
            }
        }
        Ok(())
    }

    /// An answer says only what is in the journal.
    pub(super) fn check_answer(&self, number: u64, answer: &Result<String, Rejected>) -> Checked {
        let Ok(body) = answer else { return Ok(()) };
        let asked = self.desk.requests.get(&number).map(|request| &request.asked);
        let leaves_trace = asked.is_some_and(Desk::leaves_trace);
        let placed = matches!(asked, Some(Asked::Place(_)));
        if placed && !self.oracle.has_order(body) {
            return Err(format!(
                "request {number} got order {body}, which is not in the journal"
            ));
        }
        if leaves_trace && !self.signature_is_journaled(number) {
            return Err(format!(
                "request {number} ({asked:?}) succeeded and is not in the journal"
            ));
        }
        Ok(())
    }

    /// Nothing that anybody was told of is gone, and everything on the disk agrees with everything else.
    pub(super) fn check_after_a_crash(&mut self) -> Checked {
        let Some(store) = self.store() else { return Ok(()) };
        let reader = store.reader().map_err(store_failed)?;
        if self.oracle.head > 0 {
            let last = reader.journal(self.oracle.head, 1).map_err(store_failed)?;
            match last.first() {
                Some((seq, hash, _)) if *seq == self.oracle.head && *hash == self.oracle.hash => {}
                other => {
                    let other = other.map(|(seq, ..)| *seq);
                    return Err(format!(
                        "entry {} had been acted on, and the journal goes on after {other:?}",
                        self.oracle.head
                    ));
                }
            }
        }
        drop(reader);
        self.follow_journal()?;
        self.check_everything()
    }

    /// What head office has handed back is all that there is more than before, and everything on the disk is what the journal
    /// gives.
    pub(super) fn check_after_a_tail(&mut self, end: Head) -> Checked {
        self.follow_journal()?;
        if (self.oracle.head, self.oracle.hash) != (end.seq, end.hash) {
            return Err(format!(
                "entries up to {} were handed back, and the journal goes on to {}",
                end.seq, self.oracle.head
            ));
        }
        self.check_everything()
    }

    fn check_everything(&self) -> Checked {
        let Some(store) = self.store() else { return Ok(()) };
        let reader = store.reader().map_err(store_failed)?;
        self.check_accounts(&reader)?;
        self.check_rows(&reader)?;
        self.check_energy(&store.recover().map_err(store_failed)?.rows, &reader)?;
        let members: Vec<_> = self.members.iter().map(|(member, _)| member.clone()).collect();
        self.oracle.check_sums(&members)
    }

    fn check_accounts(&self, reader: &Reader) -> Checked {
        let found = reader.accounts().map_err(store_failed)?;
        let total: i64 = found.iter().map(|(_, balance)| balance.0).sum();
        if total != 0 {
            return Err(format!("all accounts sum to {total}"));
        }
        let mut found: BTreeMap<Account, i64> = found
            .into_iter()
            .map(|(account, balance)| (account, balance.0))
            .collect();
        let mut expected = self.oracle.accounts();
        for sheet in [&mut found, &mut expected] {
            let service = sheet.remove(&Account::SalesService).unwrap_or(0);
            *sheet.entry(Account::SalesElectricity).or_default() += service;
            sheet.retain(|_, balance| *balance != 0);
        }
        if found != expected {
            return Err(format!("the books say {found:?}, and must say {expected:?}"));
        }
        Ok(())
    }

    /// The rows on disk are those that replaying the journal gives.
    fn check_rows(&self, reader: &Reader) -> Checked {
        let rows = &self.oracle.rows;
        let orders = reader
            .orders(&OrderFilter::default(), None, usize::MAX)
            .map_err(store_failed)?
            .items;
        if orders.len() != rows.orders.len() {
            return Err(format!(
                "{} orders on disk, {} by the journal",
                orders.len(),
                rows.orders.len()
            ));
        }
        for order in &orders {
            if rows.orders.get(&order.id).and_then(Option::as_ref) != Some(order) {
                return Err(format!("order {} on disk is not as the journal has it", order.id));
            }
        }
        let members = reader.members(None, usize::MAX).map_err(store_failed)?;
        let expected: Vec<_> = rows.members.values().flatten().cloned().collect();
        if members != expected {
            let differs = members.iter().find(|member| !expected.contains(member));
            let id = differs.map(|member| &member.id);
            let journaled = id.and_then(|id| expected.iter().find(|member| member.id == *id));
            return Err(format!(
                "the members on disk are not as the journal has them: {differs:?}, by the journal {journaled:?}"
            ));
        }
        for member in &members {
            let of = |state: fn(State) -> bool| {
                let mine = orders
                    .iter()
                    .filter(|order| order.member == member.id && state(order.state));
                mine.map(|order| order.id.clone())
                    .collect::<std::collections::BTreeSet<_>>()
            };
            let listed =
                |list: &[domain::ids::OrderId]| list.iter().cloned().collect::<std::collections::BTreeSet<_>>();
            if listed(&member.open_orders) != of(State::is_open) {
                return Err(format!("{}'s open orders are not those that are open", member.id));
            }
            let owing: std::collections::BTreeSet<_> = orders
                .iter()
                .filter(|order| order.member == member.id && order.paid.debt.0 > 0)
                .map(|order| order.id.clone())
                .collect();
            if listed(&member.unpaid_orders) != owing {
                return Err(format!("{}'s unpaid orders are not those that owe", member.id));
            }
        }
        let piles = reader.piles().map_err(store_failed)?;
        if piles != rows.piles.values().cloned().collect::<Vec<_>>() {
            return Err("the piles on disk are not as the journal has them".to_owned());
        }
        let mut items = reader
            .quarantine(
                QuarantineFilter {
                    closed: true,
                    why: None,
                },
                None,
                usize::MAX,
            )
            .map_err(store_failed)?
            .items;
        items.reverse();
        if items != rows.quarantine.values().flatten().cloned().collect::<Vec<_>>() {
            return Err("what is put aside on disk is not as the journal has it".to_owned());
        }
        Ok(())
    }

    /// The sums of business days, their reports, the desk, and tariffs.
    fn check_energy(&self, found: &Rows, reader: &Reader) -> Checked {
        let rows = &self.oracle.rows;
        if found.energy != rows.energy {
            return Err(format!(
                "the days on disk are {:?}, by the journal {:?}",
                found.energy, rows.energy
            ));
        }
        let mut reports = reader.energy_reports(None, usize::MAX).map_err(store_failed)?.0;
        reports.reverse();
        if reports != rows.energy_reports.values().cloned().collect::<Vec<_>>() {
            return Err("the energy reports on disk are not as the journal has them".to_owned());
        }
        let desk = |rows: &Rows| (rows.desk, rows.open_shift().cloned(), rows.desk_day().cloned());
        if desk(found) != desk(rows) {
            return Err(format!(
                "the desk on disk is {:?}, by the journal {:?}",
                desk(found),
                desk(rows)
            ));
        }
        if found.tariffs != rows.tariffs {
            return Err("the tariffs on disk are not as the journal has them".to_owned());
        }
        Ok(())
    }

    /// At the end everything is looked at once more, and the journal is replayed from its first byte.
    pub(super) fn check_at_the_end(&mut self) -> Checked {
        self.follow_journal()?;
        self.check_everything()?;
        let registers = self.units.iter().map(|unit| {
            let outlet = Outlet {
                pile: unit.id.clone(),
                connector: CONNECTOR,
            };
            (outlet, unit.pile.meter(CONNECTOR).unwrap_or_default())
        });
        if self.head_office.is_none() {
            self.oracle.check_energy_is_conserved(&registers.collect())?;
        }
        self.oracle.check_returned()?;
        let Some(process) = &self.process else { return Ok(()) };
        let (mut hash, mut rows) = (Hash::GENESIS, Rows::default());
        let before_the_first = Stamp {
            seq: 0,
            at: Wall(0),
            mono: Mono(0),
        };
        let mut elsewhere = Replica::new(before_the_first, Rows::default());
        for (seq, sealed, bytes) in process.journal(0).map_err(store_failed)? {
            hash = Hash::seal(&hash, &bytes);
            if hash != sealed {
                return Err(format!("entry {seq} is not sealed to the one before"));
            }
            let entry = Entry::from_bytes(&bytes).map_err(|error| format!("entry {seq}: {error}"))?;
            rows.apply(entry.stamp, &entry.fact, &mut Changes::default());
            let missing = elsewhere.needs(&entry.fact);
            missing.into_iter().for_each(|key| elsewhere.load(key.absent()));
            let followed = elsewhere.follow(entry.stamp, &entry.fact);
            followed.map_err(|error| format!("whoever follows the journal stops: {error}"))?;
        }
        elsewhere.end_step().map_err(|error| format!("elsewhere: {error}"))?;
        if rows != self.oracle.rows {
            return Err("the journal replayed from its beginning gives other rows than followed as it grew".to_owned());
        }
        if let Some(order) = self.oracle.rows.orders().find(|order| order.state.is_open()) {
            return Err(format!("order {} has not reached an end: {}", order.id, order.state));
        }
        Ok(())
    }
}

fn is_sales(account: &Account) -> bool {
    matches!(account, Account::SalesElectricity | Account::SalesService)
}
