//! Pages of the journal become batches, and go to head office.

use super::{Courier, Effect, Fetching, Page, Phase};
use domain::{
    journal::{Hash, Head},
    time::Mono,
};
use protocol::{frame::Batch, topic::Kind};

/// What becomes of a page.
pub(super) enum Cut {
    /// A batch, and the place of its last entry.
    Batch(Batch, Head),
    /// It must be fetched again with this many entries at most.
    TooLong(usize),
    /// Why it cannot be sent.
    Cannot(String),
}

impl Courier {
    /// Makes a batch of a page.
    pub(super) fn cut(&mut self, before: Head, page: &Page, limit: usize) -> Cut {
        let batch = match Batch::pack(before, &page.entries, page.signature, &mut self.packer) {
            Ok(batch) => batch,
            Err(error) => return Cut::Cannot(format!("the entries after {} cannot be sent: {error}", before.seq)),
        };
        if batch.body.len() > self.pace.batch_max() && page.entries.len() > 1 && limit > 1 {
            // The station gives whole steps, so what is still too long with a limit of one is a step that goes alone.
            return Cut::TooLong((page.entries.len() / 2).max(1));
        }
        let entries = page.entries.iter();
        let hash = entries.fold(before.hash, |hash, entry| Hash::seal(&hash, entry));
        let seq = batch.last();
        Cut::Batch(batch, Head { seq, hash })
    }

    pub(super) fn send(&mut self, now: Mono, page: &Page, limit: usize, effects: &mut Vec<Effect>) {
        let Some(before) = page.before.filter(|before| before.seq == self.sent.seq) else {
            return self.fetch_next(effects);
        };
        if before.hash != self.sent.hash {
            // Another journal than the one that was acknowledged: head office says what it is.
            self.progress.trouble = Some(format!(
                "entry {} of the station is another than the one that head office has",
                before.seq
            ));
        }
        let batch = match self.cut(before, page, limit) {
            Cut::Batch(batch, last) => {
                self.sent = last;
                batch
            }
            Cut::TooLong(limit) => return self.fetch(Fetching::Now { limit }, effects),
            Cut::Cannot(why) => {
                self.progress.trouble = Some(why);
                return self.stall(now);
            }
        };
        if self.pace.is_empty() {
            self.progress_at = now;
        }
        let last = batch.last();
        let bytes = batch.to_bytes();
        self.pace.sent(last, bytes.len(), now);
        effects.push(Effect::Send(Kind::Journal, bytes));
        if self.pace.has_room() {
            self.fetch_next(effects);
        } else {
            self.phase = Phase::Following(Fetching::Nothing);
        }
    }
}
