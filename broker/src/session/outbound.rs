//! Messages to the client: queued within bounds, sent within its Receive Maximum, sent again after a reconnect.
//! Order is kept, first what was under way, then what waits (MQTT-4.4.0-1, MQTT-4.6.0-1).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::Session;
use crate::codec::ack::{self, Ack, AckKind};
use crate::codec::publish::Outgoing;
use crate::gatekeeper::Protocol;
use crate::message::{PublishProperties, QoS, message_bytes};

/// A message on its way to one client.
#[derive(Debug, Clone)]
pub(crate) struct Queued {
    pub(crate) topic: Arc<str>,
    pub(crate) payload: Bytes,
    /// Already lowered to what the subscription was granted (MQTT-3.8.4-6).
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) properties: Option<Arc<PublishProperties>>,
    pub(crate) subscription_ids: Vec<u32>,
    pub(crate) expires_at: Option<Instant>,
    /// QoS 1 and 2 only: may wait for the client to come back.
    pub(crate) keep_while_offline: bool,
}

impl Queued {
    pub(super) fn bytes(&self) -> usize {
        message_bytes(&self.topic, &self.payload, self.properties.as_deref())
    }

    fn has_expired(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    fn outgoing(&self, packet_id: u16, dup: bool, now: Instant) -> Outgoing<'_> {
        // Whole seconds, rounded up: 0 would say it has expired.
        let left_s = |at: Instant| {
            let left = at.saturating_duration_since(now);
            u32::try_from(left.as_secs() + u64::from(left.subsec_nanos() > 0)).unwrap_or(u32::MAX)
        };
        Outgoing {
            topic: &self.topic,
            payload: &self.payload,
            qos: self.qos,
            retain: self.retain,
            dup,
            packet_id,
            alias: None,
            properties: self.properties.as_deref(),
            expiry_s: self.expires_at.map(left_s),
            subscription_ids: &self.subscription_ids,
        }
    }
}

#[derive(Debug)]
pub(super) struct InFlight {
    packet_id: u16,
    /// Sent on this connection.
    pub(super) sent: bool,
    awaiting: Awaiting,
}

#[derive(Debug)]
enum Awaiting {
    /// PUBACK (QoS 1) or PUBREC (QoS 2): the message may have to be sent again.
    Receipt(Queued),
    /// PUBCOMP: the client has the message, only PUBREL may have to be sent again.
    PubComp,
}

impl InFlight {
    /// What is kept for the next connection.
    pub(super) fn outlives_connection(&self) -> bool {
        match &self.awaiting {
            Awaiting::Receipt(message) => message.keep_while_offline,
            Awaiting::PubComp => true,
        }
    }

    fn bytes(&self) -> usize {
        match &self.awaiting {
            Awaiting::Receipt(message) => message.bytes(),
            Awaiting::PubComp => 0,
        }
    }
}

/// Counts of one session since they were last taken.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) expired: u64,
    pub(crate) above_client_maximum: u64,
}

/// The queue's limit is reached; the message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueFull;

impl Session {
    /// Queues a message for the client. The caller counts what is not taken.
    pub(crate) fn enqueue(&mut self, mut message: Queued) -> Result<(), QueueFull> {
        let bytes = message.bytes();
        let held = self.queue_bytes + self.in_flight.iter().map(InFlight::bytes).sum::<usize>();
        let fits_bytes = held == 0 || held + bytes <= self.limits.queue_bytes_max;
        if self.queue.len() >= self.limits.queue_messages_max || !fits_bytes {
            return Err(QueueFull);
        }
        message.keep_while_offline &= message.qos != QoS::AtMostOnce;
        self.queue_bytes += bytes;
        self.queue.push_back(message);
        Ok(())
    }

    /// Whether [`write_output`](Self::write_output) would write something.
    pub(crate) fn has_output(&self) -> bool {
        self.has_acks_to_send()
            || self.next_resend().is_some()
            || self
                .queue
                .front()
                .is_some_and(|next| next.qos == QoS::AtMostOnce || self.has_quota())
    }

