//! One place for every topic of the line: `hf/v1/site/{site}/…`.
//! MQTT 3.1.1 names without wildcards, so that any broker carries them.

use domain::ids::SiteId;
use std::fmt;

const ROOT: &str = "hf/v1/site/";

/// What is sent, and which way: `up` from the station, `down` from head office.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// What the station says of itself; retained, and its will.
    Status,
    /// A [batch](crate::frame::Batch) of its journal.
    Journal,
    /// An answer to a question, or a part of one.
    Answer,
    /// An order's live frames.
    Live,
    /// The station is there, and asks whether head office is.
    Ping,
    /// How far head office [has the journal](crate::frame::Ack).
    Ack,
    /// Entries that a restored station [gets back](crate::frame::Tail).
    Tail,
    /// What head office has the station [do](crate::frame::SignedDirective).
    Directive,
    /// A question to the station.
    Ask,
    /// Somebody watches an order.
    Watch,
    /// Head office [is there](crate::frame::Pong).
    Pong,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Status,
        Self::Journal,
        Self::Answer,
        Self::Live,
        Self::Ping,
        Self::Ack,
        Self::Tail,
        Self::Directive,
        Self::Ask,
        Self::Watch,
        Self::Pong,
    ];

    /// The end of its topics.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Status => "up/status",
            Self::Journal => "up/journal",
            Self::Answer => "up/answer",
            Self::Live => "up/live",
            Self::Ping => "up/ping",
            Self::Ack => "down/ack",
            Self::Tail => "down/tail",
            Self::Directive => "down/directive",
            Self::Ask => "down/ask",
            Self::Watch => "down/watch",
            Self::Pong => "down/pong",
        }
    }

    /// Whether the station sends it; otherwise head office does.
    pub fn is_up(self) -> bool {
        self.path().starts_with("up/")
    }

    /// The quality of service that it is sent with: 1 where a loss would have to be noticed, else 0.
    pub const fn qos(self) -> u8 {
        match self {
            Self::Status | Self::Journal | Self::Answer | Self::Ack | Self::Tail | Self::Directive | Self::Ask => 1,
            Self::Live | Self::Ping | Self::Watch | Self::Pong => 0,
        }
    }
}

/// A topic of one site.
///
/// ```
/// use protocol::topic::{Kind, Topic};
/// let topic = Topic::new("s01".parse().unwrap(), Kind::Journal);
/// assert_eq!(topic.to_string(), "hf/v1/site/s01/up/journal");
/// assert_eq!(Topic::parse("hf/v1/site/s01/up/journal"), Some(topic));
/// assert_eq!(Topic::parse("hf/v1/site/s01/up/Journal"), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Topic {
    /// Whose.
    pub site: SiteId,
    /// Of what.
    pub kind: Kind,
}

/// The client id of whoever is called so at a node of the broker, of which there are several: another at each, and all of them
/// none that a site can have.
///
/// A cluster may keep what belongs to a client at the node where it was (RabbitMQ 3.10 keeps the queue of a clean session, too),
/// and refuse that client everywhere else as long as the node is down.
pub fn client_id(name: &str, node: usize) -> String {
    match node {
        0 => name.to_owned(),
        _ => format!("{name}.{}", node + 1),
    }
}

impl Topic {
    /// The topic of this site for this.
    pub fn new(site: SiteId, kind: Kind) -> Self {
        Self { site, kind }
    }

    /// Reads a topic; none if it is not one of the line's.
    pub fn parse(text: &str) -> Option<Self> {
        let (site, path) = text.strip_prefix(ROOT)?.split_once('/')?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.path() == path)?;
        Some(Self::new(site.parse().ok()?, kind))
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ROOT}{}/{}", self.site, self.kind.path())
    }
}

/// The filter for everything that head office sends to a site.
pub fn down_filter(site: &SiteId) -> String {
    format!("{ROOT}{site}/down/+")
}

/// The filter for everything that a site sends.
pub fn up_filter(site: &SiteId) -> String {
    format!("{ROOT}{site}/up/+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_called_otherwise_at_each_node_and_never_as_a_site_is() {
        assert_eq!(client_id("s01", 0), "s01");
        let others = [1, 2].map(|node| client_id("s01", node));
        assert_eq!(others, ["s01.2", "s01.3"]);
        assert!(others.iter().all(|id| id.parse::<SiteId>().is_err()));
    }

    #[test]
    fn every_topic_is_read_as_it_is_written_and_lies_on_its_side() {
        for kind in Kind::ALL {
            let topic = Topic::new("Site_1-x".parse().unwrap(), kind);
            let text = topic.to_string();
            assert_eq!(Topic::parse(&text), Some(topic));
            assert_eq!(kind.is_up(), text.contains("/up/"), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_topic_of_the_line_is_none() {
        for text in [
            "",
            "hf/v1/site/",
            "hf/v1/site/s01",
            "hf/v1/site/s01/up",
            "hf/v1/site/s01/up/journal/",
            "hf/v1/site//up/journal",
            "hf/v1/site/a b/up/journal",
            "hf/v1/site/s01/down/journal",
            "hf/v1/pile/s01/up/status",
        ] {
            assert_eq!(Topic::parse(text), None, "{text}");
        }
    }
}
