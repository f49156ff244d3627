//! What stands in requests and answers of more than one program, one file per resource. Every field's comment is its
//! description in the document. They are copies of domain types on purpose: what the domain renames does not change the
//! contract. Each is written and read: by whoever answers, and by whoever asks.

mod amounts;
pub mod bill;
pub mod described;
pub mod energy;
pub mod journal;
pub mod live;
pub mod member;
pub mod order;
pub mod quarantine;
pub mod tariff;
pub mod unread;

pub use amounts::{At, ExactYuan, Kw, Kwh, Yuan, YuanPerKwh, check_not_negative};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PageOf<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Send it as `cursor` to get the next page; `null` after the last one.
    #[schema(required)]
    pub next: Option<String>,
}

/// Something that is on (with the reason) or off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    /// On or off.
    pub on: bool,
    /// Why; must be given to switch it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Splits what serde writes for an enum with data into its word and its content.
fn tagged(value: &impl Serialize) -> (String, serde_json::Value) {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => (word, serde_json::Value::Object(serde_json::Map::new())),
        Ok(serde_json::Value::Object(object)) if object.len() == 1 => object.into_iter().next().unwrap_or_default(),
        Ok(other) => (String::new(), other),
        Err(_) => (String::new(), serde_json::Value::Null),
    }
}

/// The word of an enum without data.
pub fn word(value: &impl Serialize) -> String {
    tagged(value).0
}

/// Something that was noticed, with its figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Noticed {
    /// A stable word, such as `stop_below_start`.
    pub kind: String,
    /// Its figures, an object whose fields depend on `kind`.
    #[schema(value_type = Object)]
    pub figures: serde_json::Value,
}

impl Noticed {
    /// As serde writes an enum: its word, and what stands in it.
    pub fn of(value: &impl Serialize) -> Self {
        let (kind, figures) = tagged(value);
        Self { kind, figures }
    }
}
