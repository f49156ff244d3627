//! Messages that must not be lost: replies and events until their PUBACK, records until their `ack`.
//! A message goes out again unchanged, under the same `msg_id`, so that the station can answer it like the first.

use domain::{
    ids::{CommandId, MsgId, OrderId},
    messages::{Record, Up, UpMessage},
    time::Mono,
};
use std::collections::VecDeque;

/// The most records a pile keeps; with its memory full it starts no session.
pub(crate) const RECORDS_MAX: usize = 1_000;
/// The most replies and events it keeps; the oldest goes first.
const OTHERS_MAX: usize = 256;
const RETRY_FIRST_MS: u64 = 5_000;
const RETRY_MOST_MS: u64 = 60_000;

/// What a kept message is, beyond its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Of no use after `expires`.
    Reply {
        command_id: CommandId,
        expires: Mono,
    },
    Event,
    Record(RecordRole),
}

/// Why a record is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordRole {
    /// A session that the station asked for.
    Commanded,
    /// A session of the pile's own, or one asked for again.
    Own,
    /// The same again under another name, on purpose.
    Duplicate,
    /// The same order with other content, on purpose.
    Conflict,
    /// Of an order nobody knows, on purpose.
    Orphan,
    /// Sent by a script.
    Scripted,
}

/// A kept message.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) message: UpMessage,
    pub(crate) purpose: Purpose,
    /// How often it was sent.
    pub(crate) attempts: u32,
    /// Its name on the present connection.
    token: Option<u64>,
    retry_at: Option<Mono>,
}

/// The messages in the order in which they were made.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    entries: VecDeque<Entry>,
}

impl Outbox {
    /// Keeps a message; returns the one that had to go for it, if any.
    pub(crate) fn push(&mut self, message: UpMessage, purpose: Purpose) -> Option<MsgId> {
        let is_record = matches!(purpose, Purpose::Record(_));
        self.entries.push_back(Entry {
            message,
            purpose,
            attempts: 0,
            token: None,
            retry_at: None,
        });
        let oldest = self
            .entries
            .iter()
            .position(|entry| !matches!(entry.purpose, Purpose::Record(_)));
        let too_many = !is_record && self.entries.len() - self.records() > OTHERS_MAX;
        oldest
            .filter(|_| too_many)
            .and_then(|at| self.entries.remove(at))
            .and_then(|entry| entry.message.common.msg_id)
    }

    /// How many records wait for their `ack`.
    pub(crate) fn records(&self) -> usize {
        self.entries
            .iter()
            .filter(|entry| matches!(entry.purpose, Purpose::Record(_)))
            .count()
    }

    /// The records that wait for their `ack`.
    pub(crate) fn kept_records(&self) -> impl Iterator<Item = (&Record, RecordRole)> {
        self.entries
            .iter()
            .filter_map(|entry| match (&entry.message.body, &entry.purpose) {
                (Up::Record(record), Purpose::Record(role)) => Some((&**record, *role)),
                _ => None,
            })
    }

    /// The ids of everything kept, oldest first.
    pub(crate) fn ids(&self) -> Vec<MsgId> {
        self.entries
            .iter()
            .filter_map(|entry| entry.message.common.msg_id.clone())
            .collect()
    }

    /// The ids of the kept records of an order.
    pub(crate) fn ids_of_order(&self, order: &OrderId) -> Vec<MsgId> {
        let is_of = |entry: &&Entry| matches!(&entry.message.body, Up::Record(record) if record.order_id == *order);
        self.entries
            .iter()
            .filter(is_of)
            .filter_map(|entry| entry.message.common.msg_id.clone())
            .collect()
    }

    /// Notes that a message goes out now under `token`.
    pub(crate) fn sent(&mut self, id: &MsgId, token: u64) -> Option<&Entry> {
        let entry = self
            .entries
            .iter_mut()
            .find(|entry| entry.message.common.msg_id.as_ref() == Some(id))?;
        entry.attempts += 1;
        (entry.token, entry.retry_at) = (Some(token), None);
        Some(entry)
    }

    /// When the next record goes out again, and which.
    pub(crate) fn next_retry(&self) -> Option<(Mono, MsgId)> {
        let due = |entry: &Entry| Some((entry.retry_at?, entry.message.common.msg_id.clone()?));
        self.entries.iter().filter_map(due).min_by_key(|(at, _)| *at)
    }

    /// The connection is gone: what it carried is nobody's now, and nothing is repeated until there is another.
    pub(crate) fn disconnected(&mut self) {
        for entry in &mut self.entries {
            (entry.token, entry.retry_at) = (None, None);
        }
    }

    /// A PUBACK came. A reply or event is done with; the command that was answered is returned. A record goes out again
    /// if its `ack` does not follow. Before its PUBACK it is the connection's to deliver, and repeating it would only
    /// fill the queue in front of a slow station.
    pub(crate) fn puback(&mut self, token: u64, now: Mono) -> Option<CommandId> {
        let at = self.entries.iter().position(|entry| entry.token == Some(token))?;
        let entry = &mut self.entries[at];
        if matches!(entry.purpose, Purpose::Record(_)) {
            let doubled = RETRY_FIRST_MS << (entry.attempts.max(1) - 1).min(8);
            (entry.token, entry.retry_at) = (None, Some(now.after_ms(doubled.min(RETRY_MOST_MS))));
            return None;
        }
        match self.entries.remove(at)?.purpose {
            Purpose::Reply { command_id, .. } => Some(command_id),
            Purpose::Event | Purpose::Record(_) => None,
        }
    }

    /// An `ack` came: the message is done with, whatever it was.
    pub(crate) fn ack(&mut self, id: &MsgId) -> Option<Entry> {
        let at = self
            .entries
            .iter()
            .position(|entry| entry.message.common.msg_id.as_ref() == Some(id))?;
        self.entries.remove(at)
    }

    /// Forgets replies that nobody waits for any more.
    pub(crate) fn expire(&mut self, now: Mono) {
        self.entries
            .retain(|entry| !matches!(entry.purpose, Purpose::Reply { expires, .. } if expires <= now));
    }

    /// What a pile finds in its flash after a start: records only.
    pub(crate) fn take_records(&mut self) -> Vec<(Record, RecordRole)> {
        let entries = std::mem::take(&mut self.entries);
        entries
            .into_iter()
            .filter_map(|entry| match (entry.message.body, entry.purpose) {
                (Up::Record(record), Purpose::Record(role)) => Some((*record, role)),
                _ => None,
            })
            .collect()
    }
}
