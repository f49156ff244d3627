//! Every MQTT topic of the pile contract v1, built and read in this one place.
//!
//! ```
//! use domain::{ids::PileId, topics::{self, UpKind, DownKind}};
//! let pile = PileId::new("P01").unwrap();
//! for kind in UpKind::ALL.iter().copied() {
//!     assert_eq!(topics::parse_up(&topics::up(&pile, kind)), Some((pile.clone(), kind)));
//! }
//! assert_eq!(topics::down(&pile, DownKind::Command), "hf/v1/pile/P01/down/command");
//! ```

use crate::ids::PileId;

const ROOT: &str = "hf/v1/pile/";

macro_rules! kinds {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every kind, in the order of the contract.
            pub const ALL: &[$name] = &[$($name::$variant),+];

            /// The last level of the topic.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
        }
    };
}

kinds!(/// What a pile says.
UpKind {
    /// After every connect.
    Boot = "boot",
    /// Telemetry and status.
    Heartbeat = "heartbeat",
    /// The answer to a command.
    Reply = "reply",
    /// The final statement of a session.
    Record = "record",
    /// Something happened at a connector.
    Event = "event",
    /// A card was swiped.
    Card = "card",
});

kinds!(/// What the station says to a pile.
DownKind {
    /// Do something once.
    Command = "command",
    /// A message of yours is on disk.
    Ack = "ack",
    /// The station's time.
    Time = "time",
    /// Today's prices, retained.
    Price = "price",
});

impl DownKind {
    /// Whether whoever subscribes later gets the last one at once.
    pub fn is_retained(self) -> bool {
        self == Self::Price
    }
}

/// `hf/v1/pile/{pile}/up/{kind}`.
pub fn up(pile: &PileId, kind: UpKind) -> String {
    format!("{ROOT}{pile}/up/{}", kind.word())
}

/// `hf/v1/pile/{pile}/down/{kind}`.
pub fn down(pile: &PileId, kind: DownKind) -> String {
    format!("{ROOT}{pile}/down/{}", kind.word())
}

/// The pile and kind of an `up` topic, or `None` for any other topic.
pub fn parse_up(topic: &str) -> Option<(PileId, UpKind)> {
    let (pile, kind) = topic.strip_prefix(ROOT)?.split_once("/up/")?;
    let kind = UpKind::ALL.iter().copied().find(|known| known.word() == kind)?;
    Some((PileId::new(pile).ok()?, kind))
}

/// What stands in the place of the kind in an `up` topic of this pile; `None` for a topic that is not under its `up/`.
pub fn up_word<'t>(pile: &PileId, topic: &'t str) -> Option<&'t str> {
    below(pile, topic)?.strip_prefix("up/").filter(|word| !word.is_empty())
}

/// Whether `topic` lies under this pile's `up/`, known kind or not: where the pile may publish.
pub fn may_publish(pile: &PileId, topic: &str) -> bool {
    up_word(pile, topic).is_some()
}

/// Whether every topic that `filter` matches lies under this pile's `down/`: what the pile may subscribe to.
pub fn may_subscribe(pile: &PileId, filter: &str) -> bool {
    below(pile, filter).is_some_and(|rest| rest.strip_prefix("down/").is_some_and(|kind| !kind.is_empty()))
}

fn below<'t>(pile: &PileId, topic: &'t str) -> Option<&'t str> {
    topic.strip_prefix(ROOT)?.strip_prefix(pile.as_str())?.strip_prefix('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pile_stays_inside_its_own_branch() {
        let pile = PileId::new("P1").unwrap();
        assert!(may_publish(&pile, "hf/v1/pile/P1/up/record"));
        assert_eq!(up_word(&pile, "hf/v1/pile/P1/up/record/"), Some("record/"));
        assert!(may_subscribe(&pile, "hf/v1/pile/P1/down/#"));
        assert!(may_subscribe(&pile, "hf/v1/pile/P1/down/command"));
        for foreign in [
            "#",
            "+/v1/pile/P1/down/#",
            "hf/v1/pile/+/down/#",
            "hf/v1/pile/P1/#",
            "hf/v1/pile/P10/down/#",
            "$share/g/hf/v1/pile/P1/down/#",
            "hf/v1/pile/P1/down/",
            "hf/v1/pile/P1/down",
        ] {
            assert!(!may_subscribe(&pile, foreign), "{foreign}");
        }
        for foreign in [
            "hf/v1/pile/P2/up/record",
            "hf/v1/pile/P1/down/command",
            "hf/v1/pile/P1/up/",
            "$SYS/x",
        ] {
            assert!(!may_publish(&pile, foreign), "{foreign}");
        }
    }
}
