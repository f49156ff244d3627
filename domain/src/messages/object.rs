//! One JSON object of a message, field by field as it was written.
//! A field that cannot be read spoils nothing beside it, and numbers are read by their digits.

use super::{TEXT_CHARS_MAX, UNREAD_BYTES_MAX, UNREAD_FIELD_BYTES_MAX, UNREAD_FIELDS_MAX, Unread, UnreadField};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::fmt;

/// A required field that could not be read.
#[derive(Debug)]
pub(super) struct Fault {
    /// The field; `.` for the message as a whole.
    pub(super) path: String,
    /// What is wrong with it.
    pub(super) detail: String,
}

/// An object of a list: what was written there, and whether it can be read.
pub(super) type Listed<'a> = (&'a str, Result<Object<'a>, Fault>);

/// The optional fields that could not be read, as they are found: where each stands, and what was written there.
#[derive(Debug, Default)]
pub(super) struct Dropped<'a> {
    fields: Vec<(String, &'a str)>,
    count: u32,
    /// Whether the message is no UTF-8: then U+FFFD stands for a character that is lost, and else for itself.
    pub(super) is_lossy: bool,
}

impl<'a> Dropped<'a> {
    /// Nothing yet, of a message that is UTF-8 or is not.
    pub(super) fn of_message(is_lossy: bool) -> Self {
        Self {
            is_lossy,
            ..Self::default()
        }
    }

    pub(super) fn note(&mut self, path: String, written: &'a str) {
        self.note_many(path, written, 1);
    }

    /// `count` fields, of which the first stands for all.
    pub(super) fn note_many(&mut self, path: String, written: &'a str, count: usize) {
        self.count = self.count.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        if self.fields.len() < UNREAD_FIELDS_MAX {
            self.fields.push((path, written));
        }
    }

    /// `text` is what `payload` was read as.
    pub(super) fn into_unread(self, payload: &[u8], text: &str) -> Option<Box<Unread>> {
        if self.count == 0 {
            return None;
        }
        let places = Places::of(payload, text);
        let mut room = UNREAD_BYTES_MAX;
        let fields = self.fields.into_iter().map(|(path, written)| {
            let (field, kept) = UnreadField::keep(path, places.bytes_of(written), room.min(UNREAD_FIELD_BYTES_MAX));
            room -= kept;
            field
        });
        Some(Box::new(Unread {
            fields: fields.collect(),
            dropped: self.count,
        }))
    }
}

/// Where in a message stands what its text says: the two differ where there are bytes that are no UTF-8, of which each run is
/// one U+FFFD in the text.
struct Places<'p> {
    payload: &'p [u8],
    text: usize,
    /// Where the text is again as the pile wrote it, by text and payload; in both, in order. They are found once, and each
    /// field is looked up in them: a long message in another encoding has very many.
    same_from: Vec<(usize, usize)>,
}

impl<'p> Places<'p> {
    fn of(payload: &'p [u8], text: &str) -> Self {
        let mut same_from = vec![(0, 0)];
        let (mut written, mut read) = (0, 0);
        for chunk in payload.utf8_chunks().filter(|chunk| !chunk.invalid().is_empty()) {
            read += chunk.valid().len() + chunk.invalid().len();
            written += chunk.valid().len() + char::REPLACEMENT_CHARACTER.len_utf8();
            same_from.push((written, read));
        }
        let text = text.as_ptr().addr();
        Self {
            payload,
            text,
            same_from,
        }
    }

    /// The bytes that a part of the text was read from.
    fn bytes_of(&self, part: &str) -> &'p [u8] {
        let from = part.as_ptr().addr().saturating_sub(self.text);
        let (from, to) = (self.in_payload(from), self.in_payload(from + part.len()));
        self.payload.get(from..to).unwrap_or_default()
    }

    fn in_payload(&self, at: usize) -> usize {
        let before = self.same_from.partition_point(|(written, _)| *written <= at);
        let (written, read) = self.same_from[before.saturating_sub(1)];
        read + (at - written)
    }
}

/// The fields of one object.
pub(super) struct Object<'a> {
    /// Where it stands in the message; empty for the message itself.
    path: String,
    fields: Vec<(String, &'a RawValue)>,
}

