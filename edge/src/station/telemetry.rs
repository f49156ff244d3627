//! Telemetry since it was last written: what connectors last said, and the samples of their curves.

use crate::store::{Batch, SampleRow};
use domain::{
    ids::{Outlet, PileId},
    messages::{ConnectorReport, Up},
    site::{Input, Site},
    time::{Mono, Now},
    topics::UpKind,
};
use std::collections::BTreeSet;

/// How often telemetry is written if nothing else is, in milliseconds of elapsed station time.
const EVERY_MS: u64 = 30_000;

/// What is kept of a pile's message for after the decision.
pub(super) struct Said {
    pub(super) pile: PileId,
    pub(super) kind: UpKind,
    /// Of a heartbeat.
    pub(super) reports: Vec<ConnectorReport>,
}

impl Said {
    pub(super) fn of(input: &Input) -> Option<Self> {
        match input {
            Input::Message { pile, message } => Some(Self {
                pile: pile.clone(),
                kind: match &message.body {
                    Up::Boot(_) => UpKind::Boot,
                    Up::Heartbeat(_) => UpKind::Heartbeat,
                    Up::Reply(_) => UpKind::Reply,
                    Up::Record(_) => UpKind::Record,
                    Up::Event(_) => UpKind::Event,
                    Up::Card(_) => UpKind::Card,
                },
                reports: match &message.body {
                    Up::Heartbeat(heartbeat) => heartbeat.connectors.clone(),
                    _ => Vec::new(),
                },
            }),
            Input::Unreadable { pile, kind, .. } => Some(Self {
                pile: pile.clone(),
                kind: *kind,
                reports: Vec::new(),
            }),
            _ => None,
        }
    }
}

/// Telemetry that is in memory only. A crash loses at most [`EVERY_MS`] of it.
#[derive(Default)]
pub(super) struct Telemetry {
    outlets: BTreeSet<Outlet>,
    samples: Vec<SampleRow>,
    due: Option<Mono>,
}

impl Telemetry {
    /// Keeps what a heartbeat reported, where it was taken: of a connector that is known, and not from the past.
    pub(super) fn note(&mut self, site: &Site, pile: &PileId, reports: Vec<ConnectorReport>, now: Now) {
        if !site.keeps_telemetry() {
            return;
        }
        let known = site.rows().piles.get(pile).filter(|pile| !pile.removed);
        for report in reports {
            let outlet = Outlet {
                pile: pile.clone(),
                connector: report.no,
            };
            let is_known = known.is_some_and(|pile| pile.connectors.contains_key(&report.no));
            let taken = site.outlet(&outlet).is_some_and(|live| live.received == now.mono);
            if !is_known || !taken {
                continue;
            }
            self.outlets.insert(outlet.clone());
            self.samples.push(SampleRow {
                at: now.wall,
                outlet,
                report,
            });
        }
        if self.due.is_none() && !self.outlets.is_empty() {
            self.due = Some(now.mono.after_ms(EVERY_MS));
        }
    }

    /// When it must be written, by elapsed time, if nothing is written before.
    pub(super) fn due(&self) -> Option<Mono> {
        self.due
    }

    /// Goes along with a commit.
    pub(super) fn move_to(&mut self, batch: &mut Batch, site: &Site) {
        let outlets = std::mem::take(&mut self.outlets);
        batch.live.extend(outlets.into_iter().filter_map(|outlet| {
            let live = site.outlet(&outlet)?.clone();
            Some((outlet, live))
        }));
        batch.samples = std::mem::take(&mut self.samples);
        self.due = None;
    }
}
