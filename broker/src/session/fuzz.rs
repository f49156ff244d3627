//! What must be so of a session whatever packets come and whatever happens to it: acknowledgements in order, QoS 2 once,
//! messages in order and within bounds, no packet id twice, and everything it writes can be read.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::{Attach, Queued, Received, Resolution, Session, SessionLimits, Subscription, Unsubscribed, expires_at};
use crate::codec::ack::{self, Ack, AckKind};
use crate::codec::publish::PublishPacket;
use crate::codec::{Packet, frame};
use crate::gatekeeper::{DisconnectCause, Protocol};
use crate::message::QoS;
use crate::receipt::{Outcome, RefusalReason};

const LIMITS: SessionLimits = SessionLimits {
    receive_maximum: 4,
    send_maximum: 3,
    queue_messages_max: 5,
    queue_bytes_max: 1000,
    subscriptions_max: 3,
    topic_alias_maximum: 2,
    expiry_max: Duration::from_secs(3600),
};
const PACKET_BYTES_MAX: usize = 1024;
/// The most steps of one input.
const STEPS_MAX: usize = 256;
const TOPICS: [&str; 4] = ["a", "a/b", "c", "d"];

/// A session's life: the version in the first byte, 5 for MQTT 5, and then one step after the other, each a letter with what
/// it needs. `p` is followed by a packet of the client's.
pub fn session(data: &[u8]) {
    let Some((&version, mut rest)) = data.split_first() else {
        return;
    };
    let mut life = Life::new(if version == 5 { Protocol::V5 } else { Protocol::V4 });
    for _ in 0..STEPS_MAX {
        let Some(behind) = life.step(rest) else {
            break;
        };
        rest = behind;
    }
    life.end();
}

/// A session, and a client that keeps book of what it has sent and seen.
struct Life {
    protocol: Protocol,
    session: Session,
    now: Instant,
    /// How many messages the client takes at a time on this connection.
    send_maximum: usize,
    out: BytesMut,
    /// Packet ids of messages to the client that are not finished.
    under_way: BTreeSet<u16>,
    /// Messages from the client, in order, whose acknowledgement is due, with their tickets.
    owed: VecDeque<(AckKind, u16, u64)>,
    /// Tickets whose receipt is open.
    open: Vec<u64>,
    /// Tickets whose receipt has been resolved.
    resolved: BTreeSet<u64>,
    /// Ids of QoS 2 messages delivered and not released, with their tickets.
    delivered: BTreeMap<u16, u64>,
    /// Topics by alias, as the client was told.
    aliases: BTreeMap<u16, String>,
    /// Topics of the messages that were given to the session, by their number, which is their payload.
    given: Vec<&'static str>,
    /// One above the number of the last new message that the client saw.
    seen: usize,
}

impl Life {
    fn new(protocol: Protocol) -> Self {
        let mut life = Self {
            protocol,
            session: Session::new(LIMITS),
            now: Instant::now(),
            send_maximum: LIMITS.send_maximum,
            out: BytesMut::new(),
            under_way: BTreeSet::new(),
            owed: VecDeque::new(),
            open: Vec::new(),
            resolved: BTreeSet::new(),
            delivered: BTreeMap::new(),
            aliases: BTreeMap::new(),
            given: Vec::new(),
            seen: 0,
        };
        life.attach(0xFC);
        life
    }

