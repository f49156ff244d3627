//! A session: everything that belongs to a client id and outlives the socket (MQTT-4.1, MQTT5 4.1).
//! Sans-IO: packets and the time go in, bytes and decisions come out; whoever holds the socket calls.

mod aliases;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod inbound;
#[cfg(test)]
mod model;
mod outbound;
mod subscriptions;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

pub(crate) use self::inbound::{Received, Resolution};
pub(crate) use self::outbound::{QueueFull, Queued, Tally, expires_at};
pub(crate) use self::subscriptions::{Subscription, Unsubscribed};

use self::aliases::Aliases;
use self::inbound::{PendingAck, Unreleased};
use self::outbound::InFlight;
use crate::codec::connect::Will;
use crate::config::Config;
use crate::gatekeeper::{DisconnectCause, Protocol};

/// The part of [`Config`] that bounds one session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionLimits {
    pub(crate) receive_maximum: usize,
    pub(crate) send_maximum: usize,
    pub(crate) queue_messages_max: usize,
    pub(crate) queue_bytes_max: usize,
    pub(crate) subscriptions_max: usize,
    pub(crate) topic_alias_maximum: u16,
    pub(crate) expiry_max: Duration,
}

impl From<&Config> for SessionLimits {
    fn from(config: &Config) -> Self {
        Self {
            receive_maximum: usize::from(config.receive_maximum.max(1)),
            send_maximum: usize::from(config.send_maximum.max(1)),
            queue_messages_max: config.queue_messages_max,
            queue_bytes_max: config.queue_bytes_max,
            subscriptions_max: config.subscriptions_max,
            topic_alias_maximum: config.topic_alias_maximum,
            expiry_max: config.session_expiry_max,
        }
    }
}

/// What a connection brings to the session it attaches to.
#[derive(Debug)]
pub(crate) struct Attach {
    pub(crate) protocol: Protocol,
    pub(crate) clean_start: bool,
    pub(crate) session_expiry_s: u32,
    pub(crate) receive_maximum: u16,
    pub(crate) packet_bytes_max: Option<u32>,
    pub(crate) topic_alias_maximum: u16,
    pub(crate) will: Option<Will>,
}

/// What is to be done once a connection has left the session, or a deadline has passed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Aftermath {
    /// A will to publish now.
    pub(crate) will: Option<Will>,
    /// The session is over: forget it.
    pub(crate) ended: bool,
}

#[derive(Debug)]
pub(crate) struct Session {
    limits: SessionLimits,
    protocol: Protocol,
    /// How long the session lives on without a connection.
    expiry: Duration,
    /// Set while no connection is attached: when the session ends.
    ends_at: Option<Instant>,
    /// Will of the connection, and once that is gone, when it is due.
    will: Option<Will>,
    will_due_at: Option<Instant>,

    subscriptions: Vec<Subscription>,

    // To the client.
    queue: VecDeque<Queued>,
    queue_bytes: usize,
    in_flight: VecDeque<InFlight>,
    /// How many of `in_flight` have not been sent on this connection.
    resends_due: usize,
    last_packet_id: u16,
    send_maximum: usize,
    packet_bytes_max: usize,
    aliases: Aliases,
    tally: Tally,

    // From the client.
    /// Acknowledgements in the order in which their messages came (MQTT-4.6.0-2, -3).
    acks: VecDeque<PendingAck>,
    next_ticket: u64,
    /// QoS 2 messages taken and not yet released by PUBREL, by packet id.
    unreleased: HashMap<u16, Unreleased>,
}

/// The expiry that was asked for, within what is allowed.
pub(crate) fn granted_expiry(asked_s: u32, max: Duration) -> Duration {
    if asked_s == u32::MAX {
        max
    } else {
        Duration::from_secs(asked_s.into()).min(max)
    }
}

impl Session {
    pub(crate) fn new(limits: SessionLimits) -> Self {
        Self {
            limits,
            protocol: Protocol::V4,
            expiry: Duration::ZERO,
            ends_at: None,
            will: None,
            will_due_at: None,
            subscriptions: Vec::new(),
            queue: VecDeque::new(),
            queue_bytes: 0,
            in_flight: VecDeque::new(),
            resends_due: 0,
            last_packet_id: 0,
            send_maximum: limits.send_maximum,
            packet_bytes_max: usize::MAX,
            aliases: Aliases::default(),
            tally: Tally::default(),
            acks: VecDeque::new(),
            next_ticket: 0,
            unreleased: HashMap::new(),
        }
    }

