//! The daemon put together: store, loop, broker, API; and taken apart again in order.
//! `run` needs no process of its own, so tests run whole stations side by side.

mod doors;
mod room;
mod tariff;
mod watch;

pub use doors::{Listening, plain_beyond_loopback};
pub use tariff::read_tariff;

use crate::{
    api,
    broker_counters::BrokerCounters,
    clock::{KnownTime, SiteClock},
    config::Config,
    disk::Disk,
    displays,
    gate::{Gate, ToPiles, restore_retained},
    head_office::HeadOffice,
    station::{Loop, Station},
    store::{Store, StoreError},
};
use anyhow::Context;
use broker::{Broker, ServingThread};
use domain::{site::Input, time::Wall};
use doors::Doors;
use room::{Room, unless_full, why_ended};
use service::{
    http::{serve::serve, unix::serve_unix},
    systemd,
    tls::Tls,
};
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{oneshot, watch as watched},
    task::JoinSet,
};
use watch::{clock_is_synchronised, follow_line, watch_certificates, watch_over};

/// How long connections get to finish when the daemon ends.
const DRAIN: Duration = Duration::from_secs(5);

/// Runs a station until `shutdown` resolves.
///
/// `ready` is called once everything listens. A `shutdown` during the start ends it.
///
/// # Errors
/// What keeps the station from starting, with what to do about it; and anything after which the process must start
/// again from disk: a failed commit, the death of the router.
pub async fn run(
    config: Config,
    ready: impl FnOnce(&Listening),
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let mut shutdown = std::pin::pin!(shutdown);
    service::folder::make_private(&config.data_dir)
        .with_context(|| format!("cannot make the data directory {}", config.data_dir.display()))?;
    let disk = Disk::under(&config.data_dir, config.reserve_bytes);
    let Some((station, brain)) = recover(&config, &disk, shutdown.as_mut()).await? else {
        return Ok(());
    };
    let head_office = HeadOffice::open(
        &config.data_dir,
        config.site.clone(),
        config.head_office.public_keys.clone(),
    )?;
    let head_office = Arc::new(head_office);
    // Whoever finds the station up finds all of it up; and what keeps it from listening keeps it from starting.
    let tls = open_tls(&config, &station)?;
    let doors = Doors::open(&config).await?;
    let listening = doors.listening()?;
    let broker = broker_of(&config, &station, tls.as_deref())?;
    let mut brain_ended = start_loop(brain.keeping(config.retention), &broker)?;
    // Known before the first order can come.
    let mut room = Room::of(&disk, config.policy.orders_below_bytes);
    room.look(&station).await?;
    let recovering = station.store.reader()?.recovery()?.is_some();
    if !recovering && let Err(error) = tariff::first_tariff(&station, &config).await {
        // Where the loop has ended, it knows better why.
        let ended = tokio::time::timeout(Duration::from_secs(1), &mut brain_ended).await;
        return Err(ended.map_or(error, |ended| why_ended(&disk, ended)));
    }
    warn(&config, &station)?;
    if let KnownTime::NotBefore(wall) = station.clock.known() {
        station.tell(Input::CertainTime(wall));
    }
    station.tell(Input::ClockTrust(config.clock.trusted || clock_is_synchronised()));
    let mut servers = Servers::start(
        doors,
        &config,
        &station,
        &broker,
        (tls.as_ref(), Arc::clone(&head_office)),
    )?;
    tracing::info!("station is up: {listening}");
    ready(&listening);

    let certificates = tokio::spawn(watch_certificates(tls, station.clone(), signal(SignalKind::hangup())?));
    let displays = tokio::spawn(displays::publish(station.clone(), broker.handle()));
    // Without its number the station closes no vouchers, as nobody gives any out for it.
    let line = config
        .policy
        .head_office
        .then(|| tokio::spawn(follow_line(station.clone(), head_office)));
    let watched = tokio::spawn(watch_over(station.clone(), config.clock.trusted));
    let ended = tokio::select! {
        () = &mut shutdown => Ok(()),
        ended = &mut brain_ended => Err(why_ended(&disk, ended)),
        error = room.follow(&station) => Err(error),
        () = broker.router_died() => Err(anyhow::anyhow!("the MQTT router died; start again")),
        error = servers.one_ended() => Err(error),
    };
    watched.abort();
    if let Some(line) = line {
        line.abort();
    }
    displays.abort();
    certificates.abort();
    // After a fault nothing in memory can be trusted more than the disk.
    ended?;
    tracing::info!("station is going down");
    let _all_left = broker.shutdown(DRAIN).await;
    servers.drain().await;
    station.stop().await;
    Ok(())
}

