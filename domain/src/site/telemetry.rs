//! Connections, boots, heartbeats and events: what piles say about themselves, and what follows at once.

use super::{
    Answer, Handled, Received, Rejected, Turn,
    live::{OutletLive, Timer},
};
use crate::{
    fact::{Fact, StopCause},
    flow::{FlowWatch, Uncounted},
    ids::{OrderId, Outlet, PileId},
    messages::{
        Boot, BootConnector, Common, ConnectorReport, ConnectorStatus, Down, Event, EventKind, Heartbeat, PriceEntry,
        PriceMessage, TimeMessage, Up, UpMessage,
    },
    meter::{self, Rollback, Suspicion},
    order::{Order, State},
    pile::Make,
    rating::{Reading, SampleKeeper},
    tariff::Currency,
    time::Mono,
    units::Energy,
};

/// How often a pile is told the time, in milliseconds.
const TIME_EVERY_MS: u64 = 3_600_000;
/// How long after a lost connection it is judged whose doing it was, in milliseconds.
const DROP_VERDICT_MS: u64 = 45_000;
/// Faults of one connector within this time are one, in milliseconds: a heartbeat, an event and a record may all report it.
const SAME_FAULT_MS: u64 = 300_000;
/// Who fences piles off by rule.
const BY_RULE: &str = "holdfast";

