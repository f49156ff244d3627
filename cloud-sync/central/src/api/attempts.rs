//! How often a password may be tried: after some failures each further one doubles the wait. Time is an input, and what is
//! remembered is bounded; each process of head office counts by itself.

use domain::time::Mono;
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How many keys of one sort are remembered; with more the one whose last failure is longest ago is forgotten.
const KEYS_MAX: usize = 4_096;
/// After so long without a failure a key is as good as new, in milliseconds.
const FORGIVEN_MS: u64 = 3_600_000;

/// When one must wait, and for how long.
#[derive(Debug, Clone, Copy)]
struct Rule {
    /// So many failures cost nothing.
    free: u32,
    /// The longest wait, in milliseconds.
    wait_ms_max: u64,
}

/// One person from one network: a typing error costs nothing, a list of passwords does.
const OF_BOTH: Rule = Rule {
    free: 5,
    wait_ms_max: 15 * 60_000,
};
/// One network, whoever it names: an office behind one address has many people.
const OF_NETWORK: Rule = Rule {
    free: 50,
    wait_ms_max: 60_000,
};
/// One person from networks that they have not logged in from lately, however many there are. Where they are known, they are
/// not kept out by what strangers do.
const OF_STRANGERS: Rule = Rule {
    free: 20,
    wait_ms_max: 5 * 60_000,
};

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Mono,
}

/// Failures by key.
#[derive(Debug)]
struct Counted<K> {
    rule: Rule,
    failures: BTreeMap<K, Failures>,
}

impl<K: Ord + Clone> Counted<K> {
    fn new(rule: Rule) -> Self {
        let failures = BTreeMap::new();
        Self { rule, failures }
    }

    /// How long it is until the next try, in milliseconds; zero if it may be now.
    fn wait_ms(&self, key: &K, now: Mono) -> u64 {
        let Some(failures) = self.failures.get(key) else {
            return 0;
        };
        let beyond = failures.count.saturating_sub(self.rule.free);
        if beyond == 0 {
            return 0;
        }
        let wait = 1_000_u64.saturating_mul(1 << beyond.min(20)).min(self.rule.wait_ms_max);
        wait.saturating_sub(now.ms_since(failures.last))
    }

    fn failed(&mut self, key: K, now: Mono) {
        if self.failures.len() >= KEYS_MAX && !self.failures.contains_key(&key) {
            let oldest = self.failures.iter().min_by_key(|(_, failures)| failures.last);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.failures.remove(&oldest);
            }
        }
        let failures = self.failures.entry(key).or_insert(Failures { count: 0, last: now });
        if now.ms_since(failures.last) >= FORGIVEN_MS {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
    }

    fn take_back(&mut self, key: &K) {
        if let Some(failures) = self.failures.get_mut(key) {
            failures.count = failures.count.saturating_sub(1);
            if failures.count == 0 {
                self.failures.remove(key);
            }
        }
    }
}

/// What is counted of logins.
#[derive(Debug)]
struct Counts {
    both: Counted<(IpAddr, String)>,
    networks: Counted<IpAddr>,
    strangers: Counted<String>,
}

/// Logins by password that failed lately.
#[derive(Debug)]
pub(super) struct Attempts(Mutex<Counts>);

/// A login that may be tried. It counts as failed until it is [forgiven](Attempts::succeeded): many at once are counted too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempt {
    network: IpAddr,
    name: String,
    is_familiar: bool,
}

impl Default for Attempts {
    fn default() -> Self {
        Self(Mutex::new(Counts {
            both: Counted::new(OF_BOTH),
            networks: Counted::new(OF_NETWORK),
            strangers: Counted::new(OF_STRANGERS),
        }))
    }
}

