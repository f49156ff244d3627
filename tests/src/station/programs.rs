//! The workspace's programs as tests find them, and folders for them to work in.

use std::{
    collections::BTreeSet,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

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
    built(package, "--bin", name).join(name)
}

/// The same of an example.
///
/// # Panics
/// If it cannot be built.
pub fn example(package: &str, name: &str) -> PathBuf {
    built(package, "--example", name).join("examples").join(name)
}

/// Where the programs of this profile are, with this one among them.
fn built(package: &str, kind: &str, name: &str) -> PathBuf {
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
    let is_built = std::env::var_os("HOLDFAST_TEST_PROGRAMS_ARE_BUILT").is_some();
    if !is_built && built.insert(format!("{package} {name}")) {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let profile = if target.ends_with("release") { "release" } else { "dev" };
        let status = Command::new(cargo)
            .args(["build", "--quiet", "--profile", profile])
            .args(["--package", package, kind, name])
            .current_dir(repository())
            .env("CARGO_TARGET_DIR", target.parent().expect("target/debug has a parent"))
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "{package} must build before it can be tested"
        );
    }
    target
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
