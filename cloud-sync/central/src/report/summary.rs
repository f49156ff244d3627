//! The first page of a report, from what is known of a day: does it balance, what does not, how old is it, who has it. A pure function of
//! what was read.

use super::flows::open_in;
use crate::{
    reconcile::{
        days::age,
        stake::Stake,
        totals::{Sum, Totals},
        words::Class,
    },
    store::{
        bills::File, discrepancies::State, queries::reports::OpenGroup, reconcile_runs::Run, reconcile_runs::Status,
    },
};
use domain::{
    journal::hex,
    time::Day,
    units::{Energy, Fen},
};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// The bands of ages, from the youngest on.
const AGES: [&str; 5] = ["0-1", "2-3", "4-7", "8-30", ">30"];

/// What is known of a channel's day.
#[derive(Debug, Clone, Default)]
pub struct ChannelFound {
    /// The channel.
    pub name: String,
    /// The run that counts.
    pub run: Option<Run>,
    /// The run of what it has paid out that counts.
    pub payouts: Option<Run>,
    /// The day's files.
    pub files: Vec<File>,
    /// Days up to this one whose bill is not here.
    pub missing: Vec<Day>,
    /// Money that is on one side alone: `long` or `short`, where it is, how many, how much.
    pub suspense: Vec<(String, String, i64, Fen)>,
    /// What stands in the channel's own account.
    pub clearing: Fen,
}

/// What is known of a site.
#[derive(Debug, Clone, Default)]
pub struct SiteFound {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What is made of its journal.
    pub state: String,
    /// Its business day there.
    pub business_day: Option<String>,
    /// How many of its entries are not here.
    pub behind: u64,
    /// It was closed or shut out.
    pub is_gone: bool,
    /// For which business day its books were compared last, and what came of it.
    pub books: Option<(String, String)>,
    /// What was found of it on the day, by class.
    pub findings: Vec<(String, i64)>,
    /// How many differences between bills and meters it has reported of the day; none: no report.
    pub energy: Option<u64>,
    /// The run of the day that counts.
    pub run: Option<Run>,
}

/// What is known of a day.
#[derive(Debug, Clone)]
pub struct Found {
    /// Which day.
    pub day: Day,
    /// The day by which ages are counted.
    pub on: Day,
    /// Channels that have bills.
    pub channels: Vec<ChannelFound>,
    /// Sites.
    pub sites: Vec<SiteFound>,
    /// What is open.
    pub open: Vec<OpenGroup>,
}

/// Whether something balances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Balances {
    /// Nothing differs.
    Yes,
    /// Something does.
    No,
    /// Something is not here that it hangs on.
    NotKnown,
}

impl Balances {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::NotKnown => "not known",
        }
    }

    /// Both together.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::NotKnown, _) | (_, Self::NotKnown) => Self::NotKnown,
            _ => Self::Yes,
        }
    }
}

/// How many and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Told {
    /// How many.
    pub count: i64,
    /// How much, in yuan.
    pub amount: Fen,
    /// The same in fen.
    pub amount_fen: i64,
}

impl From<Sum> for Told {
    fn from(of: Sum) -> Self {
        Self {
            count: of.count,
            amount: of.amount,
            amount_fen: of.amount.0,
        }
    }
}

/// A file of a bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BillTold {
    /// Its number.
    pub file: u64,
    /// What it is called: channel, day and format.
    pub name: String,
    /// The SHA-256 of its bytes.
    pub sha256: String,
    /// How many lines.
    pub lines: u64,
}

/// The name of a file of a bill: what it is called in the folder that is watched.
pub fn name_of(of: &File) -> String {
    format!("{}/{}.{}", of.channel, of.day, of.format.word())
}

/// A channel's part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChannelTold {
    /// The channel.
    pub channel: String,
    /// Whether its day balances.
    pub balances: Balances,
    /// Why not, in words.
    pub why: Vec<String>,
    /// The run that counts.
    pub run: Option<u64>,
    /// `provisional` or `final`.
    pub status: Option<&'static str>,
    /// One number over everything that the run found.
    pub digest: Option<String>,
    /// Control totals.
    pub totals: Option<Totals>,
    /// The day's files.
    pub bills: Vec<BillTold>,
    /// Days whose bill is not here.
    pub missing: Vec<Day>,
    /// What the channel has too much, and nobody has yet.
    pub long: Told,
    /// What it has too little.
    pub short: Told,
    /// What it has paid out; none where no run counts, as where no payout is known.
    pub payouts: Option<RunTold>,
}

/// A run, and what it came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunTold {
    /// Its number.
    pub run: u64,
    /// `provisional` or `final`.
    pub status: &'static str,
    /// One number over everything that it found.
    pub digest: Option<String>,
    /// Control totals.
    pub totals: Option<Totals>,
}

impl From<&Run> for RunTold {
    fn from(of: &Run) -> Self {
        Self {
            run: of.id,
            status: of.status.word(),
            digest: of.digest.clone(),
            totals: of.totals.clone(),
        }
    }
}

