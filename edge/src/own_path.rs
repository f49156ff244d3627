//! Where one test keeps its files: a path that no other test has, now or ever.
//! Numbers of processes come again, and what a test that was killed has left behind must be in nobody's way.

use std::path::PathBuf;

/// A path among the temporary files at which there is nothing yet.
pub(crate) fn own_path(name: &str) -> PathBuf {
    let unique = getrandom::u64().expect("the operating system gives randomness once it has booted");
    std::env::temp_dir().join(format!("holdfast-{name}-{unique:016x}"))
}