    /// One step; returns what is left of the input.
    fn step<'a>(&mut self, steps: &'a [u8]) -> Option<&'a [u8]> {
        let (&letter, rest) = steps.split_first()?;
        if letter == b'p' {
            return self.packet(rest);
        }
        if letter == b'w' {
            self.write();
            return Some(rest);
        }
        let (&with, rest) = rest.split_first()?;
        match letter {
            b'a' => self.resolve(with, Outcome::Acknowledged),
            b'r' => self.resolve(with, Outcome::Refused(RefusalReason::QuotaExceeded)),
            b'f' => self.resolve(with, Outcome::Failed),
            b'e' => self.enqueue(with),
            b't' => self.now += Duration::from_secs(with.into()),
            b'c' => self.reconnect(with, DisconnectCause::Dropped),
            b'l' => self.stay_away(with),
            _ => return None,
        }
        let queued: usize = self.session.queue.iter().map(Queued::bytes).sum();
        assert_eq!(queued, self.session.queue_bytes);
        assert!(self.session.queue.len() <= LIMITS.queue_messages_max);
        assert!(self.session.resends_due <= self.session.in_flight.len());
        assert!(self.session.in_flight.len() <= LIMITS.send_maximum);
        assert!(self.session.subscriptions.len() <= LIMITS.subscriptions_max);
        Some(rest)
    }

    fn packet<'a>(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let found = frame(bytes, PACKET_BYTES_MAX).ok().flatten()?;
        let (packet, behind) = bytes.split_at(found.len);
        // A client that is held back is not read from.
        if !self.session.holds_back() {
            match found.decode(packet, self.protocol) {
                Ok(packet) => self.receive(packet),
                Err(error) => self.reconnect(0xFC, error.cause()),
            }
        }
        Some(behind)
    }

    fn receive(&mut self, packet: Packet<'_>) {
        match packet {
            Packet::Publish(publish) => self.receive_publish(publish.qos, publish.packet_id),
            Packet::PubRel(Ack { packet_id, .. }) => {
                if self.session.receive_pubrel(packet_id) == 0 {
                    assert!(
                        self.delivered.remove(&packet_id).is_some(),
                        "only what was delivered is released"
                    );
                }
            }
            Packet::PubAck(ack) => self.finishes(ack.packet_id, |session| session.receive_puback(ack)),
            Packet::PubComp(ack) => self.finishes(ack.packet_id, |session| session.receive_pubcomp(ack)),
            Packet::PubRec(ack) => {
                let mut out = BytesMut::new();
                self.finishes(ack.packet_id, |session| session.receive_pubrec(ack, &mut out));
                if !ack.is_failure() {
                    let mut release = BytesMut::new();
                    let found = self.under_way.contains(&ack.packet_id);
                    ack::write(&mut release, self.protocol, AckKind::Release, Ack { reason: 0, ..ack });
                    assert!(!out.is_empty(), "PUBREC is always answered");
                    assert!(
                        found || self.protocol == Protocol::V4 || out != release,
                        "with what is so"
                    );
                }
            }
            Packet::Subscribe(subscribe) => {
                for request in subscribe.filters {
                    let known = self.session.subscription(request.filter).is_some();
                    if known || self.session.has_room_to_subscribe() {
                        self.session.subscribe(Subscription {
                            filter: request.filter.into(),
                            options: request.options,
                            id: subscribe.subscription_id,
                            shared: None,
                        });
                        assert!(self.session.subscription(request.filter).is_some());
                    }
                }
            }
            Packet::Unsubscribe(unsubscribe) => {
                for filter in unsubscribe.filters {
                    let known = self.session.subscription(filter).is_some();
                    assert_eq!(self.session.unsubscribe(filter) != Unsubscribed::NotFound, known);
                    assert!(
                        self.session.subscription(filter).is_none(),
                        "there is one of each filter"
                    );
                }
            }
            Packet::PingReq => {}
            Packet::Disconnect(disconnect) => {
                let changed = disconnect
                    .session_expiry_s
                    .map(|asked_s| self.session.change_expiry(asked_s));
                assert!(self.session.expiry() <= LIMITS.expiry_max);
                let cause = changed.and_then(Result::err).unwrap_or(DisconnectCause::Clean);
                self.reconnect(0xFC, cause);
            }
        }
    }

    fn receive_publish(&mut self, qos: QoS, id: u16) {
        let is_known = qos == QoS::ExactlyOnce && self.delivered.contains_key(&id);
        match self.session.receive_publish(qos, id) {
            Received::New(ticket) => {
                assert!(!is_known, "QoS 2 is delivered once");
                assert_eq!(ticket.is_some(), qos != QoS::AtMostOnce);
                let Some(ticket) = ticket else {
                    return;
                };
                self.open.push(ticket);
                if qos == QoS::ExactlyOnce {
                    self.delivered.insert(id, ticket);
                    self.owed.push_back((AckKind::Received, id, ticket));
                } else {
                    self.owed.push_back((AckKind::Ack, id, ticket));
                }
            }
            Received::Duplicate => {
                assert!(is_known);
                let again = (AckKind::Received, id, self.delivered[&id]);
                if !self.owed.contains(&again) {
                    self.owed.push_back(again);
                }
            }
            Received::AboveReceiveMaximum => {
                assert_eq!(self.protocol, Protocol::V5, "3.1.1 is held back");
                let qos_1 = self.owed.iter().filter(|(kind, ..)| *kind == AckKind::Ack).count();
                assert!(qos_1 + self.delivered.len() >= LIMITS.receive_maximum);
                self.reconnect(0xFC, DisconnectCause::ProtocolError);
            }
        }
    }

    /// An acknowledgement of the client's ends what is under way, or nothing.
    fn finishes(&mut self, id: u16, receive: impl FnOnce(&mut Session)) {
        let before = self.session.in_flight.len();
        receive(&mut self.session);
        if self.session.in_flight.len() < before {
            assert!(self.under_way.remove(&id), "only what was sent is finished");
        }
    }

    fn resolve(&mut self, which: u8, outcome: Outcome) {
        let Some(at) = usize::from(which).checked_rem(self.open.len()) else {
            return;
        };
        let ticket = self.open.swap_remove(at);
        self.resolved.insert(ticket);
        let resolution = self.session.resolve(ticket, outcome);
        if outcome != Outcome::Acknowledged {
            self.delivered.retain(|_, of| *of != ticket);
        }
        if let Resolution::Close(cause) = resolution {
            let is_told = self.protocol == Protocol::V5 && outcome != Outcome::Failed;
            assert!(outcome != Outcome::Acknowledged && !is_told);
            self.reconnect(0xFC, cause);
        }
    }

    /// The program sends a message, whose payload is its number.
    fn enqueue(&mut self, with: u8) {
        let number = self.given.len();
        let topic = TOPICS[usize::from(with >> 2 & 0x03)];
        let message = Queued {
            topic: topic.into(),
            payload: Bytes::from(format!(
                "{number:0width$}",
                width = if with & 0x40 == 0 { 3 } else { 300 }
            )),
            qos: QoS::from_bits(with & 0x03).unwrap_or(QoS::AtMostOnce),
            retain: false,
            properties: None,
            subscription_ids: Vec::new(),
            expires_at: expires_at(self.now, (with & 0x20 != 0).then_some(Duration::from_secs(10))),
            keep_while_offline: with & 0x10 != 0,
        };
        if self.session.enqueue(message).is_ok() {
            self.given.push(topic);
        }
    }

    /// Takes everything that the session has to say.
    fn write(&mut self) {
        let mut out = std::mem::take(&mut self.out);
        self.session.write_output(self.now, &mut out, usize::MAX);
        let mut rest = &out[..];
        while !rest.is_empty() {
            let found = frame(rest, usize::MAX)
                .expect("what is written is well-formed")
                .expect("and whole");
            match found.decode(rest, self.protocol).expect("and can be read") {
                Packet::Publish(publish) => self.sees(&publish),
                Packet::PubAck(ack) => self.is_acknowledged(AckKind::Ack, ack),
                Packet::PubRec(ack) => self.is_acknowledged(AckKind::Received, ack),
                Packet::PubRel(ack) => {
                    self.under_way.insert(ack.packet_id);
                }
                other => panic!("a session does not write {other:?}"),
            }
            rest = &rest[found.len..];
        }
        assert!(!self.session.has_output(), "all that can be written is");
        out.clear();
        self.out = out;
    }

    fn sees(&mut self, publish: &PublishPacket<'_>) {
        if publish.qos != QoS::AtMostOnce {
            assert!(
                self.under_way.insert(publish.packet_id),
                "a packet id is used once at a time"
            );
            assert!(
                self.under_way.len() <= self.send_maximum,
                "no more under way than the client takes"
            );
        }
        let topic = match publish.alias {
            None => publish.topic.to_owned(),
            Some(alias) if publish.topic.is_empty() => self.aliases[&alias].clone(),
            Some(alias) => {
                self.aliases.insert(alias, publish.topic.to_owned());
                publish.topic.to_owned()
            }
        };
        let payload = std::str::from_utf8(publish.payload).expect("payloads are numbers");
        let number: usize = payload.parse().expect("payloads are numbers");
        assert_eq!(topic, self.given[number], "an alias leads to the topic");
        if publish.dup {
            assert!(number < self.seen, "only what was sent is sent again");
        } else {
            assert!(number >= self.seen, "messages keep their order, and come once");
            self.seen = number + 1;
        }
    }

    fn is_acknowledged(&mut self, kind: AckKind, ack: Ack) {
        let (due, packet_id, ticket) = self.owed.pop_front().expect("no acknowledgement without a message");
        assert_eq!(
            (due, packet_id),
            (kind, ack.packet_id),
            "acknowledgements keep their order"
        );
        assert!(
            self.resolved.contains(&ticket),
            "nothing is acknowledged before it is safe"
        );
    }

    fn reconnect(&mut self, how: u8, cause: DisconnectCause) {
        let aftermath = self.session.detach(self.now, cause);
        if aftermath.ended {
            self.begin_anew();
        }
        self.attach(how);
    }

    /// The connection is gone for so many minutes.
    fn stay_away(&mut self, minutes: u8) {
        let ended = self.session.detach(self.now, DisconnectCause::Dropped).ended;
        self.now += Duration::from_secs(60) * minutes.into();
        let due = self.session.deadline().is_some_and(|at| at <= self.now);
        let later = self.session.poll_deadlines(self.now).ended;
        assert!(due || !later, "nothing ends before its deadline");
        if ended || later {
            self.begin_anew();
        }
        self.attach(0xFC);
    }

    /// The session is over: whoever held it forgets it.
    fn begin_anew(&mut self) {
        self.session = Session::new(LIMITS);
        self.open.clear();
        self.resolved.clear();
        self.delivered.clear();
    }

    /// A new connection: its bits say whether it starts clean, and what it takes.
    fn attach(&mut self, how: u8) {
        let clean_start = how & 0x01 != 0;
        // What only an MQTT 5 client can say.
        let says = self.protocol == Protocol::V5;
        let receive_maximum = if says {
            u16::from(how >> 2 & 0x03).max(1)
        } else {
            u16::MAX
        };
        self.session.attach(Attach {
            protocol: self.protocol,
            clean_start,
            session_expiry_s: if how & 0x02 == 0 { u32::MAX } else { 0 },
            receive_maximum,
            packet_bytes_max: (says && how & 0x10 == 0).then_some(200),
            topic_alias_maximum: if says { u16::from(how >> 6) } else { 0 },
            will: None,
        });
        self.send_maximum = LIMITS.send_maximum.min(receive_maximum.into());
        self.under_way.clear();
        self.owed.clear();
        self.aliases.clear();
        if clean_start {
            self.delivered.clear();
            self.open.clear();
        }
    }

    /// Once every receipt is resolved, every acknowledgement that is owed goes out.
    fn end(&mut self) {
        for ticket in std::mem::take(&mut self.open) {
            self.resolved.insert(ticket);
            self.session.resolve(ticket, Outcome::Acknowledged);
        }
        self.write();
        assert!(self.owed.is_empty(), "still owed: {:?}", self.owed);
    }
}
