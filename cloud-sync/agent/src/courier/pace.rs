//! How much of the journal goes on the line ahead of what head office has acknowledged: little at first on each connection, and more
//! where the line carries it quickly. Whatever is on the line stands before the next ping and the next answer.

use super::WINDOW;
use domain::time::Mono;
use protocol::frame::BATCH_PACKED_MAX;
use std::collections::VecDeque;

/// What goes ahead at first, in bytes.
const AHEAD_FIRST: usize = 64 * 1_024;
/// The least and the most that goes ahead.
const AHEAD: [usize; 2] = [16 * 1_024, WINDOW * BATCH_PACKED_MAX];
/// What was acknowledged within this time was carried quickly, in milliseconds: head office acknowledges twice a second.
const QUICK_MS: u64 = 2_000;
/// And slowly, beyond this.
const SLOW_MS: u64 = 10_000;
/// The thinnest line that is waited for, in bytes a second.
const LINE_MIN: u64 = 4 * 1_024;

/// How long a line may need to carry so many bytes, in milliseconds.
pub(super) fn carried_ms(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(1_000) / LINE_MIN
}

/// A batch on the way.
#[derive(Debug)]
struct Sent {
    /// Its last entry.
    last: u64,
    bytes: usize,
    at: Mono,
    /// What was on the way with it then.
    ahead: usize,
}

/// Batches that were offered since a hello was answered.
#[derive(Debug)]
struct Offered {
    since: Mono,
    batches: usize,
    bytes: usize,
    longest: usize,
}

/// Batches on the way, and how many more may go.
#[derive(Debug)]
pub(super) struct Pace {
    /// How many bytes may go ahead.
    may: usize,
    sent: VecDeque<Sent>,
    /// Batches that were offered, which nobody acknowledges: the answer to the next hello says that they were carried.
    offered: Option<Offered>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            may: AHEAD_FIRST,
            sent: VecDeque::with_capacity(WINDOW),
            offered: None,
        }
    }
}