/// A site's part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SiteTold {
    /// The site.
    pub site: String,
    /// Its name.
    pub name: String,
    /// Whether it balances.
    pub balances: Balances,
    /// Why not, in words.
    pub why: Vec<String>,
    /// The run of its day that counts.
    pub run: Option<RunTold>,
}

/// What is open: how many, Σ of the amounts of what differs without their signs, and what is at stake in it: of a payment with another fee
/// than was agreed on that is nothing, however large it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct OpenSum {
    /// How many, and Σ of their amounts without their signs.
    #[serde(flatten)]
    pub told: Told,
    /// 长款: what channels have too much, in yuan.
    pub long: Fen,
    /// The same in fen.
    pub long_fen: i64,
    /// 短款: what they have too little, in yuan.
    pub short: Fen,
    /// The same in fen.
    pub short_fen: i64,
    /// How far bills and meters are apart, in kWh.
    pub kwh: Energy,
}

impl OpenSum {
    fn of<'a>(open: impl Iterator<Item = &'a OpenGroup>) -> Self {
        let mut sum = Self::default();
        for of in open {
            sum.told.count += of.count;
            sum.told.amount += of.amount;
            match of.stake {
                Stake::None => {}
                Stake::Long(fen) => sum.long += fen,
                Stake::Short(fen) => sum.short += fen,
            }
            sum.kwh += of.energy;
        }
        (sum.told.amount_fen, sum.long_fen, sum.short_fen) = (sum.told.amount.0, sum.long.0, sum.short.0);
        sum
    }

    /// What is at stake in it, in words; nothing where nothing is.
    pub fn at_stake(&self) -> Vec<String> {
        let money = [("long", self.long), ("short", self.short)].into_iter();
        let money = money.filter(|(_, fen)| *fen > Fen::ZERO);
        let mut words: Vec<String> = money.map(|(what, fen)| format!("{what} {fen} yuan")).collect();
        if self.kwh > Energy::ZERO {
            words.push(format!("{} kWh", self.kwh));
        }
        words
    }
}

/// What is open, by something that it has in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenTold {
    /// What it has in common: scope and class, an age, or a person.
    pub of: String,
    /// The class, where it is by class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<&'static str>,
    /// How many, how much, and what is at stake.
    #[serde(flatten)]
    pub sum: OpenSum,
    /// How many of them nobody has proposed anything about.
    pub untouched: i64,
}

/// The first page.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Which day.
    pub day: Day,
    /// The day by which ages are counted.
    pub on: Day,
    /// `final`: nothing of it is found anew; `provisional`; `incomplete`: a channel's day has no run that counts. Where it is of a site, the
    /// same of that site's day.
    pub status: &'static str,
    /// Whether all of it balances.
    pub balances: Balances,
    /// One number over the runs of all channels.
    pub digest: String,
    /// One number over the runs of what they have paid out.
    pub payouts_digest: String,
    /// One number over the runs of all sites.
    pub sites_digest: String,
    /// Channels.
    pub channels: Vec<ChannelTold>,
    /// Sites.
    pub sites: Vec<SiteTold>,
    /// Everything that is open.
    pub open: OpenSum,
    /// The same by scope and class.
    pub classes: Vec<OpenTold>,
    /// The same by age.
    pub ages: Vec<OpenTold>,
    /// The day since which the oldest is open.
    pub oldest: Option<Day>,
    /// The same by who has it: nobody first.
    pub holders: Vec<OpenTold>,
}

/// One number over runs, whichever order they come in.
pub fn digest_of<'a>(runs: impl Iterator<Item = &'a Run>) -> String {
    let lines: BTreeSet<String> = runs
        .map(|run| {
            format!(
                "{} {} {}\n",
                run.scope,
                run.day,
                run.digest.as_deref().unwrap_or_default()
            )
        })
        .collect();
    hex(&Sha256::digest(lines.into_iter().collect::<String>()))
}

impl Summary {
    /// From what is known.
    pub fn of(found: &Found) -> Self {
        let channels: Vec<ChannelTold> = found.channels.iter().map(|of| channel(of, found.day)).collect();
        let sites: Vec<SiteTold> = found.sites.iter().filter(|of| !of.is_gone).map(site).collect();
        let parts = channels.iter().map(|of| of.balances);
        let parts = parts.chain(sites.iter().map(|of| of.balances));
        let runs = || found.channels.iter().filter_map(|of| of.run.as_ref());
        let payouts = || found.channels.iter().filter_map(|of| of.payouts.as_ref());
        let of_sites = || found.sites.iter().filter_map(|of| of.run.as_ref());
        let decisive: Vec<Option<&Run>> = match found.channels.is_empty() {
            false => found.channels.iter().map(|of| of.run.as_ref()).collect(),
            true => found.sites.iter().map(|of| of.run.as_ref()).collect(),
        };
        let status = match decisive.iter().all(Option::is_some) {
            false => "incomplete",
            true if decisive.iter().flatten().all(|run| run.status == Status::Final) => "final",
            true => "provisional",
        };
        let class = |of: &OpenGroup| (of.scope.clone(), of.class);
        let classes = grouped(&found.open, class);
        let ages: BTreeMap<&str, OpenTold> = grouped(&found.open, |of| age(of.since, found.on)).into_iter().collect();
        let ages = AGES.into_iter().filter_map(|age| Some((age, ages.get(age)?)));
        let holders = grouped(&found.open, |of| of.assigned.clone());
        Self {
            day: found.day,
            on: found.on,
            status,
            balances: parts.fold(Balances::Yes, Balances::and),
            digest: digest_of(runs()),
            payouts_digest: digest_of(payouts()),
            sites_digest: digest_of(of_sites()),
            channels,
            sites,
            open: OpenSum::of(found.open.iter()),
            classes: classes
                .into_iter()
                .map(|((scope, class), told)| OpenTold {
                    of: scope,
                    class: Some(class.word()),
                    ..told
                })
                .collect(),
            ages: ages
                .map(|(age, told)| OpenTold {
                    of: age.to_owned(),
                    ..told.clone()
                })
                .collect(),
            oldest: found.open.iter().map(|of| of.since).min(),
            holders: holders
                .into_iter()
                .map(|(holder, told)| OpenTold {
                    of: holder.unwrap_or_else(|| "nobody".to_owned()),
                    ..told
                })
                .collect(),
        }
    }
}

