//! Between messages and bytes, from the pile's end: up messages are written, down messages are read.
//! The types are the contract's own, so what is written here cannot drift from what the station reads.

use domain::{
    ids::PileId,
    messages::{Common, Down, Up, UpMessage},
    topics::{self, DownKind, UpKind},
};
use serde::Serialize;

/// The kind of topic a message goes to.
pub fn kind_of(body: &Up) -> UpKind {
    match body {
        Up::Boot(_) => UpKind::Boot,
        Up::Heartbeat(_) => UpKind::Heartbeat,
        Up::Reply(_) => UpKind::Reply,
        Up::Record(_) => UpKind::Record,
        Up::Event(_) => UpKind::Event,
        Up::Card(_) => UpKind::Card,
    }
}

/// Where bytes that are no message of the contract go: `up/{word}`, whatever the word.
pub fn up_topic(pile: &PileId, word: &str) -> String {
    beside(&topics::up(pile, UpKind::Boot), word)
}

/// What a pile subscribes to: everything below its `down/`.
pub fn down_filter(pile: &PileId) -> String {
    beside(&topics::down(pile, DownKind::Command), "#")
}

/// `topic` with another last level.
fn beside(topic: &str, last: &str) -> String {
    let end = topic.rfind('/').map_or(0, |slash| slash + 1);
    format!("{}{last}", &topic[..end])
}

/// The JSON of an up message.
pub fn write_up(message: &UpMessage) -> Vec<u8> {
    #[derive(Serialize)]
    struct Flat<'a, T> {
        #[serde(flatten)]
        common: &'a Common,
        #[serde(flatten)]
        body: &'a T,
    }
    fn flat<T: Serialize>(common: &Common, body: &T) -> Vec<u8> {
        serde_json::to_vec(&Flat { common, body }).expect("string keys and finite numbers always serialise")
    }
    let common = &message.common;
    match &message.body {
        Up::Boot(body) => flat(common, body),
        Up::Heartbeat(body) => flat(common, body),
        Up::Reply(body) => flat(common, body),
        Up::Record(body) => flat(common, &**body),
        Up::Event(body) => flat(common, body),
        Up::Card(body) => flat(common, body),
    }
}

/// Reads a message from the station; the error says what is wrong with it.
pub fn read_down(pile: &PileId, topic: &str, payload: &[u8]) -> Result<Down, String> {
    let kind = DownKind::ALL
        .iter()
        .copied()
        .find(|kind| topics::down(pile, *kind) == topic);
    let kind = kind.ok_or_else(|| format!("a message on `{topic}`"))?;
    let read = match kind {
        DownKind::Command => serde_json::from_slice(payload).map(Down::Command),
        DownKind::Ack => serde_json::from_slice(payload).map(Down::Ack),
        DownKind::Time => serde_json::from_slice(payload).map(Down::Time),
        DownKind::Price => serde_json::from_slice(payload).map(Down::Price),
    };
    read.map_err(|error| {
        let text: String = String::from_utf8_lossy(payload).chars().take(200).collect();
        format!("a `{}` that cannot be read ({error}): {text}", kind.word())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{
        ids::{BootId, ConnectorNo, MsgId},
        messages::{Event, EventKind, TimeMessage, read_up},
        time::Wall,
    };

    #[test]
    fn what_is_written_is_what_the_station_reads() {
        let common = Common {
            boot_id: BootId::new("b").unwrap(),
            seq: 3,
            mono_ms: 17,
            ts: None,
            msg_id: Some(MsgId::new("1-3").unwrap()),
        };
        let event = Event {
            connector: ConnectorNo(1),
            kind: EventKind::Plugged,
            code: 0,
            text: String::new(),
        };
        let message = UpMessage::new(common, Up::Event(event));
        let bytes = write_up(&message);
        assert_eq!(
            String::from_utf8(bytes.clone()).unwrap(),
            r#"{"boot_id":"b","seq":3,"mono_ms":17,"ts":null,"msg_id":"1-3","connector":1,"kind":"plugged","code":0,"text":""}"#
        );
        assert_eq!(read_up(UpKind::Event, &bytes).unwrap(), message);
    }

    #[test]
    fn a_pile_stays_inside_its_own_branch() {
        let pile = PileId::new("P1").unwrap();
        assert_eq!(down_filter(&pile), "hf/v1/pile/P1/down/#");
        assert!(topics::may_subscribe(&pile, &down_filter(&pile)));
        assert!(topics::may_publish(&pile, &up_topic(&pile, "nonsense")));
    }

    #[test]
    fn down_messages_are_read_and_others_are_named() {
        let pile = PileId::new("P1").unwrap();
        let time = Down::Time(TimeMessage { ts: Wall(1_000) });
        assert_eq!(read_down(&pile, "hf/v1/pile/P1/down/time", &time.to_json()), Ok(time));
        assert!(
            read_down(&pile, "hf/v1/pile/P2/down/time", b"{}")
                .unwrap_err()
                .contains("P2")
        );
        assert!(
            read_down(&pile, "hf/v1/pile/P1/down/ack", b"{\"x\":1}")
                .unwrap_err()
                .contains("`ack`")
        );
    }
}