/// The station as its database has it; none if the start was ended meanwhile.
async fn recover(
    config: &Config,
    disk: &Disk,
    shutdown: Pin<&mut impl Future<Output = ()>>,
) -> anyhow::Result<Option<(Station, Loop)>> {
    let path = config.data_dir.join("holdfast.redb");
    let (site, cache_bytes) = (config.site.clone(), config.cache_bytes);
    let (mut policy, clock_config) = (config.policy.clone(), config.clock.clone());
    policy.time_zone = domain::time::Zone::named(&config.time_zone).map_err(anyhow::Error::msg)?;
    // Repair after a crash can take a while: off the runtime, and systemd is asked for patience meanwhile.
    let recovering = tokio::task::spawn_blocking(move || {
        let store = Store::open(&path, &site, cache_bytes)?;
        Station::recover(store, policy, move |mark| {
            let clock = SiteClock::resume(mark);
            if clock_config.rate > 1 || clock_config.start.is_some() {
                clock.simulated(clock_config.rate, clock_config.start)
            } else {
                clock
            }
        })
    });
    let (station, brain) = tokio::select! {
        recovered = systemd::extending_the_start(recovering) => recovered?.map_err(|error| unless_full(disk, error))?,
        () = shutdown => {
            tracing::info!("the start was ended while the database was being opened");
            return Ok(None);
        }
    };
    let (head, _) = station.store.reader()?.head()?;
    station
        .clock
        .set_trusted(config.clock.trusted || clock_is_synchronised());
    tracing::info!(site = %config.site, epoch = station.store.identity().epoch, seq = head.seq, "station recovered");
    Ok(Some((station, brain)))
}

fn open_tls(config: &Config, station: &Station) -> anyhow::Result<Option<Arc<Tls>>> {
    if !config.has_tls() {
        return Ok(None);
    }
    let clock = Arc::clone(&station.clock);
    let folder = config.data_dir.join("tls");
    let tls = Tls::open(&config.tls, &folder, config.site.as_str(), clock).context("mqtt.tls")?;
    tls.look();
    let lost = station.credentials.certificates_ending_before(Wall(i64::MAX));
    if tls.authority_is_new() && lost > 0 {
        tracing::warn!(
            "{lost} piles hold certificates of another authority than the one that was made just now, and are \
             refused with them: stop the station and put the folder {} back from a copy, or make them new \
             ones with `holdfast-edge pile cert`",
            folder.display()
        );
    }
    Ok(Some(Arc::new(tls)))
}

/// The broker, with what is retained; it serves nobody yet.
fn broker_of(config: &Config, station: &Station, tls: Option<&Tls>) -> anyhow::Result<Broker> {
    crate::open_files::make_room(config.mqtt.connections_max);
    let limits = broker::Config::default();
    let broker_config = broker::Config {
        // Whoever is connected has a session; some are kept for those who are away.
        sessions_max: limits.sessions_max.max(config.mqtt.connections_max.saturating_mul(2)),
        connections_max: config.mqtt.connections_max,
        connections_per_address_max: config.mqtt.connections_per_address_max,
        ..limits
    };
    let any_certificate = tls.is_some_and(Tls::believes_any_certificate);
    let gate = Gate::new(station.clone()).believing_any_certificate(any_certificate);
    let broker = Broker::new(broker_config, Arc::new(gate));
    restore_retained(&broker.handle(), &station.store.reader()?.retained()?);
    Ok(broker)
}

