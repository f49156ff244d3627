//! What one pile may have written into the journal in a business day, and what is taken of it beyond that: what an order
//! that runs there needs, and records. Decision 0022 says why.

use super::{Received, Rejected, Turn};
use crate::{
    fact::Fact,
    ids::{Outlet, PileId},
    messages::{Event, Heartbeat},
    order::Order,
    planted::{Bug, is_planted},
};
use std::io;

/// Beyond its budget a pile's heartbeats are looked at so often and no more, in milliseconds: contract v1 asks for one
/// every 15 s while a car charges, and orders go on being watched by them.
const HEARTBEAT_EVERY_MS: u64 = 10_000;
/// Sessions that a pile ran alone are billed up to so many times the budget, whatever else it said; then they wait for the
/// next day.
const OFFLINE_BUDGETS: u64 = 2;
/// For so long after it was placed an order that failed is stopped beyond the budget, should it charge after all: there are
/// no new ones, and no end of old ones that a pile may speak of.
const LATE_START_MS: u64 = 3_600_000;
/// Who ends it with the day.
const NOBODY: Option<String> = None;

impl Turn<'_> {
    /// Counts what this input has had journaled since the fact at `from`, for the pile that it came from.
    pub(super) fn charge(&mut self, pile: &PileId, from: usize) {
        let bytes: u64 = self.outcome.facts[from..]
            .iter()
            .map(|(_, fact)| written_bytes(fact))
            .sum();
        if bytes == 0 || is_planted(Bug::NoJournalBudget) {
            return;
        }
        let Some(row) = self.site.rows.piles.get(pile) else {
            return;
        };
        let is_spent = row.budget_spent.is_some();
        let most = self.policy().journal_bytes_max;
        let presence = self.site.live.presence_mut(pile, &self.site.rows);
        presence.journaled = presence.journaled.saturating_add(bytes);
        let bytes = presence.journaled;
        if bytes > most && !is_spent {
            let pile = pile.clone();
            self.journal(Fact::PileBudgetSpent { pile, bytes });
        }
    }

    /// A day has begun: every pile may say as much again.
    pub(super) fn renew_budgets(&mut self) {
        for presence in self.site.live.piles.values_mut() {
            presence.journaled = 0;
        }
        let spent = self.site.rows.piles.values().filter(|row| row.budget_spent.is_some());
        let spent: Vec<PileId> = spent.map(|row| row.id.clone()).collect();
        for pile in spent {
            self.journal(Fact::PileBudgetRenewed { pile, by: NOBODY });
        }
    }

    /// A person lets the pile say as much again.
    pub(super) fn renew_budget(&mut self, pile: &PileId, by: &str) {
        if let Some(presence) = self.site.live.piles.get_mut(pile) {
            presence.journaled = 0;
        }
        if self.has_spent_budget(pile) {
            let (pile, by) = (pile.clone(), Some(by.to_owned()));
            self.journal(Fact::PileBudgetRenewed { pile, by });
        }
    }

    /// Whether a pile has had so much journaled that of what it says only that counts which money needs.
    pub(super) fn has_spent_budget(&self, pile: &PileId) -> bool {
        let row = self.site.rows.piles.get(pile);
        row.is_some_and(|row| row.budget_spent.is_some())
    }

    /// Leaves of a heartbeat what is said of connectors at which an order runs. Says whether it is looked at.
    pub(super) fn heartbeat_beyond_budget(&mut self, pile: &PileId, heartbeat: &mut Heartbeat) -> bool {
        let now = self.now.mono;
        let presence = self.site.live.presence_mut(pile, &self.site.rows);
        presence.heard_at = Some(now);
        let is_early = presence
            .looked_at
            .is_some_and(|before| now.ms_since(before) < HEARTBEAT_EVERY_MS);
        if is_early {
            self.ignore("over_budget");
            return false;
        }
        presence.looked_at = Some(now);
        let occupied = &self.site.live.occupied;
        heartbeat.connectors.retain(|report| {
            let (pile, connector) = (pile.clone(), report.no);
            occupied.contains_key(&Outlet { pile, connector })
        });
        true
    }

    /// A boot is not taken: its connectors go by what was known before, and it is told the time, the prices and what is still
    /// to be done.
    pub(super) fn boot_beyond_budget(&mut self, pile: &PileId) -> Received {
        self.ignore("over_budget");
        self.tell_time_and_prices(pile);
        self.resend_commands(pile);
        self.refused_beyond_budget(pile)
    }

    /// An event is not journaled. What it says of a fault is remembered until heartbeats count again: they end it, or show it.
    pub(super) fn event_beyond_budget(&mut self, pile: &PileId, event: &Event) -> Received {
        self.ignore("over_budget");
        let (pile_id, connector) = (pile.clone(), event.connector);
        let outlet = Outlet {
            pile: pile_id,
            connector,
        };
        if self.site.rows.connector(&outlet).is_some() {
            let watch = self.site.live.fault_watch.entry(outlet).or_default();
            watch.pass_over(event.kind);
        }
        self.refused_beyond_budget(pile)
    }

    /// Whether a start that was confirmed too late is answered by a stop.
    pub(super) fn may_stop_late(&self, order: &Order) -> bool {
        let now = self.now.mono;
        let is_recent = order.placed.is_some_and(|placed| now.ms_since(placed) < LATE_START_MS);
        is_recent || !self.has_spent_budget(&order.outlet.pile)
    }

    fn refused_beyond_budget(&self, pile: &PileId) -> Received {
        let row = self.site.rows.piles.get(pile);
        let why = row.and_then(|row| row.fenced_off()).map(|fenced| fenced.reason);
        Received::rejected(why.unwrap_or_default())
    }

    /// Whether the record of a session that nobody ordered may make an order. What may not is not acknowledged: the pile
    /// keeps it, and has room for it the next day.
    pub(super) fn check_budget_for_offline_session(&mut self, pile: &PileId) -> Result<(), Rejected> {
        let most = self.policy().journal_bytes_max;
        let presence = self.site.live.presence_mut(pile, &self.site.rows);
        let written = presence.journaled;
        if !self.has_spent_budget(pile) || written <= most.saturating_mul(OFFLINE_BUDGETS) {
            return Ok(());
        }
        self.ignore("over_budget");
        let pile = pile.clone();
        Err(Rejected::JournalBudgetSpent { pile, written, most })
    }
}

/// How many bytes a fact takes in the journal, but for what is the same of every entry.
fn written_bytes(fact: &Fact) -> u64 {
    struct Count(u64);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, fact).expect("facts have string keys, and counting does not fail");
    count.0
}
