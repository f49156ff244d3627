//! One JSON object of a message, field by field as it was written.
//! A field that cannot be read spoils nothing beside it, and numbers are read by their digits.

use super::{TEXT_CHARS_MAX, UNREAD_FIELDS_MAX, Unread};
use crate::fact::Raw;
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

/// The optional fields that could not be read, as they are found.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    fields: Vec<String>,
    count: u32,
}

impl Dropped {
    pub(super) fn note(&mut self, path: String) {
        self.note_many(path, 1);
    }

    /// `count` fields under one name.
    pub(super) fn note_many(&mut self, path: String, count: usize) {
        self.count = self.count.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        if self.fields.len() < UNREAD_FIELDS_MAX {
            self.fields.push(path);
        }
    }

    pub(super) fn into_unread(self, payload: &[u8]) -> Option<Box<Unread>> {
        (self.count > 0).then(|| {
            Box::new(Unread {
                fields: self.fields,
                dropped: self.count,
                raw: Raw::of(payload),
            })
        })
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
    /// Nobody knows which of them is meant.
    Twice,
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
            (Some(_), Some(_)) => Said::Twice,
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
            Said::Twice => Err(fault(format!("duplicate field `{name}`"))),
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
    pub(super) fn required_objects(&self, name: &str, most: usize) -> Result<Vec<Result<Self, Fault>>, Fault> {
        let path = self.path_of(name);
        let list: Vec<&RawValue> = self.required(name)?;
        if list.len() > most {
            let detail = format!("{} entries, at most {most} are read", list.len());
            return Err(Fault { path, detail });
        }
        let objects = list.into_iter().enumerate();
        let objects = objects.map(|(i, raw)| Self::of(raw, format!("{path}[{i}]")));
        Ok(objects.collect())
    }

    /// A field that may be missing, `null`, or unreadable.
    pub(super) fn optional<T: Deserialize<'a>>(&self, name: &str, dropped: &mut Dropped) -> Option<T> {
        self.optional_if(name, |_| true, dropped)
    }

    /// An optional field that is dropped as well where it says what cannot be.
    pub(super) fn optional_if<T: Deserialize<'a>>(
        &self,
        name: &str,
        is_possible: impl FnOnce(&T) -> bool,
        dropped: &mut Dropped,
    ) -> Option<T> {
        let read = match self.find(name) {
            Said::Nothing => return None,
            Said::Once(raw) if raw.get() == "null" => return None,
            Said::Once(raw) => serde_json::from_str(raw.get()).ok().filter(is_possible),
            Said::Twice => None,
        };
        if read.is_none() {
            dropped.note(self.path_of(name));
        }
        read
    }

    /// An optional id. Piles that always write the field leave it `""` where there is none.
    pub(super) fn optional_id<T: Deserialize<'a>>(&self, name: &str, dropped: &mut Dropped) -> Option<T> {
        match self.find(name) {
            Said::Once(raw) if raw.get() == "\"\"" => None,
            _ => self.optional(name, dropped),
        }
    }

    /// An optional text, cut to [`TEXT_CHARS_MAX`]; empty where there is none.
    pub(super) fn text(&self, name: &str, dropped: &mut Dropped) -> String {
        let text: Option<String> = self.optional(name, dropped);
        text.map_or_else(String::new, |text| kept_text(text, || self.path_of(name), dropped))
    }
}

/// As much of a text as is kept. One with other characters than the pile wrote, or without its end, counts as dropped.
pub(super) fn kept_text(mut text: String, path: impl FnOnce() -> String, dropped: &mut Dropped) -> String {
    let end = text.char_indices().nth(TEXT_CHARS_MAX).map(|(end, _)| end);
    if end.is_some() || text.contains(char::REPLACEMENT_CHARACTER) {
        dropped.note(path());
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
