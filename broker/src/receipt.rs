//! The acknowledgement of one message, in the hands of whoever makes it durable.
//! A token instead of a future per message: resolving thousands after one commit costs a lock and a wake-up each.

use std::fmt;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::quota::Share;

/// The outstanding acknowledgement of a QoS 1 or 2 message; for QoS 0 (and wills) there is none. Keep it with a QoS 0
/// message nevertheless until that has been dealt with: it counts among what the client has under way.
///
/// Resolve it with [`acknowledge`](Self::acknowledge) or [`refuse`](Self::refuse), from any thread, once. Dropping it
/// unresolved closes the connection without acknowledgement, so that the client sends the message again later: what
/// must happen if the commit fails is what happens if it is forgotten.
#[must_use = "dropping a receipt closes the client's connection"]
pub struct Receipt {
    target: Target,
    /// Its place among what the identity may have in the gatekeeper's hands.
    share: Option<Share>,
}

enum Target {
    Nobody,
    Session { session: Arc<dyn Resolve>, ticket: u64 },
    Channel(oneshot::Sender<Outcome>),
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Send PUBACK or PUBREC.
    Acknowledged,
    /// Send PUBACK or PUBREC with this MQTT 5 reason code (0x80 or above); a 3.1.1 client is disconnected instead.
    Refused(RefusalReason),
    /// Send nothing, close the connection.
    Failed,
}

/// MQTT 5 reason codes for a refused PUBLISH (table 3-4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalReason {
    /// 0x80
    UnspecifiedError = 0x80,
    /// 0x83
    ImplementationSpecificError = 0x83,
    /// 0x87
    NotAuthorized = 0x87,
    /// 0x90
    TopicNameInvalid = 0x90,
    /// 0x97: what takes the messages is full.
    QuotaExceeded = 0x97,
    /// 0x99
    PayloadFormatInvalid = 0x99,
}

/// Where receipts report to. Implemented by sessions.
pub(crate) trait Resolve: Send + Sync {
    fn resolve(&self, ticket: u64, outcome: Outcome);
}

impl Receipt {
    /// A receipt that does nothing, as it comes with QoS 0. Also for tests of a gatekeeper.
    pub fn inert() -> Self {
        Self {
            target: Target::Nobody,
            share: None,
        }
    }

    /// A receipt that reports to a channel: for tests of a gatekeeper.
    pub fn to_channel() -> (Self, oneshot::Receiver<Outcome>) {
        let (sender, receiver) = oneshot::channel();
        (
            Self {
                target: Target::Channel(sender),
                share: None,
            },
            receiver,
        )
    }

    pub(crate) fn for_session(session: Arc<dyn Resolve>, ticket: u64) -> Self {
        Self {
            target: Target::Session { session, ticket },
            share: None,
        }
    }

    /// The same, which gives a place back when it is resolved or dropped.
    pub(crate) fn holding(mut self, share: Option<Share>) -> Self {
        self.share = share;
        self
    }

    /// Whether anything depends on it (QoS 1 or 2).
    pub fn is_awaited(&self) -> bool {
        !matches!(self.target, Target::Nobody)
    }

    /// Lets the acknowledgement go out, after those of all earlier messages of the connection.
    pub fn acknowledge(mut self) {
        self.resolve(Outcome::Acknowledged);
    }

    /// Acknowledges with an error: an MQTT 5 client gets the reason and will not repeat the message; a 3.1.1 client,
    /// which cannot be told, is disconnected and will.
    pub fn refuse(mut self, reason: RefusalReason) {
        self.resolve(Outcome::Refused(reason));
    }

    fn resolve(&mut self, outcome: Outcome) {
        match std::mem::replace(&mut self.target, Target::Nobody) {
            Target::Nobody => {}
            Target::Session { session, ticket } => session.resolve(ticket, outcome),
            // The receiver may be gone; then nobody wants to know.
            Target::Channel(sender) => drop(sender.send(outcome)),
        }
        self.share = None;
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.resolve(Outcome::Failed);
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt")
            .field("is_awaited", &self.is_awaited())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_receipt_reports_failure() {
        let (receipt, mut outcome) = Receipt::to_channel();
        drop(receipt);
        assert_eq!(outcome.try_recv(), Ok(Outcome::Failed));
    }

    #[test]
    fn a_resolved_receipt_reports_once() {
        let (receipt, mut outcome) = Receipt::to_channel();
        receipt.acknowledge();
        assert_eq!(outcome.try_recv(), Ok(Outcome::Acknowledged));
        let (receipt, mut outcome) = Receipt::to_channel();
        receipt.refuse(RefusalReason::QuotaExceeded);
        assert_eq!(outcome.try_recv(), Ok(Outcome::Refused(RefusalReason::QuotaExceeded)));
    }
}
