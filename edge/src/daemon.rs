//! The daemon put together: store, loop, broker, API; and taken apart again in order.
//! `run` needs no process of its own, so tests run whole stations side by side.

use crate::{
    api,
    clock::SiteClock,
    config::{Config, MqttTls},
    gate::{Gate, ToPiles, restore_retained},
    station::{Loop, Request, Response, Station},
    store::{Store, StoreError},
};
use anyhow::{Context, bail};
use broker::Broker;
use domain::{
    site::Input,
    tariff::{self, Tariff},
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
    net::TcpListener,
    sync::{oneshot, watch},
};

/// How long connections get to finish when the daemon ends.
const DRAIN: Duration = Duration::from_secs(5);
/// How often it is looked whether the system's clock is synchronised.
const CLOCK_TRUST_EVERY: Duration = Duration::from_secs(60);
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
    let path = config.data_dir.join("holdfast.redb");
    let (site, cache_bytes) = (config.site.clone(), config.cache_bytes);
    let (policy, clock_config) = (config.policy.clone(), config.clock.clone());
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
        recovered = with_patience(recovering) => recovered??,
        () = &mut shutdown => {
            tracing::info!("the start was ended while the database was being opened");
            return Ok(());
        }
    };
    let (head, _) = station.store.reader()?.head()?;
    tracing::info!(site = %config.site, epoch = station.store.identity().epoch, seq = head.seq, "station recovered");

    // Whoever finds the station up finds all of it up; and what keeps it from listening keeps it from starting.
    let doors = Doors::open(&config).await?;
    let listening = doors.listening()?;
    let broker_config = broker::Config {
        connections_max: config.mqtt.connections_max,
        connections_per_address_max: config.mqtt.connections_per_address_max,
        ..broker::Config::default()
    };
    let broker = Broker::new(broker_config, Arc::new(Gate::new(station.clone()))).context("cannot start the broker")?;
    restore_retained(&broker.handle(), &station.store.reader()?.retained()?);
    let mut brain_ended = start_loop(brain, &broker)?;
    first_tariff(&station, &config).await?;
    if let Some(warning) = no_tariff(&station)? {
        tracing::warn!("{warning}");
    }
    station.tell(Input::ClockTrust(config.clock.trusted || clock_is_synchronised()));

    for listener in doors.mqtt {
        tokio::spawn(broker.serve(listener));
    }
    if let Some((listener, settings)) = doors.mqtt_tls {
        let (_keep, settings) = watch::channel(Arc::new(settings));
        tokio::spawn(broker.serve_tls(listener, settings));
    }
    let (stop_api, api_stopping) = watch::channel(false);
    let state = api::ApiState::new(station.clone(), config.time_zone.as_str(), broker.handle());
    let mut servers = tokio::task::JoinSet::new();
    servers.spawn(api::serve_unix(doors.socket, state.clone(), api_stopping.clone()));
    if let Some(listener) = doors.http {
        servers.spawn(api::serve(listener, state, api_stopping));
    }
    tracing::info!("station is up: {listening}");
    ready(&listening);

    let watched = tokio::spawn(watch_over(station.clone(), config.clock.trusted));
    let ended = tokio::select! {
        () = &mut shutdown => Ok(()),
        ended = &mut brain_ended => match ended {
            Ok(Err(error)) => Err(anyhow::Error::new(error).context("a commit failed; start again from disk")),
            Ok(Ok(())) | Err(_) => Err(anyhow::anyhow!("the station's loop ended by itself; start again from disk")),
        },
        () = broker.router_died() => Err(anyhow::anyhow!("the MQTT router died; start again")),
        Some(server) = servers.join_next() => match server {
            Ok(Ok(())) => Err(anyhow::anyhow!("an HTTP server ended by itself")),
            Ok(Err(error)) => Err(error),
            Err(error) => Err(error.into()),
        },
    };
    watched.abort();
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

/// Everything the station listens on, bound but not served yet.
struct Doors {
    mqtt: Vec<TcpListener>,
    mqtt_tls: Option<(TcpListener, rustls::ServerConfig)>,
    http: Option<TcpListener>,
    socket: api::UnixSocket,
}

