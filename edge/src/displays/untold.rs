//! Piles of which displays have not been told the latest: a set, so that however often a pile changes it is told once,
//! as it is then.

use domain::ids::PileId;
use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};
use tokio::sync::Notify;

/// Nothing until the first display subscribes; from then on the piles that changed since they were last taken. No larger
/// than the station has piles.
#[derive(Debug, Default)]
pub struct Untold {
    piles: Mutex<Option<BTreeSet<PileId>>>,
    /// For the one task that tells displays.
    news: Notify,
}

impl Untold {
    /// A display subscribes: what changes is kept from now on.
    pub fn begin(&self) {
        self.piles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_default();
        self.news.notify_one();
    }

    /// Resolves once a display has subscribed.
    pub(super) async fn begun(&self) {
        while self.piles.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            self.news.notified().await;
        }
    }

    /// Something of these piles may have changed.
    pub fn changed(&self, changed: impl IntoIterator<Item = PileId>) {
        let mut piles = self.piles.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(piles) = piles.as_mut() else { return };
        piles.extend(changed);
        if !piles.is_empty() {
            self.news.notify_one();
        }
    }

    /// Resolves when there may be something to take.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// Takes all of them.
    pub(super) fn take(&self) -> Vec<PileId> {
        let mut piles = self.piles.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = piles.as_mut().map(std::mem::take);
        taken.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piles<const N: usize>(ids: [&str; N]) -> [PileId; N] {
        ids.map(|id| PileId::new(id).unwrap())
    }

    #[tokio::test]
    async fn nothing_is_kept_before_a_display_subscribes() {
        let untold = Untold::default();
        untold.changed(piles(["P1"]));
        assert_eq!(untold.take(), []);
        untold.begin();
        untold.begun().await;
        untold.changed(piles(["P2"]));
        untold.begin();
        assert_eq!(untold.take(), piles(["P2"]), "another display begins nothing anew");
    }

    #[tokio::test]
    async fn a_pile_that_changes_again_and_again_is_told_once() {
        let untold = Untold::default();
        untold.begin();
        for _ in 0..1_000 {
            untold.changed(piles(["P1", "P2", "P3"]));
        }
        untold.news().await;
        assert_eq!(untold.take(), piles(["P1", "P2", "P3"]));
        assert_eq!(untold.take(), []);
    }
}
