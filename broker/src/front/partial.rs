//! How long a packet may take that has begun to come.

use crate::config::Config;
use std::time::{Duration, Instant};

/// A packet of which not all has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Partial {
    begun_at: Instant,
    /// When its latest byte came.
    grew_at: Instant,
    /// How many have come.
    bytes: usize,
}

impl Partial {
    /// Its first bytes are there.
    pub(super) fn begun(now: Instant, bytes: usize) -> Self {
        Self {
            begun_at: now,
            grew_at: now,
            bytes,
        }
    }

    /// So many are there now.
    pub(super) fn has(&mut self, now: Instant, bytes: usize) {
        if bytes > self.bytes {
            (self.grew_at, self.bytes) = (now, bytes);
        }
    }

    /// When it has taken too long.
    pub(super) fn deadline(&self, config: &Config) -> Instant {
        let timeout = config.partial_packet_timeout;
        let Some(rate) = config.partial_packet_rate_min else {
            return self.begun_at + timeout;
        };
        let bytes = u64::try_from(self.bytes).unwrap_or(u64::MAX);
        let paid_for = Duration::from_millis(bytes.saturating_mul(1_000) / u64::from(rate.get()));
        // Neither does it stand still, nor does it come a byte at a time.
        (self.grew_at + timeout).min(self.begun_at + timeout + paid_for)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    fn config(rate: Option<u32>) -> Config {
        Config {
            partial_packet_timeout: Duration::from_secs(20),
            partial_packet_rate_min: rate.and_then(NonZeroU32::new),
            ..Config::default()
        }
    }

    /// For how many seconds a packet may come of which each second brings so many bytes.
    fn comes_for(config: &Config, bytes_per_second: usize, seconds: u64) -> u64 {
        let begun = Instant::now();
        let mut packet = Partial::begun(begun, 1);
        for second in 0..seconds {
            let now = begun + Duration::from_secs(second);
            packet.has(now, 1 + bytes_per_second * usize::try_from(second).unwrap());
            if now >= packet.deadline(config) {
                return second;
            }
        }
        seconds
    }

    #[test]
    fn a_packet_has_its_time_however_fast_it_comes() {
        assert_eq!(comes_for(&config(None), 8_192, 100), 20);
    }

    #[test]
    fn where_a_rate_counts_a_packet_has_the_time_that_it_takes_at_that_rate() {
        assert_eq!(comes_for(&config(Some(1_024)), 8_192, 600), 600);
        assert_eq!(comes_for(&config(Some(1_024)), 1_024, 600), 600);
        // A byte now and then holds a connection no longer than silence.
        assert_eq!(comes_for(&config(Some(1_024)), 1, 600), 21);
        assert_eq!(comes_for(&config(Some(1_024)), 512, 600), 40);
    }

    #[test]
    fn what_came_fast_and_then_stands_still_is_not_waited_for() {
        let (config, begun) = (config(Some(1_024)), Instant::now());
        let mut packet = Partial::begun(begun, 10);
        packet.has(begun + Duration::from_secs(3), 1_000_000);
        packet.has(begun + Duration::from_secs(9), 1_000_000);
        assert_eq!(packet.deadline(&config), begun + Duration::from_secs(23));
    }
}
