//! What is old is forgotten in small steps, so that the file stops growing: orders that ended, with what was written about
//! them; the journal up to a place that is kept; messages that were dealt with; samples. `docs/decisions/0011` says what
//! stays.

use super::{
    Store, StoreError,
    indexed::Indexed,
    pile_log,
    read::{parse, split_entry, stamp},
    tables,
};
use domain::{
    ids::{ConnectorNo, Outlet, PileId},
    journal::Head,
    ledger::Transfer,
    order::{Order, State},
    quarantine::QuarantineItem,
    time::Wall,
    units::Fen,
};
use redb::{ReadableTable, WriteTransaction};

/// How many rows one step may touch, give or take the log of one order: a few milliseconds' work.
const ROWS_MAX: usize = 256;

/// What may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Facts from before this.
    pub facts_before: Wall,
    /// Samples from before this.
    pub samples_before: Wall,
    /// Nothing that head office has not acknowledged. Once it has acknowledged anything that is so in any case.
    pub until_acknowledged: bool,
}

/// Where a pass through what is old has come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pass {
    order: u64,
    item: u64,
    sample: Option<(i64, String, u8)>,
}

struct Step<'a> {
    write: &'a WriteTransaction,
    limits: Limits,
    /// The last journal entry that may go.
    seq_max: u64,
    rows_left: usize,
    removed: bool,
}

impl Store {
    /// One step of a pass, in a small transaction of its own. `needed` says of a sample whether an open order is shown
    /// with it. Returns whether there is more to do; if not, the next step begins another pass.
    ///
    /// # Errors
    /// [`StoreError::BadRow`] or [`StoreError::Io`].
    pub fn prune(
        &self,
        pass: &mut Pass,
        limits: Limits,
        needed: impl Fn(&Outlet, Wall) -> bool,
    ) -> Result<bool, StoreError> {
        let reader = self.reader()?;
        let acknowledged = reader.acknowledged()?.map(|place| place.seq);
        let checkpoint = reader.checkpoint()?;
        drop(reader);
        let write = self.db.begin_write()?;
        let mut step = Step {
            write: &write,
            limits,
            seq_max: acknowledged.unwrap_or(if limits.until_acknowledged { 0 } else { u64::MAX }),
            rows_left: ROWS_MAX,
            removed: false,
        };
        step.orders(pass)?;
        step.journal(checkpoint)?;
        step.quarantine(pass)?;
        step.samples(pass, needed)?;
        let (removed, more) = (step.removed, step.rows_left == 0);
        if removed {
            write.commit()?;
        } else {
            write.abort()?;
        }
        if !more {
            *pass = Pass::default();
        }
        Ok(more)
    }
}

