//! A business day's energy: what orders billed, held against what the registers moved.

use super::amounts::{At, Kwh};
use domain::{
    energy::{Adjustment, ConnectorDay, ConnectorEnergy, EnergyReport, EnergyTotals, Finding},
    ids::PileId,
    units::Energy,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// A day's report in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnergyReportBrief {
    /// The business day, 00:00 to 24:00 by the site's time zone.
    #[schema(example = "2026-03-01")]
    pub day: String,
    /// When the report was made: 01:00 the day after, or later where the station was off.
    pub made_at: At,
    /// Whether the station's clock was trusted then.
    pub clock_trusted: bool,
    /// Over the whole station.
    pub totals: EnergySums,
    /// Piles that it marked `meter_abnormal`.
    pub abnormal: Vec<String>,
    /// How many changes to earlier days it holds.
    pub adjustments: usize,
}

/// A day's report. It is never changed; what comes late for its day is an adjustment in a later one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnergyReportView {
    /// The business day, 00:00 to 24:00 by the site's time zone.
    #[schema(example = "2026-03-01")]
    pub day: String,
    /// The site's time zone, an IANA name.
    pub time_zone: String,
    /// When the day began.
    pub begins: At,
    /// When it ended.
    pub ends: At,
    /// When the report was made: 01:00 the day after, or later where the station was off.
    pub made_at: At,
    /// Whether the station's clock was trusted then.
    pub clock_trusted: bool,
    /// Over the whole station.
    pub totals: EnergySums,
    /// Piles that it marked `meter_abnormal`.
    pub abnormal: Vec<String>,
    /// By pile.
    pub piles: Vec<PileEnergyView>,
    /// By connector: those with sessions, energy or discrepancies.
    pub connectors: Vec<ConnectorEnergyView>,
    /// What came late for days before.
    pub adjustments: Vec<EnergyAdjustment>,
}

/// Orders held against registers, the same sessions on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnergySums {
    /// Orders whose money first moved that day.
    pub orders: i64,
    /// What they were billed for.
    pub billed_kwh: Kwh,
    /// What the registers moved: during these orders, and unrecorded.
    pub register_kwh: Kwh,
    /// `billed_kwh` less `register_kwh`.
    pub difference_kwh: Kwh,
    /// How many discrepancies there are.
    pub discrepancies: u64,
}

/// A pile's day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PileEnergyView {
    /// Which pile.
    pub pile: String,
    /// Over its connectors.
    pub totals: EnergySums,
    /// It is marked `meter_abnormal`.
    pub abnormal: bool,
}

/// A connector's day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConnectorEnergyView {
    /// Which pile.
    pub pile: String,
    /// Which connector on it.
    pub connector: u8,
    /// Its sums.
    pub totals: EnergySums,
    /// Of `register_kwh`: what lies between sessions and in none.
    pub unrecorded_kwh: Kwh,
    /// Besides `register_kwh`: what sessions in quarantine moved.
    pub unbilled_kwh: Kwh,
    /// What does not fit; at most 33 are listed.
    pub discrepancies: Vec<EnergyDiscrepancy>,
}

/// What came late: it belongs to a day that has its report already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnergyAdjustment {
    /// The day it belongs to.
    #[schema(example = "2026-02-28")]
    pub of: String,
    /// What changes; negative where less.
    pub change: ConnectorEnergyView,
}

/// Something that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnergyDiscrepancy {
    /// `ENERGY`: an order, or the connector's day where none is named, differs from its register by more than 1 % and
    /// 0.1 kWh. `REGISTER_GAP`: energy between sessions. `ROLLBACK`: a register that fell. `UNBILLED`: a session in
    /// quarantine, or one without order and record that the station saw. `NO_METER`: an order without a record.
    /// `EXPLAINED`: a gap that an earlier report told of, and that a session explains; `register_kwh` is what is left of it.
    /// `ENERGY_AGREES`: an order that an earlier report told of as `ENERGY`, and that a person has given its true record.
    /// `CONFLICT`: a record in quarantine contradicts the one its order has. `RATING`: the pile splits an order's energy over
    /// the tariff's periods otherwise.
    #[schema(example = "REGISTER_GAP")]
    pub class: String,
    /// The order it is about, or was found with.
    #[schema(required)]
    pub order: Option<String>,
    /// The item in quarantine it is about.
    #[schema(required)]
    pub quarantine_item: Option<u64>,
    /// What was billed.
    #[schema(required)]
    pub billed_kwh: Option<Kwh>,
    /// What the register moved; of an item in quarantine, what its record says.
    #[schema(required)]
    pub register_kwh: Option<Kwh>,
    /// The register before.
    #[schema(required)]
    pub from_kwh: Option<Kwh>,
    /// The register after.
    #[schema(required)]
    pub to_kwh: Option<Kwh>,
}

impl EnergySums {
    fn new(orders: i64, billed: Energy, register: Energy, discrepancies: u64) -> Self {
        Self {
            orders,
            billed_kwh: Kwh(billed),
            register_kwh: Kwh(register),
            difference_kwh: Kwh(billed - register),
            discrepancies,
        }
    }

    fn of(totals: EnergyTotals) -> Self {
        let orders = i64::try_from(totals.orders).unwrap_or(i64::MAX);
        Self::new(orders, totals.billed, totals.register, totals.findings)
    }
}

