//! From what was asked for to the piles that will be: defaults, files, secrets, and every mistake found before the start.
//! No pile is switched on while anything about any of them is unclear.

use crate::{
    options::{ConfigFile, Options, PileOptions, RunOptions, StationOptions},
    state,
};
use anyhow::{Context, Result, bail, ensure};
use domain::{ids::PileId, time::Wall, units::Energy, units::Power};
use rustls::ClientConfig;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use world::pile::{
    Car, ClockAtPowerOn, ClockSpec, ConnectorSpec, Customers, Flash, PileSpec, Station, read_behaviours, tls,
};

/// The environment variable with the secret of every pile that the secrets file does not name.
const SECRET_VARIABLE: &str = "PILE_SIM_SECRET";
const GIVE_UP_AFTER_MS: u64 = 600_000;

/// Everything that is needed to begin.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) piles: Vec<Planned>,
    pub(crate) speed: u32,
    /// Visits per pile, after which the simulation ends.
    pub(crate) until: Option<Until>,
    pub(crate) state: Option<PathBuf>,
    pub(crate) json: bool,
}

/// One pile.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) spec: PileSpec,
    pub(crate) flash: Flash,
    pub(crate) station: Station,
}

/// When a simulation ends by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Until {
    pub(crate) visits: u32,
    pub(crate) give_up_after: Duration,
}

/// Checks all of it and reads the files it names.
pub(crate) fn make(options: Options) -> Result<Plan> {
    let file = match &options.config {
        None => ConfigFile::default(),
        Some(path) => toml::from_str(&read(path)?).with_context(|| format!("in {}", path.display()))?,
    };
    let run = merge_run(options.run, file.run);
    let station = merge_station(options.station, file.station);
    let groups = if file.piles.is_empty() {
        vec![options.piles]
    } else {
        file.piles
            .into_iter()
            .map(|group| merge_piles(group, &options.piles))
            .collect()
    };
    let flashes = run.state.as_deref().map(state::read).transpose()?.unwrap_or_default();
    let sessions = run.sessions.or(run.once.then_some(1));
    let clock_start = match run.clock_start {
        Some(start) => start,
        None => present()?,
    };
    let tag = format!("{:x}", present()?.0);
    let secrets = station
        .secrets
        .as_deref()
        .map(|path| read_secrets(&read(path)?))
        .transpose()?
        .unwrap_or_default();
    let tls = read_tls(&station)?;
    let mut piles: Vec<Planned> = Vec::new();
    let mut named = BTreeSet::new();
    for group in &groups {
        for id in ids(group)? {
            ensure!(named.insert(id.clone()), "pile {id} is asked for twice");
            let spec = spec(&id, group, clock_start, &tag, run.seed.unwrap_or(1), sessions)?;
            let mut flash = flashes.get(&id).cloned().unwrap_or_default();
            // Without a memory of its own a pile must not use the numbers of an earlier run again.
            if run.state.is_none() {
                flash.offline_sessions = u64::try_from(present()?.0 / 1_000).unwrap_or(0);
            }
            piles.push(Planned {
                flash,
                station: meet(&id, &station, &secrets, tls.clone())?,
                spec,
            });
        }
    }
    for name in groups
        .iter()
        .flat_map(|group| &group.behaviours)
        .filter_map(|text| text.split_once('@'))
    {
        ensure!(
            named.iter().any(|id| id.as_str() == name.0),
            "behaviour `{}@{}` is for a pile that is not there",
            name.0,
            name.1
        );
    }
    let until = run.once.then(|| Until {
        visits: sessions.unwrap_or(1),
        give_up_after: Duration::from_millis(run.give_up_after.unwrap_or(GIVE_UP_AFTER_MS)),
    });
    Ok(Plan {
        piles,
        speed: run.speed.unwrap_or(1),
        until,
        state: run.state,
        json: run.json,
    })
}