impl Pace {
    /// How many batches are on the way.
    pub(super) fn len(&self) -> usize {
        self.sent.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Whether a batch on the way ends with this entry.
    pub(super) fn ends_with(&self, seq: u64) -> bool {
        self.sent.iter().any(|batch| batch.last == seq)
    }

    /// What is on the way does not count any more.
    pub(super) fn clear(&mut self) {
        self.sent.clear();
    }

    /// Nothing is to go for a while.
    pub(super) fn pause(&mut self) {
        self.clear();
        self.offered = None;
    }

    fn ahead(&self) -> usize {
        self.sent.iter().map(|batch| batch.bytes).sum()
    }

    /// Whether another batch may go.
    pub(super) fn has_room(&self) -> bool {
        self.sent.is_empty() || (self.sent.len() < WINDOW && self.ahead() < self.may)
    }

    /// The most bytes of a batch of several entries.
    pub(super) fn batch_max(&self) -> usize {
        self.may.min(BATCH_PACKED_MAX)
    }

    /// A batch has gone.
    pub(super) fn sent(&mut self, last: u64, bytes: usize, now: Mono) {
        let ahead = self.ahead() + bytes;
        let at = now;
        self.sent.push_back(Sent { last, bytes, at, ahead });
    }

    /// Head office has everything up to this entry.
    pub(super) fn acknowledged(&mut self, seq: u64, now: Mono) {
        let is_there = self.sent.iter().take_while(|batch| batch.last <= seq).count();
        let there = self.sent.drain(..is_there);
        if let Some((at, ahead)) = there
            .map(|batch| (batch.at, batch.ahead))
            .reduce(|one, next| (one.0, next.1))
        {
            self.carried(ahead, at, now);
        }
    }

    /// A batch was offered.
    pub(super) fn offered(&mut self, bytes: usize, now: Mono) {
        let offered = self.offered.get_or_insert(Offered {
            since: now,
            batches: 0,
            bytes: 0,
            longest: 0,
        });
        offered.batches += 1;
        offered.bytes += bytes;
        offered.longest = offered.longest.max(bytes);
    }

    /// Whether more may be offered before a hello is answered.
    pub(super) fn may_offer(&self) -> bool {
        let may = |offered: &Offered| offered.batches < WINDOW && offered.bytes < self.may;
        self.offered.as_ref().is_none_or(may)
    }

    /// A hello was answered: what was offered before it was carried.
    pub(super) fn answered(&mut self, now: Mono) {
        if let Some(offered) = self.offered.take() {
            self.carried(offered.bytes, offered.since, now);
        }
    }

    /// Nothing of what is on the way has come in time.
    pub(super) fn lost(&mut self) {
        self.may = (self.may / 2).max(AHEAD[0]);
        self.clear();
    }

    fn carried(&mut self, bytes: usize, since: Mono, now: Mono) {
        match now.ms_since(since) {
            // What a station says in a day tells nothing of how much its line could carry.
            ..=QUICK_MS if bytes >= self.may / 2 => self.may = (self.may * 2).min(AHEAD[1]),
            ..=SLOW_MS => {}
            _ => self.may = (self.may / 2).max(AHEAD[0]),
        }
    }

    /// How long the next acknowledgement may be waited for besides, as the line has to carry its batch, in milliseconds.
    pub(super) fn next_ms(&self) -> u64 {
        self.sent.front().map_or(0, |batch| carried_ms(batch.bytes))
    }

    /// How long any one batch on the way may hold the line, in milliseconds.
    pub(super) fn longest_ms(&self) -> u64 {
        let offered = self.offered.as_ref().map(|offered| offered.longest);
        let longest = self.sent.iter().map(|batch| batch.bytes).chain(offered).max();
        carried_ms(longest.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends batches of so many bytes as long as there is room; how many.
    fn fill(pace: &mut Pace, next: &mut u64, bytes: usize, now: u64) -> usize {
        let before = pace.len();
        while pace.has_room() {
            *next += 1;
            pace.sent(*next, bytes, Mono(now));
        }
        pace.len() - before
    }

    #[test]
    fn more_and_more_goes_ahead_where_it_is_carried_quickly_and_no_more_than_a_window() {
        let (mut pace, mut last, mut sent) = (Pace::default(), 0, Vec::new());
        for n in 0..8 {
            sent.push(fill(&mut pace, &mut last, 32 * 1_024, n * 500));
            pace.acknowledged(last, Mono(n * 500 + 400));
        }
        assert_eq!(sent, [2, 4, 8, 16, 16, 16, 16, 16]);
    }

    #[test]
    fn where_it_is_carried_slowly_less_goes_ahead_and_one_batch_always() {
        let (mut pace, mut last, mut sent) = (Pace::default(), 0, Vec::new());
        for n in 0..4 {
            sent.push(fill(&mut pace, &mut last, 8 * 1_024, n * 20_000));
            pace.acknowledged(last, Mono(n * 20_000 + SLOW_MS + 1));
        }
        assert_eq!(sent, [8, 4, 2, 2]);
        assert_eq!(fill(&mut pace, &mut last, 1_000_000, 0), 1);
        assert_eq!(pace.next_ms(), carried_ms(1_000_000));
    }

    #[test]
    fn what_is_offered_is_bounded_as_what_is_sent() {
        for (bytes, rounds) in [(32 * 1_024, [2, 4, 8, 16, 16]), (10, [16; 5])] {
            let mut pace = Pace::default();
            let mut offer = |now: u64| {
                let mut batches = 0;
                while pace.may_offer() {
                    pace.offered(bytes, Mono(now));
                    batches += 1;
                }
                pace.answered(Mono(now + 400));
                batches
            };
            assert_eq!([0, 500, 1_000, 1_500, 2_000].map(&mut offer), rounds);
        }
    }

    #[test]
    fn what_a_station_says_in_a_day_tells_nothing_of_its_line() {
        let (mut pace, mut last) = (Pace::default(), 0);
        for n in 0..1_000 {
            last += 1;
            pace.sent(last, 500, Mono(n * 1_000));
            pace.acknowledged(last, Mono(n * 1_000 + 100));
        }
        assert_eq!(pace.batch_max(), AHEAD_FIRST);
    }
}
