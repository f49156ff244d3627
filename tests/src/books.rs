//! The books of a station and of head office, held against each other by what both answer over their APIs.

use crate::{head_office::HeadOfficeProcess, station::StationProcess};
use anyhow::{Context, bail, ensure};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Head office's own accounts, which are of no site and of no member.
const OWN: [&str; 3] = ["bank", "refund", "writeoff"];

/// What both have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Equal {
    /// The last entry of the journal on both sides.
    pub seq: u64,
    /// How many accounts are not empty.
    pub accounts: usize,
}

/// Waits until head office has all that the station has journaled, and compares every account.
///
/// # Errors
/// They differ, or head office does not get there.
pub async fn are_equal(
    station: &StationProcess,
    site: &str,
    head_office: &HeadOfficeProcess,
    patience: Duration,
) -> anyhow::Result<Equal> {
    let begun = Instant::now();
    loop {
        let sheet = station.get("/v1/balance-sheet?detail=true").await?.success()?;
        let there = entries_of(head_office, site).await?;
        let seq = sheet["seq"].as_u64().context("the sheet has no entry's number")?;
        if there == seq {
            let theirs = accounts_of(head_office, site).await?;
            if entries_of(head_office, site).await? != seq {
                continue;
            }
            let ours = own(&sheet)?;
            ensure!(
                ours == theirs,
                "entry {seq} of {site}: the station has {ours:?}, and head office {theirs:?}"
            );
            let accounts = ours.len();
            return Ok(Equal { seq, accounts });
        }
        if begun.elapsed() > patience {
            bail!(
                "head office has {there} of {seq} entries of {site}:\n{}",
                head_office.log()
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The last entry of a site that head office has.
///
/// # Errors
/// Head office does not say.
pub async fn entries_of(head_office: &HeadOfficeProcess, site: &str) -> anyhow::Result<u64> {
    let found: Value = head_office.get(&format!("/v1/sites/{site}")).await?.read()?;
    found["head"]["seq"].as_u64().context("the site has no head")
}

/// All but what came from head office and went back to it, which is on no account of the site's there.
fn own(sheet: &Value) -> anyhow::Result<BTreeMap<String, String>> {
    let accounts = sheet["accounts"].as_array().context("the sheet lists no accounts")?;
    let mirrored = accounts.iter().filter(|account| account["account"] != "hq");
    mirrored.map(|account| pair(account, "account")).collect()
}

/// Head office's accounts of a site that are not empty, by the names that they have at the station.
async fn accounts_of(head_office: &HeadOfficeProcess, site: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let (mut accounts, mut cursor) = (BTreeMap::new(), String::new());
    loop {
        let page: Value = head_office
            .get(&format!("/v1/accounts?limit=200{cursor}"))
            .await?
            .read()?;
        for account in page["items"].as_array().context("no list of accounts")? {
            let (name, balance) = pair(account, "name")?;
            let Some((kind, of)) = name.split_once(':') else {
                ensure!(
                    OWN.contains(&name.as_str()),
                    "{name} is no account that head office is known to have"
                );
                continue;
            };
            let name = match of.split_once(':') {
                Some((of_site, rest)) if of_site == site => format!("{kind}:{rest}"),
                None if of == site => kind.to_owned(),
                _ => continue,
            };
            if balance != "0.00" {
                accounts.insert(name, balance);
            }
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(accounts),
        }
    }
}

fn pair(account: &Value, name: &str) -> anyhow::Result<(String, String)> {
    let text = |field: &str| account[field].as_str().map(str::to_owned);
    let found = text(name).zip(text("balance"));
    found.with_context(|| format!("not an account: {account}"))
}
