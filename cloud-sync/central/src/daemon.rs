//! The daemon put together: database, sites' front door, desks, API; and taken apart again in order.
//! `run` needs no process of its own, so tests run several head offices side by side.

use crate::{
    alerts::{
        Watch,
        mail::Mail,
        telling::{Senders, Telling},
    },
    api::{self, ApiState, Bills},
    asks::Asks,
    bell::Bell,
    bills::{
        folder::{Folder, Stuck, may_be_watched},
        import::Importer,
    },
    clock::MachineClock,
    config::{Broker as BrokerConfig, Config},
    daily::Daily,
    desk::{Clock, Office, bounds::Bounds},
    door::{self, Door},
    enrol::{Entrance, Told},
    enrolments::Enrolments,
    front::Front,
    inbox::Delivery,
    money::{self, Money, RULE},
    owners::Owners,
    reconcile::{funds::Reconciler, nightly::Nightly},
    remote::{Address, Remote},
    report::delivery::{Receivers, Reporter},
    store::{Db, Place, StoreError, identity},
    webhook::{self, Webhook},
};
use anyhow::Context;
use broker::{Broker, ServingThread};
use service::{
    http::{
        serve::{Api, serve},
        unix::{UnixSocket, bind_unix, serve_unix},
    },
    systemd,
    tls::{Tls, client::client_config},
};
use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
};

/// How long connections get to finish when the daemon ends.
const DRAIN: Duration = Duration::from_secs(5);
/// How often certificate files are looked at.
const LOOK_AT_FILES: Duration = Duration::from_secs(10);
/// How often sessions and answers that are over are forgotten.
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// How often it is looked for money that lies idle at sites.
const RECALL_EVERY: Duration = Duration::from_secs(3_600);
/// How often it is looked for days that are due to be reconciled.
const RECONCILE_EVERY: Duration = Duration::from_secs(30);
/// How often it is looked for sites that could not be told that a key has ended.
const KEYS_EVERY: Duration = Duration::from_secs(3_600);
/// How often it is looked for orders that wait for money in vain.
const OVERDUE_EVERY: Duration = Duration::from_secs(5);
/// Where files of bills are kept while they are imported, in `data_dir`.
const SPOOL: &str = "spool";
/// Whose authority it is.
const AUTHORITY: &str = "head-office";

/// Where a running daemon listens; useful where the configuration asked for port 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// MQTT over TLS, for sites.
    pub sites: Option<SocketAddr>,
    /// HTTP.
    pub http: Option<SocketAddr>,
    /// HTTPS.
    pub https: Option<SocketAddr>,
    /// The Unix socket of the command line.
    pub socket: PathBuf,
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, address) in [("sites", self.sites), ("HTTP", self.http), ("HTTPS", self.https)] {
            if let Some(address) = address {
                write!(f, "{what} on {address}, ")?;
            }
        }
        write!(f, "command line on {}", self.socket.display())
    }
}

/// Everything it listens on, bound but not served yet.
struct Doors {
    sites: Option<TcpListener>,
    http: Option<TcpListener>,
    https: Option<TcpListener>,
    socket: UnixSocket,
}

impl Doors {
    async fn open(config: &Config) -> anyhow::Result<Self> {
        let sites = bind(config.sites.listen, "sites.listen").await?;
        let http = bind(config.http.listen, "http.listen").await?;
        let https = bind(config.http.tls_listen, "http.tls.listen").await?;
        // The last, as it leaves a file behind.
        let socket = bind_unix(&config.socket)
            .await
            .context("the command line's socket (socket in the configuration)")?;
        Ok(Self {
            sites,
            http,
            https,
            socket,
        })
    }

    fn listening(&self) -> anyhow::Result<Listening> {
        let address = |listener: &Option<TcpListener>| listener.as_ref().map(TcpListener::local_addr).transpose();
        Ok(Listening {
            sites: address(&self.sites)?,
            http: address(&self.http)?,
            https: address(&self.https)?,
            socket: self.socket.path().to_owned(),
        })
    }
}

