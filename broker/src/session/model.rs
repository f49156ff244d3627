//! A session under any sequence of events, against the promises it makes: order, bounds, once, nothing lost.
//! The model is a client that keeps book of what it has sent and seen.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::tests::{attach, limits, session};
use super::*;
use crate::codec::ack::Ack;
use crate::message::QoS;
use crate::receipt::{Outcome, RefusalReason};

#[derive(Debug, Clone)]
enum Step {
    /// The client publishes with this QoS; ids are its own choice.
    Publish(QoS, u16),
    /// One of the open receipts is resolved.
    Resolve(prop::sample::Index, Outcome),
    PubRel(u16),
    /// The program sends a message.
    Enqueue(QoS, bool),
    /// The client answers the n-th packet under way, rightly or not.
    PubAck(u16),
    PubRec(u16),
    PubComp(u16),
    Write,
    Reconnect {
        clean_start: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let qos = prop::sample::select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]);
    let outcome = prop_oneof![
        6 => Just(Outcome::Acknowledged),
        1 => Just(Outcome::Refused(RefusalReason::QuotaExceeded)),
    ];
    let id = 1u16..6;
    let step = prop_oneof![
        4 => (qos.clone(), id.clone()).prop_map(|(qos, id)| Step::Publish(qos, id)),
        4 => (any::<prop::sample::Index>(), outcome).prop_map(|(at, outcome)| Step::Resolve(at, outcome)),
        2 => id.clone().prop_map(Step::PubRel),
        4 => (qos, any::<bool>()).prop_map(|(qos, keep)| Step::Enqueue(qos, keep)),
        3 => id.clone().prop_map(Step::PubAck),
        3 => id.clone().prop_map(Step::PubRec),
        3 => id.prop_map(Step::PubComp),
        4 => Just(Step::Write),
        1 => any::<bool>().prop_map(|clean_start| Step::Reconnect { clean_start }),
    ];
    prop::collection::vec(step, 0..80)
}

/// What the client has seen on one connection.
#[derive(Default)]
struct Seen {
    /// Packet ids of messages to the client that are not finished.
    under_way: HashSet<u16>,
    /// Messages from the client, in order, whose acknowledgement is due: (first byte, id).
    owed: VecDeque<(u8, u16)>,
}

impl Seen {
    /// Checks what the session writes; packets are told apart by their first byte.
    fn read(&mut self, mut bytes: &[u8]) {
        while let [first, len, rest @ ..] = bytes {
            let (body, rest) = rest.split_at(usize::from(*len));
            bytes = rest;
            let id = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
            match first >> 4 {
                4 | 5 => {
                    let owed = self.owed.pop_front().expect("no acknowledgement without a message");
                    assert_eq!((*first, id(0)), owed, "in order");
                }
                3 if first & 0x06 != 0 => {
                    assert!(self.under_way.insert(id(3)), "a packet id is used once at a time");
                    assert!(
                        self.under_way.len() <= limits().send_maximum,
                        "no more under way than allowed"
                    );
                }
                _ => {}
            }
        }
    }
}

fn ack(packet_id: u16) -> Ack {
    Ack { packet_id, reason: 0 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_sequence_of_events_keeps_the_promises(steps in steps()) {
        let now = Instant::now();
        let mut session = session(Protocol::V5);
        let mut seen = Seen::default();
        let mut open: Vec<u64> = Vec::new();
        // Ids of QoS 2 messages delivered and not released, with their tickets.
        let mut delivered: HashMap<u16, u64> = HashMap::new();
        let mut out = BytesMut::new();
        for step in steps {
            match step {
                Step::Publish(qos, id) => {
                    let is_known = qos == QoS::ExactlyOnce && delivered.contains_key(&id);
                    match session.receive_publish(qos, id) {
                        Received::New(ticket) => {
                            prop_assert!(!is_known, "QoS 2 is delivered once");
                            prop_assert_eq!(ticket.is_some(), qos != QoS::AtMostOnce);
                            if let Some(ticket) = ticket {
                                open.push(ticket);
                                let first = if qos == QoS::ExactlyOnce { 0x50 } else { 0x40 };
                                seen.owed.push_back((first, id));
                                if qos == QoS::ExactlyOnce {
                                    delivered.insert(id, ticket);
                                }
                            }
                        }
                        Received::Duplicate => {
                            prop_assert!(is_known);
                            if !seen.owed.contains(&(0x50, id)) {
                                seen.owed.push_back((0x50, id));
                            }
                        }
                        Received::AboveReceiveMaximum => {
                            let qos_1 = seen.owed.iter().filter(|(first, _)| *first == 0x40).count();
                            prop_assert!(qos_1 + delivered.len() >= limits().receive_maximum);
                        }
                    }
                }
                Step::Resolve(at, outcome) if !open.is_empty() => {
                    let ticket = open.swap_remove(at.index(open.len()));
                    let resolution = session.resolve(ticket, outcome);
                    prop_assert!(!matches!(resolution, Resolution::Close(_)), "MQTT 5 is told");
                    if outcome != Outcome::Acknowledged {
                        delivered.retain(|_, t| *t != ticket);
                    }
                }
                Step::Resolve(..) => {}
                Step::PubRel(id) => {
                    if session.receive_pubrel(id) == 0 {
                        prop_assert!(delivered.remove(&id).is_some());
                    }
                }
                Step::Enqueue(qos, keep_while_offline) => {
                    let queued = Queued {
                        topic: "t".into(),
                        payload: Bytes::from_static(b"x"),
                        qos,
                        retain: false,
                        properties: None,
                        subscription_ids: Vec::new(),
                        expires_at: None,
                        keep_while_offline,
                    };
                    let _ = session.enqueue(queued);
                    prop_assert!(session.queue.len() <= limits().queue_messages_max);
                }
                Step::PubAck(id) => {
                    let before = session.in_flight.len();
                    session.receive_puback(ack(id));
                    if session.in_flight.len() < before {
                        prop_assert!(seen.under_way.remove(&id), "only what was sent is finished");
                    }
                }
                Step::PubRec(id) => {
                    out.clear();
                    session.receive_pubrec(ack(id), &mut out);
                    prop_assert_eq!(out.first(), Some(&0x62), "PUBREC is always answered");
                }
                Step::PubComp(id) => {
                    let before = session.in_flight.len();
                    session.receive_pubcomp(ack(id));
                    if session.in_flight.len() < before {
                        seen.under_way.remove(&id);
                    }
                }
                Step::Write => {
                    out.clear();
                    session.write_output(now, &mut out, 10_000);
                    seen.read(&out);
                    prop_assert!(!session.has_output(), "all that can be written is");
                }
                Step::Reconnect { clean_start } => {
                    session.detach(now, DisconnectCause::Dropped);
                    session.attach(Attach { clean_start, ..attach(Protocol::V5) });
                    seen = Seen::default();
                    if clean_start {
                        open.clear();
                        delivered.clear();
                    }
                }
            }
            let bytes: usize = session.queue.iter().map(Queued::bytes).sum();
            prop_assert_eq!(bytes, session.queue_bytes);
            prop_assert!(session.resends_due <= session.in_flight.len());
        }
        // Once every receipt is resolved, every acknowledgement that is owed goes out.
        for ticket in open {
            session.resolve(ticket, Outcome::Acknowledged);
        }
        out.clear();
        session.write_output(now, &mut out, 100_000);
        seen.read(&out);
        prop_assert!(seen.owed.is_empty(), "still owed: {:?}", seen.owed);
    }
}
