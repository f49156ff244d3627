//! Whether piles are there, how their clocks run, and what they are told of time and prices.
//! A pile that drops too often while others stay connected, or reports too many faults, is fenced off by rule.

use super::{Answer, Handled, Rejected, Turn, live::Timer, runs::Heard};
use crate::{
    fact::Fact,
    ids::{OrderId, Outlet, PileId},
    messages::{Down, PriceEntry, PriceMessage, TimeMessage, Up, UpMessage},
    pile::BY_RULE,
    tariff::Currency,
};

/// How often a pile is told the time, in milliseconds.
const TIME_EVERY_MS: u64 = 3_600_000;
/// How long after a lost connection it is judged whose doing it was, in milliseconds.
const DROP_VERDICT_MS: u64 = 45_000;

impl Turn<'_> {
    pub(super) fn known_pile(&self, pile: &PileId) -> Result<(), Rejected> {
        match self.site.rows.piles.get(pile) {
            Some(row) if !row.removed => Ok(()),
            _ => Err(Rejected::UnknownPile(pile.clone())),
        }
    }

    pub(super) fn connected(&mut self, pile: &PileId) -> Handled {
        self.known_pile(pile)?;
        let now = self.now.mono;
        let presence = self.site.live.presence_mut(pile, &self.site.rows);
        presence.online_since = Some(now);
        presence.heard_at = Some(now);
        presence.prices_sent = None;
        let here = self.site.live.occupied.range(pile.outlets());
        let here: Vec<Outlet> = here.map(|(outlet, _)| outlet.clone()).collect();
        for outlet in here {
            self.watch_silence(&outlet, now);
        }
        Ok(Answer::Done)
    }

    /// It is connected anew, or another device has its identity: where that goes on, people are told.
    pub(super) fn taken_over(&mut self, pile: &PileId) -> Handled {
        let now = self.now.mono;
        if let Some(presence) = self.site.live.piles.get_mut(pile)
            && presence.runs.taken_over(now)
        {
            presence.two_devices = Some(now);
        }
        self.disconnected(pile, false)
    }

    pub(super) fn disconnected(&mut self, pile: &PileId, dropped: bool) -> Handled {
        let now = self.now.mono;
        let Some(presence) = self.site.live.piles.get_mut(pile) else {
            return Ok(Answer::Done);
        };
        presence.online_since = None;
        // A pile that flaps while the verdict is pending has dropped once.
        if dropped && presence.dropped_at.is_none() {
            presence.dropped_at = Some(now);
            self.site
                .live
                .timers
                .insert((now.after_ms(DROP_VERDICT_MS), Timer::DropVerdict(pile.clone())));
        }
        let here: Vec<OrderId> = self
            .site
            .live
            .occupied
            .range(pile.outlets())
            .map(|(_, order)| order.clone())
            .collect();
        for order in here {
            self.seen(&order);
        }
        Ok(Answer::Done)
    }

    /// A drop counts against the pile if another pile stayed connected throughout: then the network did not fail.
    pub(super) fn judge_drop(&mut self, pile: &PileId) {
        let Some(dropped_at) = self
            .site
            .live
            .piles
            .get_mut(pile)
            .and_then(|presence| presence.dropped_at.take())
        else {
            return;
        };
        let another_stayed =
            self.site.live.piles.iter().any(|(other, presence)| {
                other != pile && presence.online_since.is_some_and(|since| since <= dropped_at)
            });
        if another_stayed && self.site.rows.piles.contains_key(pile) {
            self.journal(Fact::PileDropped {
                pile: pile.clone(),
                at: dropped_at,
            });
            self.fence_off_if_sick(pile);
        }
    }

    pub(super) fn fence_off_if_sick(&mut self, pile: &PileId) {
        let policy = self.policy();
        let Some(row) = self.site.rows.piles.get(pile).filter(|row| row.maintenance.is_none()) else {
            return;
        };
        let sick = row.is_sick(
            self.now.mono,
            policy.faults_max,
            policy.drops_max,
            policy.sick_window_ms,
        );
        if let Some(reason) = sick {
            let by = BY_RULE.to_owned();
            self.journal(Fact::MaintenanceSet {
                pile: pile.clone(),
                reason: Some(reason),
                by,
            });
        }
    }

    /// What every message tells: the pile is there, how its clocks run, and whether it has restarted.
    pub(super) fn heard(&mut self, pile: &PileId, message: &UpMessage) -> Heard {
        let now = self.now;
        let presence = self.site.live.presence_mut(pile, &self.site.rows);
        presence.heard_at = Some(now.mono);
        let common = &message.common;
        let is_boot = matches!(message.body, Up::Boot(_));
        // What is repeated until it is acknowledged may have been written long ago; these two speak of now.
        if !is_boot && !matches!(message.body, Up::Heartbeat(_)) {
            return Heard::Late;
        }
        let (heard, two_devices) = presence.runs.hear(common, is_boot, now.mono);
        if two_devices {
            presence.two_devices = Some(now.mono);
        }
        let (boot_id, ts, mono_ms) = (&common.boot_id, common.ts, common.mono_ms);
        let measured = match heard {
            Heard::Late => false,
            Heard::Live => presence.clock.measure(boot_id, ts, mono_ms, now.wall),
            Heard::BegunAnew => presence.clock.restarted(boot_id, ts, mono_ms, now.wall),
        };
        let moved = presence.clock.take_move();
        if measured {
            let clocks = presence.clock.clocks().clone();
            let pile = pile.clone();
            self.journal(Fact::PileClocksMeasured { pile, clocks });
        }
        if let Some(by_ms) = moved {
            self.clock_move_found(pile, by_ms);
        }
        if heard == Heard::BegunAnew {
            self.journal(Fact::PileRestarted {
                pile: pile.clone(),
                boot_id: common.boot_id.clone(),
            });
            self.note_new_boot(pile);
        }
        heard
    }

    /// `time` while the station's clock is trusted, `price` where it is not the one already sent.
    pub(super) fn tell_time_and_prices(&mut self, pile: &PileId) {
        let now = self.now;
        let trusted = self.site.live.clock_trusted;
        let live = &mut self.site.live;
        let Some(presence) = live.piles.get_mut(pile) else {
            return;
        };
        if presence.online_since.is_none() {
            return;
        }
        let due = now.mono.after_ms(TIME_EVERY_MS);
        if let Some(before) = presence.time_due.replace(due) {
            live.timers.remove(&(before, Timer::Time(pile.clone())));
        }
        live.timers.insert((due, Timer::Time(pile.clone())));
        // Clocks drift, and a pile that is told the time follows it.
        presence.clock.renew();
        if trusted {
            self.send(pile, Down::Time(TimeMessage { ts: now.wall }));
        }
        self.tell_prices(pile);
    }

    pub(super) fn tell_prices(&mut self, pile: &PileId) {
        let Ok(tariff) = self.tariff_in_force() else { return };
        let prices = tariff
            .day_table(self.now.wall)
            .into_iter()
            .map(PriceEntry::from)
            .collect();
        let Currency::Cny = tariff.spec().currency;
        let message = PriceMessage {
            currency: "CNY".to_owned(),
            tariff: tariff.spec().id.clone(),
            prices,
        };
        if let Some(presence) = self.site.live.piles.get_mut(pile)
            && presence.prices_sent.as_ref() != Some(&message)
        {
            presence.prices_sent = Some(message.clone());
            self.send(pile, Down::Price(message));
        }
    }
}
