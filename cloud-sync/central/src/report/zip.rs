//! A ZIP file, written entry after entry as its bytes come. The same entries are the same bytes: no clock is in it.

use flate2::{Compression, Crc, write::DeflateEncoder};
use std::io::{self, Seek, SeekFrom, Write};

/// 1 January 1980, 00:00, the first moment that such a file can tell.
const TIME: u16 = 0;
const DATE: u16 = (1 << 5) | 1;
/// What can read it: DEFLATE.
const VERSION: u16 = 20;
const DEFLATED: u16 = 8;
/// Where in the header of an entry its sums stand.
const SUMS_AT: u64 = 14;

/// An entry that was written.
#[derive(Debug)]
struct Entry {
    name: String,
    at: u32,
    crc: u32,
    packed: u32,
    bytes: u32,
}

/// The entry that is being written.
struct Open<W: Write> {
    name: String,
    at: u64,
    begins: u64,
    crc: Crc,
    bytes: u64,
    out: DeflateEncoder<W>,
}

/// Writes a file.
pub struct Zip<W: Write + Seek> {
    out: Option<W>,
    open: Option<Open<W>>,
    entries: Vec<Entry>,
}

fn too_large() -> io::Error {
    io::Error::other("it would be larger than 4 GiB, which such a file cannot be")
}

fn small(size: u64) -> io::Result<u32> {
    u32::try_from(size).map_err(|_| too_large())
}

impl<W: Write + Seek> Zip<W> {
    /// Into this.
    pub fn new(out: W) -> Self {
        Self {
            out: Some(out),
            open: None,
            entries: Vec::new(),
        }
    }

    fn taken(&mut self) -> io::Result<W> {
        self.out.take().ok_or_else(|| io::Error::other("it broke off before"))
    }

    /// The next entry begins.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(&mut self, name: &str) -> io::Result<()> {
        self.close()?;
        let mut out = self.taken()?;
        let at = out.stream_position()?;
        let mut header = Vec::with_capacity(64);
        header.extend(b"PK\x03\x04");
        header.extend([VERSION, 0, DEFLATED, TIME, DATE].map(u16::to_le_bytes).concat());
        // Checksum and sizes are known when its bytes are.
        header.extend([0; 12]);
        header.extend(length(name)?.to_le_bytes());
        header.extend([0; 2]);
        header.extend(name.as_bytes());
        out.write_all(&header)?;
        self.open = Some(Open {
            name: name.to_owned(),
            at,
            begins: out.stream_position()?,
            crc: Crc::new(),
            bytes: 0,
            out: DeflateEncoder::new(out, Compression::fast()),
        });
        Ok(())
    }

    /// More of the entry.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let open = self.open.as_mut().ok_or_else(|| io::Error::other("no entry is open"))?;
        open.crc.update(bytes);
        open.bytes += bytes.len() as u64;
        open.out.write_all(bytes)
    }

    fn close(&mut self) -> io::Result<()> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let mut out = open.out.finish()?;
        let end = out.stream_position()?;
        let entry = Entry {
            name: open.name,
            at: small(open.at)?,
            crc: open.crc.sum(),
            packed: small(end - open.begins)?,
            bytes: small(open.bytes)?,
        };
        out.seek(SeekFrom::Start(open.at + SUMS_AT))?;
        out.write_all(&[entry.crc, entry.packed, entry.bytes].map(u32::to_le_bytes).concat())?;
        out.seek(SeekFrom::Start(end))?;
        self.entries.push(entry);
        self.out = Some(out);
        Ok(())
    }

    /// All entries are there: their list follows.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn end(&mut self) -> io::Result<()> {
        self.close()?;
        let mut out = self.taken()?;
        let begins = out.stream_position()?;
        for entry in &self.entries {
            let mut header = Vec::with_capacity(64);
            header.extend(b"PK\x01\x02");
            header.extend(
                [VERSION, VERSION, 0, DEFLATED, TIME, DATE]
                    .map(u16::to_le_bytes)
                    .concat(),
            );
            header.extend([entry.crc, entry.packed, entry.bytes].map(u32::to_le_bytes).concat());
            header.extend(length(&entry.name)?.to_le_bytes());
            header.extend([0; 12]);
            header.extend(entry.at.to_le_bytes());
            header.extend(entry.name.as_bytes());
            out.write_all(&header)?;
        }
        let end = out.stream_position()?;
        let count = u16::try_from(self.entries.len()).map_err(|_| too_large())?;
        let mut last = Vec::from(b"PK\x05\x06".as_slice());
        last.extend([0, 0, count, count].map(u16::to_le_bytes).concat());
        last.extend([small(end - begins)?, small(begins)?].map(u32::to_le_bytes).concat());
        last.extend([0; 2]);
        out.write_all(&last)?;
        out.flush()?;
        self.out = Some(out);
        Ok(())
    }
}

fn length(name: &str) -> io::Result<u16> {
    u16::try_from(name.len()).map_err(|_| io::Error::other("the name of an entry is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, Read};

    #[test]
    fn another_program_reads_what_was_packed() {
        let mut file = Cursor::new(Vec::new());
        let mut zip = Zip::new(&mut file);
        let long = "场站,".repeat(50_000);
        for (name, text) in [("a.xml", ""), ("dir/b.xml", long.as_str())] {
            zip.begin(name).unwrap();
            for part in text.as_bytes().chunks(1_000) {
                zip.write(part).unwrap();
            }
        }
        zip.end().unwrap();
        drop(zip);
        let size = file.get_ref().len();
        assert!(size < 10_000, "{size}");
        // `zip` is somebody else's; it checks what the file says of itself.
        let mut archive = zip_of_others(file);
        assert_eq!(archive.len(), 2);
        let mut read = String::new();
        archive.by_name("dir/b.xml").unwrap().read_to_string(&mut read).unwrap();
        assert_eq!(read, long);
        assert_eq!(archive.by_name("a.xml").unwrap().size(), 0);
    }

    fn zip_of_others(file: Cursor<Vec<u8>>) -> ::zip::ZipArchive<Cursor<Vec<u8>>> {
        ::zip::ZipArchive::new(Cursor::new(file.into_inner())).unwrap()
    }
}
