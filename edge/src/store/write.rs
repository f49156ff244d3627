//! One commit: facts with the rows they changed, idempotency rows, credentials; and telemetry when it is due.
//! When [`Store::commit`] returns, everything in the batch is on disk.

use super::{
    Identity, NewAnswer, Store, StoreError, answers, desk, displays, energy, indexed, read::parse, retained, tables,
};
use crate::{
    clock::Mark,
    credentials::{CredentialChange, PileCertificates},
};
use domain::{
    fact::Fact,
    ids::{Outlet, PileId},
    journal::{Entry, Hash, Stamp},
    messages::ConnectorReport,
    order::State,
    planted::{Bug, is_planted},
    site::{Changes, OutletLive, Rows},
    time::Wall,
};
use redb::{ReadableTable, WriteTransaction};
use serde::Serialize;
use std::borrow::Cow;

/// A sample for the curve.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleRow {
    /// When it was received.
    pub at: Wall,
    /// Where.
    pub outlet: Outlet,
    /// What was said.
    pub report: ConnectorReport,
}

/// What goes to disk together.
#[derive(Default)]
pub struct Batch {
    /// Facts, in order, following on the journal's head.
    pub facts: Vec<(Stamp, Fact)>,
    /// The stored bytes of each, where they were written before: by this station, and head office hands them back.
    pub as_stored: Option<Vec<Vec<u8>>>,
    /// Which rows they changed.
    pub changes: Changes,
    /// Answers to be remembered, by key.
    pub remembered: Vec<(String, NewAnswer)>,
    /// Secrets and tokens.
    pub credentials: Vec<CredentialChange>,
    /// Retained messages that changed, by topic; `None` is one that is no more.
    pub retained: Vec<(String, Option<Vec<u8>>)>,
    /// What connectors last said, when it is time to keep it.
    pub live: Vec<(Outlet, OutletLive)>,
    /// Samples, likewise.
    pub samples: Vec<SampleRow>,
}

impl Batch {
    /// Whether there is anything that somebody waits for.
    pub fn is_urgent(&self) -> bool {
        !self.facts.is_empty()
            || !self.remembered.is_empty()
            || !self.credentials.is_empty()
            || !self.retained.is_empty()
    }

    /// Whether there is nothing at all.
    pub fn is_empty(&self) -> bool {
        !self.is_urgent() && self.live.is_empty() && self.samples.is_empty()
    }
}

/// A state's number in the indexes; never changed.
pub(super) fn state_number(state: State) -> u8 {
    match state {
        State::Place => 1,
        State::Charging => 2,
        State::Settle => 3,
        State::Review => 4,
        State::Payed => 5,
        State::Unpaid => 6,
        State::Fail => 7,
    }
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(StoreError::io)
}

impl Store {
    /// Writes `batch` in one durable transaction. `rows` hold every changed row; `head` is the hash of the journal's last
    /// entry. Returns the new head.
    ///
    /// # Errors
    /// [`StoreError::Io`]: nothing of the batch is on disk, and the process must start again from disk.
    pub fn commit(&self, batch: &Batch, rows: &Rows, head: Hash, mark: &Mark) -> Result<Hash, StoreError> {
        let mut write = self.db.begin_write()?;
        if is_planted(Bug::AcknowledgeBeforeSync) {
            write.set_durability(redb::Durability::None).map_err(StoreError::io)?;
        }
        let head = self.write_batch(&write, batch, rows, head, mark)?;
        write.commit()?;
        Ok(head)
    }

    /// The same into a transaction that is open.
    pub(super) fn write_batch(
        &self,
        write: &WriteTransaction,
        batch: &Batch,
        rows: &Rows,
        head: Hash,
        mark: &Mark,
    ) -> Result<Hash, StoreError> {
        let head = self.write_journal(write, batch, rows, head)?;
        write_orders(write, batch, rows)?;
        write_money(write, batch, rows)?;
        write_masters(write, batch, rows)?;
        energy::write(write, batch, rows)?;
        if batch.changes.clock {
            let clock = json(&rows.clock)?;
            write
                .open_table(tables::META)?
                .insert(tables::STATION_CLOCK, clock.as_slice())?;
        }
        if batch.changes.head_office {
            let head_office = json(&rows.head_office)?;
            write
                .open_table(tables::META)?
                .insert(tables::HEAD_OFFICE, head_office.as_slice())?;
        }
        desk::write(write, batch, rows)?;
        write_credentials(write, &batch.credentials)?;
        retained::write(write, &batch.retained)?;
        answers::remember(write, &batch.remembered, mark.mono, self.answer_budget)?;
        write_telemetry(write, batch)?;
        write.open_table(tables::META)?.insert("mark", json(mark)?.as_slice())?;
        Ok(head)
    }

