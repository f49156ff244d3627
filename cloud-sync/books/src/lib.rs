//! Head office's books: a true copy of every site's journal, the money that follows from it, and what reconciles the two with what
//! channels say. There is no network here, no clock and no runtime but the database's own threads: `holdfast-central` gives it all of them,
//! and the world of three sites in `lives/` runs this very code.
//!
//! | module | holds |
//! |---|---|
//! | [`csv`] | tables for people's spreadsheets |
//! | [`desk`] | what one site's desk does: what the site says is taken and answered |
//! | [`inbox`] | which entries of a journal a member is told of, and what |
//! | [`ingest`] | how a batch is taken: checked, followed, written, whole or not at all |
//! | [`money`] | wallets, what is moved to sites and comes back, what members owe |
//! | `problems` | what callers are told of what is refused |
//! | [`reconcile`] | channels' bills held against what wallets were credited, and sites' days |
//! | [`role`] | what somebody may do |
//! | [`store`] | the database: SQLite or PostgreSQL behind one interface |
//! | [`upkeep`] | whether the database says what the journals say, and making it say so again |

pub mod csv;
pub mod desk;
pub mod inbox;
pub mod ingest;
pub mod money;
mod problems;
pub mod reconcile;
pub mod role;
pub mod store;
pub mod upkeep;
