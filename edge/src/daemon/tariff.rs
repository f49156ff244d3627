//! The tariff a station begins with.

use crate::{
    config::Config,
    station::{Refused, Reply, Request, Station},
    store::StoreError,
};
use anyhow::{Context, bail};
use domain::{
    site::Input,
    tariff::{self, Tariff},
};
use std::path::Path;

/// Who adds it, in the journal: no token's name has a colon.
const BY: &str = "config:first_tariff";

/// Adds the configured tariff if the station has none yet.
pub(super) async fn first_tariff(station: &Station, config: &Config) -> anyhow::Result<()> {
    let Some(path) = &config.first_tariff else {
        return Ok(());
    };
    if !station.store.reader()?.tariffs()?.is_empty() {
        return Ok(());
    }
    let tariff = read_tariff(path, &config.time_zone)?;
    let request = Request {
        input: Some(Input::AddTariff {
            tariff,
            by: BY.to_owned(),
        }),
        key: None,
        credentials: Vec::new(),
        respond: Box::new(|_, _, _| Reply::default()),
    };
    match station.ask(request).await {
        Ok(_) => Ok(()),
        Err(Refused::Unavailable(ending)) => Err(ending.into()),
        Err(refused) => bail!("the tariff in {} was refused: {refused}", path.display()),
    }
}

/// Reads a tariff file.
///
/// # Errors
/// The file cannot be read, or every fault in it by line and key.
pub fn read_tariff(path: &Path, time_zone: &str) -> anyhow::Result<Tariff> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Tariff::from_toml(&text, time_zone).map_err(|faults| anyhow::anyhow!("{}: {faults}", path.display()))
}

/// What to say if an order placed now would find no tariff.
pub(super) fn no_tariff(station: &Station) -> Result<Option<String>, StoreError> {
    let versions = station.store.reader()?.tariffs()?;
    if tariff::in_force(&versions, station.clock.now().wall).is_some() {
        return Ok(None);
    }
    let next = versions.iter().map(|version| version.effective_from).min();
    Ok(Some(match next {
        Some(from) => format!("no tariff is in force before {from}: until then every order is refused"),
        None => "there is no tariff: every order is refused until one is added with `holdfast-edge tariff add FILE`"
            .to_owned(),
    }))
}
