//! A PostgreSQL of the tests' own: Debian's programs in a temporary folder, reached by a socket in it, as a user of its own. It
//! can be stopped, killed and started again, and leaves nothing behind. Tests of other packages include this file too: a package
//! of its own would be of no use to anybody but tests.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// When a server that neither answers nor ends is given up: a fault of the machine, not of what is tested.
const PATIENCE: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(20);
/// Whom Debian made for the server.
const USER: &str = "postgres";

/// Tells folders of one process apart.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A folder that goes when it is dropped. Not below a folder of root's: the server is another user.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = Path::new("/var/tmp").join(format!("holdfast-{name}-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

/// A server with its databases. fsync is on: what it commits is on disk.
pub(crate) struct Cluster {
    programs: PathBuf,
    folder: Folder,
    server: Mutex<Option<Child>>,
    databases: AtomicU32,
    setting: Mutex<Option<&'static str>>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let cluster = Self {
            programs: programs(),
            folder: Folder::new("postgres"),
            server: Mutex::new(None),
            databases: AtomicU32::new(0),
            setting: Mutex::new(None),
        };
        give(cluster.folder.path(), USER);
        let mut initdb = cluster.as_postgres("initdb");
        initdb.arg("--pgdata").arg(cluster.data());
        run(initdb.args([
            "--username=holdfast",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]));
        cluster.start_again();
        cluster
    }

    /// A server with this setting, by `-c`.
    pub(crate) fn with(setting: &'static str) -> Self {
        let cluster = Self::start();
        cluster.stop();
        *cluster.setting.lock().unwrap_or_else(PoisonError::into_inner) = Some(setting);
        cluster.start_again();
        cluster
    }

    /// Another server that follows this one as a standby.
    pub(crate) fn standby(&self) -> Self {
        let standby = Self {
            programs: programs(),
            folder: Folder::new("standby"),
            server: Mutex::new(None),
            databases: AtomicU32::new(0),
            setting: Mutex::new(None),
        };
        give(standby.folder.path(), USER);
        let mut copy = standby.as_postgres("pg_basebackup");
        copy.arg("-h").arg(self.folder.path()).args(["-U", "holdfast"]);
        run(copy
            .arg("-D")
            .arg(standby.data())
            .args(["--write-recovery-conf", "--no-sync", "--checkpoint=fast"]));
        standby.start_again();
        standby
    }

    /// One for all tests that do it no harm; it goes with the last of them.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let cluster = Arc::new(Self::start());
            *shared = Arc::downgrade(&cluster);
            cluster
        })
    }

    /// The address of a new, empty database.
    pub(crate) fn new_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        run(self.client("createdb").arg(&name));
        format!("host={} user=holdfast dbname={name}", self.folder.path().display())
    }

    /// The socket it listens on.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join(".s.PGSQL.5432")
    }

    /// Ends it as an operator does: open transactions are taken back.
    pub(crate) fn stop(&self) {
        if let Some(mut server) = self.server().take() {
            signal("-INT", server.id());
            wait_until("PostgreSQL ends", || server.try_wait().unwrap().is_some());
        }
    }

    /// Ends it as a power cut does: every process of it at once.
    pub(crate) fn kill(&self) {
        let Some(mut server) = self.server().take() else { return };
        kill_with_children(&mut server);
    }

    /// Starts it; it answers when this returns.
    pub(crate) fn start_again(&self) {
        let mut running = self.server();
        assert!(running.is_none(), "it runs");
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let mut server = self.as_postgres("postgres");
        server.arg("-D").arg(self.data()).arg("-k").arg(self.folder.path());
        // Shared memory lies in its folder, so that nothing of a killed server stays elsewhere; a circle of locks is seen soon.
        for setting in [
            "listen_addresses=",
            "fsync=on",
            "dynamic_shared_memory_type=mmap",
            "deadlock_timeout=50ms",
        ] {
            server.args(["-c", setting]);
        }
        if let Some(setting) = *self.setting.lock().unwrap_or_else(PoisonError::into_inner) {
            server.args(["-c", setting]);
        }
        server.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        // In its place before it is waited for: whoever waits in vain ends it.
        let child = running.insert(server.spawn().unwrap());
        wait_until("PostgreSQL answers", || {
            if let Some(status) = child.try_wait().unwrap() {
                let log = fs::read_to_string(self.log()).unwrap();
                panic!("PostgreSQL ended with {status}: {log}");
            }
            self.client("pg_isready").arg("-q").status().unwrap().success()
        });
    }

    fn server(&self) -> MutexGuard<'_, Option<Child>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.arg("-h").arg(self.folder.path()).args(["-U", "holdfast"]);
        command
    }

    fn as_postgres(&self, program: &str) -> Command {
        as_user(USER, &self.programs.join(program))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Also after a panic, and also when that was in here.
        if let Some(mut server) = self.server().take() {
            // Its data goes with it. Not by SIGINT: on a full disk it cannot end in order, and whoever waits for it waits for good.
            let _told = Command::new("kill").args(["-QUIT", &server.id().to_string()]).status();
            let _reaped = server.wait();
        }
        // Of a server that was killed and not started again, the kernel keeps a segment; its number is the second on that line.
        let lock = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        if let Some(segment) = lock.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
            let _gone = Command::new("ipcrm").args(["--shmem-id", segment]).status();
        }
    }
}

