//! Logins that fail are limited by address, so that one does not take what all need.
//! Time is an input; how much is remembered is bounded.

use limits::{Limited, Rate, RateLimits, network_of};
use std::{
    net::IpAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How many logins of one address may fail at once, and how many in each second after that.
const FAILURES: Rate = Rate {
    per_second: 1,
    burst: 100,
};
/// When the next one may be tried.
pub const FAILURE_EVERY: Duration = Duration::from_secs(1);
/// The most addresses whose failures are remembered; with more the one that failed least is forgotten.
const ADDRESSES_MAX: usize = 1_024;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Logins that failed lately, by address.
///
/// Only failures are held back: a caller with a good token is let in whatever others behind the same address, a proxy's
/// for instance, do. Tokens have too many bits to be found by trying; what is limited is the work and the noise.
#[derive(Debug)]
pub struct FailedLogins {
    by_address: Mutex<RateLimits<IpAddr>>,
    /// Logins that failed.
    pub failed: AtomicU64,
    /// Those of them that were answered 429.
    pub limited: AtomicU64,
}

impl Default for FailedLogins {
    fn default() -> Self {
        Self {
            by_address: Mutex::new(RateLimits::new(FAILURES, ADDRESSES_MAX)),
            failed: AtomicU64::default(),
            limited: AtomicU64::default(),
        }
    }
}

/// A failed login that is one too many; another would be looked at after [`FAILURE_EVERY`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// The log has not told of it yet.
    pub is_first: bool,
}

impl FailedLogins {
    /// Notes that a login from `address` failed.
    ///
    /// # Errors
    /// [`TooMany`] if too many have.
    pub fn note(&self, address: IpAddr, now: Instant) -> Result<(), TooMany> {
        self.failed.fetch_add(1, Ordering::Relaxed);
        match lock(&self.by_address).note(&network_of(address), now) {
            Limited::Within { .. } => Ok(()),
            Limited::Beyond { is_first } => {
                self.limited.fetch_add(1, Ordering::Relaxed);
                Err(TooMany { is_first })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn failures_are_held_back_by_address_and_forgiven_one_by_one() {
        let (logins, begun) = (FailedLogins::default(), Instant::now());
        let one = address("192.0.2.1");
        for _ in 0..FAILURES.burst {
            assert_eq!(logins.note(one, begun), Ok(()));
        }
        let mapped = address("::ffff:192.0.2.1");
        assert!(logins.note(mapped, begun).unwrap_err().is_first);
        assert!(!logins.note(one, begun).unwrap_err().is_first, "told once");
        assert_eq!(logins.note(address("192.0.2.2"), begun), Ok(()), "others are not meant");
        let later = begun + FAILURE_EVERY;
        assert_eq!(logins.note(one, later), Ok(()), "after the time that is told");
        assert!(!logins.note(one, later).unwrap_err().is_first, "the log knows");
        let counted = [&logins.failed, &logins.limited].map(|count| count.load(Ordering::Relaxed));
        assert_eq!(counted, [u64::from(FAILURES.burst) + 5, 3]);
    }

    #[test]
    fn a_network_of_ipv6_is_one_and_what_is_remembered_is_bounded() {
        let (logins, begun) = (FailedLogins::default(), Instant::now());
        for host in 1..=FAILURES.burst {
            assert_eq!(logins.note(address(&format!("2001:db8::{host:x}")), begun), Ok(()));
        }
        assert!(logins.note(address("2001:db8::ffff"), begun).is_err());
        for network in 0..2 * ADDRESSES_MAX {
            let later = begun + Duration::from_secs(1) + Duration::from_millis(network as u64);
            let _counted = logins.note(address(&format!("2001:db8:{:x}:1::1", network + 1)), later);
        }
        assert_eq!(lock(&logins.by_address).keys(), ADDRESSES_MAX);
    }
}
