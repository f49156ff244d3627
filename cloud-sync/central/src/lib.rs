//! Head office as a program: where sites meet it, what people and programs ask of it, and what it does by itself. Its books are the
//! crate `holdfast-books`, whose modules are named from here.
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
//! | [`inbox`] | the mini-program's back end is told what members are told |
//! | [`report`] | a reconciled day's report: JSON, CSV, XLSX; by mail and webhook; its table sent back |
//! | [`retry`] | when a server is tried again that could not be told |
//! | [`webhook`] | a signed POST to somebody else's server |

pub mod alerts;
pub mod api;
pub mod asks;
pub mod bell;
pub mod bills;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod daily;
pub mod desk;
pub mod door;
pub mod enrol;
pub mod enrolments;
pub mod front;
pub mod heard;
pub mod inbox;
pub mod owners;
pub mod remote;
pub mod report;
pub mod retry;
pub mod webhook;

pub use books::{csv, ingest, money, reconcile, role, store, upkeep};
