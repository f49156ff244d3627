//! Head office as a process, and the program on a station's box: started, cut off, killed, started again, as people would.

use crate::station::{Folder, StationProcess, program};
use anyhow::{Context, bail, ensure};
use domain::time::Wall;
use service::client::{Answer, Call, Client};
use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio::net::{TcpSocket, UnixStream};

/// How long a daemon may take to come up, and to go down.
const PATIENCE: Duration = Duration::from_secs(120);

/// A daemon that runs or not, with its log.
#[derive(Debug)]
struct Daemon {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
}

impl Daemon {
    fn start(&mut self) -> anyhow::Result<()> {
        ensure!(self.child.is_none(), "{} runs already", self.name);
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null());
        self.child = Some(command.stderr(log).spawn()?);
        Ok(())
    }

    /// Waits until something answers on its socket.
    async fn is_up(&mut self, socket: &Path) -> anyhow::Result<()> {
        let begun = Instant::now();
        while UnixStream::connect(socket).await.is_err() {
            let ended = self.child.as_mut().map(Child::try_wait).transpose()?.flatten();
            if let Some(status) = ended {
                self.child = None;
                bail!("{} ended with {status}:\n{}", self.name, self.log());
            }
            ensure!(begun.elapsed() < PATIENCE, "{} is not up:\n{}", self.name, self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self
            .child
            .take()
            .with_context(|| format!("{} does not run", self.name))?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    async fn terminate(&mut self) -> anyhow::Result<()> {
        let child = self
            .child
            .as_mut()
            .with_context(|| format!("{} does not run", self.name))?;
        Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                self.child = None;
                ensure!(status.success(), "{} ended with {status}:\n{}", self.name, self.log());
                return Ok(());
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "{} does not end:\n{}",
                self.name,
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.child.is_some() {
            let _gone = self.kill();
        }
    }
}

/// A port that no other process is given as long as the socket lives. It does not listen, so a daemon can.
pub fn reserve_port() -> anyhow::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    Ok(socket)
}

/// Head office, running or not.
#[derive(Debug)]
pub struct HeadOfficeProcess {
    daemon: Daemon,
    folder: Folder,
    /// What its configuration says but for its clock.
    configuration: String,
    /// Where its clock stood, and when; none: it goes by the machine's.
    clock: Option<(Wall, Instant)>,
    /// The ports, as long as this lives.
    reserved: Vec<TcpSocket>,
    /// Where its HTTP API listens.
    pub http: SocketAddr,
}

impl HeadOfficeProcess {
    /// Starts one with a database of its own, in a file, and its own listener for sites.
    ///
    /// # Errors
    /// If it does not come up; its log is in the message.
    pub async fn start(name: &str) -> anyhow::Result<Self> {
        Self::start_with(name, "").await
    }

    /// Starts one with more lines at the end of its configuration.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start_with(name: &str, more: &str) -> anyhow::Result<Self> {
        let mut head_office = Self::with_sites(name, more)?;
        head_office.start_again().await?;
        Ok(head_office)
    }

    /// One with its own listener for sites that is not started, with more lines at the end of its configuration.
    ///
    /// # Errors
    /// If its configuration cannot be written.
    pub fn with_sites(name: &str, more: &str) -> anyhow::Result<Self> {
        let sites = reserve_port()?;
        let at = sites.local_addr()?;
        let more = format!("[sites]\nlisten = \"{at}\"\naddress = \"{at}\"\n{more}");
        let mut head_office = Self::new(name, &more)?;
        head_office.reserved.push(sites);
        Ok(head_office)
    }

    /// One that is not started, with these lines at the end of its configuration; where sites come in is up to them.
    ///
    /// # Errors
    /// If its configuration cannot be written.
    pub fn new(name: &str, more: &str) -> anyhow::Result<Self> {
        let folder = Folder::new(name)?;
        let reserved = vec![reserve_port()?, reserve_port()?];
        let (http, https) = (reserved[0].local_addr()?, reserved[1].local_addr()?);
        let config = folder.path().join("central.toml");
        let text = format!(
            "process = \"{name}\"\ndata_dir = \"data\"\nsocket = \"central.sock\"\n[http]\nlisten = \"{http}\"\n\
             [http.tls]\nlisten = \"{https}\"\naddress = \"{https}\"\n{more}\n"
        );
        std::fs::write(&config, &text)?;
        Ok(Self {
            daemon: Daemon {
                name: "head office",
                program: program("holdfast-central", "holdfast-central"),
                arguments: vec!["run".to_owned(), "--config".to_owned(), config.display().to_string()],
                log: folder.path().join("log"),
                child: None,
            },
            folder,
            configuration: text,
            clock: None,
            reserved,
            http,
        })
    }

    /// Sets the clock that it will find when it is started next. From there it goes on whether it runs or not.
    pub fn set_clock(&mut self, to: Wall) {
        self.clock = Some((to, Instant::now()));
    }

    /// What its clock shows, give or take what it took to start.
    pub fn wall(&self) -> Wall {
        let (start, since) = match self.clock {
            Some((start, since)) => (start, since.elapsed()),
            None => (Wall(0), std::time::UNIX_EPOCH.elapsed().unwrap_or_default()),
        };
        start.after_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// Gives this one, which was never started, the certificate authority of another: processes that share a database let the
    /// same sites in.
    ///
    /// # Errors
    /// If it cannot be copied.
    pub fn share_authority_of(&self, other: &Self) -> anyhow::Result<()> {
        std::fs::create_dir(self.folder().join("data"))?;
        let (from, to) = (other.tls_folder(), self.tls_folder());
        std::fs::create_dir(&to)?;
        for name in ["ca.key", "ca.crt"] {
            std::fs::copy(from.join(name), to.join(name))?;
        }
        Ok(())
    }

    /// Where its certificate authority lies.
    pub fn tls_folder(&self) -> PathBuf {
        self.folder().join("data/tls")
    }

    /// Starts it on what is in its folder.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        let socket = self.socket();
        if self.clock.is_some() {
            let clock = format!("[clock]\ndemonstration = true\nstart = \"{}\"\n", self.wall());
            let text = format!("{}\n{clock}", self.configuration);
            std::fs::write(self.folder.path().join("central.toml"), text)?;
        }
        self.daemon.start()?;
        self.daemon.is_up(&socket).await
    }

    /// SIGKILL: it gets no chance to write anything.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.daemon.kill()
    }

    /// SIGTERM, and waits for its end, which must be a good one.
    ///
    /// # Errors
    /// If it does not run, or ends badly.
    pub async fn terminate(&mut self) -> anyhow::Result<()> {
        self.daemon.terminate().await
    }

    /// Its process.
    ///
    /// # Errors
    /// If it does not run.
    pub fn pid(&self) -> anyhow::Result<u32> {
        let child = self.daemon.child.as_ref();
        Ok(child.context("head office does not run")?.id())
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("central.sock")
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its database, where that is a file.
    pub fn database(&self) -> PathBuf {
        self.folder.path().join("data/central.sqlite")
    }

    /// Asks its API over the Unix socket.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        Ok(Client::at_socket(self.socket()).ask(Call::get(path)).await?)
    }

    /// Runs a command of `holdfast-central` against it, as a person would; returns what it printed.
    ///
    /// # Errors
    /// If it fails: with what it said.
    pub fn cli(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(&self.daemon.program);
        command
            .arg("--socket")
            .arg(self.socket())
            .args(arguments)
            .current_dir(self.folder());
        said(command, arguments)
    }

    /// Adds the station's site, and has its box come in with the invitation. The station learns at its next start what head
    /// office signs with; it is started again with that, and then the program on its box.
    ///
    /// # Errors
    /// If any of it fails.
    pub async fn join(&self, station: &mut StationProcess, site: &str) -> anyhow::Result<AgentProcess> {
        self.cli(&["site", "add", site, "--name", site])?;
        let mut agent = AgentProcess::beside(station)?;
        agent.enrol(&self.folder().join(format!("{site}.invitation")))?;
        station.setup_mut().head_office = agent.head_office_of_station()?;
        station.terminate().await?;
        station.start_again().await?;
        agent.start().await?;
        Ok(agent)
    }
}

