//! A real `holdfast-edge` process in a folder of its own, as a person would run it: started, asked, killed, started again.
//! Its API is asked over the Unix socket, its live views over TCP.

mod api;
mod programs;
mod setup;

pub use api::{Answer, Api};
pub use programs::{Folder, example, program, repository};
pub use setup::{SITE, Setup};

use crate::head_office::reserve_port;
use anyhow::{Context, bail, ensure};
use domain::time::Wall;
use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tokio::net::TcpSocket;

/// How often the kernel's list of a daemon's threads is read before one is not there.
const LISTED_TIMES: usize = 50;
/// How long a daemon may take to come up, and to go down.
const PATIENCE: Duration = Duration::from_secs(30);

/// A daemon, running or not.
#[derive(Debug)]
pub struct StationProcess {
    child: Option<Child>,
    /// How the daemon ended that did not come up.
    ended: Option<ExitStatus>,
    folder: Folder,
    setup: Setup,
    /// The ports, as long as this lives: the daemon listens on them, now and then.
    _reserved: [TcpSocket; 4],
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
    /// Where it listens with TLS, if the environment says so.
    pub https: SocketAddr,
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
        let reserved = [reserve_port()?, reserve_port()?, reserve_port()?, reserve_port()?];
        let [mqtt, mqtt_tls, http, https] = reserved.each_ref().map(TcpSocket::local_addr);
        let (mqtt, mqtt_tls, http, https) = (mqtt?, mqtt_tls?, http?, https?);
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
            https,
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

    /// The number of the daemon's thread of this name. The kernel's list may leave one out while others of the process end, so it is
    /// read several times before there is none.
    ///
    /// # Errors
    /// If there is none.
    pub fn thread(&self, name: &str) -> anyhow::Result<u32> {
        for _ in 0..LISTED_TIMES {
            for task in std::fs::read_dir(format!("/proc/{}/task", self.pid()?))? {
                let task = task?;
                if std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name) {
                    return Ok(task.file_name().to_string_lossy().parse()?);
                }
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

    /// The Unix socket of the line to head office.
    pub fn sync_socket(&self) -> PathBuf {
        self.folder.path().join("sync/edge.sock")
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
}

impl Drop for StationProcess {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _gone = child.kill();
            let _reaped = child.wait();
        }
    }
}

fn world_wall() -> Wall {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    Wall(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
