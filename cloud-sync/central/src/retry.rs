//! When somebody else's server is tried again that could not be told: after pauses that grow, and not for ever.

use domain::time::Wall;

/// For how long something is tried, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pauses {
    /// The first pause, in milliseconds; each is four times the one before.
    pub first_ms: i64,
    /// The longest, in milliseconds.
    pub longest_ms: i64,
    /// From the beginning on it is tried for so long, in milliseconds.
    pub tried_ms: i64,
}

impl Pauses {
    /// When it is tried again, after so many tries of which the last has failed now; none: not any more.
    pub fn again_at(&self, began_at: Wall, tries: u64, now: Wall) -> Option<Wall> {
        let times = u32::try_from(tries.saturating_sub(1)).unwrap_or(u32::MAX);
        let pause = 4_i64
            .saturating_pow(times)
            .saturating_mul(self.first_ms)
            .min(self.longest_ms);
        (now.ms_since(began_at) < self.tried_ms).then(|| now.after_ms(pause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_after_the_last_day_there_is_none() {
        let pauses = Pauses {
            first_ms: 5_000,
            longest_ms: 3 * 3_600_000,
            tried_ms: 3 * 86_400_000,
        };
        let (began, mut now) = (Wall(0), Wall(0));
        let mut all = Vec::new();
        let mut tries = 1;
        while let Some(again) = pauses.again_at(began, tries, now) {
            all.push(again.ms_since(now) / 1_000);
            (now, tries) = (again, tries + 1);
        }
        assert_eq!(all[..7], [5, 20, 80, 320, 1_280, 5_120, 10_800]);
        assert!(all[7..].iter().all(|pause| *pause == 10_800));
        assert!(now.0 >= pauses.tried_ms && now.0 < pauses.tried_ms + pauses.longest_ms);
    }
}
