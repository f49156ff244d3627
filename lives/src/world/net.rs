//! The station's network and the broker's part of it, simulated: connections that stall and break, messages that are
//! late, lost with their connection, or repeated.
//!
//! It keeps to what MQTT promises and to no more. Within a connection QoS 1 messages arrive in order; with a connection
//! that breaks any of those in flight may be lost, or arrive late, after younger ones. Heartbeats (QoS 0) may be lost or
//! overtaken at any time. A pile connects with a clean session, so nothing waits for it while it is away.

use super::Time;
use domain::ids::PileId;
use std::collections::BTreeMap;

/// How long a silent connection is believed in, on either side.
pub(super) const KEEP_ALIVE_MS: u64 = 90_000;

/// One pile's way to the station.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// The connection that the pile believes in: its attempt.
    pub(super) pile_side: Option<u64>,
    /// The connection that the station believes in.
    pub(super) station_side: Option<u64>,
    /// Since when both sides have believed in the same connection.
    pub(super) since: Time,
    /// Nothing passes before then.
    pub(super) stalled_until: Time,
    /// The arrival of the last message in order, up and down.
    up_last: Time,
    down_last: Time,
}

impl Link {
    pub(super) fn is_stalled(&self, now: Time) -> bool {
        now < self.stalled_until
    }

    /// When something sent now arrives in order, `latency` later.
    pub(super) fn up_arrival(&mut self, now: Time, latency: u64) -> Time {
        self.up_last = (now + latency).max(self.up_last).max(self.stalled_until);
        self.up_last
    }

    /// As [`Link::up_arrival`], on the way down.
    pub(super) fn down_arrival(&mut self, now: Time, latency: u64) -> Time {
        self.down_last = (now + latency).max(self.down_last).max(self.stalled_until);
        self.down_last
    }

    /// A new connection has no past.
    pub(super) fn begin(&mut self, attempt: u64, now: Time) {
        self.pile_side = Some(attempt);
        self.station_side = Some(attempt);
        (self.up_last, self.down_last, self.since) = (now, now, now);
    }
}

/// All links.
pub(super) type Links = BTreeMap<PileId, Link>;
