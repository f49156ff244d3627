//! The shapes of requests and answers that are head office's alone; what a station answers in the same shapes stands in
//! [`service::wire`]. Every field's comment is its description in the document.

pub mod alert;
pub mod books;
pub mod finding;
pub mod inbox;
pub mod people;
pub mod pile;
pub mod problem;
pub mod site;
pub mod station;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a station shows of it, and which station.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AtSite<T> {
    /// Which site. Two sites may both have an order, a member or an item of the same number.
    #[schema(example = "s01")]
    pub site: String,
    /// As the station itself shows it.
    #[serde(flatten)]
    pub row: T,
}

/// Whether head office lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Health)]
pub struct HealthView {
    /// `ok`.
    #[schema(example = "ok")]
    pub status: String,
}
