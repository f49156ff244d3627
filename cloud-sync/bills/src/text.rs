//! A file's bytes as lines of text: strictly in one encoding, numbered, and none of them longer than lines are.

use crate::{LINES_MAX, Refusal, Stopped, Why};
use encoding_rs::GBK;
use std::{
    borrow::Cow,
    io::{BufRead, Read},
};

/// The longest line, in bytes.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// The most bytes of a file, unpacked: some 350 a line of the most lines.
pub const BYTES_MAX: u64 = 2 << 30;
/// Lines beside those of a bill: names, totals, remarks, and lines with nothing in them.
const OTHERS_MAX: u64 = 1_000;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// A character that moves or ends something and shows nothing, but for tabs: no text of a channel's has any, and databases do not take
/// every one.
fn control(text: &str) -> Option<char> {
    let is_one = |byte: u8| (byte < b' ' && byte != b'\t') || byte == 0x7f;
    if text.is_ascii() && !text.bytes().any(is_one) {
        return None;
    }
    text.chars().find(|char| char.is_control() && *char != '\t')
}

/// How a file's text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// UTF-8, with a byte order mark or without.
    #[default]
    Utf8,
    /// GBK, and what GB 18030 has beyond it.
    Gbk,
}

impl Encoding {
    /// Its word in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Gbk => "gbk",
        }
    }
}

/// A file's lines, one at a time.
pub(super) struct Lines<R> {
    input: R,
    encoding: Encoding,
    bytes: Vec<u8>,
    number: u64,
    read: u64,
    ended: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R, encoding: Encoding) -> Self {
        Self {
            input,
            encoding,
            bytes: Vec::new(),
            number: 0,
            read: 0,
            ended: true,
        }
    }

    /// The next line without its end; none at the end of the file. Lines without a character in them are passed over.
    pub(super) fn next<E>(&mut self) -> Result<Option<(u64, Cow<'_, str>)>, Stopped<E>> {
        loop {
            self.bytes.clear();
            let mut input = (&mut self.input).take(LINE_BYTES_MAX);
            // Neither encoding has 0x0A within a character.
            let got = input.read_until(b'\n', &mut self.bytes).map_err(Stopped::Broken)?;
            if got == 0 {
                return Ok(None);
            }
            self.number += 1;
            self.read += got as u64;
            self.ended = self.bytes.last() == Some(&b'\n');
            if !self.ended && got as u64 == LINE_BYTES_MAX {
                let words = format!("is longer than {LINE_BYTES_MAX} bytes: this is no bill");
                return Err(Refusal::new(self.number, Why::TooLarge, words).into());
            }
            if self.read > BYTES_MAX || self.number > LINES_MAX + OTHERS_MAX {
                let words =
                    format!("the file has more than {LINES_MAX} lines or {BYTES_MAX} bytes: this is no bill of a day");
                return Err(Refusal::new(self.number, Why::TooLarge, words).into());
            }
            if self.number == 1 && self.encoding == Encoding::Utf8 && self.bytes.starts_with(BOM) {
                self.bytes.drain(..BOM.len());
            }
            if !self.bytes.trim_ascii().is_empty() {
                break;
            }
        }
        Ok(Some((self.number, self.text()?)))
    }

    fn text(&self) -> Result<Cow<'_, str>, Refusal> {
        let bytes = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let text = match self.encoding {
            Encoding::Utf8 => str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Encoding::Gbk => GBK.decode_without_bom_handling_and_without_replacement(bytes),
        };
        let text = text.ok_or_else(|| self.wrong_encoding())?;
        if let Some(control) = control(&text) {
            let words = format!(
                "has a character in it that is none of a text (U+{:04X}); import the file as the channel made it",
                u32::from(control)
            );
            return Err(Refusal::new(self.number, Why::Encoding, words));
        }
        Ok(text)
    }

    fn wrong_encoding(&self) -> Refusal {
        let encoding = self.encoding.word();
        let words = format!("is not {encoding}; import the file as the channel made it, not as a spreadsheet saved it");
        Refusal::new(self.number, Why::Encoding, words)
    }

    /// Whether the last line had an end.
    pub(super) fn has_end(&self) -> bool {
        self.ended
    }

    /// That the last line is written otherwise than it is read, if that is why nothing in it is known: most of UTF-8 can be read
    /// as GBK, as other characters.
    pub(super) fn other_encoding(&self) -> Option<Refusal> {
        let is_utf8 = !self.bytes.is_ascii() && str::from_utf8(&self.bytes).is_ok();
        (self.encoding == Encoding::Gbk && is_utf8).then(|| self.wrong_encoding())
    }

    /// That the file ends too soon.
    pub(super) fn cut(&self, missing: &str) -> Refusal {
        let words = format!(
            "the file ends here, and {missing} is missing: half of it did not come; import the whole file that the channel has"
        );
        Refusal::new(self.number.max(1), Why::Cut, words)
    }
}
