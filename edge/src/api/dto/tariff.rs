//! Tariffs: which versions there are, what applies now, and what is wrong with one.

use super::problem::TariffFault;
use crate::api::wire::tariff::TariffDocument;
use domain::tariff::Tariff;
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

/// What is wrong with a tariff, if anything is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TariffVerdict {
    /// It can be added.
    pub valid: bool,
    /// Everything that is wrong with it, at most 32 faults.
    pub faults: Vec<TariffFault>,
}
