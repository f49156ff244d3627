//! Rates: a token bucket, and limits that count what was beyond them, alone or one for each key; and what is in use at once.
//! Time is an input; a bucket is one moment, so that slow rates lose nothing to rounding.

mod in_use;

pub use in_use::{InUse, Place};

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// A token bucket's two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Tokens per second; at least 1 is assumed.
    pub per_second: u32,
    /// Most tokens that can be saved up; at least 1 is assumed.
    pub burst: u32,
}

impl Rate {
    /// Time in which one token comes.
    fn interval(self) -> Duration {
        Duration::from_secs(1) / self.per_second.max(1)
    }
}

/// A token bucket. The rate is the caller's, the same each time: many buckets share one.
#[derive(Debug, Clone, Copy)]
pub struct TokenBucket {
    /// When it is full again.
    full_at: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// There is none; the moment at which there will be one.
    pub fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Instant> {
        self.take_many(rate, 1, now)
    }

    /// Takes so many tokens at once. More than a burst are taken of a full bucket, and what comes after waits for them.
    ///
    /// # Errors
    /// There are not enough; the moment at which there will be.
    pub fn take_many(&mut self, rate: Rate, tokens: u32, now: Instant) -> Result<(), Instant> {
        let (interval, burst) = (rate.interval(), rate.burst.max(1));
        let begins = self.full_at.max(now);
        let left = interval * burst.saturating_sub(tokens);
        match begins.checked_duration_since(now + left) {
            Some(early) if !early.is_zero() => Err(now + early),
            _ => {
                self.full_at = begins + interval * tokens;
                Ok(())
            }
        }
    }

    /// Whether it is as good as new: a full one can be forgotten.
    pub fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }

    fn is_half_full(&self, rate: Rate, now: Instant) -> bool {
        self.full_at.saturating_duration_since(now) <= rate.interval() * rate.burst.max(1) / 2
    }
}

/// What a [`RateLimit`] says of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// Within the rate.
    Within {
        /// How many were beyond it since the last one that was not.
        left_out: u64,
    },
    /// Beyond the rate.
    Beyond {
        /// The first since the bucket was half full: the one to tell of.
        is_first: bool,
    },
}

/// A token bucket that counts what was beyond it: for log lines and failures that others bring about.
#[derive(Debug, Clone, Copy)]
pub struct RateLimit {
    bucket: TokenBucket,
    left_out: u64,
    told: bool,
}

impl RateLimit {
    /// A full bucket.
    pub fn new(now: Instant) -> Self {
        Self {
            bucket: TokenBucket::new(now),
            left_out: 0,
            told: false,
        }
    }

    /// Notes one event.
    pub fn note(&mut self, rate: Rate, now: Instant) -> Limited {
        self.told &= !self.bucket.is_half_full(rate, now);
        match self.bucket.take(rate, now) {
            Ok(()) => Limited::Within {
                left_out: std::mem::take(&mut self.left_out),
            },
            Err(_) => {
                self.left_out += 1;
                let is_first = !std::mem::replace(&mut self.told, true);
                Limited::Beyond { is_first }
            }
        }
    }

    /// Whether it can be forgotten: as good as new, and nothing is left to tell.
    pub fn is_idle(&self, now: Instant) -> bool {
        self.left_out == 0 && self.bucket.is_full(now)
    }
}

/// A [`RateLimit`] for each key; with more keys than are remembered, the one whose bucket is fullest is forgotten.
#[derive(Debug)]
pub struct RateLimits<K> {
    rate: Rate,
    keys_max: usize,
    by_key: BTreeMap<K, RateLimit>,
}

impl<K: Ord + Clone> RateLimits<K> {
    /// `rate` for each key, of at most `keys_max`.
    pub fn new(rate: Rate, keys_max: usize) -> Self {
        Self {
            rate,
            keys_max: keys_max.max(1),
            by_key: BTreeMap::new(),
        }
    }

    /// Notes one event of a key.
    pub fn note(&mut self, key: &K, now: Instant) -> Limited {
        if let Some(limit) = self.by_key.get_mut(key) {
            return limit.note(self.rate, now);
        }
        if self.by_key.len() >= self.keys_max {
            let fullest = self.by_key.iter().min_by_key(|(_, limit)| limit.bucket.full_at);
            if let Some(fullest) = fullest.map(|(key, _)| key.clone()) {
                self.by_key.remove(&fullest);
            }
        }
        self.by_key
            .entry(key.clone())
            .or_insert(RateLimit::new(now))
            .note(self.rate, now)
    }

    /// How many keys are remembered.
    pub fn keys(&self) -> usize {
        self.by_key.len()
    }
}

