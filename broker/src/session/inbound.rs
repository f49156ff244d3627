//! Messages from the client: acknowledged in order once they are safe, QoS 2 delivered once (MQTT-4.3, MQTT-4.6.0).
//! Receipts may be resolved out of order and after the connection is gone; this is where that is put right.

use bytes::BytesMut;

use super::Session;
use crate::codec::ack::{Ack, AckKind, write};
use crate::gatekeeper::{DisconnectCause, Protocol};
use crate::message::QoS;
use crate::receipt::Outcome;

/// A 3.1.1 client is not told a Receive Maximum; this many QoS 2 messages it may leave unreleased nevertheless.
const UNRELEASED_MAX_V4: usize = 1024;

#[derive(Debug)]
pub(super) struct PendingAck {
    ticket: u64,
    packet_id: u16,
    qos: QoS,
    /// The reason code, once it is known.
    reason: Option<u8>,
}

#[derive(Debug)]
pub(super) struct Unreleased {
    ticket: u64,
    /// Whether PUBREC may be sent; until then the message's fate is open, even across a reconnect.
    committed: bool,
}

/// What a PUBLISH means for the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// To be delivered; `Some` is the ticket of its acknowledgement.
    New(Option<u64>),
    /// A QoS 2 message that has been delivered (or is being): not to be delivered again.
    Duplicate,
    /// More messages under way than the client was allowed (MQTT5 0x93).
    AboveReceiveMaximum,
}

/// What a resolved receipt means for the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// The connection it belonged to is gone.
    Nothing,
    /// There may be something to send.
    Output,
    Close(DisconnectCause),
}

