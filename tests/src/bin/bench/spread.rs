//! Many measured times, and what is said of them.

use std::time::Duration;

/// Times, in any order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spread(Vec<Duration>);

impl Spread {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn absorb(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The time that this many in a thousand do not exceed; zero of none.
    pub(crate) fn permille(&mut self, permille: usize) -> Duration {
        self.0.sort_unstable();
        let at = (self.0.len() * permille).div_ceil(1000).saturating_sub(1);
        self.0.get(at).copied().unwrap_or_default()
    }

    pub(crate) fn p50(&mut self) -> Duration {
        self.permille(500)
    }

    pub(crate) fn p99(&mut self) -> Duration {
        self.permille(990)
    }
}

/// Milliseconds with two places.
pub(crate) fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permille_is_the_nearest_rank() {
        let mut spread = Spread::default();
        for n in (1..=200).rev() {
            spread.add(Duration::from_millis(n));
        }
        assert_eq!(spread.p50(), Duration::from_millis(100));
        assert_eq!(spread.p99(), Duration::from_millis(198));
        assert_eq!(Spread::default().p99(), Duration::ZERO);
    }
}
