//! Displays: who may read the station's live topics over MQTT.

use crate::api::{body::Checked, wire::described};
use domain::{ids::DisplayId, topics};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A display to be let in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddDisplay {
    /// Its id, 1 to 32 of A-Z a-z 0-9 _ -.
    #[schema(value_type = described::DisplayId)]
    pub id: DisplayId,
}

impl Checked for AddDisplay {}

/// A display's secret: shown once, when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DisplaySecret {
    /// The display.
    pub id: String,
    /// Its MQTT user name, and its client id or the beginning of it.
    #[schema(example = "display:price-board")]
    pub user_name: String,
    /// Its MQTT password. `null` in a repeated answer: it is not kept; rotate it if it was lost.
    #[schema(required)]
    pub secret: Option<String>,
}

impl DisplaySecret {
    pub(in crate::api) fn of(display: &DisplayId, secret: Option<String>) -> Self {
        Self {
            id: display.to_string(),
            user_name: topics::display_user(display),
            secret,
        }
    }
}

/// A display.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DisplayView {
    /// Its id.
    pub id: String,
    /// Its MQTT user name.
    pub user_name: String,
}

impl From<&DisplayId> for DisplayView {
    fn from(display: &DisplayId) -> Self {
        Self {
            id: display.to_string(),
            user_name: topics::display_user(display),
        }
    }
}

/// All displays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DisplayList {
    /// By id.
    pub items: Vec<DisplayView>,
}
