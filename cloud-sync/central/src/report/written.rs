//! A day's report, read in one state of the database and written row by row: what is kept in memory is the first page, however much differs.

use super::{
    Format, Out, Sheet,
    json::Json,
    lines,
    summary::{ChannelFound, Found, SiteFound, Summary},
    table::Csv,
    xlsx::Xlsx,
};
use crate::{
    daily,
    reconcile::{funds::scope_of, payouts},
    store::{
        StoreError, Tx, bills, channel_settings, channels, jobs, ledger,
        queries::{
            reports::{self, Difference, RunsOf},
            rows, sites,
        },
        reconcile_runs::Run,
    },
};
use domain::time::{Day, Zone};
use serde::Deserialize;
use std::io::{self, Seek, Write};

/// How many sites are read at a time.
const SITES_AT_ONCE: usize = 200;

/// Of what a report is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Which {
    /// Of which day.
    pub day: Day,
    /// By which day ages are counted.
    pub on: Day,
    /// Only this channel, and no site.
    pub channel: Option<String>,
    /// Only this site, and no channel.
    pub site: Option<String>,
}

impl Which {
    /// All of a day.
    pub const fn all(day: Day, on: Day) -> Self {
        Self {
            day,
            on,
            channel: None,
            site: None,
        }
    }
}

/// Why no report is written.
#[derive(Debug, thiserror::Error)]
pub enum NotWritten {
    /// There is no such channel, or it has no bills.
    #[error("channel {0} is not known here, or has no bills")]
    UnknownChannel(String),
    /// There is no such site.
    #[error("site {0} is not known here")]
    UnknownSite(String),
    /// Nothing of the day is known.
    #[error("nothing of the day {0} has been reconciled: `holdfast-central reconcile --day {0}` does it")]
    NothingOf(Day),
    /// The database says no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be written where it is to go.
    #[error("the report cannot be written: {0}")]
    Broken(#[from] io::Error),
}

/// What runs say that they went by.
#[derive(Deserialize)]
struct Inputs {
    missing: Vec<Day>,
}

/// What is known of a day.
///
/// # Errors
/// [`NotWritten`].
pub fn find(tx: &mut dyn Tx, which: &Which) -> Result<Found, NotWritten> {
    let mut found = Found {
        day: which.day,
        on: which.on,
        channels: Vec::new(),
        sites: Vec::new(),
        open: Vec::new(),
    };
    let mut runs = reports::runs_of(tx, which.day)?;
    found.open = reports::open_groups(tx, which.day)?;
    if which.site.is_none() {
        found.channels = channels_of(tx, which, &mut runs)?;
    }
    if which.channel.is_none() {
        found.sites = sites_of(tx, which, &mut runs)?;
    }
    if let Some(channel) = &which.channel {
        let scopes = [scope_of(channel), payouts::scope_of(channel)];
        found.open.retain(|of| scopes.contains(&of.scope));
    }
    if let Some(site) = &which.site {
        let scope = format!("site:{site}");
        found.open.retain(|of| of.scope == scope);
    }
    let has_run = |of: &ChannelFound| of.run.is_some() || of.payouts.is_some();
    let is_nothing = !found.channels.iter().any(has_run) && found.sites.iter().all(|of| of.run.is_none());
    match is_nothing && which.site.is_none() {
        true => Err(NotWritten::NothingOf(which.day)),
        false => Ok(found),
    }
}

fn channels_of(tx: &mut dyn Tx, which: &Which, runs: &mut RunsOf) -> Result<Vec<ChannelFound>, NotWritten> {
    let day = which.day;
    let mut found = Vec::new();
    for channel in channels::all(tx)? {
        let is_asked_for = which.channel.as_ref().is_none_or(|name| *name == channel.name);
        if !is_asked_for || channel.bills.is_none() {
            continue;
        }
        // A channel that was not there yet is no part of the day.
        let settings = channel_settings::load(tx, &channel)?;
        if settings.is_none_or(|settings| day < settings.first()) && which.channel.is_none() {
            continue;
        }
        let run = runs.channels.remove(&channel.name);
        let inputs = run
            .as_ref()
            .and_then(|run| serde_json::from_str::<Inputs>(&run.inputs).ok());
        found.push(ChannelFound {
            run,
            payouts: runs.payouts.remove(&channel.name),
            files: bills::of_days(tx, &channel.name, day, day)?,
            missing: inputs.map(|inputs| inputs.missing).unwrap_or_default(),
            suspense: reports::suspense_sums(tx, &channel.name)?,
            clearing: ledger::balance(tx, &format!("clearing:{}", channel.name))?,
            name: channel.name,
        });
    }
    match &which.channel {
        Some(name) if found.is_empty() => Err(NotWritten::UnknownChannel(name.clone())),
        _ => Ok(found),
    }
}

fn sites_of(tx: &mut dyn Tx, which: &Which, runs: &mut RunsOf) -> Result<Vec<SiteFound>, NotWritten> {
    let zone = Zone::default();
    let (begin, end) = (zone.begin_of(which.day), zone.begin_of(which.day.plus(1)));
    let findings = reports::findings(tx, begin, end)?;
    let (gone, books) = (reports::gone_sites(tx)?, jobs::all(tx, daily::KIND)?);
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = sites::list(tx, None, after.as_deref(), SITES_AT_ONCE)?;
        after = page.next_after().map(|last| last.id.clone());
        for site in page.items {
            let is_asked_for = which.site.as_ref().is_none_or(|id| *id == site.id);
            // One that was invited and never came has nothing yet; of one that was closed something may be open.
            let is_here = site.seq > 0 || site.heard_at.is_some() || gone.contains(&site.id);
            if !is_asked_for || (!is_here && which.site.is_none()) {
                continue;
            }
            let energy = rows::find_energy_report(tx, &site.id, which.day)?;
            let energy = energy.map(|report| report.connectors.iter().map(|of| of.sums.findings.len() as u64).sum());
            let job = books.iter().find(|job| job.key == site.id);
            let of_site = findings.iter().filter(|(of, ..)| *of == site.id);
            found.push(SiteFound {
                is_gone: gone.contains(&site.id),
                books: job.and_then(|job| job.done.clone().zip(job.outcome.clone())),
                findings: of_site.map(|(_, class, count)| (class.clone(), *count)).collect(),
                energy,
                behind: site.backlog(),
                business_day: site.day.clone(),
                state: site.state.clone(),
                run: runs.sites.remove(&site.id),
                name: site.name.clone(),
                id: site.id,
            });
        }
        if after.is_none() {
            break;
        }
    }
    match &which.site {
        Some(id) if found.is_empty() => Err(NotWritten::UnknownSite(id.clone())),
        _ => Ok(found),
    }
}

