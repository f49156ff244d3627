//! Head office: a true copy of every site's journal, and the books that follow from it.
//!
//! | module | holds |
//! |---|---|
//! | [`store`] | the database: SQLite or PostgreSQL behind one interface |

pub mod store;
