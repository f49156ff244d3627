//! A folder that is watched for bills: `{channel}/{day}.{format}`, with whatever ending. A file that has come to rest is imported,
//! and goes to `imported` or, with the reason beside it, to `refused`. What cannot be done now is tried again after pauses that grow, and
//! stands in nobody's way meanwhile.

use super::{
    Format,
    handles::{self, Found, Looks, NotTaken},
    import::{Importer, NotImported, Wanted},
};
use domain::time::{Day, Mono};
use nix::unistd::geteuid;
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a file must have been as it is, in milliseconds: whoever writes it writes more often.
pub const REST_MS: u64 = 15_000;
/// The most files of a channel that are looked at at a time; the others come when these are done.
const FILES_MAX: usize = 1_000;
/// By whom what comes so is imported.
const BY: &str = "bills folder";
/// Endings of files that somebody is still writing.
const UNFINISHED: [&str; 5] = [".part", ".tmp", ".filepart", ".crdownload", ".download"];
/// Where files go.
const IMPORTED: &str = "imported";
const REFUSED: &str = "refused";
/// What nobody but its owner may do in the folder, and others at all: `rwxr-x---` is the most.
const RIGHTS_OF_NOBODY: u32 = 0o027;
/// The first pause after something did not go well, in milliseconds, of which each is twice the one before; and the longest.
const PAUSE_MS: u64 = 5_000;
const PAUSE_MS_MAX: u64 = 600_000;
/// After how many tries people are told.
pub const TOLD_AFTER: u32 = 5;

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

/// What did not go well, by file or folder, and when it is tried again.
#[derive(Debug, Default)]
pub struct Troubles {
    open: BTreeMap<PathBuf, Trouble>,
}

#[derive(Debug)]
struct Trouble {
    tries: u32,
    again_at: Mono,
    words: String,
}

impl Troubles {
    /// Whether this is tried now.
    pub fn may_try(&self, now: Mono, path: &Path) -> bool {
        self.open.get(path).is_none_or(|trouble| trouble.again_at <= now)
    }

    /// It was tried, and did not go well.
    pub fn failed(&mut self, now: Mono, path: &Path, words: String) {
        let tries = self.open.get(path).map_or(1, |trouble| trouble.tries.saturating_add(1));
        let pause = PAUSE_MS
            .saturating_mul(2_u64.saturating_pow(tries - 1))
            .min(PAUSE_MS_MAX);
        let again_at = Mono(now.0.saturating_add(pause));
        self.open.insert(path.to_owned(), Trouble { tries, again_at, words });
    }

    /// It has gone well.
    pub fn over(&mut self, path: &Path) {
        self.open.remove(path);
    }

    /// What is not there any more is no trouble.
    fn keep(&mut self, there: &BTreeSet<PathBuf>) {
        self.open.retain(|path, _| there.contains(path));
    }