fn channel(of: &ChannelFound, day: Day) -> ChannelTold {
    let totals = of.run.as_ref().and_then(|run| run.totals.clone());
    let mut why: Vec<String> = of.run.iter().chain(&of.payouts).flat_map(open_in).collect();
    let mut balances = if why.is_empty() { Balances::Yes } else { Balances::No };
    if of.run.is_none() {
        balances = Balances::NotKnown;
        why.push("the day has not been reconciled".to_owned());
    } else if of.missing.contains(&day) {
        balances = balances.and(Balances::NotKnown);
        why.push("the day's bill is missing".to_owned());
    }
    let parked = |kind: &str| {
        let parked = of
            .suspense
            .iter()
            .filter(|(is, stands, ..)| is == kind && stands == "parked");
        parked.fold(Sum::default(), |sum, (_, _, count, amount)| {
            sum.plus(Sum {
                count: *count,
                amount: *amount,
            })
        })
    };
    ChannelTold {
        channel: of.name.clone(),
        balances,
        why,
        run: of.run.as_ref().map(|run| run.id),
        status: of.run.as_ref().map(|run| run.status.word()),
        digest: of.run.as_ref().and_then(|run| run.digest.clone()),
        totals,
        bills: of
            .files
            .iter()
            .map(|file| BillTold {
                file: file.id,
                name: name_of(file),
                sha256: file.sha256.clone(),
                lines: file.sums.lines,
            })
            .collect(),
        missing: of.missing.clone(),
        long: parked("long").into(),
        short: parked("short").into(),
        payouts: of.payouts.as_ref().map(RunTold::from),
    }
}

/// Whether a site balances, and why not.
pub fn site(of: &SiteFound) -> SiteTold {
    let mut why = Vec::new();
    let mut balances = Balances::Yes;
    match &of.books {
        Some((_, outcome)) if outcome == crate::daily::EQUAL => {}
        Some((day, _)) => {
            balances = Balances::No;
            why.push(format!("its books differ from those here (business day {day})"));
        }
        None => {
            balances = Balances::NotKnown;
            why.push("its books were never compared".to_owned());
        }
    }
    let journal_gap = format!("{} ", Class::JournalGap.word());
    match &of.run {
        // What was found of it on the day, whichever day it is of.
        None => {
            balances = balances.and(Balances::NotKnown);
            why.push("the day has not been reconciled".to_owned());
            for (class, count) in &of.findings {
                balances = Balances::No;
                why.push(format!("{class} {count}"));
            }
            if let Some(count @ 1..) = of.energy {
                balances = Balances::No;
                why.push(format!("bills and meters differ {count} times"));
            }
        }
        Some(run) => {
            for open in open_in(run) {
                let is_known = !open.starts_with(&journal_gap);
                balances = balances.and(if is_known { Balances::No } else { Balances::NotKnown });
                why.push(open);
            }
        }
    }
    if of.energy.is_none() {
        balances = balances.and(Balances::NotKnown);
        why.push("it has reported no energy of the day".to_owned());
    }
    SiteTold {
        site: of.id.clone(),
        name: of.name.clone(),
        balances,
        why,
        run: of.run.as_ref().map(RunTold::from),
    }
}

/// What is open, by what it has in common.
fn grouped<K: Ord>(open: &[OpenGroup], key: impl Fn(&OpenGroup) -> K) -> BTreeMap<K, OpenTold> {
    let mut groups: BTreeMap<K, Vec<&OpenGroup>> = BTreeMap::new();
    for of in open {
        groups.entry(key(of)).or_default().push(of);
    }
    let told = |(key, groups): (K, Vec<&OpenGroup>)| {
        let untouched = groups.iter().filter(|of| of.state == State::Open);
        let told = OpenTold {
            of: String::new(),
            class: None,
            sum: OpenSum::of(groups.iter().copied()),
            untouched: untouched.map(|of| of.count).sum(),
        };
        (key, told)
    };
    groups.into_iter().map(told).collect()
}