/// The program on a station's box that speaks with head office, running or not.
#[derive(Debug)]
pub struct AgentProcess {
    daemon: Daemon,
    config: PathBuf,
    folder: PathBuf,
}

impl AgentProcess {
    /// One on the box of this station, which has not enrolled.
    ///
    /// # Errors
    /// If its configuration cannot be written.
    pub fn beside(station: &StationProcess) -> anyhow::Result<Self> {
        let folder = station.folder().join("agent");
        std::fs::create_dir_all(&folder)?;
        let config = folder.join("sync.toml");
        let socket = station.sync_socket();
        let text = format!(
            "station_socket = \"{}\"\ndata_dir = \"data\"\nsocket = \"status.sock\"\nlog = \"info\"\n",
            socket.display()
        );
        std::fs::write(&config, text)?;
        Ok(Self {
            daemon: Daemon {
                name: "the program on the box",
                program: program("holdfast-sync", "holdfast-sync"),
                arguments: vec!["run".to_owned(), "--config".to_owned(), config.display().to_string()],
                log: folder.join("log"),
                child: None,
            },
            config,
            folder,
        })
    }

    /// Shows an invitation to head office; returns what it printed.
    ///
    /// # Errors
    /// If head office does not let it in: with what it said.
    pub fn enrol(&self, invitation: &Path) -> anyhow::Result<String> {
        self.cli(&["enrol", &invitation.display().to_string()])
    }