/// What an object says under a name.
enum Said<'a> {
    /// The name is not there.
    Nothing,
    Once(&'a RawValue),
    /// Nobody knows which of them is meant; this is the first.
    Twice(&'a RawValue),
}

impl<'a> Object<'a> {
    /// The fields of a whole message, and what is wrong with its JSON, if anything: then they are those before the fault.
    pub(super) fn of_message(text: &'a str) -> (Self, Option<serde_json::Error>) {
        let mut fields = Vec::new();
        let mut json = serde_json::Deserializer::from_str(text);
        let read = json.deserialize_map(Collect(&mut fields)).and_then(|()| json.end());
        let path = String::new();
        (Self { path, fields }, read.err())
    }

    /// The fields of an object that stands in a message at `path`.
    pub(super) fn of(raw: &'a RawValue, path: String) -> Result<Self, Fault> {
        let (object, error) = Self::of_message(raw.get());
        match error {
            None => Ok(Self { path, ..object }),
            Some(error) => Err(Fault {
                path,
                detail: without_position(&error),
            }),
        }
    }

    /// Where the field of that name stands in the message.
    pub(super) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    fn find(&self, name: &str) -> Said<'a> {
        let mut said = self.fields.iter().filter(|(key, _)| key == name);
        match (said.next(), said.next()) {
            (None, _) => Said::Nothing,
            (Some((_, raw)), None) => Said::Once(raw),
            (Some((_, first)), Some(_)) => Said::Twice(first),
        }
    }

    /// A field without which the message means nothing.
    pub(super) fn required<T: Deserialize<'a>>(&self, name: &str) -> Result<T, Fault> {
        let fault = |detail: String| Fault {
            path: self.path_of(name),
            detail,
        };
        match self.find(name) {
            Said::Once(raw) => serde_json::from_str(raw.get()).map_err(|error| fault(without_position(&error))),
            Said::Nothing => Err(fault(format!("missing field `{name}`"))),
            Said::Twice(_) => Err(fault(format!("duplicate field `{name}`"))),
        }
    }

    /// A required field whose type does not say everything: `objection` is what speaks against a value.
    pub(super) fn required_if<T: Deserialize<'a>>(
        &self,
        name: &str,
        objection: impl FnOnce(&T) -> Option<&'static str>,
    ) -> Result<T, Fault> {
        let value = self.required(name)?;
        match objection(&value) {
            None => Ok(value),
            Some(detail) => Err(Fault {
                path: self.path_of(name),
                detail: detail.to_owned(),
            }),
        }
    }

    /// The entries of a required list of at most `most`, each an object or what is wrong with it.
    pub(super) fn required_objects(&self, name: &str, most: usize) -> Result<Vec<Listed<'a>>, Fault> {
        let path = self.path_of(name);
        let list: Vec<&RawValue> = self.required(name)?;
        if list.len() > most {
            let detail = format!("{} entries, at most {most} are read", list.len());
            return Err(Fault { path, detail });
        }
        let objects = list.into_iter().enumerate();
        let objects = objects.map(|(i, raw)| (raw.get(), Self::of(raw, format!("{path}[{i}]"))));
        Ok(objects.collect())
    }

    /// A field that may be missing, `null`, or unreadable.
    pub(super) fn optional<T: Deserialize<'a>>(&self, name: &str, dropped: &mut Dropped<'a>) -> Option<T> {
        self.optional_if(name, |_| true, dropped)
    }

    /// An optional field that is dropped as well where it says what cannot be.
    pub(super) fn optional_if<T: Deserialize<'a>>(
        &self,
        name: &str,
        is_possible: impl FnOnce(&T) -> bool,
        dropped: &mut Dropped<'a>,
    ) -> Option<T> {
        let (read, written) = match self.find(name) {
            Said::Nothing => return None,
            Said::Once(raw) if raw.get() == "null" => return None,
            Said::Once(raw) => (serde_json::from_str(raw.get()).ok().filter(is_possible), raw),
            Said::Twice(first) => (None, first),
        };
        if read.is_none() {
            dropped.note(self.path_of(name), written.get());
        }
        read
    }

    /// An optional id. Piles that always write the field leave it `""` where there is none.
    pub(super) fn optional_id<T: Deserialize<'a>>(&self, name: &str, dropped: &mut Dropped<'a>) -> Option<T> {
        match self.find(name) {
            Said::Once(raw) if raw.get() == "\"\"" => None,
            _ => self.optional(name, dropped),
        }
    }

    /// An optional text, cut to [`TEXT_CHARS_MAX`]; empty where there is none.
    pub(super) fn text(&self, name: &str, dropped: &mut Dropped<'a>) -> String {
        let text: Option<String> = self.optional(name, dropped);
        match (text, self.find(name)) {
            (Some(text), Said::Once(raw)) => kept_text(text, || self.path_of(name), raw.get(), dropped),
            _ => String::new(),
        }
    }
}

/// As much of a text as is kept. One with other characters than the pile wrote, or without its end, counts as dropped.
pub(super) fn kept_text<'a>(
    mut text: String,
    path: impl FnOnce() -> String,
    written: &'a str,
    dropped: &mut Dropped<'a>,
) -> String {
    let end = text.char_indices().nth(TEXT_CHARS_MAX).map(|(end, _)| end);
    if end.is_some() || (dropped.is_lossy && text.contains(char::REPLACEMENT_CHARACTER)) {
        dropped.note(path(), written);
    }
    text.truncate(end.unwrap_or(text.len()));
    text
}

/// A position within one value helps nobody who looks at the message.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&position).map_or_else(|| text.clone(), str::to_owned)
}

/// Collects fields until the object ends or is broken.
struct Collect<'c, 'a>(&'c mut Vec<(String, &'a RawValue)>);

impl<'a> Visitor<'a> for Collect<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(name) = map.next_key()? {
            self.0.push((name, map.next_value()?));
        }
        Ok(())
    }
}
