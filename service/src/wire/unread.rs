//! What of a record could not be read, as the pile wrote it.

use domain::{
    fact::Raw,
    messages::{Unread, UnreadField},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Fields of a record that could not be read, or said what cannot be. The record counts without them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Unread)]
pub struct UnreadView {
    /// The first 32 of them.
    pub fields: Vec<UnreadFieldView>,
    /// How many there were, each entry of a list for itself.
    pub dropped: u32,
}

/// One of these fields: its beginning, where it is longer than 4 KiB, or all of them are longer than 8 KiB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = UnreadField)]
pub struct UnreadFieldView {
    /// Where it stands in the message.
    #[schema(example = "soc_stop")]
    pub path: String,
    /// Its JSON, as it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "79.5")]
    pub raw: Option<String>,
    /// In place of `raw` where that was not UTF-8: its bytes in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_base64: Option<String>,
    /// How many bytes were written, where only the first of them are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut_from: Option<u32>,
}

impl From<&Unread> for UnreadView {
    fn from(unread: &Unread) -> Self {
        Self {
            fields: unread.fields.iter().map(Into::into).collect(),
            dropped: unread.dropped,
        }
    }
}

impl From<&UnreadField> for UnreadFieldView {
    fn from(field: &UnreadField) -> Self {
        let (raw, raw_base64) = text_or_bytes(&field.raw);
        Self {
            path: field.path.clone(),
            raw,
            raw_base64,
            cut_from: field.cut_from,
        }
    }
}

/// What came as UTF-8 is shown as it is, and anything else in base64.
pub(super) fn text_or_bytes(raw: &Raw) -> (Option<String>, Option<String>) {
    match raw {
        Raw::Text(text) => (Some(text.clone()), None),
        Raw::Bytes { base64 } => (None, Some(base64.clone())),
    }
}
