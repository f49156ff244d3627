//! What the station is measured against: Debian's mosquitto, PostgreSQL with pgbench, and the bare disk.
//! Each lives in a folder of its own and is ended by its own process id.

use anyhow::{Context, bail, ensure};
use std::{
    fs::{self, File},
    io::{Seek, SeekFrom, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use world::station::Folder;

use crate::spread::Spread;

/// How long a yardstick may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A mosquitto that keeps nothing on disk.
#[derive(Debug)]
pub(crate) struct Mosquitto {
    child: Child,
    pub(crate) address: SocketAddr,
    _folder: Folder,
}

impl Mosquitto {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let folder = Folder::new("mosquitto")?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = folder.path().join("mosquitto.conf");
        let text = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type error\nuser root\nset_tcp_nodelay true\n",
            address.port()
        );
        fs::write(&config, text)?;
        let log = File::create(folder.path().join("log"))?;
        let child = Command::new(program("mosquitto")?)
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mosquitto = Self {
            child,
            address,
            _folder: folder,
        };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            ensure!(begun.elapsed() < PATIENCE, "mosquitto does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(mosquitto)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A PostgreSQL cluster with its defaults: what it commits is on disk. It refuses root, so root runs it as `postgres`.
#[derive(Debug)]
pub(crate) struct Postgres {
    child: Child,
    folder: Folder,
    programs: PathBuf,
}

impl Postgres {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let programs = postgres_programs()?;
        let folder = Folder::new("postgres")?;
        if is_root()? {
            run(Command::new("chown").arg("postgres").arg(folder.path()))?;
        }
        let data = folder.path().join("data");
        run(as_postgres(&programs.join("initdb"))?.arg("--pgdata").arg(&data).args([
            "--username=bench",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]))?;
        let log = File::create(folder.path().join("log"))?;
        let child = as_postgres(&programs.join("postgres"))?
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            .args(["-c", "listen_addresses="])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let postgres = Self {
            child,
            folder,
            programs,
        };
        let begun = Instant::now();
        while !postgres.command("pg_isready").args(["-q"]).status()?.success() {
            ensure!(begun.elapsed() < PATIENCE, "PostgreSQL does not come up");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(postgres)
    }

    /// The address of its one database.
    pub(crate) fn address(&self) -> String {
        format!("host={} user=bench dbname=postgres", self.folder.path().display())
    }

    /// The address of another one, which is made.
    pub(crate) fn new_database(&self, name: &str) -> anyhow::Result<String> {
        run(self.command("createdb").arg(name))?;
        Ok(format!(
            "host={} user=bench dbname={name}",
            self.folder.path().display()
        ))
    }

    /// A client program with its connection.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.arg("-h").arg(self.folder.path()).args(["-U", "bench"]);
        command
    }

    /// Transactions per second of `pgbench -N` with 16 clients.
    pub(crate) fn pgbench(&self, seconds: u64) -> anyhow::Result<f64> {
        run(self.command("pgbench").args(["-i", "-q", "-s", "10", "postgres"]))?;
        let output = self
            .command("pgbench")
            .args(["-N", "-c", "16", "-j", "2", "-T", &seconds.to_string(), "postgres"])
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let tps = text.lines().find_map(|line| line.strip_prefix("tps = "));
        let tps = tps.and_then(|rest| rest.split_whitespace().next());
        tps.with_context(|| format!("pgbench said: {text}"))?
            .parse()
            .context("pgbench's tps")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // `child` may be the program that changed the user; the cluster's own file names the server.
        let pid = fs::read_to_string(self.folder.path().join("data/postmaster.pid")).unwrap_or_default();
        if let Some(pid) = pid.lines().next() {
            let _gone = Command::new("kill").args(["-INT", pid]).status();
        }
        let _reaped = self.child.wait();
    }
}

fn as_postgres(program: &Path) -> anyhow::Result<Command> {
    if !is_root()? {
        return Ok(Command::new(program));
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--init-groups"])
        .arg(program);
    command.current_dir("/");
    Ok(command)
}

fn is_root() -> anyhow::Result<bool> {
    Ok(Command::new("id").arg("-u").output()?.stdout == b"0\n")
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Debian keeps the server's programs out of the path, by version.
fn postgres_programs() -> anyhow::Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").context("PostgreSQL is not installed")?;
    let mut folders: Vec<PathBuf> = versions.flatten().map(|version| version.path().join("bin")).collect();
    folders.retain(|folder| folder.join("initdb").is_file() && folder.join("pgbench").is_file());
    folders.sort();
    folders
        .pop()
        .context("PostgreSQL's initdb and pgbench are not installed")
}

fn program(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("{name} is not installed"))
}

/// Writes of 8 KiB over the same place, each with its fdatasync.
#[derive(Debug)]
pub(crate) struct Fdatasync {
    file: File,
    block: Vec<u8>,
    pub(crate) times: Spread,
}

impl Fdatasync {
    const BYTES: usize = 8 * 1024;

    pub(crate) fn new(folder: &Path) -> anyhow::Result<Self> {
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .open(folder.join("fdatasync"))?;
        let block = vec![0xA5; Self::BYTES];
        file.write_all(&block)?;
        file.sync_all()?;
        Ok(Self {
            file,
            block,
            times: Spread::default(),
        })
    }

    /// One write, timed.
    pub(crate) fn once(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&self.block)?;
        self.file.sync_data()?;
        self.times.add(begun.elapsed());
        Ok(())
    }
}