    fn enrolled(&self) -> anyhow::Result<protocol::enrolment::Enrolled> {
        let text = std::fs::read_to_string(self.folder.join("data/enrolment.json"))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Where it was told that head office's broker is.
    ///
    /// # Errors
    /// If it has not enrolled.
    pub fn broker(&self) -> anyhow::Result<SocketAddr> {
        let enrolled = self.enrolled()?;
        let broker = enrolled.brokers.first().context("no broker was named")?;
        Ok(broker.parse()?)
    }

    /// Has it meet head office elsewhere: at a relay to the same.
    ///
    /// # Errors
    /// If it has not enrolled.
    pub fn meet_at(&self, address: SocketAddr) -> anyhow::Result<()> {
        let mut enrolled = self.enrolled()?;
        enrolled.brokers = vec![address.to_string()];
        let text = serde_json::to_string(&enrolled)?;
        Ok(std::fs::write(self.folder.join("data/enrolment.json"), text)?)
    }

    /// The lines for `[head_office]` of the station's configuration.
    ///
    /// # Errors
    /// If it has not enrolled.
    pub fn head_office_of_station(&self) -> anyhow::Result<String> {
        let enrolled = self.enrolled()?;
        let keys: Vec<String> = enrolled.public_keys.iter().map(|key| format!("\"{key}\"")).collect();
        Ok(format!("public_key = [{}]", keys.join(", ")))
    }

    /// The lines with which head office owns what it owns there besides: members, cards, wallets.
    ///
    /// # Errors
    /// If it has not enrolled.
    pub fn head_office_that_owns(&self) -> anyhow::Result<String> {
        let number = self.enrolled()?.number;
        Ok(format!("{}\nsite_number = {number}", self.head_office_of_station()?))
    }

    /// Starts it.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        let socket = self.folder.join("status.sock");
        self.daemon.start()?;
        self.daemon.is_up(&socket).await
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.daemon.kill()
    }

    /// SIGTERM, and waits for its end, which must be a good one.
    ///
    /// # Errors
    /// If it does not run, or ends badly.
    pub async fn terminate(&mut self) -> anyhow::Result<()> {
        self.daemon.terminate().await
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// Its own key and what it got when it enrolled.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Runs a command of `holdfast-sync`, as a person would; returns what it printed.
    ///
    /// # Errors
    /// If it fails: with what it said.
    pub fn cli(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(&self.daemon.program);
        command.args(arguments).arg("--config").arg(&self.config);
        said(command, arguments)
    }
}

fn said(mut command: Command, arguments: &[&str]) -> anyhow::Result<String> {
    let output = command.output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    Ok(text(&output.stdout))
}