    /// Drops all state but the tickets' numbering, so that receipts from before cannot hit new messages.
    fn clear(&mut self) {
        *self = Self {
            next_ticket: self.next_ticket,
            tally: std::mem::take(&mut self.tally),
            ..Self::new(self.limits)
        };
    }

    /// Gives the session to a new connection; the one before has been taken away with [`detach`](Self::detach). With
    /// clean start nothing of before is left (MQTT-3.1.2-6); the caller releases what hangs on the subscriptions first.
    pub(crate) fn attach(&mut self, attach: Attach) {
        if attach.clean_start {
            self.clear();
        }
        self.protocol = attach.protocol;
        self.expiry = granted_expiry(attach.session_expiry_s, self.limits.expiry_max);
        self.ends_at = None;
        // A will that was delayed is not sent any more: the client is back in time (MQTT-3.1.3-9).
        self.will = attach.will;
        self.will_due_at = None;
        self.send_maximum = self.limits.send_maximum.min(usize::from(attach.receive_maximum));
        self.packet_bytes_max = attach.packet_bytes_max.map_or(usize::MAX, |max| max as usize);
        self.aliases = Aliases::new(self.limits.topic_alias_maximum.min(attach.topic_alias_maximum));
        for message in &mut self.in_flight {
            message.sent = false;
        }
        self.resends_due = self.in_flight.len();
    }

    /// The largest packet that the client takes.
    pub(crate) fn packet_bytes_max(&self) -> usize {
        self.packet_bytes_max
    }

    /// How long the session lives on without a connection.
    #[cfg(any(test, feature = "fuzz"))]
    pub(crate) fn expiry(&self) -> Duration {
        self.expiry
    }

    /// DISCONNECT may change the expiry, but not from 0 (MQTT-3.14.2-2).
    pub(crate) fn change_expiry(&mut self, asked_s: u32) -> Result<(), DisconnectCause> {
        if self.expiry.is_zero() && asked_s != 0 {
            return Err(DisconnectCause::ProtocolError);
        }
        self.expiry = granted_expiry(asked_s, self.limits.expiry_max);
        Ok(())
    }

    /// Takes the session away from its connection. Wills: discarded after a clean DISCONNECT (MQTT-3.14.4-3), else due
    /// after their delay, or when the session ends if that is earlier (MQTT-3.1.2-8, MQTT5 3.1.3.2.2).
    pub(crate) fn detach(&mut self, now: Instant, cause: DisconnectCause) -> Aftermath {
        self.acks.clear();
        self.queue.retain(|queued| queued.keep_while_offline);
        self.queue_bytes = self.queue.iter().map(Queued::bytes).sum();
        self.in_flight.retain(InFlight::outlives_connection);
        self.resends_due = 0;
        self.queue.shrink_to_fit();

        self.ends_at = Some(now + self.expiry);
        if cause == DisconnectCause::Clean {
            self.will = None;
        }
        self.will_due_at = self.will.as_ref().map(|will| {
            let delay = Duration::from_secs(will.delay_s.into()).min(self.limits.expiry_max);
            now + delay.min(self.expiry)
        });
        self.poll_deadlines(now)
    }

