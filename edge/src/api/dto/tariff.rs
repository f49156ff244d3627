//! Tariffs: which versions there are, what applies now, and what is wrong with one.

use super::problem::TariffFault;
use crate::api::wire::{
    At, YuanPerKwh,
    live::Period,
    tariff::{PricePartsDto, TariffDocument},
};
use domain::tariff::{PriceRow, Tariff};
use serde::Serialize;
use utoipa::ToSchema;

/// All tariff versions.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TariffList {
    /// By name.
    #[schema(value_type = Vec<TariffDocument>)]
    pub items: Vec<Tariff>,
    /// The version that an order placed now is pinned to.
    #[schema(required)]
    pub in_force: Option<String>,
}

/// The tariff an order placed now is pinned to.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TariffInForce {
    /// The whole version.
    #[schema(value_type = TariffDocument)]
    pub tariff: Tariff,
    /// The period now.
    pub period: Period,
    /// What a kWh costs now, in its two parts.
    pub price: PricePartsDto,
    /// When the period changes next.
    pub until: At,
    /// Today's prices by the local clock.
    pub today: Vec<PriceRowDto>,
}

/// From when today a kWh costs what, electricity and service together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PriceRow)]
pub struct PriceRowDto {
    /// By the local clock, until the next row or 24:00.
    #[schema(example = "08:00")]
    pub from: String,
    /// What applies.
    pub kind: Period,
    /// Electricity and service together.
    pub price_per_kwh: YuanPerKwh,
}

impl From<PriceRow> for PriceRowDto {
    fn from(row: PriceRow) -> Self {
        Self {
            from: row.from,
            kind: row.kind.into(),
            price_per_kwh: YuanPerKwh(row.price_per_kwh),
        }
    }
}

/// What is wrong with a tariff, if anything is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TariffVerdict {
    /// It can be added.
    pub valid: bool,
    /// Everything that is wrong with it, at most 32 faults.
    pub faults: Vec<TariffFault>,
}
