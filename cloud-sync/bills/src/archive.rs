//! A file that came packed: GZIP, as WeChat's API gives it, or ZIP with one bill in it, as Alipay does. What a ZIP says of itself is read
//! by hand and is bounded before it is believed: a directory of millions of files costs nothing.

use crate::{BYTES_MAX, Expected, Format, Line, Refusal, Stopped, Sums, Why, read::read};
use encoding_rs::GBK;
use flate2::{Crc, bufread::DeflateDecoder, bufread::MultiGzDecoder};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

/// What a ZIP begins with, and a file in it.
const ZIP: [u8; 4] = *b"PK\x03\x04";
/// What GZIP begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// What a file's entry in a ZIP's directory begins with, what ends the directory, and what stands before that in a ZIP64.
const ENTRY: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";
const END_64: [u8; 4] = *b"PK\x06\x07";
/// How long these are without what is of any length in them; what ends the directory may have a remark of 64 KiB after it.
const FILE_BYTES: usize = 30;
const ENTRY_BYTES: usize = 46;
const END_BYTES: usize = 22;
const END_64_BYTES: usize = 20;
const REMARK_BYTES_MAX: u64 = 65_535;
/// How many files a ZIP may have in it, and how long its directory may be.
const ENTRIES_MAX: u16 = 16;
const DIRECTORY_BYTES_MAX: u32 = 1 << 16;
/// How a file is packed in a ZIP: not at all, or by DEFLATE.
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// What is in the name of a file that only has the sums of another (汇总).
const SUMMARY: &str = "汇总";

/// Why a file cannot be unpacked.
enum NotUnpacked {
    Refused(Refusal),
    Broken(io::Error),
}

impl From<io::Error> for NotUnpacked {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
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
            let words = format!(
                "the packed file cannot be unpacked to its end ({error}); import the file as the channel made it"
            );
            Err(Refusal::new(None, Why::Archive, words).into())
        }
        Ok(done) => done,
        Err(NotUnpacked::Refused(refusal)) => Err(refusal.into()),
        Err(NotUnpacked::Broken(error)) => Err(Stopped::Broken(error)),
    }
}

fn unpacked<T>(mut file: impl Read + Seek, read: impl FnOnce(&mut dyn BufRead) -> T) -> Result<T, NotUnpacked> {
    let begin = at(&mut file, 0, ZIP.len())?;
    file.seek(SeekFrom::Start(0))?;
    if begin == ZIP {
        let entry = the_bill(directory(&mut file)?)?;
        return Ok(read(&mut *entry.open(file)?));
    }
    let file = BufReader::with_capacity(1 << 16, file);
    Ok(match begin.starts_with(&GZIP) {
        true => read(&mut BufReader::with_capacity(1 << 16, MultiGzDecoder::new(file))),
        false => read(&mut { file }),
    })
}

/// So many bytes from this place, or as many as there are.
fn at(file: &mut (impl Read + Seek), place: u64, bytes: usize) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(place))?;
    let mut read = Vec::new();
    file.take(bytes as u64).read_to_end(&mut read)?;
    Ok(read)
}

/// Numbers as a ZIP has them; what is not there is nothing.
fn u16_at(bytes: &[u8], place: usize) -> u16 {
    let bytes = bytes.get(place..place + 2).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], place: usize) -> u32 {
    let bytes = bytes.get(place..place + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u32::from_le_bytes)
}

/// A file in a ZIP, as its directory has it.
struct Entry {
    name: String,
    is_locked: bool,
    method: u16,
    crc: u32,
    packed: u32,
    bytes: u32,
    place: u32,
}

