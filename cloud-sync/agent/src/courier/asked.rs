//! What head office asks of a site besides its journal: questions that the station answers, and orders that somebody watches.

use super::{Courier, Effect};
use domain::{ids::OrderId, time::Mono};
use protocol::{
    read_through::{AnswerPart, Ask},
    topic::Kind,
};

/// The most questions that are answered at once.
const ASKED_MAX: usize = 4;
/// The most orders that are watched at once.
const WATCHED_MAX: usize = 32;
/// How long an order is watched after somebody last said so, in milliseconds.
pub(super) const WATCH_MS: u64 = 60_000;
/// The least time between two live frames of an order, in milliseconds.
pub(super) const LIVE_MS: u64 = 5_000;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Watched {
    pub(super) until: Mono,
    pub(super) sent_at: Option<Mono>,
    /// A frame that came too soon after the one before.
    pub(super) waiting: Option<Vec<u8>>,
}

impl Courier {
    pub(super) fn ask(&mut self, bytes: &[u8], effects: &mut Vec<Effect>) {
        match serde_json::from_slice::<Ask>(bytes) {
            Ok(ask) if self.asked.len() < ASKED_MAX => {
                self.asked.push(ask.id);
                effects.push(Effect::Get {
                    id: ask.id,
                    path: ask.what.path(),
                });
            }
            Ok(ask) => send_answer(
                ask.id,
                503,
                br#"{"detail":"it answers other questions: ask again"}"#,
                effects,
            ),
            Err(_) => self.progress.malformed += 1,
        }
    }

    pub(super) fn answered(&mut self, id: u64, status: u16, body: &[u8], effects: &mut Vec<Effect>) {
        let asked = self.asked.len();
        self.asked.retain(|other| *other != id);
        if self.asked.len() < asked {
            send_answer(id, status, body, effects);
        }
    }

    pub(super) fn watch(&mut self, now: Mono, bytes: &[u8], effects: &mut Vec<Effect>) {
        let Some(order) = std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.parse::<OrderId>().ok())
        else {
            self.progress.malformed += 1;
            return;
        };
        let until = now.after_ms(WATCH_MS);
        if let Some(watched) = self.watched.get_mut(&order) {
            watched.until = until;
        } else {
            // Head office has no more than so many watched at once: the one that it has gone on with least lately is one that nobody
            // watches any more.
            if self.watched.len() >= WATCHED_MAX
                && let Some(oldest) = self.watched.iter().min_by_key(|(_, watched)| watched.until)
            {
                let oldest = oldest.0.clone();
                self.watched.remove(&oldest);
                effects.push(Effect::Unwatch(oldest));
            }
            effects.push(Effect::Watch(order.clone()));
            self.watched.insert(
                order,
                Watched {
                    until,
                    sent_at: None,
                    waiting: None,
                },
            );
        }
    }

    pub(super) fn live(&mut self, now: Mono, order: &OrderId, frame: Vec<u8>, effects: &mut Vec<Effect>) {
        let Some(watched) = self.watched.get_mut(order) else {
            return;
        };
        if watched.sent_at.is_some_and(|sent| now < sent.after_ms(LIVE_MS)) {
            watched.waiting = Some(frame);
        } else {
            watched.sent_at = Some(now);
            effects.push(Effect::Send(Kind::Live, frame));
        }
    }

    /// Ends what nobody watches any more, and sends the frames whose time has come.
    pub(super) fn watch_on(&mut self, now: Mono, effects: &mut Vec<Effect>) {
        self.watched.retain(|order, watched| {
            let is_watched = now < watched.until;
            if !is_watched {
                effects.push(Effect::Unwatch(order.clone()));
            }
            is_watched
        });
        for watched in self.watched.values_mut() {
            if watched.sent_at.is_none_or(|sent| now >= sent.after_ms(LIVE_MS))
                && let Some(frame) = watched.waiting.take()
            {
                watched.sent_at = Some(now);
                effects.push(Effect::Send(Kind::Live, frame));
            }
        }
    }
}

fn send_answer(id: u64, status: u16, body: &[u8], effects: &mut Vec<Effect>) {
    let too_large = br#"{"detail":"the answer is too long for the line"}"#;
    let parts = AnswerPart::split(id, status, body).or_else(|_| AnswerPart::split(id, 413, too_large));
    let parts = parts.expect("a short answer fits");
    effects.extend(parts.iter().map(|part| Effect::Send(Kind::Answer, part.to_bytes())));
}
