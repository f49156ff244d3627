//! The rules of a charging station, and nothing else: no I/O, no clock, no randomness, no environment.
//!
//! Read in this order:
//!
//! | module | holds |
//! |---|---|
//! | [`ids`], [`units`], [`time`] | names of things; money and energy as integers; the two clocks |
//! | [`topics`], [`messages`] | the pile contract v1 |
//! | [`tariff`], [`rating`], [`meter`] | prices by time of day; readings to bills; readings that contradict themselves |
//! | [`order`], [`ledger`], [`settlement`], [`postings`], [`energy`], [`pile`], [`member`], [`quarantine`], [`notice`] | the small machines |
//! | [`correction`], [`desk`] | what people do about bills that are settled, and with the cash |
//! | [`fact`], [`journal`] | what happened, and its tamper-evident record |
//! | [`policy`], [`site`] | the site's rules, and the one machine that ties all this together |
//! | [`planted`] | bugs on purpose, for one test; none without the feature of that name |

pub mod correction;
pub mod desk;
pub mod energy;
pub mod fact;
pub mod flow;
pub mod ids;
pub mod journal;
pub mod ledger;
pub mod member;
pub mod messages;
pub mod meter;
pub mod notice;
pub mod order;
pub mod pile;
pub mod planted;
pub mod policy;
pub mod postings;
pub mod quarantine;
pub mod rating;
pub mod settlement;
pub mod site;
pub mod tariff;
pub mod time;
pub mod topics;
pub mod units;