impl Attempts {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A password is tried for this name, from a network that the person `is_familiar` with or not.
    ///
    /// # Errors
    /// It may not be yet: in how many milliseconds.
    pub(super) fn begin(&self, network: IpAddr, name: &str, is_familiar: bool, now: Mono) -> Result<Attempt, u64> {
        let mut counts = self.counts();
        let both = (network, name.to_owned());
        let strangers = match is_familiar {
            true => 0,
            false => counts.strangers.wait_ms(&both.1, now),
        };
        let wait = counts
            .both
            .wait_ms(&both, now)
            .max(counts.networks.wait_ms(&network, now));
        match wait.max(strangers) {
            0 => {}
            wait => return Err(wait),
        }
        counts.both.failed(both, now);
        counts.networks.failed(network, now);
        if !is_familiar {
            counts.strangers.failed(name.to_owned(), now);
        }
        let name = name.to_owned();
        Ok(Attempt {
            network,
            name,
            is_familiar,
        })
    }

    /// The password was right. Failures of the person from here are forgotten; those of others here, and of strangers, are not.
    pub(super) fn succeeded(&self, attempt: Attempt) {
        let mut counts = self.counts();
        let both = (attempt.network, attempt.name);
        counts.both.failures.remove(&both);
        counts.networks.take_back(&attempt.network);
        if !attempt.is_familiar {
            counts.strangers.take_back(&both.1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(n: u8) -> IpAddr {
        [192, 0, 2, n].into()
    }

    #[test]
    fn waits_double_after_what_is_free_and_have_an_end() {
        let (attempts, mut now, mut waits) = (Attempts::default(), Mono(1), Vec::new());
        for _ in 0..20 {
            let wait = match attempts.begin(network(1), "ann", true, now) {
                Ok(_) => continue,
                Err(wait) => wait,
            };
            waits.push(wait);
            now = now.after_ms(wait);
            assert!(
                attempts.begin(network(1), "ann", true, now).is_ok(),
                "after the time that is told"
            );
        }
        assert_eq!(waits[..3], [2_000, 4_000, 8_000]);
        assert_eq!(*waits.last().unwrap(), OF_BOTH.wait_ms_max);
        let later = now.after_ms(FORGIVEN_MS);
        for _ in 0..OF_BOTH.free {
            assert!(attempts.begin(network(1), "ann", true, later).is_ok(), "forgiven");
        }
    }

    #[test]
    fn whoever_tries_names_from_one_network_keeps_nobody_out_elsewhere() {
        let (attempts, now) = (Attempts::default(), Mono(1));
        let mut kept_out = 0;
        for _ in 0..100 {
            kept_out += u32::from(attempts.begin(network(1), "ann", false, now).is_err());
        }
        assert!(kept_out > 90);
        assert!(
            attempts.begin(network(2), "ann", true, now).is_ok(),
            "where ann is known"
        );
        assert!(
            attempts.begin(network(1), "bob", true, now).is_ok(),
            "others of that network"
        );
    }

    #[test]
    fn many_networks_that_try_one_name_are_held_back_together_but_for_where_it_is_known() {
        let (attempts, now) = (Attempts::default(), Mono(1));
        let tried = (1..=200).filter(|n| attempts.begin(network(*n), "ann", false, now).is_ok());
        assert_eq!(tried.count() as u32, OF_STRANGERS.free + 1);
        assert!(attempts.begin(network(201), "ann", true, now).is_ok());
        assert!(attempts.begin(network(202), "bob", false, now).is_ok());
    }

    #[test]
    fn a_right_password_forgives_what_was_typed_wrong_before_it() {
        let (attempts, now) = (Attempts::default(), Mono(1));
        for _ in 0..OF_NETWORK.free / OF_BOTH.free {
            let tried = (0..OF_BOTH.free).map(|_| attempts.begin(network(1), "ann", true, now));
            let last = tried.last().unwrap().unwrap();
            attempts.succeeded(last);
        }
        assert!(attempts.begin(network(1), "ann", true, now).is_ok());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut counted = Counted::new(OF_BOTH);
        for n in 0..2 * KEYS_MAX {
            counted.failed(n, Mono(n as u64));
        }
        assert_eq!(counted.failures.len(), KEYS_MAX);
        assert!(!counted.failures.contains_key(&0) && counted.failures.contains_key(&(2 * KEYS_MAX - 1)));
    }
}
