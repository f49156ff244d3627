//! What is in use at once, such as open connections, counted by who uses it: one at their bound costs the others nothing.
//! A place is given back when it is dropped, and who holds none is forgotten.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Counts<K> = Arc<Mutex<BTreeMap<K, usize>>>;

/// Things that are in use, counted by who uses them; a clone counts the same things.
#[derive(Debug)]
pub struct InUse<K: Ord> {
    by_user: Counts<K>,
}

impl<K: Ord> Default for InUse<K> {
    fn default() -> Self {
        Self {
            by_user: Arc::default(),
        }
    }
}

impl<K: Ord> Clone for InUse<K> {
    fn clone(&self) -> Self {
        Self {
            by_user: Arc::clone(&self.by_user),
        }
    }
}

/// A place for one of them; given back when it is dropped.
#[derive(Debug)]
pub struct Place<K: Ord> {
    by_user: Counts<K>,
    user: K,
}

impl<K: Ord + Clone> InUse<K> {
    /// A place, if this user has fewer than `most`.
    pub fn admit(&self, user: K, most: usize) -> Option<Place<K>> {
        let mut by_user = lock(&self.by_user);
        let open = by_user.get(&user).copied().unwrap_or(0);
        if open >= most {
            return None;
        }
        by_user.insert(user.clone(), open + 1);
        drop(by_user);
        Some(Place {
            by_user: Arc::clone(&self.by_user),
            user,
        })
    }
}

impl<K: Ord> InUse<K> {
    /// How many use at least one.
    pub fn users(&self) -> usize {
        lock(&self.by_user).len()
    }
}

impl<K: Ord> Drop for Place<K> {
    fn drop(&mut self) {
        let mut by_user = lock(&self.by_user);
        if let Some(open) = by_user.get_mut(&self.user) {
            *open -= 1;
            if *open == 0 {
                by_user.remove(&self.user);
            }
        }
    }
}

/// A count is whole whoever panicked while it was held.
fn lock<K: Ord>(counts: &Counts<K>) -> MutexGuard<'_, BTreeMap<K, usize>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_by_user_and_come_back() {
        let open = InUse::default();
        let first = open.admit("one", 1).unwrap();
        assert!(open.admit("one", 1).is_none());
        assert!(open.clone().admit("one", 1).is_none(), "a clone counts the same");
        let _other = open.admit("other", 1).unwrap();
        drop(first);
        assert_eq!(open.users(), 1, "who holds nothing is forgotten");
        assert!(open.admit("one", 1).is_some());
        assert!(open.admit("nobody", 0).is_none());
    }
}
