//! The pile's own split of a session over the periods, held against ours (dual rating).
//! A difference is reported with both sides; what is charged is ours.

use super::{Amount, Bill};
use crate::{
    tariff::{PeriodKind, Tariff},
    units::{Energy, Fen},
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A fee difference up to this is nobody's business: ¥0.05.
const FEE_TOLERANCE: Fen = Fen(5);
/// An energy difference up to this share of the session is nobody's business: 0.5 %.
const ENERGY_TOLERANCE_PER_MILLE: i128 = 5;

/// A session's energy by kind of period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct PeriodSplit {
    /// 尖
    pub sharp: Energy,
    /// 峰
    pub peak: Energy,
    /// 平
    pub flat: Energy,
    /// 谷
    pub valley: Energy,
}

impl PeriodSplit {
    /// The energy in one kind of period.
    pub fn get(&self, kind: PeriodKind) -> Energy {
        match kind {
            PeriodKind::Sharp => self.sharp,
            PeriodKind::Peak => self.peak,
            PeriodKind::Flat => self.flat,
            PeriodKind::Valley => self.valley,
        }
    }

    /// The same for changing.
    pub fn get_mut(&mut self, kind: PeriodKind) -> &mut Energy {
        match kind {
            PeriodKind::Sharp => &mut self.sharp,
            PeriodKind::Peak => &mut self.peak,
            PeriodKind::Flat => &mut self.flat,
            PeriodKind::Valley => &mut self.valley,
        }
    }

    /// All of it.
    pub fn total(&self) -> Energy {
        PeriodKind::ALL.into_iter().map(|kind| self.get(kind)).sum()
    }

    /// What it costs, rounded as a bill is. A kind without a price costs nothing.
    fn fee(&self, tariff: &Tariff) -> Fen {
        let amounts = PeriodKind::ALL.map(|kind| (self.get(kind), tariff.price_of(kind)));
        let electricity: Amount = amounts
            .iter()
            .map(|(energy, price)| Amount::of(*energy, price.electricity))
            .sum();
        let service: Amount = amounts
            .iter()
            .map(|(energy, price)| Amount::of(*energy, price.service))
            .sum();
        electricity.to_fen() + service.to_fen()
    }
}

/// How a pile's claim differs from the bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitDifference {
    /// The bill's split.
    pub ours: PeriodSplit,
    /// The pile's.
    pub claimed: PeriodSplit,
    /// The largest difference of any one kind, never negative.
    pub energy_difference: Energy,
    /// What the claim would cost above the bill; negative if less.
    pub fee_difference: Fen,
}

impl fmt::Display for SplitDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the pile splits the energy otherwise:")?;
        for kind in PeriodKind::ALL {
            let (ours, claimed) = (self.ours.get(kind), self.claimed.get(kind));
            if ours != claimed {
                write!(f, " {} {claimed} kWh by the pile and {ours} by the station,", kind)?;
            }
        }
        write!(f, " which would cost {} yuan more", self.fee_difference)
    }
}

impl Bill {
    /// The bill's energy by kind of period.
    pub fn split(&self) -> PeriodSplit {
        let mut split = PeriodSplit::default();
        for segment in &self.segments {
            *split.get_mut(segment.kind) += segment.energy;
        }
        split
    }
}

/// Holds a pile's claim against a bill; `Some` above 0.5 % of the session's energy in any kind, or ¥0.05 in the fee.
///
/// `tariff` is the version that the bill was rated by.
pub fn compare_split(bill: &Bill, tariff: &Tariff, claimed: &PeriodSplit) -> Option<SplitDifference> {
    let (ours, claimed) = (bill.split(), *claimed);
    let by_kind = PeriodKind::ALL.map(|kind| Energy((claimed.get(kind) - ours.get(kind)).0.saturating_abs()));
    let energy_difference = by_kind.into_iter().max().unwrap_or_default();
    let fee_difference = claimed.fee(tariff) - bill.fee;
    let much_energy = i128::from(energy_difference.0) * 1_000 > i128::from(bill.energy.0) * ENERGY_TOLERANCE_PER_MILLE;
    let much_money = fee_difference.0.saturating_abs() > FEE_TOLERANCE.0;
    (much_energy || much_money).then_some(SplitDifference {
        ours,
        claimed,
        energy_difference,
        fee_difference,
    })
}
