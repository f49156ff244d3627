//! Names of things: sites, piles, members, orders, commands and messages.
//! Every id is validated where it enters and cheap to clone afterwards.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{
    borrow::{Borrow, Cow},
    fmt,
    str::FromStr,
    sync::Arc,
};

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {what}: {rule}")]
pub struct InvalidId {
    /// The kind of id that was expected, in the product's words.
    pub what: &'static str,
    /// What was given, cut to 64 characters.
    pub text: String,
    /// The rule it breaks.
    pub rule: &'static str,
}

const NAME_RULE: &str = "1 to 32 of A-Z a-z 0-9 _ -";
const CARD_RULE: &str = "1 to 32 of A-Z a-z 0-9 _ -, without counting `:` and spaces";
const TOKEN_RULE: &str = "1 to 96 of A-Z a-z 0-9 _ - . : ~";

fn is_name(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn is_token(text: &str) -> bool {
    (1..=96).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:~".contains(&b))
}

/// As it is: most ids are what they were written as.
fn as_written(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

/// The one form of a card's number: in capitals and without what only divides it.
///
/// Readers write the same number in many ways (`04:a3:5b`, `04 A3 5B`, `04A35B`), and a person types it in another. What is
/// far too long stays so, and is refused like anything else that is.
fn card_number(text: &str) -> Cow<'_, str> {
    let is_canonical = |b: u8| !b.is_ascii_lowercase() && b != b':' && b != b' ';
    if text.bytes().all(is_canonical) {
        return Cow::Borrowed(text);
    }
    let kept = text.chars().filter(|c| !matches!(c, ':' | ' '));
    Cow::Owned(kept.map(|c| c.to_ascii_uppercase()).collect())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path, $rule:path) => {
        id!($(#[$doc])* $name, $what, $check, $rule, as_written);
    };
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path, $rule:path, $canonical:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` against the rule for this kind of id.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidId> {
                let text = text.as_ref();
                let canonical = $canonical(text);
                if $check(&canonical) {
                    Ok(Self(canonical.as_ref().into()))
                } else {
                    Err(InvalidId { what: $what, text: text.chars().take(64).collect(), rule: $rule })
                }
            }

            /// The id, in the form in which ids of this kind are compared.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::new(&*text).map_err(de::Error::custom)
            }
        }
    };
}

id!(/// A charging station (站点).
    SiteId, "site id", is_name, NAME_RULE);
id!(/// A charging pile (桩); also its MQTT user name.
    PileId, "pile id", is_name, NAME_RULE);
id!(/// A display: a price board, a building system, an energy manager; whoever reads the station's live topics.
    DisplayId, "display id", is_name, NAME_RULE);
id!(/// A member (会员): who pays.
    MemberId, "member id", is_name, NAME_RULE);
id!(/// A card presented at a pile. `04:a3:5b`, `04 A3 5B` and `04A35B` are one card, kept as `04A35B`: cards are compared
    /// without case, `:` and spaces.
    CardId, "card id", is_name, CARD_RULE, card_number);
id!(/// A tariff version.
    TariffId, "tariff id", is_name, NAME_RULE);
id!(/// One charging session (订单): a UUIDv7 made here, or `off-{pile}-{connector}-{counter}` made by a pile.
    OrderId, "order id", is_token, TOKEN_RULE);
id!(/// A command sent to a pile; a pile acts on it once.
    CommandId, "command id", is_token, TOKEN_RULE);
id!(/// One start of a pile's firmware. A `msg_id` means nothing without it.
    BootId, "boot id", is_token, TOKEN_RULE);
id!(/// A pile's own number for a message, unique within its boot.
    MsgId, "message id", is_token, TOKEN_RULE);

/// A connector (枪) of a pile, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConnectorNo(pub u8);

impl fmt::Display for ConnectorNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One outlet: a pile and one of its connectors.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Outlet {
    /// The pile.
    pub pile: PileId,
    /// The connector on it.
    pub connector: ConnectorNo,
}

impl PileId {
    /// Every connector that the pile can have, in order.
    pub fn outlets(&self) -> std::ops::RangeInclusive<Outlet> {
        let outlet = |connector| Outlet {
            pile: self.clone(),
            connector: ConnectorNo(connector),
        };
        outlet(u8::MIN)..=outlet(u8::MAX)
    }
}

impl fmt::Display for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pile, self.connector)
    }
}

/// What the numbers of orders begin with that head office has made.
pub const HEAD_OFFICE_ORDER: &str = "hq-";

impl OrderId {
    /// Whether head office has made it.
    pub fn is_head_offices(&self) -> bool {
        self.0.starts_with(HEAD_OFFICE_ORDER)
    }

    /// Reads the prefix of an order id that a pile made up (pile-protocol v1, `record`).
    ///
    /// `Some` only if the id has the form `off-{pile}-{connector}-{counter}` for exactly this outlet, so that one pile
    /// cannot claim another's session.
    pub fn is_offline_session_of(&self, outlet: &Outlet) -> bool {
        let prefix = format!("off-{}-{}-", outlet.pile, outlet.connector);
        self.0.strip_prefix(&*prefix).is_some_and(|counter| {
            !counter.is_empty() && counter.len() <= 20 && counter.bytes().all(|b| b.is_ascii_digit())
        })
    }
}

/// Where randomness comes from: an input, so that the same seed gives the same ids.
pub trait Randomness {
    /// 128 random bits.
    fn bits(&mut self) -> u128;
}

/// A UUIDv7 (RFC 9562 §5.7) for `unix_ms`, in its usual text form.
pub fn uuid_v7(unix_ms: i64, random: u128) -> String {
    let ms = u128::from(unix_ms.clamp(0, (1 << 48) - 1).unsigned_abs());
    let rand_a = (random >> 64) & 0xfff;
    let rand_b = random & 0x3fff_ffff_ffff_ffff;
    let value = (ms << 80) | (0x7 << 76) | (rand_a << 64) | (0b10 << 62) | rand_b;
    let hex = format!("{value:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_plain() {
        assert!(PileId::new("P-01_a").is_ok());
        for bad in ["", "a/b", "a+b", "#", "a b", "桩", &"x".repeat(33)] {
            assert!(PileId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_card_is_known_in_whatever_way_its_number_is_written() {
        let card = CardId::new("04A35B").unwrap();
        for same in ["04:a3:5b", "04:A3:5B", "04 a3 5b", " 04a35B "] {
            assert_eq!(CardId::new(same).unwrap(), card, "{same}");
            assert_eq!(
                serde_json::from_value::<CardId>(same.into()).unwrap().as_str(),
                "04A35B"
            );
        }
        assert_eq!(CardId::new("card-7").unwrap().as_str(), "CARD-7");
        assert_ne!(CardId::new("04-A3-5B").unwrap(), card, "a `-` is a character of a name");
        let longest = vec!["AB"; 16].join(":");
        assert_eq!(CardId::new(longest).unwrap().as_str().len(), 32);
        for bad in ["", ":", " ", "04;A3", "卡", &"A".repeat(33)] {
            assert!(CardId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_offline_session_names_its_own_outlet() {
        let outlet = |pile: &str, no| Outlet {
            pile: PileId::new(pile).unwrap(),
            connector: ConnectorNo(no),
        };
        let id = OrderId::new("off-P1-2-17").unwrap();
        assert!(id.is_offline_session_of(&outlet("P1", 2)));
        assert!(!id.is_offline_session_of(&outlet("P1", 1)));
        assert!(!id.is_offline_session_of(&outlet("P", 2)));
        assert!(
            !OrderId::new("off-P1-2-")
                .unwrap()
                .is_offline_session_of(&outlet("P1", 2))
        );
        assert!(
            !OrderId::new("off-P1-2-x")
                .unwrap()
                .is_offline_session_of(&outlet("P1", 2))
        );
    }

    #[test]
    fn uuid_v7_carries_version_variant_and_time() {
        let id = uuid_v7(0x0190_0000_0000, u128::MAX);
        assert_eq!(id, "01900000-0000-7fff-bfff-ffffffffffff");
        assert!(uuid_v7(1, 0) < uuid_v7(2, 0), "sorts by time");
    }
}
