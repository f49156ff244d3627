//! How a site comes in: a file that a person takes to the box, what the program there shows over HTTPS, and what it gets.

use crate::key::PublicKey;
use domain::{ids::SiteId, time::Wall};
use serde::{Deserialize, Serialize};

/// Where a [`Request`] is posted to.
pub const PATH: &str = "/v1/enrolments";

/// What a person takes to the box, as JSON in a file that only its owner may read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// Which site it is for.
    pub site: SiteId,
    /// Where head office's HTTPS is: host and port.
    pub at: String,
    /// The certificate of the authority that HTTPS is known by, PEM.
    pub authority: String,
    /// The one-time token.
    pub token: String,
    /// Until when it counts.
    pub until: Wall,
}

/// What the program on the box shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The one-time token.
    pub token: String,
    /// Its own public key, in hexadecimal digits.
    pub agent_key: String,
    /// The key that the station signs its journal with.
    pub edge_key: PublicKey,
}

/// What it gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// Which site it speaks for.
    pub site: SiteId,
    /// The site's number, which is in the ids of members that are made at its desk.
    pub number: u64,
    /// Where head office's broker is: host and port of each of its nodes, which are tried in turn; at least one.
    pub brokers: Vec<String>,
    /// Whether that is spoken to without TLS.
    pub plain: bool,
    /// The authority of the broker's certificate, PEM.
    pub authority: String,
    /// The certificate for its connection, PEM.
    pub certificate: String,
    /// What head office signs with.
    pub public_keys: Vec<PublicKey>,
}