async fn bind(address: Option<SocketAddr>, key: &str) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = address else { return Ok(None) };
    let bound = TcpListener::bind(address).await;
    bound
        .map(Some)
        .with_context(|| format!("cannot listen on {address} ({key} in the configuration)"))
}

/// Runs head office until `shutdown` resolves. `ready` is called once everything listens.
///
/// # Errors
/// What keeps it from starting, with what to do about it; and anything after which the process must start again.
pub async fn run(
    config: Config,
    ready: impl FnOnce(&Listening),
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let mut shutdown = std::pin::pin!(shutdown);
    service::folder::make_private(&config.data_dir)
        .with_context(|| format!("cannot make the data directory {}", config.data_dir.display()))?;
    let place = config.database.clone();
    let opening = tokio::task::spawn_blocking(move || Db::open(&place));
    let db = tokio::select! {
        opened = systemd::extending_the_start(opening) => opened?.with_context(|| words_of(&config.database))?,
        () = shutdown.as_mut() => return Ok(()),
    };
    let clock = MachineClock::start().demonstrating(config.clock_start);
    let now = Clock::wall(&clock);
    let identity = db.write(move |tx| identity::of(tx, now)).await?;
    let folder = config.data_dir.join("tls");
    let tls = Tls::open(&config.tls, &folder, AUTHORITY, Arc::new(clock)).context("tls")?;
    let tls = Arc::new(tls);
    let doors = Doors::open(&config).await?;
    let listening = doors.listening()?;
    let office = Arc::new(Office {
        process: config.process.clone(),
        hq_epoch: identity.hq_epoch,
        key: identity.key.into(),
    });
    let front = front_of(&config, &tls)?;
    let told = told(&config, &listening, &tls)?;
    let front = Arc::new(front);
    let (bell, rings) = Bell::new();
    let entrance = Entrance {
        tls: Arc::clone(&tls),
        told,
        bell: bell.clone(),
        process: config.process.clone(),
        enrolments: Enrolments::of(&config.data_dir),
    };
    let to_sites = front.to_sites();
    let asks = Asks::new(move |site, kind, payload| to_sites.send(site, kind, payload));
    let asks = Arc::new(asks?);
    front.answer_to(Arc::clone(&asks));
    let telling = Telling {
        db: db.clone(),
        clock: Arc::new(clock),
        senders: senders_of(&config).context("alerts")?,
    };
    let back_end = back_end_of(&config).context("mini_program")?;
    let delivery = back_end.map(|(webhook, tried_ms)| Delivery {
        db: db.clone(),
        clock: Arc::new(clock),
        webhook,
        tried_ms,
    });
    let reporter = telling.senders.reports.clone().map(|receivers| Reporter {
        db: db.clone(),
        clock: Arc::new(clock),
        receivers,
        provisional: config.reports.provisional,
    });
    let shown = Arc::clone(&tls);
    let has_tls = config.has_tls();
    let stuck = Stuck::default();
    let watch = Watch {
        db: db.clone(),
        clock: Arc::new(clock),
        thresholds: config.alerts.thresholds,
        channels: telling.senders.channels(),
        process: config.process.clone(),
        folder: config.data_dir.clone(),
        certificate_until: Box::new(move || has_tls.then(|| shown.state().expires)),
        bills: stuck.clone(),
    };
    let bounds = Arc::new(Bounds::default());
    let daily = Daily {
        process: config.process.clone(),
        db: db.clone(),
        asks: Arc::clone(&asks),
        clock: Arc::new(clock),
    };
    let nightly = Nightly(Reconciler {
        // What it counts keeps no desk waiting.
        db: db.for_people(),
        clock: Arc::new(clock),
    });
    let state = ApiState::new(db.clone(), asks, Arc::new(clock), Arc::clone(&bounds))?
        .with_entrance(Arc::new(entrance))
        .with_office(Arc::clone(&office))
        .with_after_sales(config.after_sales)
        .with_bills(Bills {
            spool: config.data_dir.join(SPOOL),
            csv: config.bills.csv.clone().into(),
        });
    let mut beside = JoinSet::new();
    beside.spawn(prune(state.clone()));
    let money = || (db.clone(), clock, bell.clone());
    beside.spawn(keep_rules(
        money(),
        RECALL_EVERY,
        |money| money.recall_idle().map(drop),
        "what lies idle at sites could not be asked back",
    ));
    beside.spawn(keep_rules(
        money(),
        OVERDUE_EVERY,
        |money| money.end_overdue().map(drop),
        "orders that wait for money in vain could not be ended",
    ));
    beside.spawn(keep_rules(
        money(),
        KEYS_EVERY,
        |money| money.end_keys(),
        "sites could not be told that a key has ended",
    ));
    beside.spawn(pay_again(db.clone(), clock, bell.clone()));
    beside.spawn(daily.run());
    beside.spawn(reconcile_by_itself(nightly));
    beside.spawn(telling.run());
    beside.spawn(watch.run());
    if let Some(folder) = bills_folder(&config, &db, clock, stuck)? {
        beside.spawn(folder.run());
    }
    if let Some(delivery) = delivery {
        beside.spawn(delivery.run());
    }
    if let Some(reporter) = reporter {
        beside.spawn(reporter.run());
    }
    let mut owners = Owners::new(office, Arc::new(clock), db, Arc::clone(&front), (bell, rings), bounds);
    // Before the first can come who would have to be sent away.
    owners.look().await;
    let mut servers = Servers::start(doors, &config, &front, &tls, api::api(state))?;
    beside.spawn(watch_certificates(Arc::clone(&tls), signal(SignalKind::hangup())?));
    tracing::info!("head office is up: {listening}");
    ready(&listening);
    let ended = tokio::select! {
        () = &mut shutdown => Ok(()),
        () = owners.run() => Ok(()),
        error = servers.one_ended() => Err(error),
    };
    beside.abort_all();
    ended?;
    tracing::info!("head office is going down");
    owners.let_go().await;
    if let Front::Own(_, broker) = &*front {
        let _all_left = broker.shutdown(DRAIN).await;
    }
    servers.drain().await;
    Ok(())
}

