//! A journal that is not the one that head office follows is offered, so that people can see what it says before they say which one
//! lives (decision 0034).

use super::{Courier, Effect, Page, Phase};
use domain::{
    journal::{Hash, Head},
    time::Mono,
};
use protocol::{
    frame::{BATCH_ENTRIES_MAX, Batch},
    topic::Kind,
};

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

    /// Offers the journal from where it got to, as much of it as may go ahead: nothing of it is acknowledged before people have said
    /// which branch lives, and the answer to the next hello says that the line has carried it.
    pub(super) fn offer(&mut self, effects: &mut Vec<Effect>) {
        if let Phase::Greeting { .. } | Phase::Following(_) = self.phase {
            self.pace.clear();
            self.fetch_to_offer(BATCH_ENTRIES_MAX, effects);
        }
    }

    /// Nothing says whether head office could keep what was offered. Where its database was restored to before it acknowledged what the
    /// station goes by, it knows nothing of that place: so on the third connection on which it follows another journal, the sixth, the
    /// twelfth and so on all of the journal is offered.
    fn offers_from(&self) -> Head {
        let thirds = self.forked_on / 3;
        match self.forked_on % 3 == 0 && thirds.is_power_of_two() {
            true => self.begins_after,
            false => self.in_common,
        }
    }

    fn fetch_to_offer(&mut self, limit: usize, effects: &mut Vec<Effect>) {
        let after = self.offered.unwrap_or(self.offers_from()).seq;
        self.phase = Phase::Offering { limit };
        effects.push(Effect::Fetch {
            after,
            limit,
            wait: false,
        });
    }

    pub(super) fn offer_page(&mut self, now: Mono, page: &Page, limit: usize, effects: &mut Vec<Effect>) {
        self.progress.head = page.head;
        let from = self.offered.unwrap_or(self.offers_from());
        let Some(before) = page.before.filter(|before| before.seq == from.seq) else {
            // It was restored meanwhile, or has no more what both had.
            self.offered = None;
            return self.stall(now);
        };
        if page.entries.is_empty() {
            return self.stall(now);
        }
        match self.cut(before, page, limit) {
            Cut::Batch(batch, last) => {
                self.offered = Some(last);
                let bytes = batch.to_bytes();
                self.pace.offered(bytes.len(), now);
                effects.push(Effect::Send(Kind::Journal, bytes));
                match self.pace.may_offer() {
                    true => self.fetch_to_offer(BATCH_ENTRIES_MAX, effects),
                    false => self.greet(now, effects),
                }
            }
            Cut::TooLong(limit) => self.fetch_to_offer(limit, effects),
            Cut::Cannot(why) => {
                self.progress.trouble = Some(why);
                self.stall(now);
            }
        }
    }
}
