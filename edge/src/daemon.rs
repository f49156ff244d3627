//! The daemon put together: store, loop, broker, API; and taken apart again in order.
//! `run` needs no process of its own, so tests run whole stations side by side.

use crate::{
    api,
    clock::{KnownTime, SiteClock},
    config::Config,
    disk::{Disk, DiskFull},
    displays,
    gate::{BrokerCounters, Gate, ToPiles, restore_retained},
    station::{Loop, Refused, Reply, Request, Station},
    store::{Store, StoreError},
};
use anyhow::{Context, bail};
use broker::Broker;
use domain::{
    site::Input,
    tariff::{self, Tariff},
    time::Wall,
};
use service::{
    http::{
        serve::serve,
        unix::{UnixSocket, bind_unix, serve_unix},
    },
    systemd,
    tls::Tls,
};
use std::{
    fmt,
    future::Future,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpSocket},
    signal::unix::{SignalKind, signal},
    sync::{oneshot, watch},
};

/// How many connections may wait to be accepted: a station full of piles comes back at once after a power cut.
const BACKLOG: u32 = 4_096;
/// How much the kernel keeps for a connection that does not read; it counts twice as much, with its own bookkeeping.
const SEND_BUFFER_BYTES: u32 = 128 * 1_024;
/// How long connections get to finish when the daemon ends.
const DRAIN: Duration = Duration::from_secs(5);
/// How often it is looked how much room is left on the disk.
const ROOM_EVERY: Duration = Duration::from_secs(2);
/// How often it is looked whether the system's clock is synchronised.
const CLOCK_TRUST_EVERY: Duration = Duration::from_secs(60);
/// How often it is looked whether certificates have changed or are to be renewed.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(10);
/// Made by systemd-timesyncd once the clock is synchronised.
const TIMESYNC_MARK: &str = "/run/systemd/timesync/synchronized";

