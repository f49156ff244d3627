//! The line between a station and head office: which topics there are, what is sent on them, and who signs what.
//! Both ends speak through this crate; `docs/sync-protocol.md` is its contract, held by golden bytes.
//!
//! | module | holds |
//! |---|---|
//! | [`topic`] | the one list of topics, written and read |
//! | [`key`] | Ed25519 keys and signatures |
//! | [`frame`] | binary messages: batches of the journal, acknowledgements, tails, pongs, directives |
//! | [`pack`] | how a batch's entries are packed, and the dictionaries that are shipped for it |
//! | [`status`] | what a station says of itself when it connects |
//! | [`read_through`] | questions that head office has a station answer |
//! | [`enrolment`] | how a site comes in |
//! | [`voucher`] | a lease in a driver's hands |
//! | [`opening`] | a file with which a station with a history joins |
//!
//! *Nothing here does I/O or reads a clock*; an opening is written to, and read from, what it is given. A frame is checked whole before anything of it is used: its lengths, then its
//! signature, then what is packed in it.

pub mod enrolment;
pub mod frame;
pub mod key;
pub mod opening;
pub mod pack;
pub mod read_through;
pub mod status;
pub mod topic;
pub mod voucher;

/// The version of the line that this program speaks. It stands in the topics (`hf/v1/…`) and in the station's status.
pub const VERSION: u32 = 1;