impl Step<'_> {
    fn spend(&mut self, rows: usize) {
        self.rows_left = self.rows_left.saturating_sub(rows);
    }

    /// Orders that ended, oldest first. Those that stay are passed by.
    fn orders(&mut self, pass: &mut Pass) -> Result<(), StoreError> {
        while self.rows_left > 0 {
            let next = {
                let placed = self.write.open_table(tables::ORDERS_PLACED)?;
                let next = placed.range(pass.order + 1..)?.next().transpose()?;
                next.map(|(seq, id)| (seq.value(), id.value().to_owned()))
            };
            let Some((seq, id)) = next else { return Ok(()) };
            let order: Option<Order> = {
                let orders = self.write.open_table(tables::ORDERS)?;
                let row = orders.get(id.as_str())?;
                row.map(|row| parse("orders", &id, row.value())).transpose()?
            };
            if order
                .as_ref()
                .is_some_and(|order| order.placed_at >= self.limits.facts_before)
            {
                return Ok(());
            }
            pass.order = seq;
            self.spend(1);
            if let Some(order) = order.filter(is_over) {
                self.order(seq, &order)?;
            }
        }
        Ok(())
    }

    fn order(&mut self, placed: u64, order: &Order) -> Result<(), StoreError> {
        let id = order.id.as_str();
        let mut log = self.write.open_table(tables::ORDER_LOG)?;
        let mut entries = Vec::new();
        for row in log.range((id, 0)..=(id, u64::MAX))? {
            entries.push(row?.0.value().1);
        }
        let mut kept = self.write.open_table(tables::KEPT_ENTRIES)?;
        let quarantine = self.write.open_table(tables::QUARANTINE)?;
        // What was done about it last: a refund, or a message that somebody has yet to look at.
        let Some(last) = entries.last() else { return Ok(()) };
        let last_at = {
            let journal = self.write.open_table(tables::JOURNAL)?;
            match journal.get(*last)? {
                Some(row) => stamp(*last, split_entry(*last, row.value())?.1)?.at,
                None => Wall(i64::MIN),
            }
        };
        if last_at >= self.limits.facts_before || *last > self.seq_max {
            return Ok(());
        }
        for seq in &entries {
            if let Some(row) = quarantine.get(seq)?
                && parse::<QuarantineItem>("quarantine", seq, row.value())?
                    .outcome
                    .is_none()
            {
                return Ok(());
            }
        }
        let mut notices = self.write.open_table(tables::NOTICES_BY_MEMBER)?;
        let mut of_pile = self.write.open_table(tables::PILE_LOG)?;
        for seq in &entries {
            log.remove((id, *seq))?;
            // Without the order's row nobody could tell any more whose log a command stands in.
            of_pile.remove((order.outlet.pile.as_str(), *seq))?;
            if let Some(row) = kept.remove(seq)? {
                let kept = Indexed::read(*seq, split_entry(*seq, row.value())?.1, |_| Ok(None))?;
                if let Some(member) = kept.notified {
                    notices.remove((member.as_str(), *seq))?;
                }
            }
        }
        let index = self
            .write
            .open_table(tables::ORDER_INDEX)?
            .remove(id)?
            .map(|row| row.value());
        if let Some((_, state)) = index {
            self.write
                .open_table(tables::ORDERS_BY_STATE)?
                .remove((state, placed))?;
        }
        let (member, pile) = (order.member.as_str(), order.outlet.pile.as_str());
        self.write
            .open_table(tables::ORDERS_BY_MEMBER)?
            .remove((member, placed))?;
        self.write.open_table(tables::ORDERS_BY_PILE)?.remove((pile, placed))?;
        self.write.open_table(tables::ORDERS_PLACED)?.remove(placed)?;
        self.write.open_table(tables::ORDERS)?.remove(id)?;
        self.removed = true;
        self.spend(entries.len());
        Ok(())
    }

    /// The beginning of the journal, with the movements of money that it caused. The place up to which it went stays, and
    /// so does the sum of the movements.
    fn journal(&mut self, from: Head) -> Result<(), StoreError> {
        let mut place = from;
        {
            let mut journal = self.write.open_table(tables::JOURNAL)?;
            let last = journal.last()?.map_or(0, |(seq, _)| seq.value());
            let orders = self.write.open_table(tables::ORDERS)?;
            let mut log = self.write.open_table(tables::ORDER_LOG)?;
            let mut kept = self.write.open_table(tables::KEPT_ENTRIES)?;
            let mut notices = self.write.open_table(tables::NOTICES_BY_MEMBER)?;
            let mut of_pile = self.write.open_table(tables::PILE_LOG)?;
            // The last entry is what the next is sealed to.
            while self.rows_left > 0 && place.seq + 1 < last && place.seq < self.seq_max {
                let seq = place.seq + 1;
                let Some(stored) = journal.get(seq)?.map(|row| row.value().to_vec()) else {
                    let why = format!("journal entry {seq} is missing");
                    return Err(StoreError::Corrupt(why));
                };
                let (hash, bytes) = split_entry(seq, &stored)?;
                let old = Indexed::read(seq, bytes, |order| pile_log::pile_of(&orders, order))?;
                if old.at >= self.limits.facts_before {
                    break;
                }
                if let Some(pile) = &old.pile {
                    of_pile.remove((pile.as_str(), seq))?;
                }
                match &old.order {
                    // The log of an order that stays, stays.
                    Some(order) if orders.get(order.as_str())?.is_some() => {
                        kept.insert(seq, stored.as_slice())?;
                    }
                    order => {
                        if let Some(order) = order {
                            log.remove((order.as_str(), seq))?;
                        }
                        if let Some(member) = &old.notified {
                            notices.remove((member.as_str(), seq))?;
                        }
                    }
                }
                journal.remove(seq)?;
                place = Head { seq, hash };
                let movements = self.movements(seq)?;
                self.spend(1 + movements);
            }
        }
        if place != from {
            let json = serde_json::to_vec(&place).map_err(StoreError::io)?;
            let mut meta = self.write.open_table(tables::META)?;
            meta.insert(tables::CHECKPOINT, json.as_slice())?;
            self.removed = true;
        }
        Ok(())
    }

    /// Takes the movements that entry `seq` caused out of the history, and into the balances that it begins with.
    fn movements(&self, seq: u64) -> Result<usize, StoreError> {
        let mut transfers = self.write.open_table(tables::TRANSFERS)?;
        let mut by_member = self.write.open_table(tables::TRANSFERS_BY_MEMBER)?;
        let mut opening = self.write.open_table(tables::OPENING_BALANCES)?;
        let mut old = Vec::new();
        for row in transfers.range((seq, 0)..=(seq, u32::MAX))? {
            let (key, row) = row?;
            let transfer: Transfer = parse("transfers", &seq, row.value())?;
            old.push((key.value(), transfer));
        }
        for (key, transfer) in &old {
            transfers.remove(key)?;
            if let Some(member) = &transfer.member {
                by_member.remove((member.as_str(), key.0, key.1))?;
            }
            for (account, amount) in [(&transfer.credit, transfer.amount), (&transfer.debit, -transfer.amount)] {
                let name = account.to_string();
                let before = opening.get(name.as_str())?.map_or(Fen::ZERO, |sum| Fen(sum.value()));
                let after = before + amount;
                if after == Fen::ZERO {
                    opening.remove(name.as_str())?;
                } else {
                    opening.insert(name.as_str(), after.0)?;
                }
            }
        }
        Ok(old.len())
    }

    /// Messages that were dealt with.
    fn quarantine(&mut self, pass: &mut Pass) -> Result<(), StoreError> {
        let mut quarantine = self.write.open_table(tables::QUARANTINE)?;
        let mut by_content = self.write.open_table(tables::QUARANTINE_BY_CONTENT)?;
        while self.rows_left > 0 {
            let item: QuarantineItem = {
                let Some((number, row)) = quarantine.range(pass.item + 1..)?.next().transpose()? else {
                    return Ok(());
                };
                parse("quarantine", &number.value(), row.value())?
            };
            if item.at >= self.limits.facts_before || item.item > self.seq_max {
                return Ok(());
            }
            pass.item = item.item;
            self.spend(1);
            if item.outcome.is_some() {
                quarantine.remove(item.item)?;
                by_content.remove((item.pile.as_str(), item.digest.as_str()))?;
                self.removed = true;
            }
        }
        Ok(())
    }

    fn samples(&mut self, pass: &mut Pass, needed: impl Fn(&Outlet, Wall) -> bool) -> Result<(), StoreError> {
        if self.rows_left == 0 {
            return Ok(());
        }
        let mut samples = self.write.open_table(tables::SAMPLES)?;
        let mut old = Vec::new();
        {
            let begin = pass.sample.clone().unwrap_or((i64::MIN, String::new(), 0));
            let end = (self.limits.samples_before.0, "", 0);
            let rows = samples.range((begin.0, begin.1.as_str(), begin.2)..end)?;
            for row in rows.take(self.rows_left) {
                let (key, _) = row?;
                let (at, pile, connector) = key.value();
                old.push((at, pile.to_owned(), connector));
            }
        }
        self.spend(old.len());
        for (at, pile, connector) in old {
            let outlet = Outlet {
                pile: PileId::new(&pile).map_err(|error| StoreError::Corrupt(error.to_string()))?,
                connector: ConnectorNo(connector),
            };
            if !needed(&outlet, Wall(at)) {
                samples.remove((at, pile.as_str(), connector))?;
                self.removed = true;
            }
            pass.sample = Some((at, pile, connector.saturating_add(1)));
        }
        Ok(())
    }
}