    fn write_journal(
        &self,
        write: &WriteTransaction,
        batch: &Batch,
        rows: &Rows,
        mut head: Hash,
    ) -> Result<Hash, StoreError> {
        if batch.facts.is_empty() {
            return Ok(head);
        }
        let mut journal = write.open_table(tables::JOURNAL)?;
        let mut log = write.open_table(tables::ORDER_LOG)?;
        let mut of_pile = write.open_table(tables::PILE_LOG)?;
        let mut notices = write.open_table(tables::NOTICES_BY_MEMBER)?;
        let lost = usize::from(is_planted(Bug::LoseTail) && batch.facts.len() > 6);
        let identity = self.identity();
        let Identity { site, epoch } = &*identity;
        for (n, (stamp, fact)) in batch.facts[..batch.facts.len() - lost].iter().enumerate() {
            if let Some(order) = fact.order() {
                log.insert((order.as_str(), stamp.seq), ())?;
            }
            // An order of which something is said is in memory until it is written.
            let pile = indexed::pile_of(fact, |order| {
                Ok(rows.order(order).map(|order| order.outlet.pile.clone()))
            })?;
            if let Some(pile) = pile {
                of_pile.insert((pile.as_str(), stamp.seq), ())?;
            }
            if let Fact::Notified { member, .. } = fact {
                notices.insert((member.as_str(), stamp.seq), ())?;
            }
            let bytes = match &batch.as_stored {
                Some(stored) => stored[n].as_slice().into(),
                None => Cow::from(Entry::bytes_of(site, epoch, *stamp, fact)),
            };
            head = Hash::seal(&head, &bytes);
            let mut stored = Vec::with_capacity(32 + bytes.len());
            stored.extend_from_slice(&head.0);
            stored.extend_from_slice(&bytes);
            let before = journal.insert(stamp.seq, stored.as_slice())?;
            assert!(before.is_none(), "journal entry {} is written once", stamp.seq);
        }
        Ok(head)
    }
}

fn write_orders(write: &WriteTransaction, batch: &Batch, rows: &Rows) -> Result<(), StoreError> {
    if batch.changes.orders.is_empty() {
        return Ok(());
    }
    let mut orders = write.open_table(tables::ORDERS)?;
    let mut index = write.open_table(tables::ORDER_INDEX)?;
    let mut placed = write.open_table(tables::ORDERS_PLACED)?;
    let mut by_state = write.open_table(tables::ORDERS_BY_STATE)?;
    let mut by_member = write.open_table(tables::ORDERS_BY_MEMBER)?;
    let mut by_pile = write.open_table(tables::ORDERS_BY_PILE)?;
    for (stamp, fact) in &batch.facts {
        if let Fact::OrderPlaced {
            order, outlet, member, ..
        } = fact
        {
            placed.insert(stamp.seq, order.as_str())?;
            by_member.insert((member.as_str(), stamp.seq), order.as_str())?;
            by_pile.insert((outlet.pile.as_str(), stamp.seq), order.as_str())?;
            index.insert(order.as_str(), (stamp.seq, 0))?;
        }
    }
    for id in &batch.changes.orders {
        let order = rows
            .orders
            .get(id)
            .and_then(Option::as_ref)
            .expect("a changed order is in memory until it is written");
        orders.insert(id.as_str(), json(order)?.as_slice())?;
        let (seq, before) = index
            .get(id.as_str())?
            .map(|entry| entry.value())
            .expect("a placed order has an index entry");
        let after = state_number(order.state);
        if before != after {
            by_state.remove((before, seq))?;
            by_state.insert((after, seq), id.as_str())?;
            index.insert(id.as_str(), (seq, after))?;
        }
    }
    Ok(())
}

fn write_money(write: &WriteTransaction, batch: &Batch, rows: &Rows) -> Result<(), StoreError> {
    if batch.changes.accounts.is_empty() && batch.changes.transfers.is_empty() {
        return Ok(());
    }
    let mut accounts = write.open_table(tables::ACCOUNTS)?;
    for account in &batch.changes.accounts {
        let (name, balance) = (account.to_string(), rows.ledger.balance(account).0);
        // An account that is not there has nothing in it: resolved holds do not pile up.
        if balance == 0 {
            accounts.remove(name.as_str())?;
        } else {
            accounts.insert(name.as_str(), balance)?;
        }
    }
    let mut transfers = write.open_table(tables::TRANSFERS)?;
    let mut by_member = write.open_table(tables::TRANSFERS_BY_MEMBER)?;
    let mut key = (0, 0);
    for transfer in &batch.changes.transfers {
        key = if transfer.cause == key.0 {
            (key.0, key.1 + 1)
        } else {
            (transfer.cause, 0)
        };
        transfers.insert(key, json(transfer)?.as_slice())?;
        if let Some(member) = &transfer.member {
            by_member.insert((member.as_str(), key.0, key.1), ())?;
        }
    }
    Ok(())
}