impl Turn<'_> {
    pub(super) fn connected(&mut self, pile: &PileId) -> Handled {
        self.known_pile(pile)?;
        let now = self.now.mono;
        let presence = self.site.live.piles.entry(pile.clone()).or_default();
        presence.online_since = Some(now);
        presence.heard_at = Some(now);
        presence.prices_sent = None;
        Ok(Answer::Done)
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

    fn fence_off_if_sick(&mut self, pile: &PileId) {
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

    /// What every message tells: the pile is there, and how its clocks run.
    pub(super) fn heard(&mut self, pile: &PileId, message: &UpMessage) {
        let now = self.now;
        let presence = self.site.live.piles.entry(pile.clone()).or_default();
        presence.heard_at = Some(now.mono);
        let common = &message.common;
        if matches!(message.body, Up::Boot(_)) {
            presence.begin_boot(&common.boot_id);
        }
        // What is repeated until it is acknowledged may have been written long ago; these two speak of now.
        let live = matches!(message.body, Up::Boot(_) | Up::Heartbeat(_));
        if live && !presence.past_boots.contains(&common.boot_id) {
            presence
                .clock
                .measure(&common.boot_id, common.ts, common.mono_ms, now.wall);
        }
    }

    pub(super) fn boot(&mut self, pile: &PileId, common: &Common, boot: Boot) -> Received {
        let Boot {
            vendor,
            model,
            firmware,
            connectors,
        } = boot;
        let make = Make {
            vendor,
            model,
            firmware,
        };
        let known = self.site.rows.piles.get(pile);
        let known = known.expect("messages of unknown piles come no further than `message`");
        let same = known.boot_id.as_ref() == Some(&common.boot_id)
            && known.make == make
            && connectors.iter().all(|reported| {
                known.connectors.get(&reported.no).is_some_and(|connector| {
                    connector.power_max == Some(reported.max_kw) && connector.register == Some(reported.meter_kwh)
                })
            });
        // What the meter said before counts no more: it may be another meter.
        for reported in &connectors {
            let outlet = Outlet {
                pile: pile.clone(),
                connector: reported.no,
            };
            if let Some(live) = self.site.live.outlets.get_mut(&outlet) {
                live.report.meter_kwh = reported.meter_kwh;
            }
        }
        let lower = self.lower_registers(pile, &connectors);
        if !same {
            let (pile, boot_id) = (pile.clone(), common.boot_id.clone());
            self.journal(Fact::PileBooted {
                pile,
                boot_id,
                make,
                connectors,
            });
        }
        for (outlet, rollback) in lower {
            self.journal(Fact::RegisterRolledBack { outlet, rollback });
        }
        self.tell_time_and_prices(pile);
        self.resend_commands(pile);
        Received::ok()
    }

    /// Registers that a boot reports lower than they were known to be, where nobody charges: another meter, or one that
    /// ran backwards. A running session's record says it by itself.
    fn lower_registers(&self, pile: &PileId, reported: &[BootConnector]) -> Vec<(Outlet, Rollback)> {
        let outlet = |no| Outlet {
            pile: pile.clone(),
            connector: no,
        };
        let row = self.site.rows.piles.get(pile);
        let lower = reported.iter().filter_map(|one| {
            let outlet = outlet(one.no);
            let running = self.site.live.occupied.get(&outlet);
            let known = row?.connectors.get(&one.no)?;
            let before_it = running
                .and_then(|id| self.order(id))
                .filter(|order| self.site.rows.has_its_meter(order))
                .and_then(|order| order.baseline);
            let known = known.register.max(known.accounted).max(before_it)?;
            let rollback = Rollback {
                known,
                found: one.meter_kwh,
            };
            let idle = one.is_idle(running.is_some());
            (idle && rollback.found < known).then_some((outlet, rollback))
        });
        lower.collect()
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
        presence.clock.stale = true;
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

    pub(super) fn heartbeat(&mut self, pile: &PileId, common: &Common, heartbeat: Heartbeat) {
        let presence = self.site.live.piles.entry(pile.clone()).or_default();
        let older = presence.past_boots.contains(&common.boot_id)
            || presence
                .heartbeat
                .as_ref()
                .is_some_and(|(boot, seq)| *boot == common.boot_id && common.seq <= *seq);
        if older {
            self.ignore("heartbeat_out_of_order");
            return;
        }
        presence.begin_boot(&common.boot_id);
        presence.heartbeat = Some((common.boot_id.clone(), common.seq));
        for report in heartbeat.connectors {
            let outlet = Outlet {
                pile: pile.clone(),
                connector: report.no,
            };
            let known = self
                .site
                .rows
                .piles
                .get(pile)
                .is_some_and(|pile| pile.connectors.contains_key(&report.no));
            if known {
                self.report(&outlet, common, report);
            } else {
                self.ignore("unknown_connector");
            }
        }
    }

    fn report(&mut self, outlet: &Outlet, common: &Common, report: ConnectorReport) {
        self.note_faults(outlet, &report);
        let charging = report.status == ConnectorStatus::Charging;
        let named = report.order_id.clone();
        let order = self
            .site
            .live
            .occupied
            .get(outlet)
            .and_then(|id| self.order(id))
            .cloned();
        // A pile need not name the order it charges; an unnamed session does not confirm a start.
        let its_own = order.as_ref().is_some_and(|order| {
            let named_or_known = named
                .as_ref()
                .map_or(order.state == State::Charging, |id| *id == order.id);
            charging && named_or_known
        });
        let reading = Reading {
            at: self.now.wall,
            register: report.meter_kwh,
        };

        match &order {
            Some(order) if its_own && order.state == State::Place => {
                self.confirm_start(order, common);
            }
            Some(order) if its_own && order.deadline.is_some() => {
                self.journal(Fact::ChargingResumed {
                    order: order.id.clone(),
                });
            }
            _ => {}
        }
        self.keep_report(outlet, report, order.as_ref().filter(|_| its_own), reading);
        if let Some(order) = order.as_ref().filter(|order| order.state.occupies_connector()) {
            self.seen(&order.id);
        }
        match order {
            Some(order) if its_own => self.watch_limits(&order.id),
            Some(order) if order.state == State::Charging => self.watch_missing_record(outlet, &order),
            _ => {}
        }
        if charging && !its_own {
            self.stop_if_ended(outlet, named.as_ref());
        }
    }

    /// A pile that charges an order which has failed or ended is told to stop at once.
    fn stop_if_ended(&mut self, outlet: &Outlet, named: Option<&OrderId>) {
        let ended = named
            .and_then(|id| self.order(id))
            .filter(|order| order.outlet == *outlet && !order.state.occupies_connector());
        match ended.map(|order| order.id.clone()) {
            Some(id) => self.ask_to_stop(&id),
            None => self.ignore("charging_without_order"),
        }
    }

    fn keep_report(&mut self, outlet: &Outlet, report: ConnectorReport, order: Option<&Order>, reading: Reading) {
        let now = self.now;
        let power = self.power_of(outlet);
        let policy = self.policy();
        let (window_ms, pct) = (policy.fake_charging_window_ms, policy.fake_charging_pct);
        let rows = &self.site.rows;
        let live = self
            .site
            .live
            .outlets
            .entry(outlet.clone())
            .or_insert_with(|| OutletLive {
                report: report.clone(),
                as_of: now.wall,
                received: now.mono,
                order: None,
                readings: SampleKeeper::default(),
                soc_start: None,
                lost_since: None,
                flow: FlowWatch::default(),
            });
        // As it is now: its start may have been confirmed by this very report.
        let order = order.and_then(|order| rows.orders.get(&order.id)?.as_ref());
        let (mut impossible, mut uncounted) = (false, None);
        if let Some(order) = order {
            let tariff = rows.tariff_of(order);
            if live.order.as_ref() != Some(&order.id) {
                // Readings lost with an earlier run: what the order itself remembers of its start counts.
                let started = order.started.as_ref();
                let first = started.and_then(|started| {
                    Some(Reading {
                        at: started.at,
                        register: started.register?,
                    })
                });
                live.begin(&order.id, tariff, first);
            }
            live.lost_since = None;
            if let (None, Some(soc)) = (live.soc_start, report.soc_pct) {
                live.soc_start = Some((soc, now.wall));
            }
            impossible = live.readings.latest().is_some_and(|latest| {
                reading.register - latest.register > meter::possible(power, reading.at.ms_since(latest.at))
            });
            if !impossible {
                live.readings.push(tariff, reading);
            } else if live.readings.readings().len() == 1 {
                // Only what was known before the start: the meter went on meanwhile, and that gap is nobody's bill.
                live.begin(&order.id, tariff, Some(reading));
            }
        }
        if let Some(order) = order {
            let watts = report.voltage_v * report.current_a;
            let seen = live.flow.report(now.mono, watts, report.meter_kwh, window_ms, pct);
            let known = |suspicion: &Suspicion| matches!(suspicion, Suspicion::FakeCharging { .. });
            uncounted = seen
                .filter(|_| !order.suspicions.iter().any(known))
                .map(|seen| (order.id.clone(), seen));
        }
        live.report = report;
        live.as_of = now.wall;
        live.received = now.mono;
        if impossible {
            self.ignore("impossible_jump");
        }
        if let Some((order, Uncounted { claimed, counted })) = uncounted {
            let suspicion = Suspicion::FakeCharging { claimed, counted };
            self.journal(Fact::FakeChargingSeen { order, suspicion });
        }
    }

    /// Ends a session whose fee, energy, time or state of charge has reached its limit, and goes on asking.
    fn watch_limits(&mut self, id: &OrderId) {
        let Some(order) = self.order(id).filter(|order| order.state == State::Charging).cloned() else {
            return;
        };
        if order.stopping {
            self.ask_to_stop(id);
            return;
        }
        let Some(live) = self.site.live.outlets.get(&order.outlet) else {
            return;
        };
        let bill = live.bill_so_far(&order, &self.site.rows);
        let until = &order.until;
        let minutes = order
            .started
            .as_ref()
            .map(|started| self.now.mono.ms_since(started.mono) / 60_000);
        let energy = bill.as_ref().map_or(Energy::ZERO, |bill| bill.energy);
        let fee_reached = bill.as_ref().is_some_and(|bill| bill.fee >= order.limit_fee);
        let own_fee = until.fee.is_some_and(|fee| fee <= order.limit_fee);
        let own_limit = until.kwh.is_some_and(|kwh| energy >= kwh)
            || until
                .minutes
                .zip(minutes)
                .is_some_and(|(limit, passed)| passed >= u64::from(limit))
            || until
                .soc_pct
                .zip(live.report.soc_pct)
                .is_some_and(|(limit, soc)| soc >= f64::from(limit))
            || (fee_reached && own_fee);
        if own_limit {
            self.request_stop(&order, StopCause::LimitReached);
        } else if fee_reached {
            self.request_stop(&order, StopCause::FundsUsed);
        } else {
            self.raise_limit(id, energy);
        }
    }

    /// The pile is there and does not charge its order: the record should come by itself, then it is asked for, then an
    /// estimate takes its place.
    fn watch_missing_record(&mut self, outlet: &Outlet, order: &Order) {
        let now = self.now.mono;
        if let Some(deadline) = order.deadline.filter(|deadline| deadline.at <= now) {
            let presence = self.site.live.piles.get(&outlet.pile);
            let back = presence.and_then(|presence| presence.online_since);
            if back.is_some_and(|since| since >= deadline.at) {
                // The pile was gone when the record was overdue. It has a new chance now.
                self.charging_lost(order, now);
            }
            return;
        }
        let request_ms = self.policy().record_request_ms;
        if let Some(live) = self.site.live.outlets.get_mut(outlet)
            && order.deadline.is_none()
            && live.lost_since.is_none()
        {
            live.lost_since = Some(now);
            self.site
                .live
                .timers
                .insert((now.after_ms(request_ms), Timer::RecordMissing(outlet.clone())));
        }
    }

    /// The record has not come by itself.
    pub(super) fn record_missing(&mut self, outlet: &Outlet) {
        let request_ms = self.policy().record_request_ms;
        let online = self.site.live.is_online(&outlet.pile);
        let Some(live) = self.site.live.outlets.get_mut(outlet) else {
            return;
        };
        let Some(lost_since) = live.lost_since else { return };
        if !online {
            // Its next heartbeat begins the wait anew.
            live.lost_since = None;
            return;
        }
        let order = self
            .site
            .live
            .occupied
            .get(outlet)
            .and_then(|id| self.order(id))
            .cloned();
        let Some(order) = order.filter(|order| order.state == State::Charging && order.deadline.is_none()) else {
            return;
        };
        if self.now.mono.ms_since(lost_since) >= request_ms {
            self.charging_lost(&order, lost_since);
        }
    }

    fn charging_lost(&mut self, order: &Order, since: Mono) {
        let estimate_at = since.after_ms(self.policy().record_overdue_ms);
        self.journal(Fact::ChargingLost {
            order: order.id.clone(),
            estimate_at,
        });
        self.request_record_once(&order.id);
    }

    fn note_faults(&mut self, outlet: &Outlet, report: &ConnectorReport) {
        let reported = report.status == ConnectorStatus::Fault || !report.faults.is_empty();
        let known = self.is_faulted(outlet);
        if reported != known {
            let kind = if reported {
                EventKind::Fault
            } else {
                EventKind::FaultCleared
            };
            self.pile_event(outlet, kind, 0, report.faults.join("; "));
        }
    }

    fn is_faulted(&self, outlet: &Outlet) -> bool {
        let pile = self.site.rows.piles.get(&outlet.pile);
        pile.and_then(|pile| pile.connectors.get(&outlet.connector))
            .is_some_and(|connector| connector.faulted)
    }

    pub(super) fn pile_event(&mut self, outlet: &Outlet, kind: EventKind, code: i32, text: String) {
        self.journal(Fact::PileEvent {
            outlet: outlet.clone(),
            kind,
            code,
            text,
        });
        if kind == EventKind::Fault {
            self.fence_off_if_sick(&outlet.pile);
        }
    }

    /// A record that ends with a fault counts as one, unless the pile reported it by other means a moment ago.
    pub(super) fn note_fault_of_record(&mut self, outlet: &Outlet, code: u16, text: &str) {
        let now = self.now.mono;
        let lately = self
            .site
            .rows
            .piles
            .get(&outlet.pile)
            .is_some_and(|pile| pile.faults.last().is_some_and(|at| now.ms_since(*at) < SAME_FAULT_MS));
        if !lately {
            let cleared = !self.is_faulted(outlet);
            self.pile_event(outlet, EventKind::Fault, i32::from(code), text.to_owned());
            if cleared {
                self.pile_event(
                    outlet,
                    EventKind::FaultCleared,
                    0,
                    "the session that reported it is over".to_owned(),
                );
            }
        }
    }

    pub(super) fn event(&mut self, pile: &PileId, event: Event) -> Received {
        let Event {
            connector,
            kind,
            code,
            text,
        } = event;
        let outlet = Outlet {
            pile: pile.clone(),
            connector,
        };
        let known = self
            .site
            .rows
            .piles
            .get(pile)
            .is_some_and(|pile| pile.connectors.contains_key(&connector));
        if !known {
            self.ignore("unknown_connector");
            return Received::rejected(format!("pile has no connector {connector}"));
        }
        if kind != EventKind::Fault || !self.is_faulted(&outlet) {
            self.pile_event(&outlet, kind, code, text);
        }
        Received::ok()
    }

    pub(super) fn known_pile(&self, pile: &PileId) -> Result<(), Rejected> {
        match self.site.rows.piles.get(pile) {
            Some(row) if !row.removed => Ok(()),
            _ => Err(Rejected::UnknownPile(pile.clone())),
        }
    }

    pub(super) fn clock_trust(&mut self, trusted: bool) -> Handled {
        let before = std::mem::replace(&mut self.site.live.clock_trusted, trusted);
        if trusted && !before {
            let online: Vec<PileId> = self
                .site
                .live
                .piles
                .iter()
                .filter(|(_, presence)| presence.online_since.is_some())
                .map(|(pile, _)| pile.clone())
                .collect();
            for pile in online {
                self.tell_time_and_prices(&pile);
            }
        }
        Ok(Answer::Done)
    }
}
