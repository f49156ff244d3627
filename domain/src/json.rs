//! Objects that are objects: what serde derives for a struct also takes a list of its values in order.
//! A list says by position what an object says by name, so it would mean something else as soon as a field is added.

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::{fmt, marker::PhantomData};

/// A struct that is read from an object alone.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<T, M::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// For `#[serde(deserialize_with)]`: one object.
///
/// # Errors
/// What is there is no object, or none that `T` can be read from.
pub fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(read)| read)
}

/// The same of one that may be missing or `null`.
///
/// # Errors
/// As [`object`].
pub fn optional_object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let read: Option<Object<T>> = Option::deserialize(deserializer)?;
    Ok(read.map(|Object(read)| read))
}

/// The same of a list of them.
///
/// # Errors
/// As [`object`], of any entry.
pub fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let read: Vec<Object<T>> = Vec::deserialize(deserializer)?;
    Ok(read.into_iter().map(|Object(read)| read).collect())
}

#[cfg(test)]
mod tests {
    use crate::{
        messages::{StopReason, Up, read_up},
        topics::UpKind,
    };

    const RECORD: &str = r#"{"boot_id":"b","seq":1,"mono_ms":9,"ts":null,"msg_id":"m","order_id":"o","connector":1,
        "start_ts":null,"stop_ts":null,"start_mono_ms":1,"stop_mono_ms":2,"meter_start_kwh":"1","meter_stop_kwh":"2",
        "reason":{"code":7,"text":"full"},"samples":[{"ts":null,"mono_ms":1,"meter_kwh":"1"}],
        "periods":{"sharp_kwh":"1","peak_kwh":"0","flat_kwh":"0","valley_kwh":"0"},
        "signed":{"format":"OCMF","data":"x"}}"#;

    #[test]
    fn a_list_does_not_stand_for_an_object_in_a_message() {
        let read = |text: &str| read_up(UpKind::Record, text.as_bytes()).unwrap();
        assert_eq!(read(RECORD).unread, None);
        for (object, list, path) in [
            (r#"{"code":7,"text":"full"}"#, r#"[7,"full"]"#, "reason"),
            (
                r#"{"ts":null,"mono_ms":1,"meter_kwh":"1"}"#,
                r#"[null,1,"1"]"#,
                "samples[0]",
            ),
            (
                r#"{"sharp_kwh":"1","peak_kwh":"0","flat_kwh":"0","valley_kwh":"0"}"#,
                r#"["1","0","0","0"]"#,
                "periods",
            ),
            (r#"{"format":"OCMF","data":"x"}"#, r#"["OCMF","x"]"#, "signed"),
        ] {
            let message = read(&RECORD.replace(object, list));
            let unread = message.unread.unwrap_or_else(|| panic!("{path} was read"));
            assert_eq!(unread.fields[0].path, path);
            let Up::Record(record) = message.body else {
                panic!("a record is a record");
            };
            assert_eq!(record.reason.code == StopReason::OTHER, path == "reason");
        }
        for connectors in [
            r#"[[1,"idle",null,null,null,null,null,"1.5",[]]]"#,
            "[[1,null,\"1\",null]]",
        ] {
            let heartbeat = format!(r#"{{"boot_id":"b","seq":7,"mono_ms":9,"ts":null,"connectors":{connectors}}}"#);
            assert!(read_up(UpKind::Heartbeat, heartbeat.as_bytes()).is_err(), "{heartbeat}");
        }
    }
}
