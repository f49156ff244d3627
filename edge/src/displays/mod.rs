//! What displays read: price boards, building systems, energy managers (`docs/displays.md`).
//!
//! | module | holds |
//! |---|---|
//! | here | where a frame goes, and what it is |
//! | `untold` | which piles have changed since displays were last told |
//! | `pile_state` | what is said of a pile |
//! | `publisher` | the task that tells them |
//!
//! *Architecture Invariant:* nothing here makes the station's loop wait, and before a display subscribes nothing is done
//! at all. A frame names no member, card or person.

mod pile_state;
mod publisher;
mod untold;

pub use pile_state::{ConnectorState, PileState};
pub use publisher::{REST, SharedTopics, publish};
pub use untold::Untold;

/// The most displays.
pub const DISPLAYS_MAX: usize = 64;
