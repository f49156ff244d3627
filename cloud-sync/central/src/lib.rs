//! Head office: a true copy of every site's journal, and the books that follow from it.
//!
//! | module | holds |
//! |---|---|
//! | [`api`] | what people and programs ask of it over HTTP |
//! | [`asks`] | what a site is asked for, and orders that somebody watches there |
//! | [`desk`] | one site's desk: what it says is taken and answered |
//! | [`door`] | who may come in, on head office's own broker |
//! | [`ingest`] | how a batch is taken: checked, followed, written, whole or not at all |
//! | [`role`] | what somebody may do |
//! | [`store`] | the database: SQLite or PostgreSQL behind one interface |

pub mod api;
pub mod asks;
pub mod desk;
pub mod door;
pub mod ingest;
pub mod role;
pub mod store;