    /// What people are told; nothing as long as it may pass by itself.
    pub fn told(&self) -> Option<String> {
        let mut told = self.open.iter().filter(|(_, trouble)| trouble.tries >= TOLD_AFTER);
        let (path, trouble) = told.next()?;
        let others = match told.count() {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        Some(format!(
            "in the folder for bills {} was tried {} times and cannot be dealt with{others}: {}",
            path.display(),
            trouble.tries,
            trouble.words
        ))
    }
}

/// What is known of a folder that is watched.
#[derive(Debug, Default)]
pub struct Seen {
    resting: Resting,
    troubles: Troubles,
}

/// What people are to be told of a folder, for whoever tells them.
#[derive(Debug, Clone, Default)]
pub struct Stuck(Arc<Mutex<Option<String>>>);

impl Stuck {
    /// What is the matter, if anything is.
    pub fn words(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
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

/// Whether a folder's owner and rights are such that it can be watched: what stands in it becomes a channel's word on money.
///
/// # Errors
/// What to do about it.
pub fn may_be_watched(folder: &Path) -> Result<(), String> {
    let shown = folder.display();
    let metadata = std::fs::metadata(folder).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    if !metadata.is_dir() {
        return Err(format!("{shown} is no folder"));
    }
    let (owner, own) = (metadata.uid(), geteuid().as_raw());
    if ![0, own].contains(&owner) {
        return Err(format!(
            "{shown} belongs to user {owner}, who could put any bill there: give it to the daemon's user ({own}) or to root"
        ));
    }
    let rights = metadata.mode() & 0o7777;
    if rights & RIGHTS_OF_NOBODY != 0 {
        return Err(format!(
            "{shown} has the rights {rights:o}, by which others than its owner could put any bill there: chmod 750 {shown}, or stricter; whoever brings bills is let into the folder of a channel in it"
        ));
    }
    Ok(())
}

/// A folder that is watched.
pub struct Folder {
    /// It.
    pub folder: PathBuf,
    /// Where files are kept while they are imported.
    pub spool: PathBuf,
    /// Who imports them.
    pub importer: Importer,
    /// Whom people are told by.
    pub stuck: Stuck,
}

impl Folder {
    /// Watches it for ever.
    pub async fn run(self) {
        let mut seen = Seen::default();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.look(&mut seen).await;
        }
    }

    /// Looks once, and imports what has come to rest.
    pub async fn look(&self, seen: &mut Seen) {
        let folder = self.folder.clone();
        let Listed { files, wrong } = blocking(move || Ok::<_, io::Error>(list(&folder)))
            .await
            .unwrap_or_else(|error| Listed {
                files: Vec::new(),
                wrong: vec![(self.folder.clone(), error.to_string())],
            });
        let there = files
            .iter()
            .map(|(path, _)| path)
            .chain(wrong.iter().map(|(path, _)| path));
        seen.troubles.keep(&there.cloned().collect());
        for (path, words) in wrong {
            if seen.troubles.may_try(self.importer.clock.mono(), &path) {
                tracing::warn!("the folder for bills {} cannot be read: {words}", path.display());
                seen.troubles.failed(self.importer.clock.mono(), &path, words);
            }
        }
        for path in seen.resting.look(self.importer.clock.mono(), files) {
            if !seen.troubles.may_try(self.importer.clock.mono(), &path) {
                continue;
            }
            match self.take(&path).await {
                Ok(()) => seen.troubles.over(&path),
                Err(error) => {
                    tracing::warn!("the bill {} stays where it is for now: {error}", path.display());
                    seen.troubles
                        .failed(self.importer.clock.mono(), &path, error.to_string());
                }
            }
        }
        *self.stuck.0.lock().unwrap_or_else(PoisonError::into_inner) = seen.troubles.told();
    }

    /// Imports a file and puts it away.
    async fn take(&self, path: &Path) -> io::Result<()> {
        let name = |path: Option<&Path>| path.and_then(Path::file_name).unwrap_or_default().to_owned();
        let (channel, name) = (name(path.parent()), name(Some(path)));
        let place = Place {
            root: self.folder.clone(),
            channel: channel.into(),
            name: name.into(),
        };
        let (channel, name) = (place.channel.display().to_string(), place.name.display().to_string());
        let wanted = match wanted(&channel, &name) {
            Ok(wanted) => wanted,
            Err(why) => return place.put_away(REFUSED, Some(why), None).await,
        };
        let (of, spool) = (place.clone(), self.spool.clone());
        let taken =
            blocking(move || Ok::<_, io::Error>(of.open().map(|folder| folder.take(of.name(), &spool)))).await?;
        let (received, looks) = match taken? {
            Ok(taken) => taken,
            Err(NotTaken::Refused(why)) => {
                tracing::warn!(channel, name, "a bill is refused: {why}");
                return place.put_away(REFUSED, Some(why), None).await;
            }
            Err(NotTaken::Not(error)) => return Err(error),
        };
        match self.importer.import(&wanted, received, BY).await {
            Ok(imported) => {
                let (file, lines, is_new) = (imported.file.id, imported.file.sums.lines, imported.is_new);
                tracing::info!(channel, name, file, lines, is_new, "a bill is imported");
                place.put_away(IMPORTED, None, Some(looks)).await
            }
            Err(NotImported::Store(error)) => Err(io::Error::other(error)),
            Err(NotImported::Broken(error)) => Err(error),
            Err(refused) => {
                tracing::warn!(channel, name, "a bill is refused: {refused}");
                place.put_away(REFUSED, Some(refused.to_string()), Some(looks)).await
            }
        }
    }
}

/// Where a file is.
#[derive(Debug, Clone)]
struct Place {
    root: PathBuf,
    channel: PathBuf,
    name: PathBuf,
}

impl Place {
    fn open(&self) -> io::Result<handles::Folder> {
        handles::Folder::open(&self.root)?.within(self.channel.as_os_str())
    }