fn write_masters(write: &WriteTransaction, batch: &Batch, rows: &Rows) -> Result<(), StoreError> {
    let changes = &batch.changes;
    if changes.is_empty() {
        return Ok(());
    }
    let mut members = write.open_table(tables::MEMBERS)?;
    for id in &changes.members {
        if let Some(member) = rows.member(id) {
            members.insert(id.as_str(), json(member)?.as_slice())?;
        }
    }
    let mut cards = write.open_table(tables::CARDS)?;
    for id in &changes.cards {
        if let Some(card) = rows.card(id) {
            cards.insert(id.as_str(), json(card)?.as_slice())?;
        }
    }
    let mut piles = write.open_table(tables::PILES)?;
    for id in &changes.piles {
        if let Some(pile) = rows.piles.get(id) {
            piles.insert(id.as_str(), json(pile)?.as_slice())?;
        }
    }
    let mut tariffs = write.open_table(tables::TARIFFS)?;
    for id in &changes.tariffs {
        if let Some(tariff) = rows.tariffs.get(id) {
            tariffs.insert(id.as_str(), json(tariff)?.as_slice())?;
        }
    }
    let mut receipts = write.open_table(tables::RECEIPTS)?;
    for receipt in &changes.receipts {
        if let Some(Some(used)) = rows.receipts.get(receipt) {
            receipts.insert(receipt.as_str(), json(used)?.as_slice())?;
        }
    }
    let mut quarantine = write.open_table(tables::QUARANTINE)?;
    let mut by_content = write.open_table(tables::QUARANTINE_BY_CONTENT)?;
    let mut open = write.open_table(tables::QUARANTINE_OPEN)?;
    for number in &changes.quarantine {
        if let Some(Some(item)) = rows.quarantine.get(number) {
            match item.outcome {
                None => open.insert(*number, item.why.word())?,
                Some(_) => open.remove(*number)?,
            };
            quarantine.insert(*number, json(item)?.as_slice())?;
            by_content.insert((item.pile.as_str(), item.digest.as_str()), *number)?;
        }
    }
    Ok(())
}

fn write_credentials(write: &WriteTransaction, changes: &[CredentialChange]) -> Result<(), StoreError> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut secrets = write.open_table(tables::PILE_SECRETS)?;
    let mut certificates = write.open_table(tables::PILE_CERTIFICATES)?;
    let mut of_pile = |pile: &PileId, change: &dyn Fn(&mut PileCertificates)| -> Result<(), StoreError> {
        let known = certificates.get(pile.as_str())?;
        let known = known.map(|row| parse("pile_certificates", pile, row.value()));
        let mut known: PileCertificates = known.transpose()?.unwrap_or_default();
        change(&mut known);
        if known == PileCertificates::default() {
            certificates.remove(pile.as_str())?;
        } else {
            certificates.insert(pile.as_str(), json(&known)?.as_slice())?;
        }
        Ok(())
    };
    let mut displays = displays::Row::of(write)?;
    let mut tokens = write.open_table(tables::TOKENS)?;
    for change in changes {
        match change {
            CredentialChange::SetPile(pile, hash) => {
                secrets.insert(pile.as_str(), hash.as_str())?;
            }
            CredentialChange::RemovePile(pile) => {
                secrets.remove(pile.as_str())?;
                of_pile(pile, &|known| *known = PileCertificates::default())?;
            }
            CredentialChange::IssueCertificate { pile, issued, revoke } => {
                of_pile(pile, &|known| known.issue(issued.clone(), *revoke))?;
            }
            CredentialChange::UseCertificate { pile, fingerprint } => {
                of_pile(pile, &|known| known.come_with(fingerprint))?;
            }
            CredentialChange::SetDisplay(display, hash) => {
                displays.change(|known| drop(known.insert(display.clone(), hash.clone())))?;
            }
            CredentialChange::RemoveDisplay(display) => {
                displays.change(|known| drop(known.remove(display)))?;
            }
            CredentialChange::SetToken(token) => {
                tokens.insert(token.name.as_str(), json(token)?.as_slice())?;
            }
            CredentialChange::RemoveToken(name) => {
                tokens.remove(name.as_str())?;
            }
        }
    }
    Ok(())
}

fn write_telemetry(write: &WriteTransaction, batch: &Batch) -> Result<(), StoreError> {
    if batch.live.is_empty() && batch.samples.is_empty() {
        return Ok(());
    }
    let mut live = write.open_table(tables::LIVE)?;
    for (outlet, state) in &batch.live {
        live.insert((outlet.pile.as_str(), outlet.connector.0), json(state)?.as_slice())?;
    }
    let mut samples = write.open_table(tables::SAMPLES)?;
    for sample in &batch.samples {
        let key = (sample.at.0, sample.outlet.pile.as_str(), sample.outlet.connector.0);
        samples.insert(key, json(&sample.report)?.as_slice())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ids::SiteId;
    use redb::backends::InMemoryBackend;

    fn store() -> Store {
        Store::on(InMemoryBackend::new(), &SiteId::new("test").unwrap()).unwrap()
    }

    #[test]
    fn a_row_of_certificates_that_cannot_be_read_is_no_empty_one() {
        let store = store();
        let write = store.db.begin_write().unwrap();
        let mut rows = write.open_table(tables::PILE_CERTIFICATES).unwrap();
        rows.insert("P1", b"{".as_slice()).unwrap();
        drop(rows);
        let pile = PileId::new("P1").unwrap();
        let written = write_credentials(&write, &[CredentialChange::RemovePile(pile)]);
        let table = "pile_certificates";
        assert!(matches!(written, Err(StoreError::BadRow { table: found, .. }) if found == table));
    }
}
