//! Counters: what the broker did and refused since it started.
//! Relaxed atomics; a snapshot is consistent enough for a metrics page, not for accounting.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::gatekeeper::ConnectRefusal;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A snapshot of the counters, see [`Handle::stats`](crate::Handle::stats).
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Stats {
            /// Connections with an attached session now.
            pub connected: u64,
            /// Sessions now, connected or not.
            pub sessions: u64,
            /// Retained messages now.
            pub retained: u64,
            /// Bytes (topic, payload and properties) of retained messages now.
            pub retained_bytes: u64,
            /// Refused CONNECTs by reason, in the order of [`ConnectRefusal::ALL`].
            pub connects_refused: [u64; ConnectRefusal::ALL.len()],
            $($(#[$doc])* pub $name: u64,)*
        }

        /// The live counters.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            pub(crate) connects_refused: [AtomicU64; ConnectRefusal::ALL.len()],
            $(pub(crate) $name: AtomicU64,)*
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> Stats {
                Stats {
                    connects_refused: std::array::from_fn(|i| self.connects_refused[i].load(Ordering::Relaxed)),
                    $($name: self.$name.load(Ordering::Relaxed),)*
                    ..Stats::default()
                }
            }
        }
    };
}

counters! {
    /// Sockets accepted.
    sockets_accepted,
    /// Sockets turned away because of a cap.
    sockets_over_cap,
    /// TLS handshakes that failed or took too long.
    tls_failed,
    /// Sockets that ended before a complete, well-formed CONNECT.
    connects_missing,
    /// CONNECTs accepted.
    connects_accepted,
    /// PUBLISH packets received.
    publishes_in,
    /// PUBLISH packets sent, repeats included.
    publishes_out,
    /// Bytes read from sockets (inside TLS).
    bytes_in,
    /// Bytes written to sockets (inside TLS).
    bytes_out,
    /// Connections closed for a packet that could not be parsed.
    malformed,
    /// Connections closed for a packet that was not allowed.
    protocol_errors,
    /// Connections closed for a packet above the size limit.
    packets_too_large,
    /// Connections closed for publishing where they may not, or on an invalid topic.
    publishes_refused,
    /// Filters refused in SUBACK.
    subscriptions_refused,
    /// Connections closed for keep-alive or silence.
    keep_alive_timeouts,
    /// Connections closed for a packet begun and not finished.
    partial_packet_timeouts,
    /// Connections dropped because they did not read.
    slow_readers,
    /// Times a connection was held back because of its identity's packet rate or unresolved messages.
    rate_limited,
    /// Connections taken over by the same client id.
    taken_over,
    /// Connections closed because a receipt failed.
    deliveries_failed,
    /// Messages dropped because a session's queue was full.
    queue_full,
    /// Messages dropped because their expiry passed.
    expired,
    /// Messages not sent because they exceed the client's Maximum Packet Size.
    above_client_maximum,
    /// Messages that were not retained because a cap was reached.
    retained_full,
    /// Shared messages lost between the router and a subscriber that fell behind its log.
    shared_lost,
    /// Wills published.
    wills_published,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn one(counter: &AtomicU64) {
        Self::add(counter, 1);
    }

    pub(crate) fn connect_refused(&self, refusal: ConnectRefusal) {
        let at = ConnectRefusal::ALL
            .iter()
            .position(|r| *r == refusal)
            .expect("ALL lists every refusal");
        Self::one(&self.connects_refused[at]);
    }
}

impl Stats {
    /// Refused CONNECTs for one reason.
    pub fn connects_refused_for(&self, refusal: ConnectRefusal) -> u64 {
        let at = ConnectRefusal::ALL
            .iter()
            .position(|r| *r == refusal)
            .expect("ALL lists every refusal");
        self.connects_refused[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_own_counter() {
        let counters = Counters::default();
        for (n, refusal) in ConnectRefusal::ALL.into_iter().enumerate() {
            for _ in 0..=n {
                counters.connect_refused(refusal);
            }
        }
        let stats = counters.snapshot();
        for (n, refusal) in ConnectRefusal::ALL.into_iter().enumerate() {
            assert_eq!(stats.connects_refused_for(refusal), n as u64 + 1);
        }
    }
}
