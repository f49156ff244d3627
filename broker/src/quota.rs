//! What one identity may take, over all its connections: packets, logins, log lines, and messages in the gatekeeper's hands.
//! It outlives connections, so that a new one brings no new burst; it is forgotten once it is as good as new.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use crate::config::Config;
use crate::gatekeeper::{Client, Identity};
use limits::{Limited, Rate, RateLimit, TokenBucket};

/// Log lines that one identity may bring about.
const LOG_LINES: Rate = Rate {
    per_second: 1,
    burst: 20,
};
/// Quotas of identities without a connection that are remembered. More are refused until some are as good as new, which
/// takes the time of a burst.
const QUOTAS_MAX: usize = 16_384;

/// The part of [`Config`] that bounds an identity.
#[derive(Debug, Clone, Copy)]
struct Limits {
    packets: Option<Rate>,
    kib: Option<Rate>,
    logins: Option<Rate>,
    unresolved_messages_max: usize,
    unresolved_bytes_max: usize,
}

/// The quotas of all identities that were here lately.
#[derive(Debug)]
pub(crate) struct Quotas {
    limits: Limits,
    quotas_max: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    by_identity: HashMap<Identity, Arc<Quota>>,
    /// With so many, those are looked for that can be forgotten.
    sweep_at: usize,
}

/// What one identity has left.
#[derive(Debug)]
pub(crate) struct Quota {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    packets: TokenBucket,
    kib: TokenBucket,
    logins: TokenBucket,
    log_lines: RateLimit,
    unresolved: usize,
    unresolved_bytes: usize,
    /// Connections that are read no further until a message is resolved.
    waiting: Vec<Waker>,
}

/// A message in the gatekeeper's hands; dropping it gives its place back.
#[derive(Debug)]
pub(crate) struct Share {
    quota: Arc<Quota>,
    bytes: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Quotas {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            limits: Limits {
                packets: config.packet_rate,
                kib: config.kib_rate,
                logins: config.login_rate,
                unresolved_messages_max: config.unresolved_messages_max.max(1),
                unresolved_bytes_max: config.unresolved_bytes_max,
            },
            quotas_max: QUOTAS_MAX.saturating_add(config.connections_max),
            table: Mutex::default(),
        }
    }

    /// The quota of an identity; `None` if too many are remembered already.
    pub(crate) fn of(&self, identity: &Identity, now: Instant) -> Option<Arc<Quota>> {
        const SWEEP_AT_LEAST: usize = 256;
        let mut table = lock(&self.table);
        if let Some(quota) = table.by_identity.get(identity) {
            return Some(quota.clone());
        }
        if table.by_identity.len() >= table.sweep_at.min(self.quotas_max) {
            table
                .by_identity
                .retain(|_, quota| Arc::strong_count(quota) > 1 || !quota.is_as_new(now));
            // Twice as many as there are now: sweeping costs each newcomer the same, however many there are.
            table.sweep_at = (table.by_identity.len() * 2).max(SWEEP_AT_LEAST);
            if table.by_identity.len() >= self.quotas_max {
                return None;
            }
        }
        let quota = Arc::new(Quota {
            limits: self.limits,
            state: Mutex::new(State {
                packets: TokenBucket::new(now),
                kib: TokenBucket::new(now),
                logins: TokenBucket::new(now),
                log_lines: RateLimit::new(now),
                unresolved: 0,
                unresolved_bytes: 0,
                waiting: Vec::new(),
            }),
        });
        table.by_identity.insert(identity.clone(), quota.clone());
        Some(quota)
    }
}

impl Quota {
    fn is_as_new(&self, now: Instant) -> bool {
        let state = lock(&self.state);
        let buckets = [&state.packets, &state.kib, &state.logins];
        buckets.iter().all(|bucket| bucket.is_full(now)) && state.log_lines.is_idle(now) && state.unresolved == 0
    }

    /// Takes one login, or says when there will be one.
    pub(crate) fn take_login(&self, now: Instant) -> Result<(), Instant> {
        match self.limits.logins {
            Some(rate) => lock(&self.state).logins.take(rate, now),
            None => Ok(()),
        }
    }

    /// Takes one packet of so many bytes, or says when there will be one.
    pub(crate) fn take_packet(&self, bytes: usize, now: Instant) -> Result<(), Instant> {
        let Limits { packets, kib, .. } = self.limits;
        if packets.is_none() && kib.is_none() {
            return Ok(());
        }
        let mut state = lock(&self.state);
        // Of two that are taken together none is, where the other is not there.
        let mut taken = state.packets;
        if let Some(rate) = packets {
            taken.take(rate, now)?;
        }
        if let Some(rate) = kib {
            let tokens = u32::try_from(bytes.div_ceil(1_024)).unwrap_or(u32::MAX);
            state.kib.take_many(rate, tokens, now)?;
        }
        state.packets = taken;
        Ok(())
    }

    /// Whether a log line that a client of the identity brings about may be written: then how many were not before it.
    pub(crate) fn log_line(&self, client: &Client, now: Instant) -> Option<u64> {
        let limited = lock(&self.state).log_lines.note(LOG_LINES, now);
        match limited {
            Limited::Within { left_out } => Some(left_out),
            Limited::Beyond { is_first } => {
                if is_first {
                    tracing::warn!(
                        identity = client.identity.as_str(),
                        "it brings about too many log lines: further ones are counted and not written"
                    );
                }
                None
            }
        }
    }

