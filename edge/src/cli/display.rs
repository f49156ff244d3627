//! `holdfast-edge display`: who may read the station's live topics over MQTT.

use super::{Shown, client::Client};
use clap::Subcommand;
use domain::ids::DisplayId;
use serde_json::json;
use service::table;

/// What a person asks about displays.
#[derive(Debug, Subcommand)]
pub(super) enum Display {
    /// Let a display in: it may read live frames and the states of piles. Its secret is printed once.
    Add {
        /// The display's id, such as price-board. Its MQTT user name is display:ID.
        id: String,
    },
    /// All displays.
    List,
    /// Give a display a new secret, which is printed once. Its connections end at once.
    Rotate {
        /// The display's id.
        id: String,
    },
    /// Let a display in no more. Its connections end at once.
    Remove {
        /// The display's id.
        id: String,
    },
}

impl Display {
    pub(super) fn ask(self, client: &Client) -> anyhow::Result<Shown> {
        Ok(match self {
            Self::Add { id } => {
                let id = DisplayId::new(id)?;
                (client.post("/v1/displays", &json!({ "id": id }))?, table::fields)
            }
            Self::List => (client.get("/v1/displays")?, table::rows),
            Self::Rotate { id } => {
                let path = format!("/v1/displays/{}/rotate", DisplayId::new(id)?);
                (client.post(&path, &json!({}))?, table::fields)
            }
            Self::Remove { id } => {
                let id = DisplayId::new(id)?;
                (client.delete(&format!("/v1/displays/{id}"))?, table::fields)
            }
        })
    }
}
