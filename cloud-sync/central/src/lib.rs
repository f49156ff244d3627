//! Head office: a true copy of every site's journal, and the books that follow from it.
//!
//! | module | holds |
//! |---|---|
//! | [`bills`] | channels' bills, read strictly and imported whole |
//! | [`cli`] | what a person types |
//! | [`config`] | `central.toml` |
//! | [`daemon`] | everything put together |
//! | [`owners`] | which sites this process has |
//! | [`front`] | where sites and head office meet: [`door`] on head office's own broker, or [`remote`] at another |
//! | [`alerts`] | what people must look at, kept and told |
//! | [`api`] | what people and programs ask of it over HTTP |
//! | [`asks`] | what a site is asked for, and orders that somebody watches there |
//! | [`daily`] | once a day each site's balance sheet is compared with its books here |
//! | [`desk`] | one site's desk: what it says is taken and answered |
//! | [`enrol`] | how a site comes in for the first time |
//! | [`enrolments`] | who has, in a file beside the database, for one that is restored from a copy |
//! | [`heard`] | pings are answered, and it is noted who was heard |
//! | [`inbox`] | what members are told, and the mini-program's back end about it |
//! | [`ingest`] | how a batch is taken: checked, followed, written, whole or not at all |
//! | [`money`] | wallets, what is moved to sites and comes back, what members owe |
//! | [`reconcile`] | channels' bills held against what wallets were credited |
//! | [`report`] | a reconciled day's report: JSON, CSV, XLSX; by mail and webhook; its table sent back |
//! | [`retry`] | when a server is tried again that could not be told |
//! | [`role`] | what somebody may do |
//! | [`store`] | the database: SQLite or PostgreSQL behind one interface |
//! | [`upkeep`] | whether the database says what the journals say, and making it say so again |
//! | [`webhook`] | a signed POST to somebody else's server |

pub mod alerts;
pub mod api;
pub mod asks;
pub mod bell;
pub mod bills;
pub mod cli;
pub mod clock;
pub mod config;
mod csv;
pub mod daemon;
pub mod daily;
pub mod desk;
pub mod door;
pub mod enrol;
pub mod enrolments;
pub mod front;
pub mod heard;
pub mod inbox;
pub mod ingest;
pub mod money;
pub mod owners;
pub mod reconcile;
pub mod remote;
pub mod report;
pub mod retry;
pub mod role;
pub mod store;
pub mod upkeep;
pub mod webhook;
