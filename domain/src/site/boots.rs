//! A pile has booted: what it says it is, and where its meters stand.
//! A register lower than it was known to be is found here, unless a session runs: then its record tells. A session that
//! the pile does not name any more is over.

use super::{Received, Turn, runs::Heard};
use crate::{
    fact::Fact,
    ids::{OrderId, Outlet, PileId},
    messages::{Boot, BootConnector, Common},
    meter::Rollback,
    pile::Make,
    planted::{Bug, is_planted},
};

fn outlet_of(pile: &PileId, reported: &BootConnector) -> Outlet {
    Outlet {
        pile: pile.clone(),
        connector: reported.no,
    }
}

impl Turn<'_> {
    pub(super) fn boot(&mut self, pile: &PileId, common: &Common, heard: Heard, boot: Boot) -> Received {
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
            if let Some(live) = self.site.live.outlets.get_mut(&outlet_of(pile, reported)) {
                live.report.meter_kwh = reported.meter_kwh;
            }
        }
        let lower = self.lower_registers(pile, &connectors);
        let sessions: Vec<(Outlet, Option<OrderId>)> = connectors
            .iter()
            .map(|one| (outlet_of(pile, one), one.order_id.clone()))
            .collect();
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
        // One that comes late says nothing of now.
        if heard != Heard::Late {
            for (outlet, named) in sessions {
                self.session_at_boot(&outlet, named.as_ref());
            }
        }
        Received::ok()
    }

    /// A pile that says it is in no session, or in another, is not charging its order: the record is asked for at once.
    fn session_at_boot(&mut self, outlet: &Outlet, named: Option<&OrderId>) {
        let order = self.charging_at(outlet);
        let Some(order) = order.filter(|_| !is_planted(Bug::HangInCharging)) else {
            return;
        };
        let now = self.now.mono;
        let waits = order.deadline.is_some_and(|deadline| deadline.at > now);
        if named == Some(&order.id) {
            self.goes_on(&order);
        } else if !waits {
            self.charging_lost(&order, now);
        }
    }

    /// Registers that a boot reports lower than they were known to be, where nobody charges: another meter, or one that
    /// ran backwards. A running session's record says it by itself.
    fn lower_registers(&self, pile: &PileId, reported: &[BootConnector]) -> Vec<(Outlet, Rollback)> {
        let row = self.site.rows.piles.get(pile);
        let lower = reported.iter().filter_map(|one| {
            let outlet = outlet_of(pile, one);
            let running = self.site.live.occupied.get(&outlet);
            let known = row?.connectors.get(&one.no)?;
            let before_it = running
                .and_then(|id| self.order(id))
                .filter(|order| self.site.rows.has_its_meter(order))
                .and_then(|order| order.baseline);
            let known = known.register.max(known.book.explained_to()).max(before_it)?;
            let rollback = Rollback {
                known,
                found: one.meter_kwh,
            };
            let idle = one.is_idle(running.is_some());
            (idle && rollback.found < known).then_some((outlet, rollback))
        });
        lower.collect()
    }
}
