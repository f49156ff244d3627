//! A folder that is watched for bills: `{channel}/{day}.{format}`, with whatever ending. A file that has come to rest is imported,
//! and goes to `imported` or, with the reason beside it, to `refused`.

use super::{
    Format,
    import::{Importer, NotImported, Wanted},
    spool::{NotReceived, Spool},
};
use domain::time::{Day, Mono};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a file must have been as it is, in milliseconds: whoever writes it writes more often.
pub const REST_MS: u64 = 15_000;
/// The most files that are looked at at a time; the others come when these are done.
const FILES_MAX: usize = 1_000;
/// By whom what comes so is imported.
const BY: &str = "bills folder";
/// Endings of files that somebody is still writing.
const UNFINISHED: [&str; 5] = [".part", ".tmp", ".filepart", ".crdownload", ".download"];

/// How a file is from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looks {
    /// Its size.
    pub bytes: u64,
    /// When it was last written, in milliseconds since 1970.
    pub written_at: u64,
}

/// Which files have come to rest: without a clock and without files.
#[derive(Debug, Default)]
pub struct Resting {
    seen: BTreeMap<PathBuf, (Looks, Mono)>,
}

impl Resting {
    /// What is there now; which of it has looked the same for long enough.
    pub fn look(&mut self, now: Mono, there: Vec<(PathBuf, Looks)>) -> Vec<PathBuf> {
        let mut seen = BTreeMap::new();
        let mut resting = Vec::new();
        for (path, looks) in there {
            let since = match self.seen.get(&path) {
                Some((before, since)) if *before == looks => *since,
                _ => now,
            };
            if now.ms_since(since) >= REST_MS {
                resting.push(path.clone());
            }
            seen.insert(path, (looks, since));
        }
        self.seen = seen;
        resting
    }
}

/// Which bill a file is, by its place.
///
/// # Errors
/// How it must be called.
pub fn wanted(channel: &str, name: &str) -> Result<Wanted, String> {
    let wrong = || {
        let formats = Format::ALL.map(Format::word).join(", ");
        format!("a bill is called by its day and format, as in 2026-11-28.wechat_trade.csv; formats are {formats}")
    };
    let mut parts = name.split('.');
    let day: Day = parts.next().and_then(|day| day.parse().ok()).ok_or_else(wrong)?;
    let format: Format = parts.next().and_then(|format| format.parse().ok()).ok_or_else(wrong)?;
    Ok(Wanted {
        channel: channel.to_owned(),
        format,
        day,
    })
}

/// A folder that is watched.
pub struct Folder {
    /// It.
    pub folder: PathBuf,
    /// Where files are kept while they are imported.
    pub spool: PathBuf,
    /// Who imports them.
    pub importer: Importer,
}

impl Folder {
    /// Watches it for ever.
    pub async fn run(self) {
        let mut resting = Resting::default();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.look(&mut resting).await;
        }
    }

    /// Looks once, and imports what has come to rest.
    pub async fn look(&self, resting: &mut Resting) {
        let folder = self.folder.clone();
        let there = match blocking(move || files(&folder)).await {
            Ok(there) => there,
            Err(error) => {
                tracing::warn!("the folder for bills {} cannot be read: {error}", self.folder.display());
                return;
            }
        };
        for path in resting.look(self.importer.clock.mono(), there) {
            if let Err(error) = self.take(&path).await {
                tracing::warn!("the bill {} stays where it is for now: {error}", path.display());
            }
        }
    }

    /// Imports a file and puts it away.
    async fn take(&self, path: &Path) -> io::Result<()> {
        let name = |path: Option<&Path>| {
            path.and_then(Path::file_name)
                .map(|name| name.to_string_lossy().into_owned())
        };
        let (channel, name) = (
            name(path.parent()).unwrap_or_default(),
            name(Some(path)).unwrap_or_default(),
        );
        let wanted = match wanted(&channel, &name) {
            Ok(wanted) => wanted,
            Err(why) => return put_away(path, "refused", Some(why)).await,
        };
        let (spool, from) = (self.spool.clone(), path.to_owned());
        let received = blocking(move || match File::open(from) {
            Ok(file) => Spool::begin(&spool)?.copy(file),
            Err(error) => Err(error.into()),
        });
        let received = match received.await {
            Ok(received) => received,
            Err(too_large @ NotReceived::TooLarge) => {
                return put_away(path, "refused", Some(too_large.to_string())).await;
            }
            Err(NotReceived::Broken(error)) => return Err(error),
        };
        match self.importer.import(&wanted, received, BY).await {
            Ok(imported) => {
                let (file, lines, is_new) = (imported.file.id, imported.file.sums.lines, imported.is_new);
                tracing::info!(channel, name, file, lines, is_new, "a bill is imported");
                put_away(path, "imported", None).await
            }
            Err(NotImported::Store(error)) => Err(io::Error::other(error)),
            Err(NotImported::Broken(error)) => Err(error),
            Err(refused) => {
                tracing::warn!(channel, name, "a bill is refused: {refused}");
                put_away(path, "refused", Some(refused.to_string())).await
            }
        }
    }
}