/// The directory, by what stands at the end.
fn directory(file: &mut (impl Read + Seek)) -> Result<Vec<Entry>, NotUnpacked> {
    let length = file.seek(SeekFrom::End(0))?;
    let from = length.saturating_sub(REMARK_BYTES_MAX + (END_BYTES + END_64_BYTES) as u64);
    let tail = at(file, from, usize::try_from(length - from).unwrap_or_default())?;
    let ends_there = |end: &usize| {
        let end = &tail[*end..];
        end.starts_with(&END) && end.len() - END_BYTES == usize::from(u16_at(end, 20))
    };
    let end = (0..=tail.len().saturating_sub(END_BYTES)).rev().find(ends_there);
    let end = end.ok_or_else(|| refused("has no directory at its end: half of it did not come"))?;
    let what = &tail[end..];
    let (here, of_all, bytes, begins) = (u16_at(what, 8), u16_at(what, 10), u32_at(what, 12), u32_at(what, 16));
    let before = end.checked_sub(END_64_BYTES).map(|before| &tail[before..end]);
    let is_64 = before.is_some_and(|before| before.starts_with(&END_64));
    if is_64 || of_all == u16::MAX || begins == u32::MAX {
        return Err(refused("is a ZIP64, for files beyond 4 GiB: no bill is one"));
    }
    if of_all > ENTRIES_MAX {
        return Err(refused(&format!("has more than {ENTRIES_MAX} files in it")));
    }
    let is_all_of_it = here == of_all && u32_at(what, 4) == 0;
    let ends_at = u64::from(begins) + u64::from(bytes);
    if !is_all_of_it || bytes > DIRECTORY_BYTES_MAX || ends_at != from + end as u64 {
        return Err(refused("has a directory that does not fit the file"));
    }
    let all = at(file, u64::from(begins), bytes as usize)?;
    let (mut entries, mut rest) = (Vec::new(), &all[..]);
    for _ in 0..of_all {
        let lengths = [28, 30, 32].map(|place| usize::from(u16_at(rest, place)));
        let length = ENTRY_BYTES + lengths.iter().sum::<usize>();
        if !rest.starts_with(&ENTRY) || rest.len() < length {
            return Err(refused("has a directory that cannot be read"));
        }
        entries.push(Entry {
            name: name(&rest[ENTRY_BYTES..ENTRY_BYTES + lengths[0]]),
            is_locked: u16_at(rest, 8) & 1 == 1,
            method: u16_at(rest, 10),
            crc: u32_at(rest, 16),
            packed: u32_at(rest, 20),
            bytes: u32_at(rest, 24),
            place: u32_at(rest, 42),
        });
        rest = &rest[length..];
    }
    Ok(entries)
}

/// Which of its files is the bill: the only one that is not a summary.
fn the_bill(entries: Vec<Entry>) -> Result<Entry, NotUnpacked> {
    let may_be = |entry: &Entry| !entry.name.ends_with('/') && !entry.name.contains(SUMMARY);
    let mut bills: Vec<Entry> = entries.into_iter().filter(may_be).collect();
    match (bills.pop(), bills.len()) {
        (Some(bill), 0) => Ok(bill),
        (one, others) => Err(refused(&format!(
            "has {} files in it that could be the bill, besides those with {SUMMARY} in their names",
            others + usize::from(one.is_some())
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

impl Entry {
    fn open<'a>(self, mut file: impl Read + Seek + 'a) -> Result<Box<dyn BufRead + 'a>, NotUnpacked> {
        if self.is_locked {
            return Err(refused("asks for a password"));
        }
        // What it says of its size may be wrong: `text` counts what comes.
        if u64::from(self.bytes) > BYTES_MAX || self.packed == u32::MAX {
            return Err(refused(&format!("says that it unpacks to more than {BYTES_MAX} bytes")));
        }
        let place = u64::from(self.place);
        let own = at(&mut file, place, FILE_BYTES)?;
        if !own.starts_with(&ZIP) {
            return Err(refused("has no file where its directory says"));
        }
        let head = FILE_BYTES as u64 + u64::from(u16_at(&own, 26)) + u64::from(u16_at(&own, 28));
        file.seek(SeekFrom::Start(place + head))?;
        let packed = BufReader::with_capacity(1 << 16, file.take(u64::from(self.packed)));
        let input: Box<dyn Read + 'a> = match self.method {
            STORED => Box::new(packed),
            DEFLATED => Box::new(DeflateDecoder::new(packed)),
            other => return Err(refused(&format!("is packed by a method that is not known, {other}"))),
        };
        let whole = Whole {
            input,
            crc: Crc::new(),
            is: (self.crc, self.bytes),
        };
        Ok(Box::new(BufReader::with_capacity(1 << 16, whole)))
    }
}

/// A file that has at its end the sum of its bytes that its directory says, and as many of them.
struct Whole<'a> {
    input: Box<dyn Read + 'a>,
    crc: Crc,
    is: (u32, u32),
}

impl Read for Whole<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(into)?;
        self.crc.update(&into[..read]);
        if read == 0 && !into.is_empty() && (self.crc.sum(), self.crc.amount()) != self.is {
            return Err(io::Error::other("it is not what the directory says of it"));
        }
        Ok(read)
    }
}

