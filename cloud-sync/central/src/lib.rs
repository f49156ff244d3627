//! Head office: a true copy of every site's journal, and the books that follow from it.
//!
//! | module | holds |
//! |---|---|
//! | [`ingest`] | how a batch is taken: checked, followed, written, whole or not at all |
//! | [`store`] | the database: SQLite or PostgreSQL behind one interface |

pub mod ingest;
pub mod store;