/// The folder that is watched for bills.
fn bills_folder(config: &Config, db: &Db, clock: MachineClock, stuck: Stuck) -> anyhow::Result<Option<Folder>> {
    let Some(folder) = config.bills.folder.clone() else {
        return Ok(None);
    };
    let named = "bills.folder in the configuration";
    let mut make = std::fs::DirBuilder::new();
    make.recursive(true).mode(0o750);
    make.create(&folder)
        .with_context(|| format!("cannot make the folder {} ({named})", folder.display()))?;
    may_be_watched(&folder).map_err(|why| anyhow::anyhow!("{named}: {why}"))?;
    Ok(Some(Folder {
        folder,
        spool: config.data_dir.join(SPOOL),
        importer: Importer {
            db: db.clone(),
            clock: Arc::new(clock),
            csv: config.bills.csv.clone().into(),
        },
        stuck,
    }))
}

/// By what people are told of alerts, and get reports.
pub(crate) fn senders_of(config: &Config) -> anyhow::Result<Senders> {
    let (alerts, reports) = (&config.alerts, &config.reports);
    if alerts.webhook.is_none() && alerts.mail.is_none() && reports.webhook.is_none() {
        return Ok(Senders::default());
    }
    let believed = webhook::believed(alerts.authority.as_deref())?;
    let webhook = alerts.webhook.as_ref();
    let webhook = webhook.map(|given| Webhook::open(&given.address, &given.secret_file, Arc::clone(&believed)));
    let mail = alerts
        .mail
        .as_ref()
        .map(|given| Mail::open(given, Arc::clone(&believed)));
    let mail = mail.transpose().context("mail")?;
    let to_reports = reports.webhook.as_ref();
    let to_reports = to_reports.map(|given| Webhook::open(&given.address, &given.secret_file, believed));
    let receivers = Receivers {
        mail: mail
            .clone()
            .filter(|_| !reports.mail_to.is_empty())
            .map(|mail| (mail, reports.mail_to.clone())),
        webhook: to_reports.transpose().context("the webhook of reports")?,
        folder: config.data_dir.join(SPOOL),
    };
    Ok(Senders {
        webhook: webhook.transpose().context("webhook")?,
        mail,
        reports: Some(receivers).filter(|receivers| !receivers.channels().is_empty()),
    })
}

