//! Head office: a true copy of every site's journal, and the books that follow from it.
//!
//! | module | holds |
//! |---|---|
//! | [`desk`] | one site's desk: what it says is taken and answered |
//! | [`door`] | who may come in, on head office's own broker |
//! | [`ingest`] | how a batch is taken: checked, followed, written, whole or not at all |
//! | [`store`] | the database: SQLite or PostgreSQL behind one interface |
//! | [`upkeep`] | whether the database says what the journals say, and making it say so again |

pub mod desk;
pub mod door;
pub mod ingest;
pub mod store;
pub mod upkeep;