fn present() -> Result<Wall> {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("this machine's clock is before 1970")?;
    Ok(Wall(i64::try_from(elapsed.as_millis())?))
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn merge_run(first: RunOptions, second: RunOptions) -> RunOptions {
    RunOptions {
        speed: first.speed.or(second.speed),
        clock_start: first.clock_start.or(second.clock_start),
        seed: first.seed.or(second.seed),
        once: first.once || second.once,
        sessions: first.sessions.or(second.sessions),
        give_up_after: first.give_up_after.or(second.give_up_after),
        state: first.state.or(second.state),
        json: first.json || second.json,
    }
}

fn merge_station(first: StationOptions, second: StationOptions) -> StationOptions {
    StationOptions {
        host: first.host.or(second.host),
        port: first.port.or(second.port),
        ca: first.ca.or(second.ca),
        cert: first.cert.or(second.cert),
        key: first.key.or(second.key),
        secrets: first.secrets.or(second.secrets),
        anonymous: first.anonymous || second.anonymous,
    }
}

fn merge_piles(first: PileOptions, second: &PileOptions) -> PileOptions {
    let both = |mut first: Vec<String>, second: &[String]| {
        first.extend_from_slice(second);
        first
    };
    PileOptions {
        id: first.id,
        piles: first.piles,
        prefix: first.prefix.or_else(|| second.prefix.clone()),
        behaviours: both(first.behaviours, &second.behaviours),
        connectors: first.connectors.or(second.connectors),
        max_kw: first.max_kw.or(second.max_kw),
        meter_kwh: first.meter_kwh.or(second.meter_kwh),
        battery_kwh: first.battery_kwh.or(second.battery_kwh),
        soc: first.soc.or(second.soc),
        car_kw: first.car_kw.or(second.car_kw),
        taper: first.taper || second.taper,
        card: first.card.or_else(|| second.card.clone()),
        pause: first.pause.or(second.pause),
        offline_cards: if first.offline_cards.is_empty() {
            second.offline_cards.clone()
        } else {
            first.offline_cards
        },
        periods: first.periods || second.periods,
        no_clock: first.no_clock || second.no_clock,
        clock_slow_by: first.clock_slow_by.or(second.clock_slow_by),
        clock_drift_ppm: first.clock_drift_ppm.or(second.clock_drift_ppm),
        ignore_time: first.ignore_time || second.ignore_time,
        utc_offset: first.utc_offset.or(second.utc_offset),
        heartbeat_qos1: first.heartbeat_qos1 || second.heartbeat_qos1,
    }
}

fn ids(group: &PileOptions) -> Result<Vec<PileId>> {
    if !group.id.is_empty() {
        return Ok(group.id.clone());
    }
    let count = group.piles.unwrap_or(1);
    let prefix = group.prefix.as_deref().unwrap_or("SIM-");
    let width = count.to_string().len().max(2);
    let named = (1..=count).map(|n| PileId::new(format!("{prefix}{n:0width$}")).map_err(Into::into));
    named.collect()
}

fn spec(
    id: &PileId,
    group: &PileOptions,
    clock_start: Wall,
    tag: &str,
    seed: u64,
    visits_max: Option<u32>,
) -> Result<PileSpec> {
    let max_power = group.max_kw.unwrap_or(Power(7_000));
    ensure!(max_power > Power::ZERO, "--max-kw must be above zero");
    let meter = group.meter_kwh.unwrap_or(Energy(10_000_000));
    ensure!(!meter.is_negative(), "--meter-kwh must not be negative");
    let car = group.battery_kwh.map(|battery| Car {
        taper: group.taper,
        ..Car::new(battery, group.soc.unwrap_or(20), group.car_kw.unwrap_or(max_power))
    });
    if car.is_none() && (group.soc.is_some() || group.car_kw.is_some() || group.taper) {
        bail!("--soc, --car-kw and --taper are about a battery: say --battery-kwh as well");
    }
    if let Some(car) = car {
        ensure!(
            car.battery > Energy::ZERO && car.max_power > Power::ZERO,
            "--battery-kwh and --car-kw must be above zero"
        );
    }
    let mine = group.behaviours.iter().filter_map(|text| match text.split_once('@') {
        None => Some(text.as_str()),
        Some((name, behaviour)) => (name == id.as_str()).then_some(behaviour),
    });
    let mut spec = PileSpec::new(id.clone(), clock_start);
    spec.connectors =
        vec![ConnectorSpec::new(max_power, meter); usize::from(group.connectors.unwrap_or(1).clamp(1, 32))];
    spec.car = car;
    spec.behaviours = read_behaviours(mine)?;
    spec.clock = (!group.no_clock).then_some(ClockSpec {
        start: clock_start.after_ms(-group.clock_slow_by.unwrap_or(0)),
        drift_ppm: group.clock_drift_ppm.unwrap_or(0),
        follows_station: !group.ignore_time,
        at_power_on: ClockAtPowerOn::GoesOn,
    });
    spec.utc_offset_ms = group.utc_offset.unwrap_or(spec.utc_offset_ms);
    spec.seed = seed;
    spec.boot_tag = tag.to_owned();
    spec.periods = group.periods;
    spec.heartbeat_qos1 = group.heartbeat_qos1;
    spec.offline_cards = group.offline_cards.clone();
    spec.customers = Some(Customers {
        pause_ms: group.pause.unwrap_or(10_000),
        card: group.card.clone(),
        visits_max,
    });
    Ok(spec)
}

fn meet(
    id: &PileId,
    options: &StationOptions,
    secrets: &BTreeMap<String, String>,
    tls: Option<Arc<ClientConfig>>,
) -> Result<Station> {
    let from_file = secrets.get(id.as_str()).or_else(|| secrets.get("*")).cloned();
    let secret = from_file.or_else(|| std::env::var(SECRET_VARIABLE).ok());
    if secret.is_none() && options.cert.is_none() && !options.anonymous {
        bail!(
            "pile {id} has no secret: write a line `{id}=…` into a file and name it with --secrets, or set \
             {SECRET_VARIABLE}; --anonymous is for a broker that asks for none"
        );
    }
    Ok(Station {
        host: options.host.clone().unwrap_or_else(|| "127.0.0.1".to_owned()),
        port: options.port.unwrap_or(if tls.is_some() { 8883 } else { 1883 }),
        secret,
        tls,
    })
}

fn read_tls(options: &StationOptions) -> Result<Option<Arc<ClientConfig>>> {
    let bytes = |path: &PathBuf| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let Some(ca) = &options.ca else {
        ensure!(
            options.cert.is_none(),
            "a client certificate needs TLS: say --ca as well"
        );
        return Ok(None);
    };
    let identity = match (&options.cert, &options.key) {
        (Some(cert), Some(key)) => Some((bytes(cert)?, bytes(key)?)),
        (None, None) => None,
        _ => bail!("--cert and --key belong together"),
    };
    let identity = identity.as_ref().map(|(cert, key)| (cert.as_slice(), key.as_slice()));
    Ok(Some(tls(&bytes(ca)?, identity)?))
}

fn read_secrets(text: &str) -> Result<BTreeMap<String, String>> {
    let mut secrets = BTreeMap::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // The line itself stays out of the message: it may be a secret.
        let (pile, secret) = line
            .split_once('=')
            .with_context(|| format!("secrets, line {}: no `pile=secret`", at + 1))?;
        if secrets
            .insert(pile.trim().to_owned(), secret.trim().to_owned())
            .is_some()
        {
            bail!("secrets, line {}: `{}` for the second time", at + 1, pile.trim());
        }
    }
    Ok(secrets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use world::pile::Behaviour;

    fn plan(arguments: &[&str]) -> Result<Plan> {
        let all = ["pile-sim", "--anonymous"].into_iter().chain(arguments.iter().copied());
        make(Options::try_parse_from(all)?)
    }

    #[test]
    fn piles_are_numbered_and_behave_one_by_one() {
        let plan = plan(&[
            "--piles",
            "10",
            "--prefix",
            "P",
            "--behaviour",
            "garbage",
            "--behaviour",
            "P03@refuse",
        ])
        .unwrap();
        let ids: Vec<_> = plan.piles.iter().map(|pile| pile.spec.id.as_str()).collect();
        assert_eq!((ids[0], ids[9], ids.len()), ("P01", "P10", 10));
        let refuses = |pile: &Planned| pile.spec.behaviours.contains(&Behaviour::Refuse { code: 7 });
        assert_eq!(plan.piles.iter().filter(|pile| refuses(pile)).count(), 1);
        assert_eq!(
            (plan.piles[2].spec.behaviours.len(), plan.piles[0].spec.behaviours.len()),
            (2, 1)
        );
        assert!(plan.until.is_none());
    }

    #[test]
    fn a_file_is_completed_by_the_command_line() {
        let folder = world::station::Folder::new("pile-sim-plan").unwrap();
        let path = folder.path().join("plan.toml");
        let text = "[run]\nspeed = 60\nonce = true\n[[pile]]\nid = [\"A\"]\nmax-kw = \"60\"\n[[pile]]\npiles = 2\nprefix = \"B\"\n";
        std::fs::write(&path, text).unwrap();
        let plan = plan(&["--config", path.to_str().unwrap(), "--speed", "10", "--max-kw", "11"]).unwrap();
        let piles: Vec<_> = plan
            .piles
            .iter()
            .map(|pile| (pile.spec.id.as_str(), pile.spec.connectors[0].max_power.0))
            .collect();
        assert_eq!(piles, [("A", 60_000), ("B01", 11_000), ("B02", 11_000)]);
        assert_eq!((plan.speed, plan.until.unwrap().visits), (10, 1));
    }

    #[test]
    fn mistakes_are_found_before_the_start() {
        let error = |arguments: &[&str]| format!("{:#}", plan(arguments).unwrap_err());
        assert!(error(&["--id", "A", "--id", "A"]).contains("twice"));
        assert!(error(&["--behaviour", "X@refuse"]).contains("not there"));
        assert!(error(&["--behaviour", "drp"]).contains("drp"));
        assert!(error(&["--soc", "20"]).contains("--battery-kwh"));
        assert!(error(&["--max-kw", "0"]).contains("above zero"));
        assert!(error(&["--secrets", "/nonexistent/secrets"]).contains("/nonexistent/secrets"));
        assert!(error(&["--cert", "a", "--key", "b"]).contains("--ca"));
        assert!(error(&["--prefix", "a/b"]).contains("pile id"));
        let unarmed = Options::try_parse_from(["pile-sim", "--id", "A"]).unwrap();
        if std::env::var(SECRET_VARIABLE).is_err() {
            assert!(make(unarmed).unwrap_err().to_string().contains("--secrets"));
        }
    }

    #[test]
    fn secrets_are_lines_and_errors_do_not_show_them() {
        let secrets = read_secrets("# piles\nP01 = a=b \n\n*=other\n").unwrap();
        assert_eq!((secrets["P01"].as_str(), secrets["*"].as_str()), ("a=b", "other"));
        let error = read_secrets("P01=a\nhunter2\n").unwrap_err().to_string();
        assert!(error.contains("line 2") && !error.contains("hunter2"), "{error}");
        assert!(read_secrets("P=a\nP=b").is_err());
    }
}
