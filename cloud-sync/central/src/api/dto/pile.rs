//! Piles as head office has them: what their station keeps of them. What they say just now only the station knows.

use domain::pile::Pile;
use serde::{Deserialize, Serialize};
use service::wire::{At, Kw, Kwh};
use utoipa::ToSchema;

/// A pile (桩).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = SitePile)]
pub struct PileView {
    /// Its id.
    #[schema(example = "P01")]
    pub id: String,
    /// Let in no more; its history stays.
    pub removed: bool,
    /// Maker, as the pile says.
    pub vendor: String,
    /// Model, as the pile says.
    pub model: String,
    /// Firmware, as the pile says.
    pub firmware: String,
    /// Its last start.
    #[schema(required)]
    pub boot_id: Option<String>,
    /// Why it takes no orders; `null` if it does.
    #[schema(required)]
    pub maintenance: Option<PileMark>,
    /// Its meter and the orders disagreed in an energy report (计量异常); `null` if not, or once a person has cleared it.
    #[schema(required)]
    pub meter_abnormal: Option<PileMark>,
    /// Its connectors.
    pub connectors: Vec<ConnectorView>,
}

/// Something that is to be known of a pile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PileMark {
    /// Words for people.
    pub reason: String,
    /// Who said so; `null` where an energy report did.
    #[schema(required)]
    pub by: Option<String>,
    /// Since when.
    pub since: At,
}

/// A connector (枪).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = SiteConnector)]
pub struct ConnectorView {
    /// Counted from 1.
    pub no: u8,
    /// The most it can deliver, as the pile says.
    #[schema(required)]
    pub max_kw: Option<Kw>,
    /// The register outside sessions.
    #[schema(required)]
    pub register_kwh: Option<Kwh>,
    /// At fault: it takes no orders.
    pub faulted: bool,
    /// Its emergency stop is pressed, as far as is known.
    pub emergency_stop: bool,
}

impl From<&Pile> for PileView {
    fn from(pile: &Pile) -> Self {
        let connectors = pile.connectors.iter().map(|(no, connector)| ConnectorView {
            no: no.0,
            max_kw: connector.power_max.map(Kw),
            register_kwh: connector.register.map(Kwh),
            faulted: connector.fault.is_at_fault(),
            emergency_stop: connector.fault.is_stopped(),
        });
        Self {
            id: pile.id.to_string(),
            removed: pile.removed,
            vendor: pile.make.vendor.clone(),
            model: pile.make.model.clone(),
            firmware: pile.make.firmware.clone(),
            boot_id: pile.boot_id.as_ref().map(ToString::to_string),
            maintenance: pile.fenced_off().map(|fenced| PileMark {
                reason: fenced.reason,
                by: Some(fenced.by),
                since: At(fenced.since),
            }),
            meter_abnormal: pile.meter_abnormal.as_ref().map(|abnormal| PileMark {
                reason: abnormal.reason.clone(),
                by: None,
                since: At(abnormal.since),
            }),
            connectors: connectors.collect(),
        }
    }
}
