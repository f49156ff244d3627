//! Faults and other events of a connector, whichever message reports them: event, heartbeat or record.
//! One fault that is reported by several of them is noted once.

use super::{Received, Turn};
use crate::{
    fact::Fact,
    ids::{Outlet, PileId},
    messages::{ConnectorReport, ConnectorStatus, Event, EventKind},
};

/// Faults of one connector within this time are one, in milliseconds: a heartbeat, an event and a record may all report it.
const SAME_FAULT_MS: u64 = 300_000;

impl Turn<'_> {
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

    pub(super) fn note_faults(&mut self, outlet: &Outlet, report: &ConnectorReport) {
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

    fn is_faulted(&self, outlet: &Outlet) -> bool {
        let pile = self.site.rows.piles.get(&outlet.pile);
        pile.and_then(|pile| pile.connectors.get(&outlet.connector))
            .is_some_and(|connector| connector.faulted)
    }
}