    fn has_quota(&self) -> bool {
        self.in_flight.len() < self.send_maximum
    }

    /// Writes what is due until `out` holds `enough` bytes: acknowledgements, repetitions, new messages.
    pub(crate) fn write_output(&mut self, now: Instant, out: &mut BytesMut, enough: usize) {
        self.write_acks(out);
        self.write_resends(now, out, enough);
        while out.len() < enough {
            match self.queue.front() {
                Some(next) if next.qos == QoS::AtMostOnce || self.has_quota() => {}
                _ => break,
            }
            if let Some(message) = self.queue.pop_front() {
                self.queue_bytes -= message.bytes();
                self.send_new(now, out, message);
            }
        }
        if self.queue.is_empty() && self.queue.capacity() > 64 {
            self.queue.shrink_to(16);
        }
    }

    /// Where the next message to be sent again is, if the client's Receive Maximum allows it now; PUBREL does not count
    /// (MQTT5 4.9).
    fn next_resend(&self) -> Option<usize> {
        if self.resends_due == 0 {
            return None;
        }
        let at = self.in_flight.iter().position(|message| !message.sent)?;
        let is_publish = matches!(self.in_flight[at].awaiting, Awaiting::Receipt(_));
        let sent = self.in_flight.len() - self.resends_due;
        (!is_publish || sent < self.send_maximum).then_some(at)
    }

    /// Sends again what was under way when the last connection ended, in its order.
    fn write_resends(&mut self, now: Instant, out: &mut BytesMut, enough: usize) {
        while out.len() < enough
            && let Some(at) = self.next_resend()
        {
            self.resends_due -= 1;
            let message = &mut self.in_flight[at];
            message.sent = true;
            let packet_id = message.packet_id;
            match &message.awaiting {
                Awaiting::PubComp => ack::write(out, self.protocol, AckKind::Release, Ack { packet_id, reason: 0 }),
                Awaiting::Receipt(queued) => {
                    let outgoing = queued.outgoing(packet_id, true, now);
                    if self.aliases.write(out, self.protocol, self.packet_bytes_max, outgoing) {
                        self.tally.sent += 1;
                    } else {
                        self.tally.above_client_maximum += 1;
                        self.in_flight.remove(at);
                    }
                }
            }
        }
    }

    fn send_new(&mut self, now: Instant, out: &mut BytesMut, message: Queued) {
        if message.has_expired(now) {
            self.tally.expired += 1;
            return;
        }
        let packet_id = if message.qos == QoS::AtMostOnce {
            0
        } else {
            self.next_packet_id()
        };
        let outgoing = message.outgoing(packet_id, false, now);
        if !self.aliases.write(out, self.protocol, self.packet_bytes_max, outgoing) {
            // As if it had been sent (MQTT-3.1.2-25).
            self.tally.above_client_maximum += 1;
            return;
        }
        self.tally.sent += 1;
        if message.qos != QoS::AtMostOnce {
            self.in_flight.push_back(InFlight {
                packet_id,
                sent: true,
                awaiting: Awaiting::Receipt(message),
            });
        }
    }

    /// A packet id that is not in use; there is one, as no more than `send_maximum` (a u16) are.
    fn next_packet_id(&mut self) -> u16 {
        loop {
            self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
            if !self
                .in_flight
                .iter()
                .any(|message| message.packet_id == self.last_packet_id)
            {
                return self.last_packet_id;
            }
        }
    }

    fn position(&self, packet_id: u16) -> Option<usize> {
        self.in_flight
            .iter()
            .position(|message| message.packet_id == packet_id && message.sent)
    }

    /// PUBACK; one for an unknown packet id is ignored, as it changes nothing.
    pub(crate) fn receive_puback(&mut self, ack: Ack) {
        if let Some(at) = self.position(ack.packet_id)
            && matches!(&self.in_flight[at].awaiting, Awaiting::Receipt(m) if m.qos == QoS::AtLeastOnce)
        {
            self.in_flight.remove(at);
        }
    }

