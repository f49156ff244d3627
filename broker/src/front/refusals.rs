//! The log of connections that are refused. Strangers bring these lines about, so they are limited by address and in all.
//! What is left out is counted, and the next line says how many.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use limits::{Limited, Rate, RateLimit, RateLimits, network_of};

/// Lines for one address: as many as failed logins over HTTP.
const BY_ADDRESS: Rate = Rate {
    per_second: 1,
    burst: 100,
};
/// Addresses that are remembered.
const ADDRESSES_MAX: usize = 1_024;
/// Lines for all of them. journald takes 10,000 in 30 s of a service and then throws everything away.
const IN_ALL: Rate = Rate {
    per_second: 10,
    burst: 500,
};

/// Whether a refusal may be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// Yes, and so many were not since the last line.
    Write { left_out: u64 },
    /// No, and this is what is to be said: further ones will not be either.
    NoMore,
    /// No.
    LeaveOut,
}

#[derive(Debug)]
pub(crate) struct RefusalLog {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    by_address: RateLimits<IpAddr>,
    in_all: RateLimit,
    left_out: u64,
}

impl RefusalLog {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            state: Mutex::new(State {
                by_address: RateLimits::new(BY_ADDRESS, ADDRESSES_MAX),
                in_all: RateLimit::new(now),
                left_out: 0,
            }),
        }
    }

    /// Notes that a connection from `address` was refused.
    pub(crate) fn note(&self, address: IpAddr, now: Instant) -> Line {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut limited = state.by_address.note(&network_of(address), now);
        if matches!(limited, Limited::Within { .. }) {
            limited = state.in_all.note(IN_ALL, now);
        }
        match limited {
            Limited::Within { .. } => Line::Write {
                left_out: std::mem::take(&mut state.left_out),
            },
            Limited::Beyond { is_first } => {
                state.left_out += 1;
                if is_first { Line::NoMore } else { Line::LeaveOut }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn address(n: u32) -> IpAddr {
        IpAddr::from(std::net::Ipv4Addr::from(n))
    }

    /// How many of so many refusals are logged.
    fn lines(log: &RefusalLog, addresses: impl Iterator<Item = u32>, now: Instant) -> usize {
        let is_line = |n: &u32| log.note(address(*n), now) != Line::LeaveOut;
        addresses.filter(is_line).count()
    }

    #[test]
    fn refusals_of_one_address_are_limited_and_the_next_line_says_how_many_were_left_out() {
        let (log, now) = (RefusalLog::new(Instant::now()), Instant::now());
        assert_eq!(lines(&log, std::iter::repeat_n(1, 20_000), now), 101);
        assert_eq!(log.note(address(2), now), Line::Write { left_out: 19_900 });
        let second = now + Duration::from_secs(1);
        assert_eq!(log.note(address(1), second), Line::Write { left_out: 0 });
        assert_eq!(log.note(address(1), second), Line::LeaveOut);
    }

    #[test]
    fn refusals_of_many_addresses_are_limited_too() {
        let (log, now) = (RefusalLog::new(Instant::now()), Instant::now());
        assert_eq!(lines(&log, 0..50_000, now), 501);
    }
}