    /// Whether the gatekeeper may be given another message of so many bytes; one always may. If not, `waker` is woken when
    /// one of the others is resolved.
    pub(crate) fn has_room(&self, bytes: usize, waker: Option<&Waker>) -> bool {
        let mut state = lock(&self.state);
        let has_room = state.has_room(&self.limits, bytes);
        if let (false, Some(waker)) = (has_room, waker)
            && !state.waiting.iter().any(|waiting| waiting.will_wake(waker))
        {
            state.waiting.push(waker.clone());
        }
        has_room
    }

    /// A place for a message of so many bytes, if there is one.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let mut state = lock(&self.state);
        if !state.has_room(&self.limits, bytes) {
            return None;
        }
        state.unresolved += 1;
        state.unresolved_bytes += bytes;
        drop(state);
        Some(Share {
            quota: self.clone(),
            bytes,
        })
    }
}

impl State {
    fn has_room(&self, limits: &Limits, bytes: usize) -> bool {
        let fits = self.unresolved < limits.unresolved_messages_max
            && self.unresolved_bytes + bytes <= limits.unresolved_bytes_max;
        self.unresolved == 0 || fits
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let waiting = {
            let mut state = lock(&self.quota.state);
            state.unresolved -= 1;
            state.unresolved_bytes -= self.bytes;
            std::mem::take(&mut state.waiting)
        };
        for waker in waiting {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::time::Duration;

    use super::*;

    fn quotas(config: Config) -> Quotas {
        Quotas::new(&config)
    }

    fn one(burst: u32) -> Option<Rate> {
        Some(Rate { per_second: 1, burst })
    }

    #[test]
    fn a_new_connection_brings_no_new_burst() {
        let quotas = quotas(Config {
            packet_rate: one(2),
            login_rate: one(1),
            ..Config::default()
        });
        let (pile, now) = (Identity::new("P1"), Instant::now());
        let first = quotas.of(&pile, now).unwrap();
        assert_eq!(first.take_login(now), Ok(()));
        assert_eq!((first.take_packet(1, now), first.take_packet(1, now)), (Ok(()), Ok(())));
        drop(first);
        let second = quotas.of(&pile, now).unwrap();
        assert!(second.take_packet(1, now).is_err());
        assert_eq!(second.take_login(now), Err(now + Duration::from_secs(1)));
        let other = quotas.of(&Identity::new("P2"), now).unwrap();
        assert_eq!((other.take_login(now), other.take_packet(1, now)), (Ok(()), Ok(())));
    }

    #[test]
    fn bytes_have_a_rate_of_their_own_and_one_large_packet_passes() {
        let quotas = quotas(Config {
            packet_rate: one(4),
            kib_rate: one(4),
            ..Config::default()
        });
        let now = Instant::now();
        let quota = quotas.of(&Identity::new("S1"), now).unwrap();
        assert_eq!(quota.take_packet(3_000, now), Ok(()));
        let second = now + Duration::from_secs(1);
        assert_eq!(quota.take_packet(1_025, now), Err(second), "three of four KiB are gone");
        // What was refused has taken no packet.
        assert_eq!(quota.take_packet(1_024, now), Ok(()));
        let later = now + Duration::from_secs(60);
        assert_eq!(quota.take_packet(10 * 1_024, later), Ok(()));
        assert_eq!(quota.take_packet(1, later), Err(later + Duration::from_secs(7)));
    }

    #[test]
    fn what_is_as_good_as_new_is_forgotten_and_the_rest_is_bounded() {
        let quotas = Quotas {
            quotas_max: 300,
            ..quotas(Config {
                login_rate: one(1),
                ..Config::default()
            })
        };
        let now = Instant::now();
        let come = |n: usize, now| {
            let quota = quotas.of(&Identity::new(format!("P{n}")), now)?;
            quota.take_login(now).ok()?;
            Some(quota)
        };
        let connected = come(0, now).unwrap();
        for n in 1..300 {
            assert!(come(n, now).is_some(), "{n}");
        }
        assert!(come(300, now).is_none(), "all of them may still be counted against");
        let later = now + Duration::from_secs(1);
        assert!(come(301, later).is_some());
        assert_eq!(
            lock(&quotas.table).by_identity.len(),
            2,
            "the one that is connected, and the new one"
        );
        assert!(Arc::ptr_eq(
            &connected,
            &quotas.of(&Identity::new("P0"), later).unwrap()
        ));
    }

    #[test]
    fn messages_in_hand_are_bounded_and_one_always_fits() {
        #[derive(Default)]
        struct Count(AtomicUsize);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let quotas = quotas(Config {
            unresolved_messages_max: 2,
            unresolved_bytes_max: 100,
            ..Config::default()
        });
        let quota = quotas.of(&Identity::new("P1"), Instant::now()).unwrap();
        let large = quota.reserve(1000).unwrap();
        assert!(quota.reserve(1).is_none());
        drop(large);
        let (first, _second) = (quota.reserve(60).unwrap(), quota.reserve(40).unwrap());
        assert!(quota.reserve(0).is_none(), "two are enough");
        let woken = Arc::new(Count::default());
        let waker = Waker::from(woken.clone());
        assert!(!quota.has_room(10, Some(&waker)) && !quota.has_room(10, Some(&waker)));
        drop(first);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(quota.has_room(60, Some(&waker)) && !quota.has_room(61, None));
    }
}