/// Whether an order is at its end for good: paid or failed, by no estimate, which a late record would correct, and with no
/// correction waiting for a second person.
fn is_over(order: &Order) -> bool {
    matches!(order.state, State::Payed | State::Fail)
        && order.hold.is_resolved()
        && order.paid.debt == Fen::ZERO
        && !order.estimated
        && order.proposal.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Batch, OrderFilter, QuarantineFilter, SampleRow};
    use domain::{
        ids::OrderId,
        ledger::Account,
        messages::{ConnectorReport, ConnectorStatus},
        site::Rows,
    };
    use redb::{ReadableDatabase, ReadableTableMetadata};
    use std::{collections::BTreeMap, path::Path};

    /// The history of a real station with an order in every state, played on one morning; in memory.
    fn station() -> Store {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/station-schema-1.redb");
        Store::look_at(&fixture, 4 << 20).unwrap()
    }

    fn before(text: &str) -> Limits {
        let moment = Wall::parse(text).unwrap();
        Limits {
            facts_before: moment,
            samples_before: moment,
            until_acknowledged: false,
        }
    }

    const LONG_AFTER: &str = "2026-09-01T00:00:00+08:00";

    /// Every step of a pass; returns how many there were.
    fn prune(store: &Store, limits: Limits) -> usize {
        let mut pass = Pass::default();
        let mut steps = 1;
        while store.prune(&mut pass, limits, |_, _| false).unwrap() {
            steps += 1;
        }
        steps
    }

    fn orders(store: &Store) -> BTreeMap<State, (OrderId, usize)> {
        let reader = store.reader().unwrap();
        let all = reader.orders(&OrderFilter::default(), None, 100).unwrap().items;
        let log = |id: &OrderId| reader.order_log_from(id, 0, 1_000).unwrap().len();
        all.into_iter()
            .map(|order| (order.state, (order.id.clone(), log(&order.id))))
            .collect()
    }

    fn tables(store: &Store) -> Vec<String> {
        let read = store.db.begin_read().unwrap();
        tables::ALL.iter().flat_map(|table| table.rows(&read)).collect()
    }

    /// What was forgotten and what is kept make every balance.
    fn balances_are_derivable(store: &Store) {
        let read = store.db.begin_read().unwrap();
        let mut sums: BTreeMap<String, Fen> = BTreeMap::new();
        for row in read.open_table(tables::OPENING_BALANCES).unwrap().iter().unwrap() {
            let (account, sum) = row.unwrap();
            sums.insert(account.value().to_owned(), Fen(sum.value()));
        }
        for row in read.open_table(tables::TRANSFERS).unwrap().iter().unwrap() {
            let transfer: Transfer = serde_json::from_slice(row.unwrap().1.value()).unwrap();
            *sums.entry(transfer.credit.to_string()).or_default() += transfer.amount;
            *sums.entry(transfer.debit.to_string()).or_default() -= transfer.amount;
        }
        sums.retain(|_, sum| *sum != Fen::ZERO);
        let sheet = store.reader().unwrap().accounts().unwrap();
        let sheet: BTreeMap<String, Fen> = sheet.iter().map(|(account, sum)| (account.to_string(), *sum)).collect();
        assert_eq!(sums, sheet);
        assert_eq!(sheet.values().copied().sum::<Fen>(), Fen::ZERO);
    }

    #[test]
    fn what_is_over_goes_and_what_is_needed_stays() {
        let store = station();
        let (was, head) = (orders(&store), store.reader().unwrap().head().unwrap());
        let sheet = store.reader().unwrap().accounts().unwrap();
        let receipts = store
            .db
            .begin_read()
            .unwrap()
            .open_table(tables::RECEIPTS)
            .unwrap()
            .len()
            .unwrap();
        balances_are_derivable(&store);
        assert_eq!(prune(&store, before("2026-03-02T00:00:00+08:00")), 1);
        assert_eq!(tables(&store), tables(&station()), "nothing is that old");

        prune(&store, before(LONG_AFTER));
        let is = orders(&store);
        for state in [State::Payed, State::Fail] {
            assert!(!is.contains_key(&state), "{state} is over");
            assert!(store.reader().unwrap().order(&was[&state].0).unwrap().is_none());
        }
        for state in [State::Unpaid, State::Review, State::Charging, State::Place] {
            assert_eq!(is[&state], was[&state], "{state} stays with its whole log");
            assert!(is[&state].1 >= 3, "{state}");
        }
        let reader = store.reader().unwrap();
        let items = reader
            .quarantine(
                QuarantineFilter {
                    closed: true,
                    why: None,
                },
                None,
                10,
            )
            .unwrap()
            .items;
        assert!(items.len() == 1 && items[0].outcome.is_none(), "the one that is open");
        let verified = reader.verify(None).unwrap();
        assert_eq!((verified.from.seq + 1, verified.head.seq), (head.0.seq, head.0.seq));
        assert_eq!(reader.head().unwrap(), head);
        assert_eq!(reader.accounts().unwrap(), sheet);
        balances_are_derivable(&store);
        let read = store.db.begin_read().unwrap();
        assert_eq!(read.open_table(tables::RECEIPTS).unwrap().len().unwrap(), receipts);
        for account in [Account::Cash, Account::Refund] {
            assert_ne!(reader.balance(&account).unwrap(), Fen::ZERO, "{account}");
        }
        let notices = reader.notices(&"alice".parse().unwrap(), None, 10).unwrap();
        let after = notices.items.iter().find(|told| told.stamp != head.0);
        assert_eq!(after, None, "told about an order that is forgotten");
        assert_eq!(
            reader.notices(&"bob".parse().unwrap(), None, 10).unwrap().items.len(),
            1
        );
        // A pile's log goes with the journal: no entry of it leads nowhere.
        let first = reader.checkpoint().unwrap().seq + 1;
        for pile in ["P1", "P2", "P3", "P4"] {
            let log = read.open_table(tables::PILE_LOG).unwrap();
            let mut seqs = log.range((pile, 0)..=(pile, u64::MAX)).unwrap();
            assert!(seqs.all(|row| row.unwrap().0.value().1 >= first), "{pile}");
        }
        drop((read, reader));
        let pruned = tables(&store);
        prune(&store, before(LONG_AFTER));
        assert_eq!(tables(&store), pruned, "a second pass finds nothing");
        // It recovers, and what was kept is enough to go on.
        assert_eq!(store.recover().unwrap().rows.orders().count(), 3);
    }

    #[test]
    fn what_head_office_has_not_acknowledged_stays() {
        let store = station();
        let all = tables(&store);
        let strict = Limits {
            until_acknowledged: true,
            ..before(LONG_AFTER)
        };
        prune(
            &store,
            Limits {
                samples_before: Wall(0),
                ..strict
            },
        );
        assert_eq!(tables(&store), all);
        let reader = store.reader().unwrap();
        let (seq, hash, _) = reader.journal(30, 1).unwrap().remove(0);
        drop(reader);
        let place = Head { seq, hash };
        store.acknowledge(&store.identity().epoch.clone(), place).unwrap();
        // Whatever the configuration says: whoever has acknowledged may ask again.
        prune(&store, before(LONG_AFTER));
        let reader = store.reader().unwrap();
        assert_eq!(reader.checkpoint().unwrap(), place);
        assert_eq!(reader.journal(31, 1).unwrap().remove(0).0, 31);
        assert!(orders(&store).contains_key(&State::Payed), "it was refunded after that");
        reader.verify(None).unwrap();
        balances_are_derivable(&store);
    }

    #[test]
    fn a_step_is_small_and_samples_of_open_orders_stay() {
        let store = station();
        let outlet = |pile: &str| Outlet {
            pile: pile.parse().unwrap(),
            connector: ConnectorNo(1),
        };
        let report = ConnectorReport {
            no: ConnectorNo(1),
            status: ConnectorStatus::Charging,
            order_id: None,
            voltage_v: Some(400.0),
            current_a: Some(100.0),
            soc_pct: None,
            temp_c: None,
            meter_kwh: "1.0".parse().unwrap(),
            faults: Vec::new(),
        };
        let row = |n: i64| SampleRow {
            at: Wall(n),
            outlet: outlet(if n % 10 == 0 { "P4" } else { "P1" }),
            report: report.clone(),
        };
        let batch = Batch {
            samples: (0..5_000).map(row).collect(),
            ..Batch::default()
        };
        let reader = store.reader().unwrap();
        let head = reader.head().unwrap().1;
        let mark = reader.mark().unwrap();
        drop(reader);
        store.commit(&batch, &Rows::default(), head, &mark).unwrap();
        let left = |pile: &str| {
            let found = store
                .reader()
                .unwrap()
                .samples(&outlet(pile), Wall(0), Wall(9_999), 10_000);
            found.unwrap().0.len()
        };
        let limits = Limits {
            samples_before: Wall(4_000),
            ..before("2026-01-01T00:00:00+08:00")
        };
        let mut pass = Pass::default();
        let mut steps = 0;
        loop {
            let (p1, p4) = (left("P1"), left("P4"));
            let more = store
                .prune(&mut pass, limits, |outlet, _| outlet.pile.as_str() == "P4")
                .unwrap();
            assert!(p1 - left("P1") <= ROWS_MAX && p4 == left("P4"));
            steps += 1;
            if !more {
                break;
            }
        }
        assert_eq!(steps, 4_000_usize.div_ceil(ROWS_MAX));
        assert_eq!((left("P1"), left("P4")), (900, 500));
    }
}
