//! A connector that charges without an order of ours: noted once an episode, shown while it lasts, stopped if the policy
//! says so. Whose energy it is nobody knows; the register tells how much it was.

use super::{Turn, live::UnorderedWatch};
use crate::{
    fact::Fact,
    ids::{CommandId, OrderId, Outlet},
    messages::{CommandKind, CommandMessage, ConnectorReport, Down},
    order::{Order, State},
    units::Energy,
};

/// From so many reports on it is no accident of timing between a stop and the next heartbeat …
const REPORTS_MIN: u32 = 3;
/// … and from this long on, in milliseconds.
const LASTS_MIN_MS: u64 = 30_000;
/// How long a stop is worth sending before another one takes its place, in milliseconds.
const STOP_TTL_MS: u64 = 60_000;
/// What a stop names where the pile names no session.
const UNNAMED: &str = "unordered";

impl Turn<'_> {
    /// Takes in a report of a connector that charges, and not for `here`, the order that occupies it if one does.
    pub(super) fn watch_unordered(&mut self, outlet: &Outlet, here: Option<&Order>, report: &ConnectorReport) {
        // A start that is not confirmed yet explains it for now, and so does a session that will come as a record.
        let explained = here.is_some_and(|order| order.state == State::Place)
            || self.policy().offline_sessions
                && report
                    .order_id
                    .as_ref()
                    .is_some_and(|id| id.is_offline_session_of(outlet));
        if explained {
            return;
        }
        self.ignore("charging_without_order");
        let now = self.now.mono;
        let Some(live) = self.site.live.outlets.get_mut(outlet) else {
            return;
        };
        let watch = live.unordered.get_or_insert(UnorderedWatch {
            since: now,
            register: report.meter_kwh,
            reports: 0,
            stop: None,
        });
        watch.reports = watch.reports.saturating_add(1);
        let lasts = watch.reports >= REPORTS_MIN && now.ms_since(watch.since) >= LASTS_MIN_MS;
        let register = watch.register;
        let told_to_stop = self.policy().stop_unordered;
        let known = self.is_unordered(outlet);
        if lasts && !known {
            self.journal(Fact::UnorderedCharging {
                outlet: outlet.clone(),
                register,
                named: report.order_id.clone(),
                told_to_stop,
            });
        }
        if told_to_stop && (lasts || known) {
            self.stop_unordered(outlet, report.order_id.as_ref());
        }
    }

    /// The connector does something else now.
    pub(super) fn end_unordered(&mut self, outlet: &Outlet, register: Energy) {
        if let Some(live) = self.site.live.outlets.get_mut(outlet) {
            live.unordered = None;
        }
        let connector = self.site.rows.connector(outlet);
        if let Some(from) = connector
            .and_then(|connector| connector.unordered.as_ref())
            .map(|seen| seen.from)
        {
            self.journal(Fact::UnorderedChargingEnded {
                outlet: outlet.clone(),
                from,
                to: register,
            });
        }
    }

    fn is_unordered(&self, outlet: &Outlet) -> bool {
        let connector = self.site.rows.connector(outlet);
        connector.is_some_and(|connector| connector.unordered.is_some())
    }

    /// Sends the stop that is still valid again, or another one: it may have been lost.
    fn stop_unordered(&mut self, outlet: &Outlet, named: Option<&OrderId>) {
        let now = self.now.mono;
        let named = named.cloned();
        let named = named.unwrap_or_else(|| OrderId::new(UNNAMED).expect("a plain word is within the rule for ids"));
        let watch = self.site.live.outlets.get_mut(outlet);
        let Some(watch) = watch.and_then(|live| live.unordered.as_mut()) else {
            return;
        };
        let valid = watch.stop.clone().filter(|(_, expires)| *expires > now);
        let (command_id, expires) = valid.unwrap_or_else(|| (stop_id(&named, now.0), now.after_ms(STOP_TTL_MS)));
        watch.stop = Some((command_id.clone(), expires));
        let command = CommandMessage {
            command_id,
            kind: CommandKind::Stop,
            ttl_ms: expires.ms_since(now),
            order_id: named,
            connector: outlet.connector,
            limit_fee: None,
            limit_kwh: None,
            prices: Vec::new(),
        };
        self.send(&outlet.pile, Down::Command(command));
    }

    /// Whether this is the answer to such a stop.
    pub(super) fn is_unordered_stop(&self, pile: &crate::ids::PileId, command: &CommandId) -> bool {
        self.site.live.outlets.range(pile.outlets()).any(|(_, live)| {
            let stop = live.unordered.as_ref().and_then(|watch| watch.stop.as_ref());
            stop.is_some_and(|(id, _)| id == command)
        })
    }
}

/// Elapsed time goes on over restarts, so no two have the same id.
fn stop_id(named: &OrderId, now: u64) -> CommandId {
    CommandId::new(format!("{named}:stop:{now}"))
        .or_else(|_| CommandId::new(format!("{UNNAMED}:stop:{now}")))
        .expect("a word and a number are within the rule for ids")
}
