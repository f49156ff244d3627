//! A pile has booted: what it says it is, and where its meters stand.
//! A register lower than it was known to be is found here, unless a session runs: then its record tells. A session that
//! the pile does not name any more is over.

use super::{Received, Turn, runs::Heard};
use crate::{
    fact::Fact,
    ids::{ConnectorNo, OrderId, Outlet, PileId},
    messages::{Boot, BootConnector, Common},
    meter::Rollback,
    pile::Make,
    planted::{Bug, is_planted},
    plausible::Source,
    resolution::is_well_below,
};

fn outlet_of(pile: &PileId, reported: &BootConnector) -> Outlet {
    Outlet {
        pile: pile.clone(),
        connector: reported.no,
    }
}

impl Turn<'_> {
    pub(super) fn boot(&mut self, pile: &PileId, common: &Common, heard: Heard, boot: Boot) -> Received {
        if let Some(fault) = boot.fault() {
            // What it says of its connectors is not taken; what runs there goes on by what was known before.
            self.tell_time_and_prices(pile);
            self.resend_commands(pile);
            return Received::rejected(fault);
        }
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
        let is_new = known.boot_id.as_ref() != Some(&common.boot_id);
        let same = !is_new
            && known.make == make
            && connectors.iter().all(|reported| {
                let connector = self.site.rows.connector(&outlet_of(pile, reported));
                connector.is_some_and(|connector| {
                    let same_power = reported.max_kw.is_none() || connector.power_max == reported.max_kw;
                    same_power && connector.register == Some(reported.meter_kwh)
                })
            });
        let lower = self.lower_registers(pile, &connectors);
        let doubted = self.read_registers(pile, &connectors, &lower);
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
                doubted,
            });
        }
        if is_new {
            self.note_new_boot(pile);
        }
        for (outlet, Rollback { known, found }) in lower {
            self.register_moved(&outlet, known, found);
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

    /// Takes the registers that a boot reports; returns the connectors whose one is not believed. A lower one is another
    /// meter's for all that is known, and its own story.
    fn read_registers(
        &mut self,
        pile: &PileId,
        reported: &[BootConnector],
        lower: &[(Outlet, Rollback)],
    ) -> Vec<ConnectorNo> {
        let mut doubted = Vec::new();
        let now = self.now;
        for one in reported {
            let outlet = outlet_of(pile, one);
            if lower.iter().any(|(at, _)| *at == outlet) {
                self.forget_idle(&outlet);
                let site = &mut *self.site;
                let watch = site.live.register_watch(&outlet, &site.rows, now);
                watch.begin_another(now.mono, one.meter_kwh);
            } else if !self.read_register(&outlet, one.meter_kwh, Source::Boot).is_believed() {
                doubted.push(one.no);
                continue;
            }
            let believed = self.believed_register(&outlet);
            if let Some(live) = self.site.live.outlets.get_mut(&outlet) {
                live.report.meter_kwh = believed.unwrap_or(one.meter_kwh);
            }
        }
        doubted
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
        let lower = reported.iter().filter_map(|one| {
            let outlet = outlet_of(pile, one);
            let running = self.site.live.occupied.get(&outlet);
            let known = self.site.rows.connector(&outlet)?;
            let before_it = running
                .and_then(|id| self.order(id))
                .filter(|order| self.site.rows.has_its_meter(order))
                .and_then(|order| order.baseline);
            let known = known.register.max(known.book.reached()).max(before_it)?;
            // What a record or a bill said is no more than the pile itself has said since; one that was not heard since the
            // station started has said nothing.
            let heard = self.site.live.outlets.contains_key(&outlet);
            let heard = heard.then(|| self.site.live.last_known_register(&outlet, &self.site.rows));
            let known = heard.flatten().map_or(known, |heard| known.min(heard));
            let rollback = Rollback {
                known,
                found: one.meter_kwh,
            };
            let idle = one.is_idle(running.is_some());
            (idle && is_well_below(known, rollback.found)).then_some((outlet, rollback))
        });
        lower.collect()
    }
}