/// By what the mini-program's back end is told, and for how long each event is tried, in milliseconds.
pub(crate) fn back_end_of(config: &Config) -> anyhow::Result<Option<(Webhook, i64)>> {
    let Some(given) = &config.mini_program else {
        return Ok(None);
    };
    let believed = webhook::believed(given.authority.as_deref())?;
    let webhook = Webhook::open(&given.webhook.address, &given.webhook.secret_file, believed).context("webhook")?;
    let webhook = match given.allow_private {
        true => webhook,
        false => webhook.on_the_internet_alone(),
    };
    Ok(Some((webhook, given.tried_ms)))
}

pub(crate) fn words_of(place: &Place) -> String {
    match place {
        Place::Memory => "the database in memory".to_owned(),
        Place::File(path) => format!("the database {}", path.display()),
        Place::Postgres(_) => "the database (database.url in the configuration)".to_owned(),
    }
}

fn front_of(config: &Config, tls: &Tls) -> anyhow::Result<Front> {
    let Some(broker) = &config.sites.broker else {
        let door = Arc::new(Door::default());
        let broker = door::open(&door, config.sites.connections_per_address_max);
        return Ok(Front::Own(door, broker));
    };
    let text = |path: &Path| std::fs::read_to_string(path).with_context(|| path.display().to_string());
    let user = match &broker.user {
        Some((user, file)) => Some((user.clone(), text(file)?.trim_end().to_owned())),
        None => None,
    };
    let own = match &broker.certificate {
        Some(files) => Some((text(&files.certificate)?, text(&files.private_key)?)),
        None => None,
    };
    let own = own
        .as_ref()
        .map(|(certificate, key)| (certificate.as_str(), key.as_str()));
    let tls = match broker.plain {
        true => None,
        false => {
            let config = client_config(&authority_of(broker, tls)?, own);
            Some(Arc::new(config.context("sites.broker")?))
        }
    };
    Ok(Front::Remote(Remote::new(
        &config.process,
        Address {
            nodes: broker.addresses.clone(),
            user,
            tls,
        },
    )))
}

/// The authority of a broker's certificate, PEM.
fn authority_of(broker: &BrokerConfig, tls: &Tls) -> anyhow::Result<String> {
    match &broker.authority {
        Some(path) => std::fs::read_to_string(path).with_context(|| path.display().to_string()),
        None => Ok(own_authority(tls)),
    }
}

/// The authority of head office's own certificate, PEM; what its operator's certificate comes from is known to the operator.
fn own_authority(tls: &Tls) -> String {
    tls.authority_pem().map(str::to_owned).unwrap_or_default()
}

fn told(config: &Config, listening: &Listening, tls: &Tls) -> anyhow::Result<Told> {
    let names = &config.tls.names;
    let port = |address: Option<SocketAddr>| address.map_or(0, |address| address.port());
    let broker = config.sites.broker.as_ref();
    Ok(Told {
        https: config.http.told(names, port(listening.https)),
        brokers: config.sites.told(names, port(listening.sites)),
        plain: broker.is_some_and(|broker| broker.plain),
        broker_authority: match broker {
            Some(broker) if broker.plain => String::new(),
            Some(broker) => authority_of(broker, tls)?,
            None => own_authority(tls),
        },
        https_authority: own_authority(tls),
    })
}