impl Doors {
    async fn open(config: &Config) -> anyhow::Result<Self> {
        let mut mqtt = Vec::new();
        for address in &config.mqtt.listen {
            mqtt.push(bind(*address, "mqtt.listen").await?);
        }
        let mqtt_tls = match &config.mqtt.tls {
            Some(tls) => Some((bind(tls.listen, "mqtt.tls.listen").await?, server_config(tls)?)),
            None => None,
        };
        let http = match config.http_listen {
            Some(address) => Some(bind(address, "http.listen").await?),
            None => None,
        };
        // The last, as it leaves a file behind.
        let socket = api::bind_unix(&config.socket)
            .await
            .context("the command line's socket (socket in the configuration)")?;
        Ok(Self {
            mqtt,
            mqtt_tls,
            http,
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
            mqtt_tls: self
                .mqtt_tls
                .as_ref()
                .map(|(listener, _)| listener.local_addr())
                .transpose()?,
            http: self.http.as_ref().map(TcpListener::local_addr).transpose()?,
            socket: self.socket.path().to_owned(),
        })
    }
}

/// Makes a folder that only its owner may enter, whatever the process's umask. One that is there stays as it is.
fn make_private_folder(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::DirBuilder::new().mode(0o700).create(path)
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

/// Waits for something that may take longer than the service manager allows a start, asking for more time as it goes.
async fn with_patience<T>(work: impl Future<Output = T>) -> T {
    const ASK_EVERY: Duration = Duration::from_secs(10);
    const PATIENCE_USEC: u32 = 60_000_000;
    let mut work = std::pin::pin!(work);
    loop {
        notify_systemd(&[sd_notify::NotifyState::ExtendTimeoutUsec(PATIENCE_USEC)]);
        if let Ok(done) = tokio::time::timeout(ASK_EVERY, &mut work).await {
            return done;
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

async fn bind(address: std::net::SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} ({key} in the configuration)"))
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
        respond: Box::new(|answer, _, _| match answer {
            Ok(_) => Response::new(200, String::new()),
            Err(rejected) => Response::new(409, rejected.to_string()),
        }),
    };
    let response = station.ask(request).await?;
    if response.status != 200 {
        bail!("the tariff in {} was refused: {}", path.display(), response.body);
    }
    Ok(())
}

/// Reads a tariff file.
///
/// # Errors
/// The file cannot be read, or every fault in it by line and key.
pub fn read_tariff(path: &Path, time_zone: &str) -> anyhow::Result<Tariff> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Tariff::from_toml(&text, time_zone).map_err(|faults| anyhow::anyhow!("{}: {faults}", path.display()))
}

/// Reads the certificates and the key.
///
/// # Errors
/// Which file cannot be used, and why.
pub fn server_config(tls: &MqttTls) -> anyhow::Result<rustls::ServerConfig> {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let certificates = |path: &Path| -> anyhow::Result<Vec<CertificateDer<'static>>> {
        CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))
    };
    let chain = certificates(&tls.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&tls.private_key)
        .map_err(|error| anyhow::anyhow!("{}: {error}", tls.private_key.display()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        rustls::ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match &tls.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = rustls::RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate)?;
            }
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    builder.with_single_cert(chain, key).with_context(|| {
        let (certificate, key) = (tls.certificate.display(), tls.private_key.display());
        format!("{certificate} and {key} cannot be used together")
    })
}

fn clock_is_synchronised() -> bool {
    Path::new(TIMESYNC_MARK).exists()
}

/// Feeds systemd's watchdog from the loop itself, and follows whether the system's clock is synchronised.
async fn watch_over(station: Station, always_trusted: bool) {
    let watchdog = sd_notify::watchdog_enabled();
    let every = watchdog.map_or(CLOCK_TRUST_EVERY, |timeout| timeout / 3);
    let mut turn = tokio::time::interval(every.max(Duration::from_millis(100)));
    let mut beats = 0;
    let mut trusted = always_trusted || clock_is_synchronised();
    loop {
        turn.tick().await;
        let now = station.stats.beats.load(Ordering::Relaxed);
        if watchdog.is_some() && now != beats {
            notify_systemd(&[sd_notify::NotifyState::Watchdog]);
        }
        beats = now;
        let synchronised = always_trusted || clock_is_synchronised();
        if synchronised != trusted {
            trusted = synchronised;
            tracing::info!(trusted, "the system's clock");
            station.tell(Input::ClockTrust(trusted));
        }
    }
}

/// Tells systemd something, if it listens.
pub fn notify_systemd(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}