    /// PUBREC; answered with PUBREL even if the packet id is unknown, so that the client can finish.
    pub(crate) fn receive_pubrec(&mut self, ack: Ack, out: &mut BytesMut) {
        const PACKET_IDENTIFIER_NOT_FOUND: u8 = 0x92;
        let mut reason = PACKET_IDENTIFIER_NOT_FOUND;
        if let Some(at) = self.position(ack.packet_id) {
            match &self.in_flight[at].awaiting {
                Awaiting::Receipt(message) if message.qos == QoS::ExactlyOnce => {
                    if ack.is_failure() {
                        self.in_flight.remove(at);
                        return;
                    }
                    self.in_flight[at].awaiting = Awaiting::PubComp;
                    reason = 0;
                }
                Awaiting::PubComp => reason = 0,
                Awaiting::Receipt(_) => {}
            }
        }
        if self.protocol == Protocol::V5 && ack.is_failure() {
            return;
        }
        ack::write(
            out,
            self.protocol,
            AckKind::Release,
            Ack {
                packet_id: ack.packet_id,
                reason,
            },
        );
    }

    /// PUBCOMP; one for an unknown packet id is ignored.
    pub(crate) fn receive_pubcomp(&mut self, ack: Ack) {
        if let Some(at) = self.position(ack.packet_id)
            && matches!(self.in_flight[at].awaiting, Awaiting::PubComp)
        {
            self.in_flight.remove(at);
        }
    }
}

