//! Telemetry since it was last written: what connectors last said, and the samples of their curves.

use crate::store::{Batch, SampleRow};
use domain::{
    ids::{Outlet, PileId},
    messages::{ConnectorReport, Up},
    site::{Input, Site},
    time::{Mono, Now},
    topics::UpKind,
};
use std::collections::{BTreeSet, VecDeque};

/// How often telemetry is written if nothing else is, in milliseconds of elapsed station time.
const EVERY_MS: u64 = 30_000;

/// What is kept of a pile's message for after the decision.
pub(super) struct Said {
    pub(super) pile: PileId,
    /// `None`: its topic names none.
    pub(super) kind: Option<UpKind>,
    /// Of a heartbeat.
    pub(super) reports: Vec<ConnectorReport>,
}

impl Said {
    pub(super) fn of(input: &Input) -> Option<Self> {
        match input {
            Input::Message { pile, message } => Some(Self {
                pile: pile.clone(),
                kind: Some(match &message.body {
                    Up::Boot(_) => UpKind::Boot,
                    Up::Heartbeat(_) => UpKind::Heartbeat,
                    Up::Reply(_) => UpKind::Reply,
                    Up::Record(_) => UpKind::Record,
                    Up::Event(_) => UpKind::Event,
                    Up::Card(_) => UpKind::Card,
                }),
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

/// So many samples are written at once, and no sooner does a crowded station write: a commit that takes long delays whoever
/// waits for the next one.
pub(super) const SAMPLES_AT_ONCE: usize = 256;
/// So many go along with a commit that somebody waits for.
pub(super) const SAMPLES_WITH_FACTS: usize = 32;

/// Telemetry that is in memory only. A crash loses at most [`EVERY_MS`] of it.
#[derive(Default)]
pub(super) struct Telemetry {
    /// Connectors whose last word is not on disk, oldest first.
    outlets: VecDeque<Outlet>,
    listed: BTreeSet<Outlet>,
    samples: VecDeque<SampleRow>,
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
            if self.listed.insert(outlet.clone()) {
                self.outlets.push_back(outlet.clone());
            }
            self.samples.push_back(SampleRow {
                at: now.wall,
                outlet,
                report,
            });
        }
        if self.samples.len() >= SAMPLES_AT_ONCE {
            self.due = Some(now.mono);
        } else if self.due.is_none() && !self.samples.is_empty() {
            self.due = Some(now.mono.after_ms(EVERY_MS));
        }
    }

    /// When it must be written, by elapsed time.
    pub(super) fn due(&self) -> Option<Mono> {
        self.due
    }

    /// Goes along with a commit: the oldest of it, so many samples and connectors at most.
    pub(super) fn move_to(&mut self, batch: &mut Batch, site: &Site, most: usize) {
        for outlet in self.outlets.drain(..most.min(self.outlets.len())) {
            self.listed.remove(&outlet);
            if let Some(live) = site.outlet(&outlet) {
                batch.live.push((outlet, live.clone()));
            }
        }
        batch.samples.extend(self.samples.drain(..most.min(self.samples.len())));
        // What is left is written next, or becomes due with what comes.
        if self.samples.is_empty() && self.outlets.is_empty() {
            self.due = None;
        }
    }
}