/// Files that may be bills: in the folder of a channel, with a name that nobody writes under.
fn files(folder: &Path) -> io::Result<Vec<(PathBuf, Looks)>> {
    let mut found = Vec::new();
    for channel in fs::read_dir(folder)? {
        let channel = channel?;
        if !channel.file_type()?.is_dir() {
            continue;
        }
        for file in fs::read_dir(channel.path())? {
            let file = file?;
            let name = file.file_name().to_string_lossy().into_owned();
            let unfinished = name.starts_with('.') || UNFINISHED.iter().any(|ending| name.ends_with(ending));
            // What is a link, or goes away meanwhile, is none.
            if unfinished || !file.file_type()?.is_file() || found.len() == FILES_MAX {
                continue;
            }
            let Ok(metadata) = file.metadata() else { continue };
            let written = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            let looks = Looks {
                bytes: metadata.len(),
                written_at: u64::try_from(written.as_millis()).unwrap_or(u64::MAX),
            };
            found.push((file.path(), looks));
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(found)
}

/// Moves a file into a folder beside it, under a name that nothing has there; the reason first, where there is one.
async fn put_away(path: &Path, folder: &'static str, why: Option<String>) -> io::Result<()> {
    let path = path.to_owned();
    blocking(move || {
        let (Some(beside), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::other("it has no name"));
        };
        let (folder, name) = (beside.join(folder), name.to_string_lossy());
        fs::create_dir_all(&folder)?;
        let names = std::iter::once(name.to_string()).chain((2..).map(|n| format!("{name}.{n}")));
        let mut free = names.map(|name| folder.join(name)).filter(|to| !to.exists());
        let Some(to) = free.next() else {
            return Err(io::Error::other("there is no name left"));
        };
        if let Some(why) = why {
            let mut reason = to.clone().into_os_string();
            reason.push(".reason.txt");
            fs::write(reason, why + "\n")?;
        }
        fs::rename(&path, to)
    })
    .await
}

async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<io::Error> + Send + 'static,
{
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(bytes: u64, written_at: u64) -> Vec<(PathBuf, Looks)> {
        vec![("wechat/a".into(), Looks { bytes, written_at })]
    }

    #[test]
    fn a_file_that_is_still_written_is_not_taken() {
        let mut resting = Resting::default();
        let none: Vec<PathBuf> = Vec::new();
        assert_eq!(resting.look(Mono(0), there(10, 1)), none);
        assert_eq!(resting.look(Mono(REST_MS - 1), there(10, 1)), none);
        assert_eq!(resting.look(Mono(REST_MS), there(11, 1)), none, "it has grown");
        assert_eq!(resting.look(Mono(2 * REST_MS - 1), there(11, 1)), none);
        assert_eq!(
            resting.look(Mono(2 * REST_MS), there(11, 2)),
            none,
            "it was written anew"
        );
        assert_eq!(resting.look(Mono(3 * REST_MS - 1), vec![]), none);
        assert_eq!(resting.look(Mono(3 * REST_MS), there(11, 2)), none, "it was gone");
        assert_eq!(
            resting.look(Mono(4 * REST_MS), there(11, 2)),
            [PathBuf::from("wechat/a")]
        );
    }

    #[test]
    fn a_files_name_says_day_and_format() {
        for name in [
            "2026-11-28.wechat_trade",
            "2026-11-28.wechat_trade.csv",
            "2026-11-28.wechat_trade.2.zip",
        ] {
            let bill = wanted("wechat", name).unwrap();
            assert_eq!(
                (bill.day.to_string().as_str(), bill.format),
                ("2026-11-28", Format::WechatTrade),
                "{name}"
            );
        }
        for wrong in [
            "",
            "2026-11-28",
            "2026-11-28.xls",
            "wechat_trade.2026-11-28",
            "20261128.csv",
        ] {
            assert!(
                wanted("wechat", wrong)
                    .unwrap_err()
                    .contains("2026-11-28.wechat_trade.csv"),
                "{wrong}"
            );
        }
    }
}
