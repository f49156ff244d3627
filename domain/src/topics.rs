//! Every MQTT topic, built and read in this one place: those of the pile contract v1, and those that displays read.
//!
//! ```
//! use domain::{ids::PileId, topics::{self, UpKind, DownKind}};
//! let pile = PileId::new("P01").unwrap();
//! for kind in UpKind::ALL.iter().copied() {
//!     assert_eq!(topics::parse_up(&topics::up(&pile, kind)), Some((pile.clone(), kind)));
//! }
//! assert_eq!(topics::down(&pile, DownKind::Command), "hf/v1/pile/P01/down/command");
//! ```

use crate::ids::{DisplayId, OrderId, PileId, SiteId};

const ROOT: &str = "hf/v1/pile/";
/// What all displays of a site read.
const SITE_ROOT: &str = "hf/v1/site/";
/// Before a display's id in its MQTT user name. No pile's id has a colon, so that neither can be taken for the other.
const DISPLAY_USER: &str = "display:";

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

/// `hf/v1/site/{site}/pile/{pile}/state`.
pub fn pile_state(site: &SiteId, pile: &PileId) -> String {
    format!("{SITE_ROOT}{site}/pile/{pile}/state")
}

/// `hf/v1/site/{site}/live/{order}`.
pub fn live(site: &SiteId, order: &OrderId) -> String {
    format!("{SITE_ROOT}{site}/live/{order}")
}

/// The MQTT user name of a display, `display:{id}`.
pub fn display_user(display: &DisplayId) -> String {
    format!("{DISPLAY_USER}{display}")
}

/// The display with this user name; `None` for any other user.
pub fn parse_display_user(user: &str) -> Option<DisplayId> {
    DisplayId::new(user.strip_prefix(DISPLAY_USER)?).ok()
}

/// Whether every topic that `filter` matches lies under `hf/v1/site/{site}/`: what displays of this site may subscribe to.
pub fn may_display(site: &SiteId, filter: &str) -> bool {
    let rest = filter
        .strip_prefix(SITE_ROOT)
        .and_then(|rest| rest.strip_prefix(site.as_str()));
    rest.and_then(|rest| rest.strip_prefix('/'))
        .is_some_and(|rest| !rest.is_empty())
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

    #[test]
    fn a_display_reads_its_site_and_nothing_of_piles() {
        let site = SiteId::new("s1").unwrap();
        let (pile, order) = (PileId::new("P1").unwrap(), OrderId::new("off-P1-1-7").unwrap());
        for own in ["#", "live/#", "live/+", "pile/+/state", "pile/P1/state", "+/#"] {
            assert!(may_display(&site, &format!("hf/v1/site/s1/{own}")), "{own}");
        }
        assert!(may_display(&site, &pile_state(&site, &pile)) && may_display(&site, &live(&site, &order)));
        for foreign in [
            "#",
            "hf/#",
            "hf/v1/site/+/live/#",
            "hf/v1/+/s1/live/#",
            "hf/v1/site/s10/live/#",
            "hf/v1/site/s1",
            "hf/v1/site/s1/",
            "hf/v1/pile/P1/down/#",
            "hf/v1/pile/+/up/#",
            "$share/g/hf/v1/site/s1/live/#",
        ] {
            assert!(!may_display(&site, foreign), "{foreign}");
        }
        assert!(!may_subscribe(&pile, &pile_state(&site, &pile)));
    }

    #[test]
    fn no_user_is_both_a_pile_and_a_display() {
        let board = DisplayId::new("board").unwrap();
        assert_eq!(parse_display_user(&display_user(&board)), Some(board.clone()));
        assert!(PileId::new(display_user(&board)).is_err());
        for other in ["board", "display:", "display:a/b", "Display:board", "display:a~b"] {
            assert_eq!(parse_display_user(other), None, "{other}");
        }
    }
}
