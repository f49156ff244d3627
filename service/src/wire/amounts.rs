//! Amounts and times as they stand in requests and answers: decimal strings and RFC 3339, described once for OpenAPI.
//! They wrap the domain's integers, so that no float ever carries money.

use crate::http::problem::Problem;
use domain::{
    rating::Amount,
    time::Wall,
    units::{Energy, Fen, Power, Price},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Money in yuan with two places, as a string. In requests fewer places are fine, more are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "12.34", pattern = r"^-?\d+(\.\d{1,2})?$")]
pub struct Yuan(pub Fen);

/// Energy, or a register reading, in kWh with four places, as a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "12.3456", pattern = r"^-?\d+(\.\d{1,4})?$")]
pub struct Kwh(pub Energy);

/// Power in kW with three places, as a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "7.000", pattern = r"^-?\d+(\.\d{1,3})?$")]
pub struct Kw(pub Power);

/// A price in yuan per kWh with five places, as a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "0.85000", pattern = r"^-?\d+(\.\d{1,5})?$")]
pub struct YuanPerKwh(pub Price);

/// Money in yuan before rounding, with all nine places, as a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "0.152399025", pattern = r"^-?\d+\.\d{9}$")]
pub struct ExactYuan(pub Amount);

/// A moment by the station's wall clock, RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = DateTime, example = "2026-03-01T00:00:00Z")]
pub struct At(pub Wall);

/// An amount that may be zero.
///
/// # Errors
/// It is below zero; `path` names its field.
pub fn check_not_negative(path: &str, Yuan(amount): Yuan) -> Result<(), Problem> {
    if amount.is_negative() {
        return Err(Problem::field(path, format!("must not be negative, not {amount}")));
    }
    Ok(())
}
