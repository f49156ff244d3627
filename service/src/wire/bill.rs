//! Bills with everything that is needed to check them with pencil and paper: readings, segments, nine places.

use super::{
    amounts::{At, ExactYuan, Kwh, Yuan, YuanPerKwh},
    live::Period,
    word,
};
use domain::{
    order::{BillVersion, Order},
    rating::{Bill, Reading},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Every version of an order's bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BillView {
    /// The order.
    pub order: String,
    /// Oldest first; the last one counts. Versions are added, never changed.
    pub versions: Vec<BillVersionView>,
}

/// One version of a bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BillVersionView {
    /// Counted from 1.
    pub version: usize,
    /// What it was made from: `record`, `estimate` or `correction`.
    #[schema(example = "record")]
    pub basis: String,
    /// When it was made.
    pub at: At,
    /// For electricity.
    pub electricity: Yuan,
    /// For service.
    pub service: Yuan,
    /// Both together: what the driver pays.
    pub fee: Yuan,
    /// Why, for a correction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who, for a correction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The second person, for a correction that took two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// How it was worked out; `null` for a correction.
    #[schema(required)]
    pub detail: Option<BillDetail>,
}

/// How a bill was worked out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BillDetail {
    /// The tariff version it was rated by.
    pub tariff: String,
    /// Where the session starts.
    pub start: ReadingView,
    /// Where it stops.
    pub stop: ReadingView,
    /// What was delivered: the difference of the two registers, and the sum of the segments.
    pub energy_kwh: Kwh,
    /// One line per stretch of one tariff period.
    pub segments: Vec<SegmentView>,
    /// The readings that decided: start, stop, and the neighbours of each boundary.
    pub readings: Vec<ReadingView>,
    /// How many samples rating did not believe.
    pub dropped: u32,
}

/// A register reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReadingView {
    /// When, by the station's clock.
    pub at: At,
    /// What the meter had counted.
    pub register_kwh: Kwh,
}

/// One line of a bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SegmentView {
    /// Where it begins.
    pub from: At,
    /// Where it ends.
    pub to: At,
    /// The period throughout.
    pub kind: Period,
    /// What was delivered in it.
    pub energy_kwh: Kwh,
    /// Price of the electricity.
    pub electricity_price: YuanPerKwh,
    /// Price of the service.
    pub service_price: YuanPerKwh,
    /// Energy × price, all nine places.
    pub electricity_amount: ExactYuan,
    /// Energy × price, all nine places.
    pub service_amount: ExactYuan,
}

impl From<Reading> for ReadingView {
    fn from(reading: Reading) -> Self {
        Self {
            at: At(reading.at),
            register_kwh: Kwh(reading.register),
        }
    }
}

impl From<&Bill> for BillDetail {
    fn from(bill: &Bill) -> Self {
        let segments = bill.segments.iter().map(|segment| SegmentView {
            from: At(segment.from),
            to: At(segment.to),
            kind: segment.kind.into(),
            energy_kwh: Kwh(segment.energy),
            electricity_price: YuanPerKwh(segment.electricity_price),
            service_price: YuanPerKwh(segment.service_price),
            electricity_amount: ExactYuan(segment.electricity_amount),
            service_amount: ExactYuan(segment.service_amount),
        });
        Self {
            tariff: bill.tariff.to_string(),
            start: bill.start.into(),
            stop: bill.stop.into(),
            energy_kwh: Kwh(bill.energy),
            segments: segments.collect(),
            readings: bill.readings.iter().copied().map(ReadingView::from).collect(),
            dropped: bill.dropped,
        }
    }
}

impl BillVersionView {
    fn of(version: usize, bill: &BillVersion) -> Self {
        Self {
            version,
            basis: word(&bill.basis),
            at: At(bill.at),
            electricity: Yuan(bill.electricity),
            service: Yuan(bill.service),
            fee: Yuan(bill.fee()),
            reason: bill.reason.clone(),
            by: bill.by.clone(),
            approved_by: bill.approval.as_ref().map(|approval| approval.by.clone()),
            detail: bill.detail.as_ref().map(BillDetail::from),
        }
    }
}

impl From<&Order> for BillView {
    fn from(order: &Order) -> Self {
        let versions = order.bills.iter().zip(1..);
        Self {
            order: order.id.to_string(),
            versions: versions.map(|(bill, n)| BillVersionView::of(n, bill)).collect(),
        }
    }
}

/// What came of working a day's bills out again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BillAudit)]
pub struct BillAuditView {
    /// When the day begins.
    pub from: At,
    /// When the next one does.
    pub to: At,
    /// Bills journaled on that day.
    #[schema(example = 412)]
    pub rated: u64,
    /// Of which the same to the fen and the digit.
    #[schema(example = 412)]
    pub same: u64,
    /// The others, at most 100 of them.
    pub differences: Vec<BillDifference>,
}

/// A bill that comes out otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BillDifference {
    /// The bill's journal entry.
    pub seq: u64,
    /// Whose bill.
    pub order_id: String,
    /// The fee as journaled.
    pub fee: Yuan,
    /// The fee as worked out again; `null` where it cannot be rated.
    #[schema(required)]
    pub again: Option<Yuan>,
}
