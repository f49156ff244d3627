//! A small world of three sites and a head office, by the real rules: members travel, pay in through channels and at desks, charge with
//! leases, through head office, by card and by voucher, run into debt and pay; lines are cut and come back; sites are restored from
//! copies, with a head office and alone; head office forgets. After every commit head office's books are whole; when everything
//! has come through, every account of every site is the site's own, and every member has what they paid in less what they were
//! charged.

use crate::{
    bench::*,
    company::{Company, RUN, id},
};
use central::{
    ingest::Taken,
    store::{branches, identity, issues, sites},
    upkeep,
};
use domain::{
    fact::{Fact, PaidFrom},
    head_office::Voucher,
    ids::OrderId,
    order::State,
    site::Input,
    time::{Entropy, Now},
    units::Fen,
};
use std::{
    collections::BTreeMap,
    sync::Mutex,
};

/// How many lives there are, and how many steps each has.
const LIVES: u64 = 24;
const STEPS: usize = 120;
const MEMBERS: [&str; 5] = ["u", "v", "w", "x", "y"];
const PILES: [&str; 3] = ["P1", "P2", "P3"];