impl EnergyDiscrepancy {
    fn of(finding: &Finding) -> Self {
        let mut view = Self {
            class: finding.class().to_owned(),
            order: None,
            quarantine_item: None,
            billed_kwh: None,
            register_kwh: None,
            from_kwh: None,
            to_kwh: None,
        };
        match finding {
            Finding::Energy {
                order,
                billed,
                register,
            } => {
                view.order = order.as_ref().map(ToString::to_string);
                (view.billed_kwh, view.register_kwh) = (Some(Kwh(*billed)), Some(Kwh(*register)));
            }
            Finding::RegisterGap { order, from, to } => {
                view.order = order.as_ref().map(ToString::to_string);
                (view.from_kwh, view.to_kwh) = (Some(Kwh(*from)), Some(Kwh(*to)));
            }
            Finding::Unordered { from, to } => {
                view.register_kwh = Some(Kwh(*to - *from));
                (view.from_kwh, view.to_kwh) = (Some(Kwh(*from)), Some(Kwh(*to)));
            }
            Finding::Explained { order, from, to, left } => {
                view.order = order.as_ref().map(ToString::to_string);
                view.register_kwh = Some(Kwh(*left));
                (view.from_kwh, view.to_kwh) = (Some(Kwh(*from)), Some(Kwh(*to)));
            }
            Finding::Rollback { order, known, found } => {
                view.order = order.as_ref().map(ToString::to_string);
                (view.from_kwh, view.to_kwh) = (Some(Kwh(*known)), Some(Kwh(*found)));
            }
            Finding::Unbilled { item, energy } => {
                (view.quarantine_item, view.register_kwh) = (Some(*item), Some(Kwh(*energy)));
            }
            Finding::EnergyAgrees {
                order,
                billed,
                register,
            } => {
                view.order = Some(order.to_string());
                (view.billed_kwh, view.register_kwh) = (Some(Kwh(*billed)), Some(Kwh(*register)));
            }
            Finding::NoMeter { order, billed } => {
                (view.order, view.billed_kwh) = (Some(order.to_string()), Some(Kwh(*billed)));
            }
            Finding::Conflict {
                order,
                item,
                billed,
                claimed,
            } => {
                (view.order, view.quarantine_item) = (Some(order.to_string()), Some(*item));
                (view.billed_kwh, view.register_kwh) = (Some(Kwh(*billed)), Some(Kwh(*claimed)));
            }
            Finding::RatingDiffers { order, item } => {
                (view.order, view.quarantine_item) = (Some(order.to_string()), Some(*item));
            }
        }
        view
    }
}

impl ConnectorEnergyView {
    fn of(outlet: &domain::ids::Outlet, sums: &ConnectorDay) -> Self {
        let found = sums.findings.len() as u64 + u64::from(sums.findings_left_out);
        Self {
            pile: outlet.pile.to_string(),
            connector: outlet.connector.0,
            totals: EnergySums::new(i64::from(sums.orders), sums.billed, sums.register(), found),
            unrecorded_kwh: Kwh(sums.unrecorded),
            unbilled_kwh: Kwh(sums.unbilled),
            discrepancies: sums.findings.iter().map(EnergyDiscrepancy::of).collect(),
        }
    }
}

fn names(piles: &[PileId]) -> Vec<String> {
    piles.iter().map(ToString::to_string).collect()
}

impl EnergyReportBrief {
    /// Of a report as it was made.
    pub fn of(report: &EnergyReport) -> Self {
        Self {
            day: report.day.to_string(),
            made_at: At(report.made_at),
            clock_trusted: report.clock_trusted,
            totals: EnergySums::of(EnergyTotals::over(report.connectors.iter())),
            abnormal: names(&report.abnormal),
            adjustments: report.adjustments.len(),
        }
    }
}

impl EnergyReportView {
    /// Of a report as it was made.
    pub fn of(report: &EnergyReport) -> Self {
        let piles: BTreeSet<&PileId> = report.connectors.iter().map(|one| &one.outlet.pile).collect();
        let piles = piles.into_iter().map(|pile| {
            let own = report.connectors.iter().filter(|one| one.outlet.pile == *pile);
            PileEnergyView {
                pile: pile.to_string(),
                totals: EnergySums::of(EnergyTotals::over(own)),
                abnormal: report.abnormal.contains(pile),
            }
        });
        let connectors = report.connectors.iter();
        let connectors = connectors.map(|ConnectorEnergy { outlet, sums, .. }| ConnectorEnergyView::of(outlet, sums));
        let adjustments = report.adjustments.iter();
        let adjustments = adjustments.map(|Adjustment { of, outlet, change }| EnergyAdjustment {
            of: of.to_string(),
            change: ConnectorEnergyView::of(outlet, change),
        });
        Self {
            day: report.day.to_string(),
            time_zone: report.time_zone.clone(),
            begins: At(report.begins),
            ends: At(report.ends),
            made_at: At(report.made_at),
            clock_trusted: report.clock_trusted,
            totals: EnergySums::of(EnergyTotals::over(report.connectors.iter())),
            abnormal: names(&report.abnormal),
            piles: piles.collect(),
            connectors: connectors.collect(),
            adjustments: adjustments.collect(),
        }
    }
}