/// Debian keeps the server's programs out of the path, by version.
fn programs() -> PathBuf {
    let versions =
        fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is not installed: `cargo xtask test` does it");
    let mut folders: Vec<PathBuf> = versions.map(|version| version.unwrap().path().join("bin")).collect();
    folders.retain(|folder| folder.join("initdb").is_file() && folder.join("createdb").is_file());
    folders.sort();
    folders
        .pop()
        .expect("PostgreSQL's initdb and createdb are not installed")
}

/// A program as this user; as oneself, where that is not root. Servers refuse to be root.
pub(crate) fn as_user(user: &str, program: &Path) -> Command {
    let mut command = match is_root() {
        false => Command::new(program),
        true => {
            let mut command = Command::new("setpriv");
            let (user, group) = (format!("--reuid={user}"), format!("--regid={user}"));
            command.args([&user, &group, "--init-groups"]).arg(program);
            command
        }
    };
    command.current_dir("/");
    command
}

/// Gives a folder with all that is in it to the user of [`as_user`].
pub(crate) fn give(folder: &Path, user: &str) {
    if is_root() {
        run(Command::new("chown")
            .args(["-R", &format!("{user}:{user}")])
            .arg(folder));
    }
}

/// Ends a server as a power cut does: every process of it at once.
pub(crate) fn kill_with_children(server: &mut Child) {
    // Stopped first, so that it starts nobody and tells nobody anything in between.
    signal("-STOP", server.id());
    let mut processes = children(server.id());
    let mut looked_at = 0;
    while let Some(process) = processes.get(looked_at) {
        let more = children(*process);
        processes.extend(more);
        looked_at += 1;
    }
    signal("-KILL", server.id());
    server.wait().unwrap();
    processes.iter().for_each(|process| signal("-KILL", *process));
    wait_until("its processes end", || {
        processes.iter().all(|process| is_gone(*process))
    });
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

/// It may have ended by itself.
fn signal(signal: &str, pid: u32) {
    let mut kill = Command::new("kill");
    kill.args([signal, &pid.to_string()])
        .stderr(Stdio::null())
        .status()
        .unwrap();
}

/// State and parent of a process.
fn state(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn children(of: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| state(*pid).is_some_and(|(_, parent)| parent == of))
        .collect()
}

/// Nobody may be there to bury it.
fn is_gone(pid: u32) -> bool {
    state(pid).is_none_or(|(state, _)| state == 'Z')
}

pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(PAUSE);
    }
}
