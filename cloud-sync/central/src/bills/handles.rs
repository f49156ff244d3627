//! What is done in the folder that is watched for bills: by handles of folders, and never through a link. Whoever may write there points
//! head office nowhere else, makes it read nothing else, and has it overwrite nothing.

use super::spool::{NotReceived, Received, Spool};
use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{AtFlags, OFlag, RenameFlags, openat, renameat2},
    sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat},
    unistd::{UnlinkatFlags, linkat, unlinkat},
};
use std::{
    ffi::{OsStr, OsString},
    fs::{File, OpenOptions},
    io::{self, Write},
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    },
    path::Path,
};

/// What is asked of every file and folder that is opened.
const NO_LINK: OFlag = OFlag::O_NOFOLLOW.union(OFlag::O_CLOEXEC).union(OFlag::O_NOCTTY);
/// The longest name that is kept as it is: others have to fit beside it.
const NAME_BYTES_MAX: usize = 200;

/// What a file is and how it looks from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looks {
    /// Its size.
    pub bytes: u64,
    /// When it was last written, in nanoseconds since 1970.
    pub written_at: i128,
    /// Which file of the machine's it is: its device, its number there.
    pub is: (u64, u64),
}

impl Looks {
    #[allow(clippy::unnecessary_cast, reason = "the widths differ between systems")]
    fn of(stat: &FileStat) -> Self {
        Self {
            bytes: u64::try_from(stat.st_size).unwrap_or(0),
            written_at: i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec),
            is: (stat.st_dev as u64, stat.st_ino as u64),
        }
    }
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

/// What stands in a folder.
pub(super) enum Found {
    /// A folder.
    Folder,
    /// Anything else.
    File(Looks),
}

/// Why a file is not taken from its folder.
pub(super) enum NotTaken {
    /// It is none that is ever taken.
    Refused(String),
    /// Not now.
    Not(io::Error),
}

impl From<Errno> for NotTaken {
    fn from(error: Errno) -> Self {
        Self::Not(error.into())
    }
}

impl From<NotReceived> for NotTaken {
    fn from(not: NotReceived) -> Self {
        match not {
            too_large @ NotReceived::TooLarge => Self::Refused(too_large.to_string()),
            no_room @ NotReceived::NoRoom { .. } => Self::Not(io::Error::other(no_room)),
            NotReceived::Broken(error) => Self::Not(error),
        }
    }
}

/// A folder that is open.
pub(super) struct Folder(OwnedFd);

