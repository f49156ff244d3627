//! A token bucket: how many packets a client may send. Time is an input.
//! Tokens are counted in nanoseconds of credit, so that slow rates lose nothing to rounding.

use std::time::{Duration, Instant};

use crate::config::Rate;

#[derive(Debug)]
pub(crate) struct TokenBucket {
    /// Time in which one token comes.
    cost: Duration,
    /// Credit for a full burst.
    credit_max: Duration,
    credit: Duration,
    credited_at: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        let cost = Duration::from_secs(1) / rate.per_second.max(1);
        let credit_max = cost * rate.burst.max(1);
        Self {
            cost,
            credit_max,
            credit: credit_max,
            credited_at: now,
        }
    }

    /// Takes a token, or says when there will be one.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        if self.credit < self.cost {
            let since = now.saturating_duration_since(self.credited_at);
            self.credit = (self.credit + since).min(self.credit_max);
            self.credited_at = now;
        }
        match self.credit.checked_sub(self.cost) {
            Some(left) => {
                self.credit = left;
                Ok(())
            }
            None => Err(now + (self.cost - self.credit)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(
            Rate {
                per_second: 10,
                burst: 3,
            },
            start,
        );
        for _ in 0..3 {
            assert_eq!(bucket.take(start), Ok(()));
        }
        let next = bucket.take(start).unwrap_err();
        assert_eq!(next, start + Duration::from_millis(100));
        assert!(bucket.take(next - Duration::from_nanos(1)).is_err());
        assert_eq!(bucket.take(next), Ok(()));
        assert!(bucket.take(next).is_err());
    }

    #[test]
    fn credit_is_bounded_by_the_burst_and_a_second_holds_the_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(
            Rate {
                per_second: 3,
                burst: 2,
            },
            start,
        );
        let later = start + Duration::from_secs(3600);
        let passed = (0..10).filter(|_| bucket.take(later).is_ok()).count();
        assert!(
            (2..=4).contains(&passed),
            "a long rest gives a burst, no more: {passed}"
        );
        let passed = (1..=1000)
            .filter(|ms| bucket.take(later + Duration::from_millis(*ms)).is_ok())
            .count();
        assert!((2..=3).contains(&passed), "{passed}");
    }

    #[test]
    fn a_clock_that_stands_still_gives_nothing() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(
            Rate {
                per_second: 1,
                burst: 1,
            },
            start,
        );
        assert_eq!(bucket.take(start), Ok(()));
        assert!((0..100).all(|_| bucket.take(start).is_err()));
    }
}