/// Where a running daemon listens; useful where the configuration asked for port 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// MQTT without TLS.
    pub mqtt: Vec<std::net::SocketAddr>,
    /// MQTT over TLS.
    pub mqtt_tls: Option<std::net::SocketAddr>,
    /// HTTP.
    pub http: Option<std::net::SocketAddr>,
    /// HTTPS.
    pub https: Option<std::net::SocketAddr>,
    /// The Unix socket.
    pub socket: PathBuf,
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for address in &self.mqtt {
            write!(f, "MQTT on {address}, ")?;
        }
        if let Some(address) = self.mqtt_tls {
            write!(f, "MQTT over TLS on {address}, ")?;
        }
        if let Some(address) = self.http {
            write!(f, "HTTP on {address}, ")?;
        }
        if let Some(address) = self.https {
            write!(f, "HTTPS on {address}, ")?;
        }
        write!(f, "command line on {}", self.socket.display())
    }
}

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
    make_private_folder(&config.data_dir)
        .with_context(|| format!("cannot make the data directory {}", config.data_dir.display()))?;
    let disk = Disk::under(&config.data_dir, config.reserve_bytes);
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
        recovered = systemd::extending_the_start(recovering) => recovered?.map_err(|error| unless_full(&disk, error))?,
        () = &mut shutdown => {
            tracing::info!("the start was ended while the database was being opened");
            return Ok(());
        }
    };
    let (head, _) = station.store.reader()?.head()?;
    station
        .clock
        .set_trusted(config.clock.trusted || clock_is_synchronised());
    tracing::info!(site = %config.site, epoch = station.store.identity().epoch, seq = head.seq, "station recovered");

    // Whoever finds the station up finds all of it up; and what keeps it from listening keeps it from starting.
    let tls = match config.has_tls() {
        true => {
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
            Some(Arc::new(tls))
        }
        false => None,
    };
    let doors = Doors::open(&config).await?;
    let listening = doors.listening()?;
    crate::open_files::make_room(config.mqtt.connections_max);
    let limits = broker::Config::default();
    let broker_config = broker::Config {
        // Whoever is connected has a session; some are kept for those who are away.
        sessions_max: limits.sessions_max.max(config.mqtt.connections_max.saturating_mul(2)),
        connections_max: config.mqtt.connections_max,
        connections_per_address_max: config.mqtt.connections_per_address_max,
        ..limits
    };
    let any_certificate = tls.as_ref().is_some_and(|tls| tls.believes_any_certificate());
    let gate = Gate::new(station.clone()).believing_any_certificate(any_certificate);
    let broker = Broker::new(broker_config, Arc::new(gate));
    restore_retained(&broker.handle(), &station.store.reader()?.retained()?);
    let mut brain_ended = start_loop(brain.keeping(config.retention), &broker)?;
    // Known before the first order can come.
    let mut room = Room::of(&disk, config.policy.orders_below_bytes);
    room.look(&station).await?;
    if let Err(error) = first_tariff(&station, &config).await {
        // Where the loop has ended, it knows better why.
        let ended = tokio::time::timeout(Duration::from_secs(1), &mut brain_ended).await;
        return Err(ended.map_or(error, |ended| why_ended(&disk, ended)));
    }
    if let Some(warning) = no_tariff(&station)? {
        tracing::warn!("{warning}");
    }
    for warning in plain_beyond_loopback(&config) {
        tracing::warn!("{warning}");
    }
    if let KnownTime::NotBefore(wall) = station.clock.known() {
        station.tell(Input::CertainTime(wall));
    }
    station.tell(Input::ClockTrust(config.clock.trusted || clock_is_synchronised()));

    for listener in doors.mqtt {
        tokio::spawn(broker.serve(listener));
    }
    if let (Some(listener), Some(tls)) = (doors.mqtt_tls, &tls) {
        tokio::spawn(broker.serve_tls(listener, tls.configs()));
    }
    let (stop_api, api_stopping) = watch::channel(false);
    let mut state = api::ApiState::new(
        station.clone(),
        config.time_zone.as_str(),
        BrokerCounters(broker.handle()),
    )?;
    if let Some(tls) = &tls {
        state = state.with_tls(Arc::clone(tls));
    }
    let api = api::api(state);
    let per_address_max = config.http.connections_per_address_max;
    let mut servers = tokio::task::JoinSet::new();
    servers.spawn(serve_unix(doors.socket, api.clone(), api_stopping.clone()));
    if let Some(listener) = doors.http {
        servers.spawn(serve(
            listener,
            None,
            per_address_max,
            api.clone(),
            api_stopping.clone(),
        ));
    }
    if let (Some(listener), Some(tls)) = (doors.https, &tls) {
        let configs = Some(tls.https_configs());
        servers.spawn(serve(listener, configs, per_address_max, api, api_stopping));
    }
    tracing::info!("station is up: {listening}");
    ready(&listening);

    let certificates = tokio::spawn(watch_certificates(tls, station.clone(), signal(SignalKind::hangup())?));
    let displays = tokio::spawn(displays::publish(station.clone(), broker.handle()));
    let watched = tokio::spawn(watch_over(station.clone(), config.clock.trusted));
    let ended = tokio::select! {
        () = &mut shutdown => Ok(()),
        ended = &mut brain_ended => Err(why_ended(&disk, ended)),
        error = room.follow(&station) => Err(error),
        () = broker.router_died() => Err(anyhow::anyhow!("the MQTT router died; start again")),
        Some(server) = servers.join_next() => match server {
            Ok(Ok(())) => Err(anyhow::anyhow!("an HTTP server ended by itself")),
            Ok(Err(error)) => Err(error),
            Err(error) => Err(error.into()),
        },
    };
    watched.abort();
    displays.abort();
    certificates.abort();
    // After a fault nothing in memory can be trusted more than the disk.
    ended?;
    tracing::info!("station is going down");
    let _all_left = broker.shutdown(DRAIN).await;
    let _nobody_listens = stop_api.send(true);
    let drained = tokio::time::timeout(DRAIN, async { while servers.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!("some HTTP requests did not end in time");
    }
    station.stop().await;
    Ok(())
}

