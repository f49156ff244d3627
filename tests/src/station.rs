//! A real `holdfast-edge` process in a folder of its own, as a person would run it: started, asked, killed, started again.
//! Its API is asked over the Unix socket, its live views over TCP.

use anyhow::{Context, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use domain::{journal::Entry, order::State, time::Wall, units::Fen};
use hyper::Method;
use serde_json::{Value, json};
use service::{
    client::{Call, Client},
    http::idempotency::IDEMPOTENCY_KEY,
};
use std::{
    collections::BTreeSet,
    fs::File,
    io::ErrorKind,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::net::TcpSocket;

/// The site that stations under test are.
pub const SITE: &str = "test-site";
/// How long a daemon may take to come up, and to go down.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a station under test is like.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Which site it is.
    pub site: String,
    /// The station's time zone.
    pub time_zone: String,
    /// Both clocks run this many times as fast as the world's.
    pub rate: u32,
    /// Where the wall clock stands at the first start; `None` is the world's time. From there it goes on at `rate`
    /// whether the daemon runs or not, as a clock with a battery does.
    pub clock_start: Option<Wall>,
    /// The tariff file.
    pub tariff: PathBuf,
    /// More lines for the configuration file's `[policy]`.
    pub policy: String,
    /// Whether piles can come over TLS, and more lines for the configuration file's `[mqtt.tls]`.
    pub tls: Option<String>,
    /// Whether the station trusts its clock.
    pub clock_trusted: bool,
    /// More lines for the configuration file's `[mqtt]`.
    pub mqtt: String,
}

impl Setup {
    /// The example tariff, at the world's pace.
    pub fn new() -> Self {
        Self {
            site: SITE.to_owned(),
            time_zone: "Asia/Shanghai".to_owned(),
            rate: 1,
            clock_start: None,
            tariff: repository().join("config/tariffs/example.toml"),
            policy: String::new(),
            tls: None,
            clock_trusted: true,
            mqtt: String::new(),
        }
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

/// The top of the source tree.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this package lies in the repository")
}

/// Builds a program of the workspace if it is not up to date, and says where it is.
///
/// # Panics
/// If it cannot be built: then there is nothing to test.
pub fn program(package: &str, name: &str) -> PathBuf {
    static BUILT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let target = std::env::current_exe().ok().and_then(|exe| {
        // target/debug/deps/test-1234 or target/debug/program
        let folder = exe.parent()?;
        Some(if folder.ends_with("deps") {
            folder.parent()?.to_owned()
        } else {
            folder.to_owned()
        })
    });
    let target = target.expect("a program lies in the target folder");
    let mut built = BUILT.lock().expect("nobody panics while building");
    // The variable is for whoever has just built everything and runs one test program after another.
    if std::env::var_os("HOLDFAST_TEST_PROGRAMS_ARE_BUILT").is_none() && built.insert(package.to_owned()) {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let profile = if target.ends_with("release") { "release" } else { "dev" };
        let status = Command::new(cargo)
            .args([
                "build",
                "--quiet",
                "--profile",
                profile,
                "--package",
                package,
                "--bin",
                name,
            ])
            .current_dir(repository())
            .env("CARGO_TARGET_DIR", target.parent().expect("target/debug has a parent"))
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "{package} must build before it can be tested"
        );
    }
    target.join(name)
}

/// A folder that goes away with the value, unless the test panics: then what happened can be looked at.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new, empty folder.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        loop {
            let n = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("holdfast-{name}-{}-{n}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                // An earlier process of this number was killed and left it, or another one sees the same folder.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept for a look: {}", self.0.display());
        } else {
            let _gone = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// A daemon, running or not.
#[derive(Debug)]
pub struct StationProcess {
    child: Option<Child>,
    /// How the daemon ended that did not come up.
    ended: Option<ExitStatus>,
    folder: Folder,
    setup: Setup,
    /// The ports, as long as this lives: the daemon listens on them, now and then.
    _reserved: [TcpSocket; 3],
    /// Where the clock stood, and when.
    clock: Option<(Wall, Instant)>,
    /// Environment variables that the daemon is started with, such as `HOLDFAST_EDGE__…`.
    pub environment: Vec<(String, String)>,
    /// Where piles connect.
    pub mqtt: SocketAddr,
    /// Where they connect over TLS, if the setup has it.
    pub mqtt_tls: SocketAddr,
    /// Where the HTTP API listens.
    pub http: SocketAddr,
}

/// An answer of the API.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The JSON body, or a text where it is something else.
    pub body: Value,
}

