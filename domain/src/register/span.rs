//! Spans of a register, and what is left of them where others are cut out.
//! Half-open, so that two sessions that meet at a reading share nothing.

use crate::{rating::REGISTER_MAX, units::Energy};
use serde::{Deserialize, Serialize};

/// A half-open span of the register, in 0.1 Wh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    /// From this register on.
    pub from: Energy,
    /// Up to this one, which is not part of it.
    pub to: Energy,
}

impl Span {
    /// The span between two registers. Registers below zero or above [`REGISTER_MAX`] are taken for those, so that no sum
    /// can overflow and everything that is written can be read again.
    pub fn new(from: Energy, to: Energy) -> Self {
        let (from, to) = (within_range(from), within_range(to));
        Self { from, to }
    }

    /// The energy that it stands for; zero where it ends before it begins.
    pub fn energy(self) -> Energy {
        (self.to - self.from).max(Energy::ZERO)
    }

    /// What two spans have in common.
    pub(super) fn common(self, other: Self) -> Option<Self> {
        let (from, to) = (self.from.max(other.from), self.to.min(other.to));
        (from < to).then_some(Self { from, to })
    }

    /// What is left of it: one span, two where the cut is in the middle, or none.
    pub(super) fn without(self, cut: Self) -> Vec<Self> {
        if self.common(cut).is_none() {
            return vec![self];
        }
        let (below, above) = (self.from..cut.from, cut.to..self.to);
        let rest = [below, above].into_iter().filter(|rest| !rest.is_empty());
        rest.map(|rest| Self::new(rest.start, rest.end)).collect()
    }
}

pub(super) fn within_range(register: Energy) -> Energy {
    register.clamp(Energy::ZERO, REGISTER_MAX)
}

pub(super) fn without_all(spans: Vec<Span>, cuts: impl IntoIterator<Item = Span>) -> Vec<Span> {
    let cut_out = |spans: Vec<Span>, cut| spans.into_iter().flat_map(|span| span.without(cut)).collect();
    cuts.into_iter().fold(spans, cut_out)
}

pub(super) fn sum(spans: &[Span]) -> Energy {
    spans.iter().map(|span| span.energy()).sum()
}