fn refused(what: &str) -> NotUnpacked {
    let words = format!("the ZIP {what}; import the file as the channel made it");
    NotUnpacked::Refused(Refusal::new(None, Why::Archive, words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bill_writer::zipped;
    use std::io::Cursor;

    fn text(zip: &[u8]) -> Result<String, String> {
        let read = unpacked(Cursor::new(zip), |input| {
            let mut text = String::new();
            input.read_to_string(&mut text).map(|_| text)
        });
        match read {
            Ok(text) => text.map_err(|error| error.to_string()),
            Err(NotUnpacked::Refused(refusal)) => Err(refusal.words),
            Err(NotUnpacked::Broken(error)) => Err(error.to_string()),
        }
    }

    /// The same, with something else at this place from what ends the directory.
    fn with_end(zip: &[u8], place: usize, bytes: &[u8]) -> Vec<u8> {
        let mut zip = zip.to_vec();
        let end = zip.len() - END_BYTES;
        zip[end + place..end + place + bytes.len()].copy_from_slice(bytes);
        zip
    }

    #[test]
    fn names_are_read_as_alipay_writes_them() {
        let (gbk, ..) = GBK.encode("2088_业务明细(汇总).csv");
        assert!(name(&gbk).contains(SUMMARY));
        assert!(name("2088_业务明细(汇总).csv".as_bytes()).contains(SUMMARY));
    }

    #[test]
    fn a_file_comes_out_of_a_zip_as_it_went_in() {
        let long = "charging, 充电\n".repeat(10_000);
        let zip = zipped(&[("a/", b""), ("汇总.csv", b"sums"), ("a/b.csv", long.as_bytes())]);
        assert_eq!(text(&zip), Ok(long));
        let mut remarked = with_end(&zip, 20, &[3, 0]);
        remarked.extend(b"PK\x05");
        assert!(text(&remarked).is_ok(), "a remark at the end is none of it");
    }

    #[test]
    fn a_zip_says_little_and_what_it_says_is_so() {
        let zip = zipped(&[("a.csv", b"one\ntwo\n")]);
        let many: Vec<String> = (0..17).map(|n| format!("{n}.csv")).collect();
        let many: Vec<(&str, &[u8])> = many.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
        let mut locator = zip.clone();
        let end = zip.len() - END_BYTES;
        locator.splice(end..end, [&END_64[..], &[0; 16]].concat());
        let entry = zip.windows(4).position(|bytes| bytes == ENTRY).unwrap();
        let changed = |place: usize, byte: u8| {
            let mut zip = zip.clone();
            zip[place] = byte;
            zip
        };
        for (what, wrong, words) in [
            ("17 files", zipped(&many), "more than 16 files"),
            (
                "millions of files, it says",
                with_end(&zip, 8, &[0x60, 0xea, 0x60, 0xea]),
                "more than 16 files",
            ),
            ("more files than it can say", with_end(&zip, 8, &[0xff; 4]), "ZIP64"),
            ("what is before the end of a ZIP64", locator, "ZIP64"),
            (
                "a directory of a MiB",
                with_end(&zip, 12, &[0, 0, 0x10, 0]),
                "does not fit",
            ),
            ("a directory elsewhere", with_end(&zip, 16, &[1]), "does not fit"),
            ("a part of several", with_end(&zip, 4, &[1]), "does not fit"),
            ("two files, it says", with_end(&zip, 8, &[2, 0, 2, 0]), "cannot be read"),
            ("another entry", changed(entry + 2, 7), "cannot be read"),
            ("a password", changed(entry + 8, 1), "password"),
            ("another method", changed(entry + 10, 12), "method"),
            (
                "another sum",
                changed(entry + 16, zip[entry + 16] ^ 1),
                "not what the directory says",
            ),
            ("another size", changed(entry + 24, 7), "not what the directory says"),
            ("a place without a file", changed(entry + 42, 1), "no file"),
            ("nothing after its beginning", ZIP.to_vec(), "no directory"),
        ] {
            let refused = text(&wrong).expect_err(what);
            assert!(refused.contains(words), "{what}: {refused}");
        }
    }

    #[test]
    fn half_a_zip_is_told_without_a_panic_wherever_it_ends() {
        let zip = zipped(&[("a.csv", b"one\ntwo\n"), ("汇总.csv", b"sums")]);
        for cut in ZIP.len()..zip.len() {
            assert!(text(&zip[..cut]).is_err(), "{cut}");
        }
        for at in 0..zip.len() {
            let mut broken = zip.clone();
            broken[at] ^= 0xff;
            drop(text(&broken));
        }
    }
}
