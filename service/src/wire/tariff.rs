//! A tariff version as people write it. The domain reads the document and names every fault; these types describe it.

use super::{At, YuanPerKwh, live::Period};
use domain::{
    tariff::{self, PriceRow, Tariff},
    time::Wall,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A tariff version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TariffDocument {
    /// The version's name.
    #[schema(example = "summer-2026")]
    pub id: String,
    /// Orders placed from then on are pinned to it, until a later version takes over.
    pub effective_from: At,
    /// Always `CNY`.
    #[serde(default)]
    #[schema(example = "CNY")]
    pub currency: String,
    /// IANA name of the site's time zone; may be left out in requests.
    #[serde(default)]
    #[schema(example = "Asia/Shanghai")]
    pub time_zone: String,
    /// Prices by period: `sharp`, `peak`, `flat`, `valley`; periods that no schedule uses may be left out.
    pub prices: BTreeMap<String, PricePartsDto>,
    /// Day schedules; the first that matches a day is the day's.
    pub schedules: Vec<ScheduleDto>,
}

/// A price in its two parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PriceParts)]
pub struct PricePartsDto {
    /// The electricity itself (电费).
    pub electricity: YuanPerKwh,
    /// The station's service fee (服务费).
    pub service: YuanPerKwh,
}

/// What a day looks like, and which days look like that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DaySchedule)]
pub struct ScheduleDto {
    /// Months it applies to, 1 to 12; every month if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub months: Option<Vec<u8>>,
    /// Days of the week it applies to, `mon` to `sun`; every day if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekdays: Option<Vec<String>>,
    /// The day from 00:00 to 24:00, without gaps.
    pub periods: Vec<PeriodRowDto>,
}

/// One stretch of a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TariffPeriod)]
pub struct PeriodRowDto {
    /// When it begins by the local clock.
    #[schema(example = "08:00")]
    pub from: String,
    /// When it ends by the local clock.
    #[schema(example = "12:00")]
    pub to: String,
    /// What applies.
    pub kind: Period,
}

/// The tariff an order placed now is pinned to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
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

impl TariffInForce {
    /// Of these versions the one in force at a moment, if one is.
    pub fn of<'a>(versions: impl IntoIterator<Item = &'a Tariff>, at: Wall) -> Option<Self> {
        let tariff = tariff::in_force(versions, at)?;
        let price = tariff.price_at(at);
        Some(Self {
            period: tariff.kind_at(at).into(),
            price: PricePartsDto {
                electricity: YuanPerKwh(price.electricity),
                service: YuanPerKwh(price.service),
            },
            until: At(tariff.next_boundary(at)),
            today: tariff.day_table(at).into_iter().map(Into::into).collect(),
            tariff: tariff.clone(),
        })
    }
}

/// From when today a kWh costs what, electricity and service together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