/// The moment at which a message published now expires.
pub(crate) fn expires_at(now: Instant, expiry: Option<Duration>) -> Option<Instant> {
    // An expiry beyond what the clock can hold is none.
    expiry.and_then(|expiry| now.checked_add(expiry))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{attach, session};
    use super::*;
    use crate::gatekeeper::DisconnectCause;
    use crate::session::Attach;

    fn message(payload: &'static str, qos: QoS) -> Queued {
        Queued {
            topic: "t".into(),
            payload: Bytes::from_static(payload.as_bytes()),
            qos,
            retain: false,
            properties: None,
            subscription_ids: Vec::new(),
            expires_at: None,
            keep_while_offline: true,
        }
    }

    fn output(session: &mut Session) -> Vec<u8> {
        let mut out = BytesMut::new();
        session.write_output(Instant::now(), &mut out, 10_000);
        out.to_vec()
    }

    fn ack(packet_id: u16) -> Ack {
        Ack { packet_id, reason: 0 }
    }

    fn reconnect(session: &mut Session) {
        session.detach(Instant::now(), DisconnectCause::Dropped);
        session.attach(attach(Protocol::V4));
    }

    #[test]
    fn no_more_than_the_send_maximum_is_under_way() {
        let mut session = session(Protocol::V4);
        for payload in ["a", "b", "c", "d"] {
            session.enqueue(message(payload, QoS::AtLeastOnce)).unwrap();
        }
        assert_eq!(
            output(&mut session),
            b"\x32\x06\x00\x01t\x00\x01a\x32\x06\x00\x01t\x00\x02b\x32\x06\x00\x01t\x00\x03c"
        );
        assert!(!session.has_output());
        session.receive_puback(ack(2));
        assert_eq!(output(&mut session), b"\x32\x06\x00\x01t\x00\x04d");
    }

    #[test]
    fn what_was_not_acknowledged_is_sent_again_with_dup_in_order() {
        let mut session = session(Protocol::V4);
        session.enqueue(message("a", QoS::AtLeastOnce)).unwrap();
        session.enqueue(message("b", QoS::ExactlyOnce)).unwrap();
        output(&mut session);
        session.enqueue(message("c", QoS::AtLeastOnce)).unwrap();
        reconnect(&mut session);
        assert_eq!(
            output(&mut session),
            b"\x3A\x06\x00\x01t\x00\x01a\x3C\x06\x00\x01t\x00\x02b\x32\x06\x00\x01t\x00\x03c"
        );
        let mut out = BytesMut::new();
        session.receive_pubrec(ack(2), &mut out);
        assert_eq!(&out[..], b"\x62\x02\x00\x02");
        session.receive_puback(ack(1));
        session.receive_puback(ack(3));
        reconnect(&mut session);
        assert_eq!(output(&mut session), b"\x62\x02\x00\x02", "only PUBREL is sent again");
        session.receive_pubcomp(ack(2));
        reconnect(&mut session);
        assert_eq!(output(&mut session), b"");
    }

    #[test]
    fn repetitions_respect_a_smaller_receive_maximum() {
        let mut session = session(Protocol::V5);
        for payload in ["a", "b"] {
            session.enqueue(message(payload, QoS::AtLeastOnce)).unwrap();
        }
        output(&mut session);
        session.enqueue(message("c", QoS::AtLeastOnce)).unwrap();
        session.detach(Instant::now(), DisconnectCause::Dropped);
        session.attach(Attach {
            receive_maximum: 1,
            ..attach(Protocol::V5)
        });
        for (id, expected) in [
            (1, b"\x3A\x07\x00\x01t\x00\x01\x00a"),
            (2, b"\x3A\x07\x00\x01t\x00\x02\x00b"),
        ] {
            assert!(session.has_output());
            assert_eq!(output(&mut session), expected);
            assert!(!session.has_output(), "one at a time");
            session.receive_puback(ack(id));
        }
        assert_eq!(output(&mut session), b"\x32\x07\x00\x01t\x00\x03\x00c");
    }

    #[test]
    fn commands_end_with_the_connection() {
        let mut session = session(Protocol::V4);
        let command = |payload| Queued {
            keep_while_offline: false,
            ..message(payload, QoS::AtLeastOnce)
        };
        session.enqueue(command("under way")).unwrap();
        output(&mut session);
        for _ in 0..2 {
            session.enqueue(command("waiting")).unwrap();
        }
        session
            .enqueue(Queued {
                keep_while_offline: true,
                ..message("qos 0", QoS::AtMostOnce)
            })
            .unwrap();
        reconnect(&mut session);
        assert_eq!(output(&mut session), b"");
    }

    #[test]
    fn a_full_queue_says_so() {
        let mut session = session(Protocol::V4);
        for _ in 0..5 {
            session.enqueue(message("x", QoS::AtMostOnce)).unwrap();
        }
        assert_eq!(session.enqueue(message("x", QoS::AtMostOnce)), Err(QueueFull));
        output(&mut session);
        let big = Queued {
            payload: Bytes::from(vec![0; 900]),
            ..message("", QoS::AtMostOnce)
        };
        session.enqueue(big.clone()).unwrap();
        assert_eq!(session.enqueue(big.clone()), Err(QueueFull), "bytes are bounded too");
        output(&mut session);
        assert_eq!(
            session.enqueue(message("", QoS::AtMostOnce)),
            Ok(()),
            "QoS 0 is gone once sent"
        );
    }

    #[test]
    fn what_is_under_way_counts_against_the_bytes_until_it_is_acknowledged() {
        let big = |qos| Queued {
            payload: Bytes::from(vec![0; 600]),
            ..message("", qos)
        };
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut session = session(Protocol::V4);
            session.enqueue(big(qos)).unwrap();
            output(&mut session);
            assert_eq!(session.enqueue(big(qos)), Err(QueueFull));
            if qos == QoS::ExactlyOnce {
                session.receive_pubrec(ack(1), &mut BytesMut::new());
            } else {
                session.receive_puback(ack(1));
            }
            assert_eq!(session.enqueue(big(qos)), Ok(()));
        }
    }

    #[test]
    fn properties_count_against_the_bytes() {
        let mut session = session(Protocol::V5);
        let loaded = || Queued {
            properties: Some(Arc::new(PublishProperties {
                user_properties: vec![("k".into(), "v".repeat(600))],
                ..PublishProperties::default()
            })),
            ..message("x", QoS::AtMostOnce)
        };
        session.enqueue(loaded()).unwrap();
        assert_eq!(session.enqueue(loaded()), Err(QueueFull));
    }

    #[test]
    fn aliases_are_set_up_anew_on_each_connection() {
        let mut session = session(Protocol::V5);
        let with_aliases = || Attach {
            topic_alias_maximum: 9,
            ..attach(Protocol::V5)
        };
        session.attach(with_aliases());
        session.enqueue(message("a", QoS::AtLeastOnce)).unwrap();
        session.enqueue(message("b", QoS::AtLeastOnce)).unwrap();
        assert_eq!(
            output(&mut session),
            b"\x32\x0A\x00\x01t\x00\x01\x03\x23\x00\x01a\x32\x09\x00\x00\x00\x02\x03\x23\x00\x01b"
        );
        session.detach(Instant::now(), DisconnectCause::Dropped);
        session.attach(with_aliases());
        assert_eq!(
            output(&mut session),
            b"\x3A\x0A\x00\x01t\x00\x01\x03\x23\x00\x01a\x3A\x09\x00\x00\x00\x02\x03\x23\x00\x01b"
        );
    }

    #[test]
    fn expired_messages_are_dropped_and_the_rest_of_life_is_told() {
        let now = Instant::now();
        let mut session = session(Protocol::V5);
        let expiring = |s| Queued {
            expires_at: expires_at(now, Some(Duration::from_secs(s))),
            ..message("x", QoS::AtMostOnce)
        };
        session.enqueue(expiring(5)).unwrap();
        session.enqueue(expiring(60)).unwrap();
        let mut out = BytesMut::new();
        session.write_output(now + Duration::from_secs(10), &mut out, 10_000);
        assert_eq!(&out[..], b"\x30\x0A\x00\x01t\x05\x02\x00\x00\x00\x32x");
        assert_eq!(
            session.take_tally(),
            Tally {
                sent: 1,
                expired: 1,
                ..Tally::default()
            }
        );
    }

    #[test]
    fn what_the_client_cannot_take_is_not_sent() {
        let mut session = session(Protocol::V5);
        session.attach(Attach {
            packet_bytes_max: Some(20),
            receive_maximum: 1,
            ..attach(Protocol::V5)
        });
        session
            .enqueue(Queued {
                payload: Bytes::from(vec![0; 30]),
                ..message("", QoS::AtLeastOnce)
            })
            .unwrap();
        session.enqueue(message("a", QoS::AtLeastOnce)).unwrap();
        session.enqueue(message("b", QoS::AtLeastOnce)).unwrap();
        assert_eq!(
            output(&mut session),
            b"\x32\x07\x00\x01t\x00\x02\x00a",
            "its Receive Maximum is 1"
        );
        assert_eq!(session.take_tally().above_client_maximum, 1);
        session.receive_puback(ack(2));
        assert_eq!(output(&mut session), b"\x32\x07\x00\x01t\x00\x03\x00b");
    }

    #[test]
    fn acknowledgements_nobody_asked_for_do_no_harm() {
        let mut session = session(Protocol::V5);
        session.receive_puback(ack(9));
        session.receive_pubcomp(ack(9));
        let mut out = BytesMut::new();
        session.receive_pubrec(ack(9), &mut out);
        assert_eq!(&out[..], b"\x62\x03\x00\x09\x92");
        session.enqueue(message("a", QoS::ExactlyOnce)).unwrap();
        output(&mut session);
        session.receive_puback(ack(1));
        session.receive_pubcomp(ack(1));
        assert!(!session.in_flight.is_empty(), "a PUBACK does not end QoS 2");
        session.receive_pubrec(
            Ack {
                packet_id: 1,
                reason: 0x80,
            },
            &mut out,
        );
        assert!(session.in_flight.is_empty(), "a failed PUBREC does (MQTT5 4.3.3)");
    }

    #[test]
    fn packet_ids_wrap_around_and_skip_those_in_use() {
        let mut session = session(Protocol::V4);
        session.enqueue(message("a", QoS::AtLeastOnce)).unwrap();
        output(&mut session);
        session.last_packet_id = u16::MAX;
        session.enqueue(message("b", QoS::AtLeastOnce)).unwrap();
        assert_eq!(output(&mut session), b"\x32\x06\x00\x01t\x00\x02b");
    }
}
