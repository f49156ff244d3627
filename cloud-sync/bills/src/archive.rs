//! A file that came packed: ZIP, with one bill in it. Only here is a ZIP library named.

use crate::{BYTES_MAX, Expected, Format, Line, Refusal, Stopped, Sums, Why, read::read};
use encoding_rs::GBK;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use zip::{ZipArchive, result::ZipError};

/// What a ZIP begins with.
const MAGIC: [u8; 4] = *b"PK\x03\x04";
/// How many files one may have in it.
const ENTRIES_MAX: usize = 16;
/// What is in the name of a file that only has the sums of another (汇总).
const SUMMARY: &str = "汇总";

/// Why a file cannot be unpacked.
enum NotUnpacked {
    Refused(Refusal),
    Broken(io::Error),
}

/// Reads a bill from the beginning of its file to its end, unpacked where it is packed.
///
/// # Errors
/// As [`read`].
pub fn read_file<E>(
    file: impl Read + Seek,
    format: Format,
    expected: &Expected,
    take: impl FnMut(Line) -> Result<(), E>,
) -> Result<Sums, Stopped<E>> {
    match unpacked(file, |input| read(format, expected, input, take)) {
        // What an unpacker does not like comes as an error that is not the system's.
        Ok(Err(Stopped::Broken(error))) if error.raw_os_error().is_none() => {
            let words = format!("the ZIP is damaged ({error}); import the file as the channel made it");
            Err(Refusal::new(None, Why::Archive, words).into())
        }
        Ok(done) => done,
        Err(NotUnpacked::Refused(refusal)) => Err(refusal.into()),
        Err(NotUnpacked::Broken(error)) => Err(Stopped::Broken(error)),
    }
}

fn unpacked<T>(mut file: impl Read + Seek, read: impl FnOnce(&mut dyn BufRead) -> T) -> Result<T, NotUnpacked> {
    file.seek(SeekFrom::Start(0)).map_err(NotUnpacked::Broken)?;
    let mut begin = [0; MAGIC.len()];
    let is_packed = match file.read_exact(&mut begin) {
        Ok(()) => begin == MAGIC,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
        Err(error) => return Err(NotUnpacked::Broken(error)),
    };
    file.seek(SeekFrom::Start(0)).map_err(NotUnpacked::Broken)?;
    if !is_packed {
        return Ok(read(&mut BufReader::with_capacity(1 << 16, file)));
    }
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(of_zip)?;
    let bill = the_bill(&mut archive)?;
    let entry = archive.by_index(bill).map_err(of_zip)?;
    // What an entry says of its size may be wrong: `text` counts what comes.
    if entry.size() > BYTES_MAX {
        return Err(refused(&format!("says that it unpacks to more than {BYTES_MAX} bytes")));
    }
    Ok(read(&mut BufReader::with_capacity(1 << 16, entry)))
}

/// Which of its files is the bill: the only one that is not a summary.
fn the_bill<R: Read + Seek>(archive: &mut ZipArchive<R>) -> Result<usize, NotUnpacked> {
    if archive.len() > ENTRIES_MAX {
        return Err(refused(&format!("has more than {ENTRIES_MAX} files in it")));
    }
    let mut bills = Vec::new();
    for at in 0..archive.len() {
        let entry = archive.by_index_raw(at).map_err(of_zip)?;
        if entry.is_file() && !name(entry.name_raw()).contains(SUMMARY) {
            bills.push(at);
        }
    }
    match bills[..] {
        [bill] => Ok(bill),
        _ => Err(refused(&format!(
            "has {} files in it that could be the bill, besides those with {SUMMARY} in their names",
            bills.len()
        ))),
    }
}

/// Alipay writes names in GBK.
fn name(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(name) => name.to_owned(),
        Err(_) => GBK.decode(bytes).0.into_owned(),
    }
}

fn of_zip(error: ZipError) -> NotUnpacked {
    match error {
        ZipError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => NotUnpacked::Broken(error),
        other => refused(&format!("cannot be unpacked: {other}")),
    }
}

fn refused(what: &str) -> NotUnpacked {
    let words = format!("the ZIP {what}; import the file as the channel made it");
    NotUnpacked::Refused(Refusal::new(None, Why::Archive, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_alipay_writes_them() {
        let (gbk, ..) = GBK.encode("2088_业务明细(汇总).csv");
        assert!(name(&gbk).contains(SUMMARY));
        assert!(name("2088_业务明细(汇总).csv".as_bytes()).contains(SUMMARY));
    }
}