fn warn(config: &Config, station: &Station) -> Result<(), StoreError> {
    let warnings = tariff::no_tariff(station)?.into_iter();
    let recovery = station.store.reader()?.recovery()?;
    let recovery = recovery.map(|recovery| {
        format!(
            "the station was restored from a copy that ends at entry {} and waits for what head office has beyond it: \
             nothing is booked meanwhile. `holdfast-edge status` says how far it is",
            recovery.copy_end.seq
        )
    });
    for warning in recovery
        .into_iter()
        .chain(warnings)
        .chain(plain_beyond_loopback(config))
    {
        tracing::warn!("{warning}");
    }
    Ok(())
}

/// What serves piles and the API: piles on a thread of their own, in turn. They are the broker's to end.
struct Servers {
    _of_piles: ServingThread,
    of_api: JoinSet<anyhow::Result<()>>,
    stop_api: watched::Sender<bool>,
}

impl Servers {
    fn start(
        doors: Doors,
        config: &Config,
        station: &Station,
        broker: &Broker,
        (tls, head_office): (Option<&Arc<Tls>>, Arc<HeadOffice>),
    ) -> anyhow::Result<Self> {
        let of_piles = ServingThread::start()?;
        for listener in doors.mqtt {
            of_piles.serve(broker.serve(listener));
        }
        if let (Some(listener), Some(tls)) = (doors.mqtt_tls, tls) {
            of_piles.serve(broker.serve_tls(listener, tls.configs()));
        }
        let (stop_api, stopping) = watched::channel(false);
        let counters = BrokerCounters(broker.handle());
        let state = api::ApiState::new(station.clone(), config.time_zone.as_str(), counters)?;
        let mut state = state.with_head_office(head_office);
        if let Some(tls) = tls {
            state = state.with_tls(Arc::clone(tls));
        }
        let api = api::api(state);
        let per_address_max = config.http.connections_per_address_max;
        let mut of_api = JoinSet::new();
        of_api.spawn(serve_unix(doors.socket, api.clone(), stopping.clone()));
        if let Some(socket) = doors.sync_socket {
            of_api.spawn(serve_unix(socket, api.clone(), stopping.clone()));
        }
        if let Some(listener) = doors.http {
            of_api.spawn(serve(listener, None, per_address_max, api.clone(), stopping.clone()));
        }
        if let (Some(listener), Some(tls)) = (doors.https, tls) {
            let configs = Some(tls.https_configs());
            of_api.spawn(serve(listener, configs, per_address_max, api, stopping));
        }
        Ok(Self {
            _of_piles: of_piles,
            of_api,
            stop_api,
        })
    }

    /// Why one of the API's servers has ended, which none does by itself.
    async fn one_ended(&mut self) -> anyhow::Error {
        match self.of_api.join_next().await {
            Some(Ok(Err(error))) => error,
            Some(Err(error)) => error.into(),
            Some(Ok(Ok(()))) | None => anyhow::anyhow!("an HTTP server ended by itself"),
        }
    }

    /// Lets requests that are being answered end, but not for ever.
    async fn drain(&mut self) {
        let _nobody_listens = self.stop_api.send(true);
        let drained = tokio::time::timeout(DRAIN, async { while self.of_api.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::warn!("some HTTP requests did not end in time");
        }
    }
}

fn start_loop(brain: Loop, broker: &Broker) -> anyhow::Result<oneshot::Receiver<Result<(), StoreError>>> {
    let (ended, watch_end) = oneshot::channel();
    let outbound = ToPiles(broker.handle());
    std::thread::Builder::new()
        .name("station-loop".to_owned())
        .spawn(move || {
            let result = brain.run(outbound);
            let _gone = ended.send(result);
        })?;
    Ok(watch_end)
}