/// What counts as one address wherever something is counted by address: an IPv6 network of 64 bits belongs to one
/// household, and an IPv4 address is the same in either writing.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            Ipv6Addr::from(network).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate { per_second, burst }
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let (rate, start) = (rate(10, 3), Instant::now());
        let mut bucket = TokenBucket::new(start);
        for _ in 0..3 {
            assert_eq!(bucket.take(rate, start), Ok(()));
        }
        let next = bucket.take(rate, start).unwrap_err();
        assert_eq!(next, start + Duration::from_millis(100));
        assert!(bucket.take(rate, next - Duration::from_millis(1)).is_err());
        assert_eq!(bucket.take(rate, next), Ok(()));
        assert!(bucket.take(rate, next).is_err());
    }

    #[test]
    fn credit_is_bounded_by_the_burst_and_never_lost_to_rounding() {
        let (rate, start) = (rate(3, 2), Instant::now());
        let mut bucket = TokenBucket::new(start);
        let later = start + Duration::from_secs(3600);
        let passed = (0..10).filter(|_| bucket.take(rate, later).is_ok()).count();
        assert_eq!(passed, 2, "a long rest gives a burst, no more");
        let passed = (1..=1000)
            .filter(|ms| bucket.take(rate, later + Duration::from_millis(*ms)).is_ok())
            .count();
        assert_eq!(passed, 3);
    }

    #[test]
    fn many_tokens_are_taken_at_once_and_more_than_a_burst_of_a_full_bucket() {
        let (rate, start) = (rate(10, 3), Instant::now());
        let ms = |ms: u64| start + Duration::from_millis(ms);
        let mut bucket = TokenBucket::new(start);
        assert_eq!(bucket.take_many(rate, 2, start), Ok(()));
        assert_eq!(bucket.take_many(rate, 2, start), Err(ms(100)));
        assert_eq!(bucket.take_many(rate, 2, ms(100)), Ok(()));
        assert_eq!(bucket.take_many(rate, 20, ms(100)), Err(ms(400)));
        assert_eq!(bucket.take_many(rate, 20, ms(400)), Ok(()));
        assert_eq!(bucket.take(rate, ms(400)), Err(ms(2_200)));
        assert_eq!(bucket.take(rate, ms(2_200)), Ok(()));
    }

    #[test]
    fn a_clock_that_stands_still_gives_nothing() {
        let (rate, start) = (rate(1, 1), Instant::now());
        let mut bucket = TokenBucket::new(start);
        assert!(bucket.is_full(start));
        assert_eq!(bucket.take(rate, start), Ok(()));
        assert!((0..100).all(|_| bucket.take(rate, start).is_err()));
        assert!(!bucket.is_full(start));
        assert!(bucket.is_full(start + Duration::from_secs(1)));
    }

    #[test]
    fn what_is_beyond_a_limit_is_told_once_and_counted() {
        let (rate, start) = (rate(1, 4), Instant::now());
        let mut limit = RateLimit::new(start);
        for _ in 0..4 {
            assert_eq!(limit.note(rate, start), Limited::Within { left_out: 0 });
        }
        assert_eq!(limit.note(rate, start), Limited::Beyond { is_first: true });
        assert_eq!(limit.note(rate, start), Limited::Beyond { is_first: false });
        let second = start + Duration::from_secs(1);
        assert_eq!(limit.note(rate, second), Limited::Within { left_out: 2 });
        assert_eq!(
            limit.note(rate, second),
            Limited::Beyond { is_first: false },
            "the log knows"
        );
        let rested = start + Duration::from_secs(60);
        assert!(!limit.is_idle(rested), "one is left to tell");
        assert_eq!(limit.note(rate, rested), Limited::Within { left_out: 1 });
        assert!(limit.is_idle(rested + Duration::from_secs(1)));
    }

    #[test]
    fn with_too_many_keys_the_fullest_is_forgotten() {
        let (rate, start) = (rate(1, 2), Instant::now());
        let mut limits = RateLimits::new(rate, 2);
        for key in ["a", "a", "b"] {
            assert_eq!(limits.note(&key, start), Limited::Within { left_out: 0 });
        }
        limits.note(&"c", start);
        assert_eq!(limits.keys(), 2);
        assert_eq!(
            limits.note(&"a", start),
            Limited::Beyond { is_first: true },
            "it is not forgotten for others"
        );
    }

    #[test]
    fn an_ipv6_network_is_one_address_and_a_mapped_ipv4_address_is_itself() {
        let network = |text: &str| network_of(text.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("2001:db8:1:2:ffff::1"), "2001:db8:1:2::");
        assert_eq!(network("2001:db8:1:3::1"), "2001:db8:1:3::");
        assert_eq!(network("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(network("192.0.2.1"), "192.0.2.1");
    }
}