impl Session {
    /// Takes note of a PUBLISH that is allowed.
    pub(crate) fn receive_publish(&mut self, qos: QoS, packet_id: u16) -> Received {
        match qos {
            QoS::AtMostOnce => return Received::New(None),
            QoS::AtLeastOnce => {}
            QoS::ExactlyOnce => {
                if let Some(earlier) = self.unreleased.get(&packet_id) {
                    let waiting = self.acks.iter().any(|ack| ack.ticket == earlier.ticket);
                    if !waiting {
                        self.acks.push_back(PendingAck {
                            ticket: earlier.ticket,
                            packet_id,
                            qos,
                            reason: earlier.committed.then_some(0),
                        });
                    }
                    return Received::Duplicate;
                }
            }
        }
        if self.is_above_receive_maximum(qos) {
            return Received::AboveReceiveMaximum;
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.acks.push_back(PendingAck {
            ticket,
            packet_id,
            qos,
            reason: None,
        });
        if qos == QoS::ExactlyOnce {
            self.unreleased.insert(
                packet_id,
                Unreleased {
                    ticket,
                    committed: false,
                },
            );
        }
        Received::New(Some(ticket))
    }

    fn is_above_receive_maximum(&self, qos: QoS) -> bool {
        match self.protocol {
            Protocol::V5 => {
                let qos_1 = self.acks.iter().filter(|ack| ack.qos == QoS::AtLeastOnce).count();
                qos_1 + self.unreleased.len() >= self.limits.receive_maximum
            }
            Protocol::V4 => qos == QoS::ExactlyOnce && self.unreleased.len() >= UNRELEASED_MAX_V4,
        }
    }

    /// Whether no more is to be read from a 3.1.1 client until acknowledgements have gone out.
    pub(crate) fn holds_back(&self) -> bool {
        self.protocol == Protocol::V4 && self.acks.len() >= self.limits.receive_maximum
    }

    /// The receipt of a ticket has been resolved.
    pub(crate) fn resolve(&mut self, ticket: u64, outcome: Outcome) -> Resolution {
        let ack = self.acks.iter_mut().find(|ack| ack.ticket == ticket);
        let open_id = match &ack {
            Some(ack) => (ack.qos == QoS::ExactlyOnce).then_some(ack.packet_id),
            // The connection has gone; only a QoS 2 message has left a trace.
            None => self
                .unreleased
                .iter()
                .find(|(_, u)| u.ticket == ticket)
                .map(|(id, _)| *id),
        };
        let reason = match outcome {
            Outcome::Acknowledged => Some(0),
            Outcome::Refused(reason) if self.protocol == Protocol::V5 => Some(reason as u8),
            Outcome::Refused(_) | Outcome::Failed => None,
        };
        if let Some(id) = open_id {
            if reason == Some(0) {
                if let Some(unreleased) = self.unreleased.get_mut(&id) {
                    unreleased.committed = true;
                }
            } else {
                // Not taken: the packet id is free again, and a repetition will be a new message.
                self.unreleased.remove(&id);
            }
        }
        match (ack, reason) {
            (None, _) => Resolution::Nothing,
            (Some(_), None) => Resolution::Close(DisconnectCause::DeliveryFailed),
            (Some(ack), Some(reason)) => {
                ack.reason = Some(reason);
                Resolution::Output
            }
        }
    }

    /// PUBREL: the packet id is free again. Returns the reason code for PUBCOMP; an unknown id is answered too
    /// (MQTT-4.3.3, method A).
    pub(crate) fn receive_pubrel(&mut self, packet_id: u16) -> u8 {
        const PACKET_IDENTIFIER_NOT_FOUND: u8 = 0x92;
        match self.unreleased.get(&packet_id) {
            Some(unreleased) if unreleased.committed => {
                self.unreleased.remove(&packet_id);
                0
            }
            _ => PACKET_IDENTIFIER_NOT_FOUND,
        }
    }

    pub(super) fn has_acks_to_send(&self) -> bool {
        self.acks.front().is_some_and(|ack| ack.reason.is_some())
    }

    /// Writes the acknowledgements that are due, in order; those behind an open one wait.
    pub(super) fn write_acks(&mut self, out: &mut BytesMut) {
        while let Some(PendingAck {
            packet_id,
            qos,
            reason: Some(reason),
            ..
        }) = self.acks.front()
        {
            let kind = if *qos == QoS::ExactlyOnce {
                AckKind::Received
            } else {
                AckKind::Ack
            };
            write(
                out,
                self.protocol,
                kind,
                Ack {
                    packet_id: *packet_id,
                    reason: *reason,
                },
            );
            self.acks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::super::tests::{attach, session};
    use super::*;
    use crate::receipt::RefusalReason;
    use crate::session::Attach;

    fn ticket(received: Received) -> u64 {
        match received {
            Received::New(Some(ticket)) => ticket,
            other => panic!("{other:?}"),
        }
    }

    fn written(session: &mut Session) -> Vec<u8> {
        let mut out = BytesMut::new();
        session.write_acks(&mut out);
        out.to_vec()
    }

    #[test]
    fn acknowledgements_keep_the_order_of_the_messages() {
        let mut session = session(Protocol::V4);
        let tickets: Vec<u64> = (1..=3)
            .map(|id| ticket(session.receive_publish(QoS::AtLeastOnce, id)))
            .collect();
        assert_eq!(session.resolve(tickets[2], Outcome::Acknowledged), Resolution::Output);
        assert_eq!(session.resolve(tickets[1], Outcome::Acknowledged), Resolution::Output);
        assert!(!session.has_acks_to_send());
        assert_eq!(written(&mut session), b"");
        session.resolve(tickets[0], Outcome::Acknowledged);
        assert_eq!(
            written(&mut session),
            b"\x40\x02\x00\x01\x40\x02\x00\x02\x40\x02\x00\x03"
        );
    }

    #[test]
    fn a_failed_receipt_closes_and_a_refused_one_tells_mqtt_5() {
        let refused = Outcome::Refused(RefusalReason::QuotaExceeded);
        let mut v4 = session(Protocol::V4);
        let t = ticket(v4.receive_publish(QoS::AtLeastOnce, 1));
        assert_eq!(
            v4.resolve(t, refused),
            Resolution::Close(DisconnectCause::DeliveryFailed)
        );
        let mut v5 = session(Protocol::V5);
        let t = ticket(v5.receive_publish(QoS::AtLeastOnce, 1));
        let failed = ticket(v5.receive_publish(QoS::AtLeastOnce, 2));
        assert_eq!(
            v5.resolve(failed, Outcome::Failed),
            Resolution::Close(DisconnectCause::DeliveryFailed)
        );
        assert_eq!(v5.resolve(t, refused), Resolution::Output);
        assert_eq!(written(&mut v5), b"\x40\x03\x00\x01\x97");
    }

    #[test]
    fn a_repeated_qos_2_publish_is_delivered_once_and_acknowledged_again() {
        let mut session = session(Protocol::V4);
        let t = ticket(session.receive_publish(QoS::ExactlyOnce, 9));
        assert_eq!(session.receive_publish(QoS::ExactlyOnce, 9), Received::Duplicate);
        assert_eq!(written(&mut session), b"", "not before the commit");
        session.resolve(t, Outcome::Acknowledged);
        assert_eq!(written(&mut session), b"\x50\x02\x00\x09");
        assert_eq!(session.receive_publish(QoS::ExactlyOnce, 9), Received::Duplicate);
        assert_eq!(written(&mut session), b"\x50\x02\x00\x09");
        assert_eq!(session.receive_pubrel(9), 0);
        assert_eq!(session.receive_pubrel(9), 0x92);
        assert!(matches!(session.receive_publish(QoS::ExactlyOnce, 9), Received::New(_)));
    }

    #[test]
    fn a_commit_that_ends_after_the_connection_still_counts_once() {
        for outcome in [Outcome::Acknowledged, Outcome::Failed] {
            let mut session = session(Protocol::V4);
            let t = ticket(session.receive_publish(QoS::ExactlyOnce, 9));
            session.detach(Instant::now(), DisconnectCause::Dropped);
            session.attach(attach(Protocol::V4));
            assert_eq!(
                session.receive_publish(QoS::ExactlyOnce, 9),
                Received::Duplicate,
                "its fate is open"
            );
            let resolution = session.resolve(t, outcome);
            if outcome == Outcome::Acknowledged {
                assert_eq!(resolution, Resolution::Output);
                assert_eq!(written(&mut session), b"\x50\x02\x00\x09");
            } else {
                assert_eq!(resolution, Resolution::Close(DisconnectCause::DeliveryFailed));
                session.detach(Instant::now(), DisconnectCause::DeliveryFailed);
                session.attach(attach(Protocol::V4));
                assert!(matches!(session.receive_publish(QoS::ExactlyOnce, 9), Received::New(_)));
            }
        }
    }

    #[test]
    fn a_receipt_from_before_a_clean_start_hits_nothing() {
        let mut session = session(Protocol::V4);
        let old = ticket(session.receive_publish(QoS::AtLeastOnce, 1));
        session.detach(Instant::now(), DisconnectCause::Dropped);
        session.attach(Attach {
            clean_start: true,
            ..attach(Protocol::V4)
        });
        let new = ticket(session.receive_publish(QoS::AtLeastOnce, 1));
        assert_ne!(old, new);
        assert_eq!(session.resolve(old, Outcome::Failed), Resolution::Nothing);
        assert_eq!(session.resolve(new, Outcome::Acknowledged), Resolution::Output);
    }

    #[test]
    fn receive_maximum_stops_mqtt_5_and_holds_back_3_1_1() {
        let mut v5 = session(Protocol::V5);
        for id in 1..=2 {
            ticket(v5.receive_publish(QoS::AtLeastOnce, id));
            ticket(v5.receive_publish(QoS::ExactlyOnce, id + 10));
        }
        assert_eq!(v5.receive_publish(QoS::AtLeastOnce, 5), Received::AboveReceiveMaximum);
        assert_eq!(v5.receive_publish(QoS::AtMostOnce, 0), Received::New(None));

        let mut v4 = session(Protocol::V4);
        for id in 1..=4 {
            assert!(!v4.holds_back());
            ticket(v4.receive_publish(QoS::AtLeastOnce, id));
        }
        assert!(v4.holds_back());
    }

    proptest! {
        /// Whatever the order of resolving, PUBACKs come in the order of the messages, each once.
        #[test]
        fn any_order_of_resolving_gives_the_order_of_sending(
            order in Just((0usize..4).collect::<Vec<_>>()).prop_shuffle()
        ) {
            let mut session = session(Protocol::V4);
            let tickets: Vec<u64> =
                (1..=4).map(|id| ticket(session.receive_publish(QoS::AtLeastOnce, id))).collect();
            let mut out = Vec::new();
            for at in order {
                session.resolve(tickets[at], Outcome::Acknowledged);
                out.extend(written(&mut session));
            }
            prop_assert_eq!(&out[..], b"\x40\x02\x00\x01\x40\x02\x00\x02\x40\x02\x00\x03\x40\x02\x00\x04");
        }
    }
}