/// What serves sites and the API.
struct Servers {
    _of_sites: ServingThread,
    of_api: JoinSet<anyhow::Result<()>>,
    stop_api: watch::Sender<bool>,
}

impl Servers {
    fn start(doors: Doors, config: &Config, front: &Front, tls: &Tls, api: Api) -> anyhow::Result<Self> {
        let of_sites = ServingThread::start()?;
        match front {
            Front::Own(_, broker) => Self::serve_sites(&of_sites, doors.sites, broker, tls),
            Front::Remote(remote) => of_sites.serve(remote.clone().run()),
        }
        let (stop_api, stopping) = watch::channel(false);
        let per_address_max = config.http.connections_per_address_max;
        let mut of_api = JoinSet::new();
        of_api.spawn(serve_unix(doors.socket, api.clone(), stopping.clone()));
        if let Some(listener) = doors.http {
            of_api.spawn(serve(listener, None, per_address_max, api.clone(), stopping.clone()));
        }
        if let Some(listener) = doors.https {
            let configs = Some(tls.https_configs());
            of_api.spawn(serve(listener, configs, per_address_max, api, stopping));
        }
        Ok(Self {
            _of_sites: of_sites,
            of_api,
            stop_api,
        })
    }

    fn serve_sites(thread: &ServingThread, listener: Option<TcpListener>, broker: &Broker, tls: &Tls) {
        if let Some(listener) = listener {
            thread.serve(broker.serve_tls(listener, tls.configs()));
        }
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

/// Does what rules say at certain times: asks back what members keep at sites where they do not charge any more; ends orders whose
/// money did not come in time. What one process has done another does not do again.
async fn keep_rules(
    (db, clock, bell): (Db, MachineClock, Bell),
    every: Duration,
    rule: fn(&mut Money<'_>) -> Result<(), StoreError>,
    failed: &'static str,
) {
    loop {
        tokio::time::sleep(every).await;
        let now = Clock::wall(&clock);
        let kept = db.write(move |tx| {
            let mut money = Money::new(tx, now, RULE);
            rule(&mut money)?;
            Ok(money.into_rung())
        });
        match kept.await {
            Ok(sites) => sites.iter().for_each(|site| bell.issued(site)),
            Err(error) => tracing::warn!("{failed}: {error}"),
        }
    }
}

/// Days are reconciled as they come due.
async fn reconcile_by_itself(nightly: Nightly) {
    loop {
        if let Err(error) = nightly.look().await {
            tracing::warn!("which days are to be reconciled cannot be looked up: {error}");
        }
        tokio::time::sleep(RECONCILE_EVERY).await;
    }
}

/// Has wallets pay what their members owe, where something stood in the way before.
async fn pay_again(db: Db, clock: MachineClock, bell: Bell) {
    loop {
        tokio::time::sleep(RECALL_EVERY).await;
        let rung = money::pay_again(&db, || Clock::wall(&clock)).await;
        rung.iter().for_each(|site| bell.issued(site));
    }
}

/// Forgets what is over.
async fn prune(api: ApiState) {
    loop {
        if let Err(error) = api.prune().await {
            tracing::warn!("sessions and answers that are over could not be forgotten: {error}");
        }
        tokio::time::sleep(PRUNE_EVERY).await;
    }
}

async fn watch_certificates(tls: Arc<Tls>, mut asked: tokio::signal::unix::Signal) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_AT_FILES) => {}
            _ = asked.recv() => {}
        }
        let tls = Arc::clone(&tls);
        let _panicked = tokio::task::spawn_blocking(move || tls.look()).await;
    }
}
