//! The rules of a charging station, and nothing else: no I/O, no clock, no randomness, no environment.
//!
//! Read in this order:
//!
//! | module | holds |
//! |---|---|
//! | [`ids`], [`units`], [`time`] | names of things; money and energy as integers; the two clocks |
//! | [`topics`], [`messages`], [`json`] | every topic; the pile contract v1; objects that are objects |
//! | [`clock`], [`alignment`] | how far a pile's clocks are off, per start of it; the times of a record by the station's clock |
//! | [`tariff`], [`rating`], [`meter`] | prices by time of day; readings to bills; readings that contradict themselves |
//! | [`plausible`], [`resolution`], [`flow`], [`faults`] | which readings are believed; the step of a register; current that no register counts; when a connector is at fault |
//! | [`order`], [`ledger`], [`settlement`], [`postings`], [`energy`], [`pile`], [`member`], [`card`], [`quarantine`], [`notice`] | the small machines |
//! | [`register`] | what of a connector's register is explained, and by what |
//! | [`correction`], [`desk`] | what people do about bills that are settled, and with the cash |
//! | [`fact`], [`journal`], [`contradiction`] | what happened, its tamper-evident record, and what cannot have happened |
//! | [`policy`], [`station_clock`], [`site`] | the site's rules, and the one machine that ties all this together |
//! | `fuzz` | what must be so whatever bytes come, for `cargo xtask fuzz`; only with the feature of that name |
//! | [`planted`] | bugs on purpose, for one test; none without the feature of that name |

// A function that needs more than a screen holds more than one idea.
#![warn(clippy::too_many_lines)]

pub mod alignment;
pub mod card;
pub mod clock;
pub mod contradiction;
pub mod correction;
pub mod desk;
pub mod energy;
pub mod fact;
pub mod faults;
pub mod flow;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod head_office;
pub mod ids;
pub mod journal;
pub mod json;
pub mod ledger;
pub mod member;
pub mod messages;
pub mod meter;
pub mod notice;
pub mod order;
pub mod pile;
pub mod planted;
pub mod plausible;
pub mod policy;
pub mod postings;
pub mod quarantine;
pub mod rating;
pub mod register;
pub mod resolution;
pub mod settlement;
pub mod site;
pub mod station_clock;
pub mod tariff;
pub mod time;
pub mod topics;
pub mod units;