impl StationProcess {
    /// Writes a configuration and starts a daemon with it.
    ///
    /// # Errors
    /// If it does not come up; its log is in the message.
    pub async fn start(name: &str, setup: &Setup) -> anyhow::Result<Self> {
        let mut station = Self::new(name, setup)?;
        station.start_again().await?;
        Ok(station)
    }

    /// A daemon that is not started yet.
    ///
    /// # Errors
    /// If its folder cannot be made.
    pub fn new(name: &str, setup: &Setup) -> anyhow::Result<Self> {
        let folder = Folder::new(name)?;
        let reserved = [reserve_port()?, reserve_port()?, reserve_port()?];
        let [mqtt, mqtt_tls, http] = reserved.each_ref().map(TcpSocket::local_addr);
        let (mqtt, mqtt_tls, http) = (mqtt?, mqtt_tls?, http?);
        // Built before the clock begins to run: that may take minutes.
        program("holdfast-edge", "holdfast-edge");
        let clock = match setup.clock_start {
            Some(start) => Some((start, Instant::now())),
            None if setup.rate > 1 => Some((world_wall(), Instant::now())),
            None => None,
        };
        let setup = setup.clone();
        Ok(Self {
            child: None,
            ended: None,
            folder,
            setup,
            _reserved: reserved,
            clock,
            environment: Vec::new(),
            mqtt,
            mqtt_tls,
            http,
        })
    }

    /// Sets the wall clock that the daemon will find when it is started next.
    pub fn set_clock(&mut self, to: Wall) {
        self.clock = Some((to, Instant::now()));
    }

    /// Sets which site the daemon is told to be when it is started next.
    pub fn set_site(&mut self, site: &str) {
        site.clone_into(&mut self.setup.site);
    }

    /// What the wall clock shows, give or take what the daemon took to start.
    pub fn wall(&self) -> Wall {
        match self.clock {
            Some((start, since)) => {
                let ms = since.elapsed().as_millis().saturating_mul(u128::from(self.setup.rate));
                start.after_ms(i64::try_from(ms).unwrap_or(i64::MAX))
            }
            None => world_wall(),
        }
    }

    fn write_config(&self) -> anyhow::Result<()> {
        let Setup {
            site,
            time_zone,
            rate,
            tariff,
            policy,
            tls,
            clock_trusted,
            mqtt: mqtt_lines,
            ..
        } = &self.setup;
        let tls = match tls {
            Some(more) => format!("listen = \"{}\"\n{more}", self.mqtt_tls),
            None => "listen = \"\"".to_owned(),
        };
        let (mqtt, http, tariff) = (self.mqtt, self.http, tariff.display());
        let clock = match self.clock {
            Some(_) => format!("demonstration = true\nrate = {rate}\nstart = \"{}\"\n", self.wall()),
            None => String::new(),
        };
        let text = format!(
            "site = \"{site}\"\ntime_zone = \"{time_zone}\"\ndata_dir = \"data\"\nsocket = \"edge.sock\"\n\
             first_tariff = \"{tariff}\"\n\n[mqtt]\nlisten = [\"{mqtt}\"]\n{mqtt_lines}\n\n[mqtt.tls]\n{tls}\n\n[http]\nlisten = \"{http}\"\n\n\
             [disk]\nreserve = \"1MiB\"\n\n[clock]\ntrusted = {clock_trusted}\n{clock}\n[policy]\n{policy}\n",
        );
        Ok(std::fs::write(self.config_path(), text)?)
    }

