//! The broker's numbers, and the log's, for `/metrics`.

use broker::{ConnectRefusal, Handle, Stats};
use service::http::metrics::{Counters, Metric};
use service::log;

/// A number of the broker's: its name, what it counts, and where it is.
type Number = (&'static str, &'static str, fn(&Stats) -> u64);

const GAUGES: [Number; 4] = [
    ("holdfast_mqtt_connected", "MQTT connections with a session.", |stats| {
        stats.connected
    }),
    ("holdfast_mqtt_sessions", "MQTT sessions, connected or not.", |stats| {
        stats.sessions
    }),
    ("holdfast_mqtt_retained", "Retained messages.", |stats| stats.retained),
    ("holdfast_mqtt_retained_bytes", "Bytes of retained messages.", |stats| {
        stats.retained_bytes
    }),
];

const COUNTERS: [Number; 25] = [
    ("holdfast_mqtt_sockets_accepted_total", "Sockets accepted.", |stats| {
        stats.sockets_accepted
    }),
    (
        "holdfast_mqtt_sockets_over_cap_total",
        "Sockets closed because of a cap.",
        |stats| stats.sockets_over_cap,
    ),
    (
        "holdfast_mqtt_tls_failed_total",
        "TLS handshakes that failed.",
        |stats| stats.tls_failed,
    ),
    ("holdfast_mqtt_connects_total", "CONNECTs accepted.", |stats| {
        stats.connects_accepted
    }),
    (
        "holdfast_mqtt_publishes_in_total",
        "PUBLISH packets received.",
        |stats| stats.publishes_in,
    ),
    ("holdfast_mqtt_publishes_out_total", "PUBLISH packets sent.", |stats| {
        stats.publishes_out
    }),
    (
        "holdfast_mqtt_bytes_in_total",
        "Bytes read from MQTT sockets.",
        |stats| stats.bytes_in,
    ),
    (
        "holdfast_mqtt_bytes_out_total",
        "Bytes written to MQTT sockets.",
        |stats| stats.bytes_out,
    ),
    (
        "holdfast_mqtt_malformed_total",
        "Connections closed for a malformed packet.",
        |stats| stats.malformed,
    ),
    (
        "holdfast_mqtt_protocol_errors_total",
        "Connections closed for a packet that was not allowed.",
        |stats| stats.protocol_errors,
    ),
    (
        "holdfast_mqtt_packets_too_large_total",
        "Connections closed for a packet above the size limit.",
        |stats| stats.packets_too_large,
    ),
    (
        "holdfast_mqtt_publishes_refused_total",
        "Connections closed for publishing where they may not.",
        |stats| stats.publishes_refused,
    ),
    (
        "holdfast_mqtt_subscriptions_refused_total",
        "Filters refused in SUBACK.",
        |stats| stats.subscriptions_refused,
    ),
    (
        "holdfast_mqtt_keep_alive_timeouts_total",
        "Connections closed for silence.",
        |stats| stats.keep_alive_timeouts,
    ),
    (
        "holdfast_mqtt_partial_packet_timeouts_total",
        "Connections closed for a packet begun and not finished.",
        |stats| stats.partial_packet_timeouts,
    ),
    (
        "holdfast_mqtt_slow_readers_total",
        "Connections dropped because they did not read.",
        |stats| stats.slow_readers,
    ),
    (
        "holdfast_mqtt_rate_limited_total",
        "Times a connection was held back for its packet rate.",
        |stats| stats.rate_limited,
    ),
    ("holdfast_mqtt_taken_over_total", "Connections taken over.", |stats| {
        stats.taken_over
    }),
    (
        "holdfast_mqtt_deliveries_failed_total",
        "Connections closed because a message could not be kept.",
        |stats| stats.deliveries_failed,
    ),
    (
        "holdfast_mqtt_queue_full_total",
        "Messages dropped because a session's queue was full.",
        |stats| stats.queue_full,
    ),
    (
        "holdfast_mqtt_expired_total",
        "Messages dropped because their expiry passed.",
        |stats| stats.expired,
    ),
    (
        "holdfast_mqtt_above_client_maximum_total",
        "Messages not sent because they exceed the client's Maximum Packet Size.",
        |stats| stats.above_client_maximum,
    ),
    (
        "holdfast_mqtt_retained_full_total",
        "Messages that were not retained because a cap was reached.",
        |stats| stats.retained_full,
    ),
    (
        "holdfast_mqtt_shared_lost_total",
        "Frames that displays did not get because they read too slowly, or the router was busy.",
        |stats| stats.shared_lost,
    ),
    ("holdfast_mqtt_wills_published_total", "Wills published.", |stats| {
        stats.wills_published
    }),
];

/// Asks the broker for its numbers.
pub(crate) struct BrokerCounters(pub(crate) Handle);

impl Counters for BrokerCounters {
    fn metrics(&self) -> Vec<Metric> {
        let stats = self.0.stats();
        let gauges = GAUGES.map(|(name, help, value)| Metric::gauge(name, help, value(&stats)));
        let counters = COUNTERS.map(|(name, help, value)| Metric::counter(name, help, value(&stats)));
        let refused = ConnectRefusal::ALL.into_iter().zip(stats.connects_refused);
        let refused = refused.map(|(reason, count)| {
            Metric::counter("holdfast_mqtt_connects_refused_total", "CONNECTs refused.", count)
                .labelled("reason", format!("{reason:?}"))
        });
        let left_out = Metric::counter(
            "holdfast_log_lines_left_out_total",
            "Lines that the log had no room for.",
            log::left_out(),
        );
        let all = gauges.into_iter().chain(counters).chain(refused);
        all.chain([left_out]).collect()
    }
}