    /// The next moment at which [`poll_deadlines`](Self::poll_deadlines) has something to say.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        [self.ends_at, self.will_due_at].into_iter().flatten().min()
    }

    pub(crate) fn poll_deadlines(&mut self, now: Instant) -> Aftermath {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let ended = due(self.ends_at);
        let will = if ended || due(self.will_due_at) {
            self.will_due_at = None;
            self.will.take()
        } else {
            None
        };
        Aftermath { will, ended }
    }

    /// Ends the session at once, whatever its expiry; a will that waits is due.
    pub(crate) fn end(&mut self) -> Aftermath {
        let will = if self.will_due_at.take().is_some() {
            self.will.take()
        } else {
            None
        };
        Aftermath { will, ended: true }
    }

    /// Lets the session end with its connection, or now if there is none.
    pub(crate) fn end_with_connection(&mut self, now: Instant) {
        self.expiry = Duration::ZERO;
        if self.ends_at.is_some() {
            self.ends_at = Some(now);
        }
    }

    /// What has been counted since the last call.
    pub(crate) fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::message::{Publish, QoS};

    pub(super) fn limits() -> SessionLimits {
        SessionLimits {
            receive_maximum: 4,
            send_maximum: 3,
            queue_messages_max: 5,
            queue_bytes_max: 1000,
            subscriptions_max: 3,
            topic_alias_maximum: 2,
            expiry_max: Duration::from_secs(3600),
        }
    }

    pub(super) fn attach(protocol: Protocol) -> Attach {
        Attach {
            protocol,
            clean_start: false,
            session_expiry_s: u32::MAX,
            receive_maximum: u16::MAX,
            packet_bytes_max: None,
            topic_alias_maximum: 0,
            will: None,
        }
    }

    pub(super) fn session(protocol: Protocol) -> Session {
        let mut session = Session::new(limits());
        session.attach(attach(protocol));
        session
    }

    fn will(delay_s: u32) -> Will {
        let publish = Publish {
            topic: "gone".into(),
            payload: Bytes::from_static(b"bye"),
            qos: QoS::AtMostOnce,
            retain: false,
            dup: false,
            properties: None,
        };
        Will { publish, delay_s }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_clean_disconnect_discards_the_will_and_a_drop_publishes_it() {
        let now = Instant::now();
        for (cause, published) in [
            (DisconnectCause::Clean, false),
            (DisconnectCause::CleanWithWill, true),
            (DisconnectCause::Dropped, true),
            (DisconnectCause::KeepAliveTimeout, true),
        ] {
            let mut session = Session::new(limits());
            session.attach(Attach {
                will: Some(will(0)),
                session_expiry_s: 0,
                ..attach(Protocol::V5)
            });
            let aftermath = session.detach(now, cause);
            assert_eq!(
                (aftermath.will.is_some(), aftermath.ended),
                (published, true),
                "{cause:?}"
            );
        }
    }

    #[test]
    fn a_delayed_will_waits_and_is_called_off_by_a_return() {
        let now = Instant::now();
        let mut session = Session::new(limits());
        session.attach(Attach {
            will: Some(will(10)),
            session_expiry_s: 60,
            ..attach(Protocol::V5)
        });
        assert_eq!(session.detach(now, DisconnectCause::Dropped), Aftermath::default());
        assert_eq!(session.deadline(), Some(now + 10 * SECOND));
        assert_eq!(session.poll_deadlines(now + 9 * SECOND), Aftermath::default());
        session.attach(attach(Protocol::V5));
        assert_eq!(session.deadline(), None);

        session.attach(Attach {
            will: Some(will(10)),
            session_expiry_s: 60,
            ..attach(Protocol::V5)
        });
        session.detach(now, DisconnectCause::Dropped);
        let aftermath = session.poll_deadlines(now + 10 * SECOND);
        assert_eq!((aftermath.will.is_some(), aftermath.ended), (true, false));
        assert_eq!(session.deadline(), Some(now + 60 * SECOND));
        assert!(session.poll_deadlines(now + 60 * SECOND).ended);
    }

    #[test]
    fn a_will_is_due_at_the_latest_when_the_session_ends() {
        let now = Instant::now();
        let mut session = Session::new(limits());
        session.attach(Attach {
            will: Some(will(100)),
            session_expiry_s: 5,
            ..attach(Protocol::V5)
        });
        session.detach(now, DisconnectCause::Dropped);
        let aftermath = session.poll_deadlines(now + 5 * SECOND);
        assert_eq!((aftermath.will.is_some(), aftermath.ended), (true, true));
    }

    #[test]
    fn expiry_is_bounded_and_cannot_be_raised_from_zero() {
        let mut session = Session::new(limits());
        session.attach(Attach {
            session_expiry_s: 1_000_000,
            ..attach(Protocol::V5)
        });
        assert_eq!(session.expiry(), limits().expiry_max);
        assert_eq!(session.change_expiry(7), Ok(()));
        assert_eq!(session.expiry(), 7 * SECOND);
        assert_eq!(session.change_expiry(0), Ok(()));
        assert_eq!(session.change_expiry(7), Err(DisconnectCause::ProtocolError));
    }
}