    fn name(&self) -> &OsStr {
        self.name.as_os_str()
    }

    async fn put_away(self, into: &'static str, why: Option<String>, looks: Option<Looks>) -> io::Result<()> {
        blocking(move || self.open()?.put_away(self.name(), into, why.as_deref(), looks)).await
    }
}

/// What stands in the folder: files that may be bills, and folders that cannot be read, with the reason.
#[derive(Default)]
struct Listed {
    files: Vec<(PathBuf, Looks)>,
    wrong: Vec<(PathBuf, String)>,
}

/// Files that may be bills: in the folder of a channel, with a name that nobody writes under.
fn list(root: &Path) -> Listed {
    let mut listed = Listed::default();
    let opened = handles::Folder::open(root).and_then(|folder| folder.list().map(|found| (folder, found)));
    let (folder, channels) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            listed.wrong.push((root.to_owned(), error.to_string()));
            return listed;
        }
    };
    for (channel, _) in channels {
        let path = root.join(&channel);
        let is_hidden = channel.to_string_lossy().starts_with('.');
        match folder.within(&channel).and_then(|folder| folder.list()) {
            _ if is_hidden => {}
            Err(error) => listed.wrong.push((path, error.to_string())),
            Ok(found) => {
                let files = found.into_iter().filter_map(|(name, what)| {
                    let shown = name.to_string_lossy();
                    let unfinished = shown.starts_with('.') || UNFINISHED.iter().any(|ending| shown.ends_with(ending));
                    match what {
                        Found::File(looks) if !unfinished => Some((path.join(&name), looks)),
                        _ => None,
                    }
                });
                listed.files.extend(files.take(FILES_MAX));
            }
        }
    }
    listed.files.sort_by(|one, other| one.0.cmp(&other.0));
    listed
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

    fn there(bytes: u64, written_at: i128) -> Vec<(PathBuf, Looks)> {
        let is = (1, 1);
        vec![("wechat/a".into(), Looks { bytes, written_at, is })]
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
    fn another_file_in_the_place_of_one_has_to_rest_too() {
        let mut resting = Resting::default();
        let mut other = there(10, 1);
        other[0].1.is = (1, 2);
        assert!(resting.look(Mono(0), there(10, 1)).is_empty());
        assert!(resting.look(Mono(REST_MS), other.clone()).is_empty());
        assert_eq!(resting.look(Mono(2 * REST_MS), other).len(), 1);
    }

    #[test]
    fn pauses_grow_to_ten_minutes_and_people_are_told_after_some_tries() {
        let (mut troubles, bad, good) = (Troubles::default(), Path::new("wechat/bad"), Path::new("wechat/good"));
        let (mut now, mut pauses) = (Mono(0), Vec::new());
        for tries in 1..=10 {
            assert!(troubles.may_try(now, bad));
            troubles.failed(now, bad, "the database is away".to_owned());
            assert_eq!(troubles.told().is_some(), tries >= TOLD_AFTER, "{tries}");
            assert!(troubles.may_try(now, good), "nobody else waits for it");
            let again_at = (now.0..)
                .step_by(1_000)
                .find(|ms| troubles.may_try(Mono(*ms), bad))
                .unwrap();
            pauses.push((again_at - now.0) / 1_000);
            now = Mono(again_at);
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 600, 600, 600]);
        let told = troubles.told().unwrap();
        assert!(
            told.contains("wechat/bad was tried 10 times") && told.contains("the database is away"),
            "{told}"
        );
        troubles.over(bad);
        assert_eq!(troubles.told(), None);
        troubles.failed(now, bad, String::new());
        troubles.keep(&BTreeSet::new());
        assert!(troubles.may_try(now, bad), "what has gone is no trouble");
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_not_watched() {
        let folder = std::env::temp_dir().join(format!("holdfast-bills-rights-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (rights, may) in [
            (0o700, true),
            (0o750, true),
            (0o2750, true),
            (0o770, false),
            (0o755, false),
        ] {
            let rights = std::os::unix::fs::PermissionsExt::from_mode(rights);
            std::fs::set_permissions(&folder, rights).unwrap();
            let said = may_be_watched(&folder);
            assert_eq!(said.is_ok(), may, "{said:?}");
            assert!(may || said.unwrap_err().contains("chmod 750"));
        }
        std::fs::remove_dir(&folder).unwrap();
        assert!(may_be_watched(&folder).unwrap_err().contains("cannot be read"));
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
