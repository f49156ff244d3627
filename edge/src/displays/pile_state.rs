//! What is said of a pile on `hf/v1/site/{site}/pile/{pile}/state`. The document of the contract is `docs/displays.md`;
//! a test compares the two.

use domain::{ids::Outlet, messages::ConnectorStatus, order::State, pile::Pile, site::Site};
use serde::Serialize;
use service::wire::{At, Kw, Kwh};

/// A pile, as everybody may see it: no reason that a person wrote, and nobody's name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PileState {
    /// The pile.
    pub pile: String,
    /// Connected now. If not, its connectors are as they were last heard of.
    pub online: bool,
    /// It takes no new orders.
    pub maintenance: bool,
    /// Its connectors, in order.
    pub connectors: Vec<ConnectorState>,
}

/// A connector of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConnectorState {
    /// Counted from 1.
    pub no: u8,
    /// The most it can deliver, kW; `null` where the pile did not say.
    pub max_kw: Option<Kw>,
    /// At fault: it takes no orders.
    pub faulted: bool,
    /// Its emergency stop is pressed, as far as is known.
    pub emergency_stop: bool,
    /// What it last said of itself; `null` where nothing was heard yet, as are the three that follow.
    pub status: Option<ConnectorStatus>,
    /// Volts × amperes ÷ 1000; `null` where the pile did not say either.
    pub power_kw: Option<f64>,
    /// The register of its meter.
    pub meter_kwh: Option<Kwh>,
    /// When that was heard.
    pub as_of: Option<At>,
    /// The order that occupies it; its frames are on `…/live/{order_id}`.
    pub order_id: Option<String>,
    /// Where that order stands: `PLACE` or `CHARGING`.
    pub order_state: Option<State>,
}

impl PileState {
    /// As the station knows it now.
    pub fn of(pile: &Pile, site: &Site) -> Self {
        let presence = site.presence(&pile.id);
        let connectors = pile.connectors.iter().map(|(no, connector)| {
            let outlet = Outlet {
                pile: pile.id.clone(),
                connector: *no,
            };
            let live = site.outlet(&outlet);
            let report = live.map(|live| &live.report);
            let order = site.order_at(&outlet);
            ConnectorState {
                no: no.0,
                max_kw: connector.power_max.map(Kw),
                faulted: connector.fault.is_at_fault(),
                emergency_stop: connector.fault.is_stopped(),
                status: report.map(|report| report.status),
                power_kw: report.and_then(|report| report.watts()).map(|watts| watts / 1000.0),
                meter_kwh: report.map(|report| Kwh(report.meter_kwh)),
                as_of: live.map(|live| At(live.as_of)),
                order_id: order.map(|order| order.id.to_string()),
                order_state: order.map(|order| order.state),
            }
        });
        Self {
            pile: pile.id.to_string(),
            online: presence.is_some_and(|presence| presence.online_since.is_some()),
            maintenance: pile.fenced_off().is_some(),
            connectors: connectors.collect(),
        }
    }
}