    /// Starts the daemon on what is in its folder.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        ensure!(self.child.is_none(), "the daemon runs already");
        self.child = Some(self.spawn()?);
        let begun = Instant::now();
        loop {
            if let Ok(answer) = self.get("/readyz").await
                && answer.status == 200
            {
                return Ok(());
            }
            let ended = self.child.as_mut().map(Child::try_wait).transpose()?.flatten();
            if let Some(status) = ended {
                self.child = None;
                self.ended = Some(status);
                bail!("the daemon ended with {status}:\n{}", self.log());
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "the daemon is not ready after {PATIENCE:?}:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts the daemon on what is in its folder, which it must refuse; returns what it said since.
    ///
    /// # Errors
    /// If it starts, or ends with success or by a panic.
    pub async fn refuses_to_start(&mut self) -> anyhow::Result<String> {
        let before = self.log().len();
        let started = self.start_again().await;
        let said = self.log().split_off(before);
        ensure!(started.is_err(), "the daemon runs, and should not:\n{said}");
        ensure!(self.child.is_none(), "the daemon neither runs nor ends:\n{said}");
        let status = self.ended.context("the daemon has ended")?;
        ensure!(status.code() == Some(1), "the daemon ended with {status}:\n{said}");
        ensure!(!said.contains("panicked"), "{said}");
        Ok(said)
    }

    /// Starts the daemon on what is in its folder and kills it after so long, wherever it is by then.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_and_kill(&self, after: Duration) -> anyhow::Result<()> {
        ensure!(self.child.is_none(), "the daemon runs already");
        let mut child = self.spawn()?;
        std::thread::sleep(after);
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        let program = program("holdfast-edge", "holdfast-edge");
        self.write_config()?;
        let log = File::options().create(true).append(true).open(self.log_path())?;
        Ok(Command::new(program)
            .args(["run", "--config"])
            .arg(self.config_path())
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?)
    }

    /// SIGKILL: it gets no chance to write anything.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("the daemon does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// The process, while it runs.
    ///
    /// # Errors
    /// If it does not run.
    pub fn pid(&self) -> anyhow::Result<u32> {
        Ok(self.child.as_ref().context("the daemon does not run")?.id())
    }

    /// The number of the daemon's thread of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn thread(&self, name: &str) -> anyhow::Result<u32> {
        for task in std::fs::read_dir(format!("/proc/{}/task", self.pid()?))? {
            let task = task?;
            if std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name) {
                return Ok(task.file_name().to_string_lossy().parse()?);
            }
        }
        bail!("the daemon has no thread {name}")
    }

    /// The memory that the daemon holds (its resident set), in bytes.
    ///
    /// # Errors
    /// If it does not run.
    pub fn memory(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line
            .and_then(|line| line.trim().strip_suffix(" kB"))
            .context("no VmRSS")?;
        Ok(kib.parse::<u64>()? * 1024)
    }

    /// One of the daemon's metrics, by its name and label as they stand in `/metrics`; zero if it is not there.
    ///
    /// # Errors
    /// If the daemon does not answer.
    pub async fn metric(&self, name: &str) -> anyhow::Result<u64> {
        let metrics = self.get("/metrics").await?.success()?;
        let lines = metrics.as_str().context("metrics are a text")?.lines();
        let value = lines
            .filter_map(|line| line.rsplit_once(' '))
            .find(|(key, _)| *key == name);
        Ok(value.map_or(Ok(0), |(_, value)| value.parse())?)
    }

    /// Waits until the daemon ends by itself.
    ///
    /// # Errors
    /// If it does not run, or goes on.
    pub async fn wait_for_end(&mut self) -> anyhow::Result<std::process::ExitStatus> {
        let begun = Instant::now();
        loop {
            let child = self.child.as_mut().context("the daemon does not run")?;
            if let Some(status) = child.try_wait()? {
                self.child = None;
                return Ok(status);
            }
            ensure!(begun.elapsed() < PATIENCE, "the daemon goes on:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// SIGTERM, and waits for its end. Returns whether it ended with success.
    ///
    /// # Errors
    /// If it does not run, or does not end.
    pub async fn terminate(&mut self) -> anyhow::Result<bool> {
        let mut child = self.child.take().context("the daemon does not run")?;
        Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status.success());
            }
            if begun.elapsed() > PATIENCE {
                child.kill()?;
                bail!("the daemon did not end after SIGTERM:\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Its folder: configuration, socket, log, and `data` with the database.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.folder.path().join("edge.toml")
    }

    /// The Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("edge.sock")
    }

    /// Sends the daemon a signal by its name, such as `HUP`.
    ///
    /// # Errors
    /// If it does not run.
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        let child = self.child.as_ref().context("the daemon does not run")?;
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &child.id().to_string()])
            .status()?;
        ensure!(sent.success(), "kill -{name} failed");
        Ok(())
    }

    /// What the next start is set up with.
    pub fn setup_mut(&mut self) -> &mut Setup {
        &mut self.setup
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.folder.path().join("data/holdfast.redb")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What the daemon has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Runs a command of `holdfast-edge` against this daemon, as a person would; returns what it printed.
    ///
    /// # Errors
    /// If it fails: with what it said.
    pub fn cli(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(program("holdfast-edge", "holdfast-edge"))
            .arg("--socket")
            .arg(self.socket())
            .args(arguments)
            .output()?;
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        ensure!(output.status.success(), "{arguments:?}: {err}");
        Ok(out.into_owned())
    }

    /// Runs a command of `holdfast-edge` that asks no daemon; returns what it printed.
    ///
    /// # Errors
    /// If it fails: with what it said.
    pub fn offline(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(program("holdfast-edge", "holdfast-edge"))
            .args(arguments)
            .output()?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        ensure!(
            matches!(output.status.code(), Some(0..=2)),
            "{arguments:?} ended with {}",
            output.status
        );
        ensure!(output.status.success(), "{arguments:?}: {}", said(&output.stderr));
        Ok(said(&output.stdout))
    }

    /// Writes the configuration that the daemon is started with.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn configure(&self) -> anyhow::Result<()> {
        self.write_config()
    }

    /// Lets a pile in and returns its secret.
    ///
    /// # Errors
    /// If the station refuses.
    pub async fn add_pile(&self, id: &str) -> anyhow::Result<String> {
        let answer = self.post("/v1/piles", &json!({ "id": id })).await?.expect(201)?;
        Ok(answer["secret"].as_str().context("no secret in the answer")?.to_owned())
    }

    /// Registers a member and takes money in for them.
    ///
    /// # Errors
    /// If the station refuses.
    pub async fn add_member(&self, id: &str, money: &str) -> anyhow::Result<()> {
        self.ask(
            Method::PUT,
            &format!("/v1/members/{id}"),
            Some(&json!({ "name": id })),
            None,
        )
        .await?
        .success()?;
        if money != "0.00" {
            let body = json!({ "amount": money, "receipt": format!("first-{id}") });
            self.post(&format!("/v1/members/{id}/topups"), &body).await?.success()?;
        }
        Ok(())
    }

    /// Places an order on connector 1 of a pile and returns its number.
    ///
    /// # Errors
    /// If the station refuses.
    pub async fn place(&self, member: &str, pile: &str, prepay: &str) -> anyhow::Result<String> {
        let body = json!({ "member": member, "pile": pile, "connector": 1, "prepay": prepay });
        let answer = self.post("/v1/orders", &body).await?.expect(201)?;
        Ok(answer["id"]
            .as_str()
            .context("no order number in the answer")?
            .to_owned())
    }

    /// Waits until an order is in `state`, and returns it.
    ///
    /// # Errors
    /// If it is not within `patience`.
    pub async fn wait_for_order(&self, id: &str, state: State, patience: Duration) -> anyhow::Result<Value> {
        let begun = Instant::now();
        loop {
            let order = self.get(&format!("/v1/orders/{id}")).await?.success()?;
            if order["state"] == state.word() {
                return Ok(order);
            }
            ensure!(
                begun.elapsed() < patience,
                "order {id} is not {state}: {order}\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The balance sheet's total, which must be zero.
    ///
    /// # Errors
    /// If there is none.
    pub async fn books_total(&self) -> anyhow::Result<Fen> {
        let sheet = self.get("/v1/balance-sheet").await?.success()?;
        Ok(sheet["total"].as_str().context("no total")?.parse()?)
    }

    /// The journal's first thousand entries.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn journal(&self) -> anyhow::Result<Vec<Entry>> {
        let page = self.get("/v1/journal?limit=1000").await?.success()?;
        let entries = page["entries"].as_array().context("no entries")?.iter();
        let read = entries.map(|entry| {
            let bytes = STANDARD.decode(entry["bytes"].as_str().context("no bytes")?)?;
            Ok(Entry::from_bytes(&bytes)?)
        });
        read.collect()
    }

    /// GET.
    ///
    /// # Errors
    /// If the daemon does not answer.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.ask(Method::GET, path, None, None).await
    }

    /// POST with a fresh `Idempotency-Key`.
    ///
    /// # Errors
    /// If the daemon does not answer.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let key = format!("test-{}-{n}", std::process::id());
        self.ask(Method::POST, path, Some(body), Some(&key)).await
    }

    /// Any request.
    ///
    /// # Errors
    /// If the daemon does not answer.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> anyhow::Result<Answer> {
        self.api().ask(method, path, body, key).await
    }

    /// Every item of a list, page by page.
    ///
    /// # Errors
    /// If the daemon does not answer, or says no.
    pub async fn all(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let sign = if path.contains('?') { '&' } else { '?' };
            let page = self.get(&format!("{path}{sign}limit=200{cursor}")).await?.success()?;
            items.extend(page["items"].as_array().context("no items")?.iter().cloned());
            match page["next"].as_str() {
                None => return Ok(items),
                Some(next) => cursor = format!("&cursor={next}"),
            }
        }
    }

    /// The daemon's API, for whoever asks beside this.
    pub fn api(&self) -> Api {
        Api(self.socket())
    }
}