impl Folder {
    /// The one of this path: through links too, as whoever runs head office has written it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags((OFlag::O_DIRECTORY | OFlag::O_CLOEXEC).bits())
            .open(path)?;
        Ok(Self(file.into()))
    }

    /// One in it, which is no link.
    pub(super) fn within(&self, name: &OsStr) -> io::Result<Self> {
        match openat(&self.0, name, OFlag::O_DIRECTORY | NO_LINK, Mode::empty()) {
            Ok(folder) => Ok(Self(folder)),
            Err(Errno::ELOOP | Errno::ENOTDIR) => Err(io::Error::other(format!(
                "{} is a link or no folder: make it a folder of its own",
                name.display()
            ))),
            Err(error) => Err(error.into()),
        }
    }

    /// The same, made where it is not there.
    fn made(&self, name: &str) -> io::Result<Self> {
        match mkdirat(&self.0, name, Mode::from_bits_truncate(0o750)) {
            Ok(()) | Err(Errno::EEXIST) => self.within(OsStr::new(name)),
            Err(error) => Err(error.into()),
        }
    }

    /// What stands in it.
    pub(super) fn list(&self) -> io::Result<Vec<(OsString, Found)>> {
        let own = openat(&self.0, ".", OFlag::O_DIRECTORY | NO_LINK, Mode::empty())?;
        let mut found = Vec::new();
        for entry in Dir::from_fd(own)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            // What goes away meanwhile is none.
            let Ok(stat) = fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW) else {
                continue;
            };
            let what = match kind(&stat) {
                SFlag::S_IFDIR => Found::Folder,
                _ => Found::File(Looks::of(&stat)),
            };
            found.push((name.to_owned(), what));
        }
        Ok(found)
    }

    /// Copies a file of its, if that is an ordinary one with one name, and nobody writes it meanwhile.
    pub(super) fn take(&self, name: &OsStr, spool: &Path) -> Result<(Received, Looks), NotTaken> {
        let is_ordinary = |stat: &FileStat| kind(stat) == SFlag::S_IFREG;
        let refused = |what: &str| {
            let words = format!("it is {what}: a bill is an ordinary file of its own, and anything else is not read");
            NotTaken::Refused(words)
        };
        // Some of what is none cannot even be opened.
        if !is_ordinary(&fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW)?) {
            return Err(refused("a link, a pipe or the like"));
        }
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | NO_LINK;
        let file = match openat(&self.0, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::ELOOP) => return Err(refused("a link")),
            Err(error) => return Err(error.into()),
        };
        let stat = fstat(&file)?;
        if !is_ordinary(&stat) {
            return Err(refused("a pipe or the like"));
        }
        if stat.st_nlink > 1 {
            return Err(refused("a file with several names (hard links)"));
        }
        let looks = Looks::of(&stat);
        let received = Spool::begin(spool, looks.bytes)?.copy(&file)?;
        if Looks::of(&fstat(&file)?) != looks || received.bytes != looks.bytes {
            return Err(NotTaken::Not(io::Error::other("it was written while it was read")));
        }
        Ok((received, looks))
    }

    /// Moves a file of its into a folder in it, under a name that nothing has there; the reason beside it, where there is one. Where it is
    /// another file by now than the one that was looked at, it stays.
    pub(super) fn put_away(&self, name: &OsStr, into: &str, why: Option<&str>, looks: Option<Looks>) -> io::Result<()> {
        let folder = self.made(into)?;
        let begin = beginning(&name.to_string_lossy());
        let names = std::iter::once(begin.clone()).chain((2..).map(|n| format!("{begin}.{n}")));
        for to in names {
            let reason = format!("{to}.reason.txt");
            if let Some(why) = why {
                match folder.write_new(&reason, why) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                    done => done?,
                }
            }
            let moved = self.move_to(name, &folder, OsStr::new(&to));
            if moved.is_err() && why.is_some() {
                unlinkat(&folder.0, reason.as_str(), UnlinkatFlags::NoRemoveDir)?;
            }
            match moved {
                Err(Errno::EEXIST) => continue,
                moved => moved?,
            }
            let stat = fstatat(&folder.0, to.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
            if looks.is_none_or(|looks| looks.is == Looks::of(&stat).is) {
                return Ok(());
            }
            folder.move_to(OsStr::new(&to), self, name)?;
            return Err(io::Error::other(
                "it was put in the place of another while that was read",
            ));
        }
        Ok(())
    }

    fn write_new(&self, name: &str, text: &str) -> io::Result<()> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | NO_LINK;
        let file = openat(&self.0, name, flags, Mode::from_bits_truncate(0o640))?;
        File::from(file).write_all(format!("{text}\n").as_bytes())
    }

    /// Moves, and replaces nothing.
    fn move_to(&self, name: &OsStr, into: &Self, to: &OsStr) -> Result<(), Errno> {
        match renameat2(&self.0, name, &into.0, to, RenameFlags::RENAME_NOREPLACE) {
            // Not every file system can.
            Err(Errno::EINVAL | Errno::ENOSYS) => {
                linkat(&self.0, name, &into.0, to, AtFlags::empty())?;
                unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir)
            }
            done => done,
        }
    }
}

/// As much of a name as leaves room for what comes after it.
fn beginning(name: &str) -> String {
    let mut end = name.len().min(NAME_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_owned()
}
