//! Sites as a driver looks for one: prices, and which connectors are free.

use crate::store::queries::stations::StationRow;
use domain::{
    ids::{ConnectorNo, Outlet},
    pile::{Connector, Pile},
    time::Wall,
};
use serde::{Deserialize, Serialize};
use service::wire::{At, Kw, tariff::TariffInForce};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// A site's line is up where the site was heard within so long, in milliseconds: three of its pings.
const HEARD_MS: i64 = 60_000;

/// A site, as a driver sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Station)]
pub struct StationView {
    /// Its id.
    #[schema(example = "s01")]
    pub site: String,
    /// A name for people.
    pub name: String,
    /// Its line is up: it was heard within the last minute. Where it is not, orders there cannot be placed from here, and cards and
    /// the station's own page go on.
    pub online: bool,
    /// Up to when what is shown of its piles is known here; `null` if nothing of it ever came. While the line is up that is
    /// at most some 40 seconds ago, but for what the site has yet to send after a time without a line.
    #[schema(required)]
    pub as_of: Option<At>,
    /// Connectors that are free.
    pub free: usize,
    /// The tariff in force now, with the prices of its periods; `null` where there is none, and then no orders are taken.
    #[schema(required)]
    pub tariff: Option<TariffInForce>,
    /// Its piles.
    pub piles: Vec<StationPileView>,
}

/// A pile (桩), as a driver sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = StationPile)]
pub struct StationPileView {
    /// Its id.
    #[schema(example = "P01")]
    pub id: String,
    /// Its connectors.
    pub connectors: Vec<StationConnectorView>,
}

/// A connector (枪), as a driver sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = StationConnector)]
pub struct StationConnectorView {
    /// Counted from 1.
    pub no: u8,
    /// The most it can deliver, as the pile says.
    #[schema(required)]
    pub max_kw: Option<Kw>,
    /// Whether it can be had.
    pub state: ConnectorState,
}

/// Whether a connector can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectorState {
    /// Nobody has it.
    Free,
    /// An order has it, or it charges without one.
    Occupied,
    /// It is at fault, or its emergency stop is pressed.
    Faulted,
    /// Its pile takes no orders: a person or a rule says so.
    OutOfService,
}

impl ConnectorState {
    /// Of a connector as its site's journal has it.
    fn of(pile: &Pile, connector: &Connector, is_occupied: bool) -> Self {
        if pile.fenced_off().is_some() {
            Self::OutOfService
        } else if connector.fault.is_at_fault() || connector.fault.is_stopped() {
            Self::Faulted
        } else if is_occupied || connector.unordered.is_some() {
            Self::Occupied
        } else {
            Self::Free
        }
    }
}

impl StationPileView {
    fn of(pile: &Pile, occupied: &BTreeSet<Outlet>) -> Self {
        let connector = |(no, connector): (&ConnectorNo, &Connector)| {
            let outlet = Outlet {
                pile: pile.id.clone(),
                connector: *no,
            };
            StationConnectorView {
                no: no.0,
                max_kw: connector.power_max.map(Kw),
                state: ConnectorState::of(pile, connector, occupied.contains(&outlet)),
            }
        };
        Self {
            id: pile.id.to_string(),
            connectors: pile.connectors.iter().map(connector).collect(),
        }
    }
}

impl StationView {
    /// A site at this moment.
    pub fn of(row: &StationRow, now: Wall) -> Self {
        let in_use = row.piles.iter().filter(|pile| !pile.removed);
        let piles: Vec<StationPileView> = in_use.map(|pile| StationPileView::of(pile, &row.occupied)).collect();
        let connectors = piles.iter().flat_map(|pile| &pile.connectors);
        let as_of = row
            .heard_at
            .map(|heard| row.waiting_since.map_or(heard, |since| since.min(heard)));
        Self {
            site: row.site.clone(),
            name: row.name.clone(),
            online: row.heard_at.is_some_and(|heard| now.ms_since(heard) <= HEARD_MS),
            as_of: as_of.map(At),
            free: connectors
                .filter(|connector| connector.state == ConnectorState::Free)
                .count(),
            tariff: TariffInForce::of(&row.tariffs, now),
            piles,
        }
    }
}
