//! Caps on open sockets, in all and per address, and a few places above them to say so.
//! A place is taken right after accept and given back by dropping its guard.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use limits::{InUse, network_of};

/// The most sockets above the caps that are answered at once; more are closed without a word.
pub(crate) const TURNED_AWAY_MAX: usize = 64;

#[derive(Debug)]
pub(crate) struct Admission {
    /// For those who are turned away.
    doorstep: Arc<Semaphore>,
    places: Arc<Semaphore>,
    places_max: u32,
    by_address: InUse<IpAddr>,
    per_address_max: usize,
}

/// A place for one socket.
#[derive(Debug)]
pub(crate) struct Place {
    /// Given back first: once every place is free again, no address has any.
    _of_address: limits::Place<IpAddr>,
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    pub(crate) fn new(places_max: usize, per_address_max: usize) -> Self {
        let places_max = u32::try_from(places_max)
            .unwrap_or(u32::MAX)
            .min(Semaphore::MAX_PERMITS as u32);
        Self {
            doorstep: Arc::new(Semaphore::new(TURNED_AWAY_MAX)),
            places: Arc::new(Semaphore::new(places_max as usize)),
            places_max,
            by_address: InUse::default(),
            per_address_max,
        }
    }

    /// A place, if neither cap is reached.
    pub(crate) fn admit(&self, address: IpAddr) -> Option<Place> {
        Some(Place {
            _permit: Arc::clone(&self.places).try_acquire_owned().ok()?,
            _of_address: self.by_address.admit(network_of(address), self.per_address_max)?,
        })
    }

    /// A place for a socket above the caps, for as long as it takes to refuse it.
    pub(crate) fn turn_away(&self) -> Option<OwnedSemaphorePermit> {
        self.doorstep.clone().try_acquire_owned().ok()
    }

    /// Resolves once every place is free again.
    pub(crate) async fn all_gone(&self) {
        // The semaphore is never closed, so this only ends with all permits in hand.
        drop(self.places.acquire_many(self.places_max).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_address() {
        let admission = Admission::new(10, 1);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let _one = admission.admit(address("2001:db8:1:2::1")).unwrap();
        assert!(admission.admit(address("2001:db8:1:2:ffff::9")).is_none());
        assert!(admission.admit(address("2001:db8:1:3::1")).is_some());
    }

    #[test]
    fn both_caps_hold_and_places_come_back() {
        let admission = Admission::new(3, 2);
        let (a, b): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        let first = admission.admit(a).unwrap();
        let _second = admission.admit(mapped).unwrap();
        assert!(admission.admit(a).is_none(), "per address");
        let third = admission.admit(b).unwrap();
        assert!(admission.admit(b).is_none(), "in all");
        drop(first);
        assert!(admission.admit(a).is_some());
        drop(third);
        assert_eq!(
            admission.by_address.users(),
            1,
            "addresses without sockets are forgotten"
        );
    }
}
