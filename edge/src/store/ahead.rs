//! A file that is about to be read all over is read ahead, from its beginning to its end: a disk does that many times
//! faster than what jumps from page to page.

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use std::{
    fs::File,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

/// How much the kernel is asked for at once.
const STRIDE: u64 = 2 << 20;
/// How much may be on its way from the disk: enough to keep it busy, little enough for whoever needs one page of elsewhere,
/// which stands in line behind it.
const ON_ITS_WAY_MAX: u64 = 16 << 20;

/// Somebody who has a file read ahead until this is dropped. What comes of it is in the kernel's cache and nowhere else:
/// where it fails, the file is read no less right, only later.
#[derive(Debug)]
pub(super) struct ReadAhead {
    enough: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl ReadAhead {
    /// Begins with the file at `path`.
    pub(super) fn of(path: &Path) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let reader = File::open(path).ok().and_then(|file| {
            let enough = Arc::clone(&enough);
            let reader = std::thread::Builder::new().name("read-ahead".to_owned());
            reader.spawn(move || ask_for(&file, &enough)).ok()
        });
        Self { enough, reader }
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            let _nothing_depends_on_it = reader.join();
        }
    }
}

fn ask_for(file: &File, enough: &AtomicBool) {
    // redb makes the file longer in large steps; what nothing was written to yet has no blocks and lies at its end.
    let on_disk = file.metadata().map_or(0, |about| about.blocks().saturating_mul(512));
    // What the kernel could not hold it would forget before anybody came by.
    if on_disk > memory_available() {
        return;
    }
    for at in (0..on_disk).step_by(STRIDE as usize) {
        let asked = posix_fadvise(
            file,
            at.cast_signed(),
            STRIDE.cast_signed(),
            PosixFadviseAdvice::POSIX_FADV_WILLNEED,
        );
        // Waits until a part that was asked for before is there.
        let came = file.read_at(&mut [0], at.saturating_sub(ON_ITS_WAY_MAX));
        if asked.is_err() || came.is_err() || enough.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// How many bytes of memory the kernel could use for something else; none where it does not say.
fn memory_available() -> u64 {
    let known = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = known.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_how_much_memory_is_free() {
        assert!(memory_available() > 1 << 20);
    }
}
