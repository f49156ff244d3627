//! What a driver sees of an order while it charges.
//! Volts, amperes and state of charge are telemetry and may be floats; money and energy are not.

use super::{
    amounts::{At, Kwh, Yuan},
    order::OrderState,
};
use domain::{site::LiveView, tariff::PeriodKind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A tariff period (尖/峰/平/谷).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// 尖
    Sharp,
    /// 峰
    Peak,
    /// 平
    Flat,
    /// 谷
    Valley,
}

impl From<PeriodKind> for Period {
    fn from(kind: PeriodKind) -> Self {
        match kind {
            PeriodKind::Sharp => Self::Sharp,
            PeriodKind::Peak => Self::Peak,
            PeriodKind::Flat => Self::Flat,
            PeriodKind::Valley => Self::Valley,
        }
    }
}

/// A connector of a pile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Outlet)]
pub struct OutletDto {
    /// The pile.
    pub pile: String,
    /// The connector, counted from 1.
    pub connector: u8,
}

/// An order as the driver sees it now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Live)]
pub struct LiveDto {
    /// The order.
    pub order_id: String,
    /// Where.
    pub outlet: OutletDto,
    /// Where the order stands.
    pub state: OrderState,
    /// A stop has been asked for.
    pub stopping: bool,
    /// Volts × amperes ÷ 1000.
    #[schema(required)]
    pub power_kw: Option<f64>,
    /// Volts.
    #[schema(required)]
    pub voltage_v: Option<f64>,
    /// Amperes.
    #[schema(required)]
    pub current_a: Option<f64>,
    /// The car's state of charge in per cent.
    #[schema(required)]
    pub soc_pct: Option<f64>,
    /// Delivered so far.
    pub energy_kwh: Kwh,
    /// Costs so far.
    pub fee: Yuan,
    /// Of which electricity.
    pub electricity_fee: Yuan,
    /// Of which service.
    pub service_fee: Yuan,
    /// The tariff period now.
    pub period: Period,
    /// When charging is expected to end; `null` when it cannot be known.
    #[schema(required)]
    pub expected_end: Option<At>,
    /// Whether the pile is connected. If not, the figures are as old as `as_of` says.
    pub pile_online: bool,
    /// When the figures were received.
    #[schema(required)]
    pub as_of: Option<At>,
}

impl From<&LiveView> for LiveDto {
    fn from(view: &LiveView) -> Self {
        Self {
            order_id: view.order_id.to_string(),
            outlet: OutletDto {
                pile: view.outlet.pile.to_string(),
                connector: view.outlet.connector.0,
            },
            state: view.state.into(),
            stopping: view.stopping,
            power_kw: view.power_kw,
            voltage_v: view.voltage_v,
            current_a: view.current_a,
            soc_pct: view.soc_pct,
            energy_kwh: Kwh(view.energy_kwh),
            fee: Yuan(view.fee),
            electricity_fee: Yuan(view.electricity_fee),
            service_fee: Yuan(view.service_fee),
            period: view.period.into(),
            expected_end: view.expected_end.map(At),
            pile_online: view.pile_online,
            as_of: view.as_of.map(At),
        }
    }
}
