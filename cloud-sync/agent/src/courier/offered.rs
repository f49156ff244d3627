//! A journal that is not the one that head office follows is offered, so that people can see what it says before they say which one
//! lives (decision 0034).

use super::{Courier, Effect, Page, Phase, sending::Cut};
use domain::{journal::Head, time::Mono};
use protocol::{frame::BATCH_ENTRIES_MAX, topic::Kind};

impl Courier {
    /// Offers the journal from where it got to, as much of it as may go ahead: nothing of it is acknowledged before people have said
    /// which branch lives, and the answer to the next hello says that the line has carried it.
    pub(super) fn offer(&mut self, effects: &mut Vec<Effect>) {
        if let Phase::Greeting { .. } | Phase::Following(_) = self.phase {
            self.pace.clear();
            self.fetch_to_offer(BATCH_ENTRIES_MAX, effects);
        }
    }

    /// Nothing says whether head office could keep what was offered. Where its database was restored to before it acknowledged what the
    /// station goes by, it knows nothing of that place: so the third time that it follows another journal, the sixth, the twelfth and so
    /// on all of the journal is offered. A connection is a time, and so are ten minutes of one that stands.
    pub(super) fn offers_all(&self) -> bool {
        let thirds = self.forked_on / 3;
        self.forked_on.is_multiple_of(3) && thirds.is_power_of_two()
    }

    fn offers_from(&self) -> Head {
        match self.offers_all() {
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