/// Why the loop has ended by itself.
fn why_ended(disk: &Disk, ended: Result<Result<(), StoreError>, oneshot::error::RecvError>) -> anyhow::Error {
    match ended {
        Ok(Err(error)) => match unless_full(disk, error) {
            full if full.is::<DiskFull>() => full,
            error => error.context("a commit failed; start again from disk"),
        },
        Ok(Ok(())) | Err(_) => anyhow::anyhow!("the station's loop ended by itself; start again from disk"),
    }
}

/// A disk that is full costs the reserve, so that the next start has room; any other error is told as it is.
fn unless_full(disk: &Disk, error: StoreError) -> anyhow::Error {
    match error {
        StoreError::Full(cause) => disk.give_up(cause).into(),
        // After the first failure redb tells of nothing but that.
        StoreError::Io(cause) if disk.is_full() => disk.give_up(cause).into(),
        other => other.into(),
    }
}

/// Tells the site how much room there is on the disk, and keeps the reserve set aside.
struct Room {
    disk: Disk,
    /// How much must be left besides the reserve.
    enough: u64,
    /// What the log said last: whether telemetry is written, and whether orders are refused.
    said: (bool, bool),
}

impl Room {
    fn of(disk: &Disk, enough: u64) -> Self {
        Self {
            disk: disk.clone(),
            enough,
            said: (true, false),
        }
    }

    async fn look(&mut self, station: &Station) -> anyhow::Result<()> {
        let (disk, enough) = (self.disk.clone(), self.enough);
        let space = tokio::task::spawn_blocking(move || {
            if let Err(error) = disk.set_aside(enough) {
                tracing::warn!(%error, "the reserve on the disk cannot be set aside");
            }
            disk.space()
        });
        let space = space
            .await?
            .context("cannot tell how much room is left on the disk of data_dir")?;
        station.tell(Input::Space(space));
        let stands = station.look(|site, _| (site.keeps_telemetry(), site.takes_no_orders()));
        let Ok((keeps_telemetry, no_orders)) = stands.await else {
            // The loop has ended; somebody else tells why.
            return Ok(());
        };
        let stands = (keeps_telemetry, no_orders.is_some());
        match &no_orders {
            _ if stands == self.said => {}
            Some(why) => tracing::error!("new orders are refused: {why}"),
            None if !keeps_telemetry => tracing::warn!(
                free_mib = space.free_bytes >> 20,
                "the disk is filling up: telemetry is not written any more; soon new orders will be refused"
            ),
            None => tracing::info!(free_mib = space.free_bytes >> 20, "there is room on the disk again"),
        }
        self.said = stands;
        Ok(())
    }

    /// Goes on until something is wrong with the disk.
    async fn follow(&mut self, station: &Station) -> anyhow::Error {
        loop {
            tokio::time::sleep(ROOM_EVERY).await;
            if let Err(error) = self.look(station).await {
                return error;
            }
        }
    }
}

/// Everything the station listens on, bound but not served yet.
struct Doors {
    mqtt: Vec<TcpListener>,
    mqtt_tls: Option<TcpListener>,
    http: Option<TcpListener>,
    https: Option<TcpListener>,
    socket: UnixSocket,
}

impl Doors {
    async fn open(config: &Config) -> anyhow::Result<Self> {
        let mut mqtt = Vec::new();
        for address in &config.mqtt.listen {
            mqtt.push(bind(*address, "mqtt.listen")?);
        }
        let optional =
            |address: Option<std::net::SocketAddr>, key| address.map(|address| bind(address, key)).transpose();
        let mqtt_tls = optional(config.mqtt.tls_listen, "mqtt.tls.listen")?;
        let http = optional(config.http.listen, "http.listen")?;
        let https = optional(config.http.tls_listen, "http.tls.listen")?;
        // The last, as it leaves a file behind.
        let socket = bind_unix(&config.socket)
            .await
            .context("the command line's socket (socket in the configuration)")?;
        Ok(Self {
            mqtt,
            mqtt_tls,
            http,
            https,
            socket,
        })
    }

    fn listening(&self) -> anyhow::Result<Listening> {
        Ok(Listening {
            mqtt: self
                .mqtt
                .iter()
                .map(TcpListener::local_addr)
                .collect::<Result<_, _>>()?,
            mqtt_tls: self.mqtt_tls.as_ref().map(TcpListener::local_addr).transpose()?,
            http: self.http.as_ref().map(TcpListener::local_addr).transpose()?,
            https: self.https.as_ref().map(TcpListener::local_addr).transpose()?,
            socket: self.socket.path().to_owned(),
        })
    }
}

