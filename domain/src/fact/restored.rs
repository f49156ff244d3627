//! What a restore says of itself where somebody decided it.
//! With a head office a station goes on alone only because a person said so.

use serde::{Deserialize, Serialize};

/// Who decided that a restored station goes on without what head office has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WentOnAlone {
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
}