/// A daemon's API on its Unix socket, whether or not the daemon runs.
#[derive(Debug, Clone)]
pub struct Api(PathBuf);

impl Api {
    /// Any request.
    ///
    /// # Errors
    /// If the daemon does not answer.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> anyhow::Result<Answer> {
        let mut call = Call::new(method, path);
        if let Some(key) = key {
            call = call.header(IDEMPOTENCY_KEY, key);
        }
        if let Some(body) = body {
            call = call.json(body)?;
        }
        // Each test has a patience of its own.
        let client = Client::at_socket(&self.0).within(Duration::from_secs(600));
        let answer = client.ask(call).await?;
        let (status, bytes) = (answer.status, answer.body);
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            let text = || String::from_utf8_lossy(&bytes).into_owned();
            serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::String(text()))
        };
        Ok(Answer { status, body })
    }
}

impl Drop for StationProcess {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _gone = child.kill();
            let _reaped = child.wait();
        }
    }
}

impl Answer {
    /// The body, if the status is this one.
    ///
    /// # Errors
    /// With the body, if it is another.
    pub fn expect(self, status: u16) -> anyhow::Result<Value> {
        ensure!(
            self.status == status,
            "answered {} and not {status}: {}",
            self.status,
            self.body
        );
        Ok(self.body)
    }

    /// The body, if the status says success.
    ///
    /// # Errors
    /// With the body, if not.
    pub fn success(self) -> anyhow::Result<Value> {
        ensure!(
            (200..300).contains(&self.status),
            "answered {}: {}",
            self.status,
            self.body
        );
        Ok(self.body)
    }
}

fn world_wall() -> Wall {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    Wall(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A port that no other process is given as long as the socket lives. It does not listen, so the daemon can: both say that
/// they share the address, as every listener of Rust's does.
fn reserve_port() -> anyhow::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    Ok(socket)
}