/// Makes a folder that only its owner may enter, whatever the process's umask. One that is there stays as it is.
pub(crate) fn make_private_folder(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::DirBuilder::new().mode(0o700).create(path)
}

/// What to say of listeners that a person opened to the network without TLS.
pub fn plain_beyond_loopback(config: &Config) -> Vec<String> {
    let beyond = config.mqtt.listen.iter().filter(|address| !address.ip().is_loopback());
    let words = |address| {
        format!(
            "piles log in on {address} without TLS: whoever is on that network can read their secrets \
             (plain_beyond_loopback in the configuration)"
        )
    };
    beyond.map(words).collect()
}

/// What to say if an order placed now would find no tariff.
fn no_tariff(station: &Station) -> Result<Option<String>, StoreError> {
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

fn bind(address: std::net::SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    let listen = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        socket.set_reuseaddr(true)?;
        // Connections have it from the listener. Left alone, the kernel lets megabytes wait for one that does not read.
        socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().with_context(|| format!("cannot listen on {address} ({key} in the configuration)"))
}

/// Adds the configured tariff if the station has none yet.
async fn first_tariff(station: &Station, config: &Config) -> anyhow::Result<()> {
    let Some(path) = &config.first_tariff else {
        return Ok(());
    };
    if !station.store.reader()?.tariffs()?.is_empty() {
        return Ok(());
    }
    let tariff = read_tariff(path, &config.time_zone)?;
    let request = Request {
        input: Some(Input::AddTariff { tariff }),
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

fn clock_is_synchronised() -> bool {
    Path::new(TIMESYNC_MARK).exists()
}

/// Feeds systemd's watchdog from the loop itself, and follows whether the system's clock is synchronised.
async fn watch_over(station: Station, always_trusted: bool) {
    let watchdog = systemd::watchdog();
    let every = watchdog.map_or(CLOCK_TRUST_EVERY, |timeout| timeout / 3);
    let mut turn = tokio::time::interval(every.max(Duration::from_millis(100)));
    let mut beats = 0;
    let mut trusted = always_trusted || clock_is_synchronised();
    loop {
        turn.tick().await;
        let now = station.stats.beats.load(Ordering::Relaxed);
        if watchdog.is_some() && now != beats {
            systemd::alive();
        }
        beats = now;
        let synchronised = always_trusted || clock_is_synchronised();
        if synchronised != trusted {
            trusted = synchronised;
            station.clock.set_trusted(trusted);
            tracing::info!(trusted, "the system's clock");
            station.tell(Input::ClockTrust(trusted));
        }
    }
}

fn warn_of_piles(station: &Station) {
    let soon = station.clock.now().wall.after_ms(service::tls::WARN_MS);
    let ending = station.credentials.certificates_ending_before(soon);
    if ending > 0 {
        tracing::warn!(
            "{ending} piles have a certificate that ends within 30 days or has ended: `holdfast-edge pile list` says \
             which, `pile cert` makes new ones"
        );
    }
}

/// Looks at the certificates, at a steady pace and whenever somebody asks for it with SIGHUP.
async fn watch_certificates(tls: Option<Arc<Tls>>, station: Station, mut asked: tokio::signal::unix::Signal) {
    const DAY: Duration = Duration::from_secs(86_400);
    let mut turn = tokio::time::interval(CERTIFICATES_EVERY);
    let mut daily = tokio::time::interval(DAY);
    loop {
        tokio::select! {
            _ = turn.tick() => {}
            _ = daily.tick() => warn_of_piles(&station),
            _ = asked.recv() => tracing::info!("SIGHUP: the certificates are looked at; the configuration is read at a start only"),
        }
        if let Some(tls) = &tls {
            let tls = Arc::clone(tls);
            // Files may be slow. Its only possible failure is a panic, which has been told.
            let _looked = tokio::task::spawn_blocking(move || tls.look()).await;
        }
    }
}