/// The runs that the report is of: each channel's, with what it has paid out, then each site's.
fn runs_in(found: &Found) -> impl Iterator<Item = &Run> {
    let channels = found.channels.iter().flat_map(|of| of.run.iter().chain(&of.payouts));
    channels.chain(found.sites.iter().filter_map(|of| of.run.as_ref()))
}

/// The scopes that the report is of: also those without a run of the day, as something of them may be open on it.
fn scopes_in(found: &Found) -> Vec<String> {
    let channels = found.channels.iter();
    let channels = channels.flat_map(|of| [scope_of(&of.name), payouts::scope_of(&of.name)]);
    let sites = found.sites.iter().map(|of| format!("site:{}", of.id));
    channels.chain(sites).collect()
}

/// Writes tables.
fn write_sheets(
    tx: &mut dyn Tx,
    found: &Found,
    summary: &Summary,
    sheets: &[Sheet],
    out: &mut dyn Out,
) -> Result<(), NotWritten> {
    for sheet in sheets {
        out.begin(*sheet)?;
        let mut rows: Vec<Vec<super::Cell>> = Vec::new();
        match sheet {
            Sheet::Summary => rows.extend(summary.rows().into_iter().map(Vec::from)),
            Sheet::Totals => {
                rows.extend(runs_in(found).flat_map(lines::totals));
            }
            Sheet::Differences => {
                for scope in scopes_in(found) {
                    reports::each_difference(tx, &scope, found.day, |of: Difference| -> Result<(), NotWritten> {
                        Ok(out.row(&lines::difference(&of, &scope, (found.day, found.on)))?)
                    })?;
                }
            }
            Sheet::Bills => rows.extend(found.channels.iter().flat_map(lines::bills)),
            Sheet::Suspense => rows.extend(found.channels.iter().flat_map(lines::suspense)),
            Sheet::Sites => rows.extend(found.sites.iter().map(lines::of_site)),
        }
        for row in rows {
            out.row(&row)?;
        }
    }
    Ok(out.end()?)
}

/// Writes a report: all tables, or of CSV one.
///
/// # Errors
/// [`NotWritten`].
pub fn write<W: Write + Seek>(
    tx: &mut dyn Tx,
    which: &Which,
    (format, sheet): (Format, Sheet),
    to: W,
) -> Result<Summary, NotWritten> {
    let found = find(tx, which)?;
    let summary = Summary::of(&found);
    match format {
        Format::Json => {
            let mut out = Json::new(to, &summary)?;
            // The first page is what the others are told under.
            write_sheets(tx, &found, &summary, &Sheet::ALL[1..], &mut out)?;
        }
        Format::Csv => write_sheets(tx, &found, &summary, &[sheet], &mut Csv::new(to))?,
        Format::Xlsx => write_sheets(tx, &found, &summary, &Sheet::ALL, &mut Xlsx::new(to))?,
    }
    Ok(summary)
}
