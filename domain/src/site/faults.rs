//! Faults and other events of a connector, whichever message tells them: event, heartbeat, boot or record.
//! What they make of it is decided in [`crate::faults`]; here it is told and journaled.

use super::{Received, Turn};
use crate::{
    fact::Fact,
    faults::{Noted, Told},
    ids::{ConnectorNo, Outlet, PileId},
    messages::{Common, ConnectorReport, ConnectorStatus, Event, EventKind, StopReason},
    time::{Mono, Wall},
};

impl Turn<'_> {
    pub(super) fn event(&mut self, pile: &PileId, common: &Common, event: Event) -> Received {
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
        if self.site.rows.connector(&outlet).is_none() {
            self.ignore("unknown_connector");
            return Received::rejected(format!("pile has no connector {connector}"));
        }
        self.tell_fault(&outlet, Told::Event(kind), code, text);
        let presence = self.site.live.piles.get(pile);
        let is_earlier = presence.is_some_and(|presence| presence.runs.is_earlier(&common.boot_id));
        if is_earlier && matches!(kind, EventKind::Fault | EventKind::Estop) {
            // Kept by the pile while it was away: the boot since has been heard already, and would else not end it.
            self.tell_fault(&outlet, Told::NewBoot, 0, String::new());
        }
        Received::ok()
    }

    pub(super) fn note_faults(&mut self, outlet: &Outlet, report: &ConnectorReport) {
        let has_fault = report.status == ConnectorStatus::Fault || !report.faults.is_empty();
        self.tell_fault(outlet, Told::Heartbeat { has_fault }, 0, report.faults.join("; "));
    }

    /// The pile has begun anew, and its connectors with it.
    pub(super) fn note_new_boot(&mut self, pile: &PileId) {
        self.tell_of_all(pile, Told::NewBoot);
    }

    /// A person says that the pile works.
    pub(super) fn put_back_to_work(&mut self, pile: &PileId) {
        self.tell_of_all(pile, Told::PutBackToWork);
    }

    /// A record of a session that ended with a fault, at `stop`: it counts as one that nothing told before.
    pub(super) fn note_fault_of_record(&mut self, outlet: &Outlet, reason: &StopReason, stop: Wall) {
        let ago_ms = u64::try_from(self.now.wall.ms_since(stop)).unwrap_or(0);
        let ended = Mono(self.now.mono.0.saturating_sub(ago_ms));
        let told = Told::RecordReason { ended };
        self.tell_fault(outlet, told, i32::from(reason.code), reason.text.clone());
    }

    fn tell_of_all(&mut self, pile: &PileId, told: Told) {
        let row = self.site.rows.piles.get(pile);
        let connectors: Vec<ConnectorNo> = row.into_iter().flat_map(|row| row.connectors.keys().copied()).collect();
        for connector in connectors {
            let pile = pile.clone();
            self.tell_fault(&Outlet { pile, connector }, told, 0, String::new());
        }
    }

    fn tell_fault(&mut self, outlet: &Outlet, told: Told, code: i32, text: String) {
        let now = self.now.mono;
        let Some(connector) = self.site.rows.connector(outlet) else {
            return;
        };
        let watch = self.site.live.fault_watch.entry(outlet.clone()).or_default();
        let Some(noted) = connector.fault.note(watch, now, told) else {
            return;
        };
        let Noted {
            kind,
            told_by,
            counts,
            left_out,
        } = noted;
        self.journal(Fact::PileEvent {
            outlet: outlet.clone(),
            kind,
            code,
            text,
            told_by,
            counts,
            left_out,
        });
        if counts {
            self.fence_off_if_sick(&outlet.pile);
        }
    }
}
