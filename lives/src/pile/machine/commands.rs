//! What a pile does when it is told to: every command once, in time, and the same answer however often it is asked.
//! Behaviours that make it slow, silent or unwilling are here too.

use super::{
    super::{
        behaviour::Behaviour,
        event::What,
        outbox::{Purpose, RECORDS_MAX, RecordRole},
        prices::PriceTable,
    },
    Pile, Timer,
};
use domain::{
    ids::{CommandId, ConnectorNo, OrderId},
    messages::{CommandKind, CommandMessage, Reply, Up},
    time::Mono,
};
use std::collections::VecDeque;

const ANSWERS_MAX: usize = 256;

/// The pile's own codes in a `reply`.
mod code {
    pub(super) const BUSY: i32 = 1;
    pub(super) const NOT_PLUGGED: i32 = 2;
    pub(super) const FAULTED: i32 = 3;
    pub(super) const NO_SESSION: i32 = 4;
    pub(super) const NO_CONNECTOR: i32 = 5;
    pub(super) const EXPIRED: i32 = 6;
    pub(super) const MEMORY_FULL: i32 = 8;
    pub(super) const BAD_PRICES: i32 = 9;
}

type Refusal = (i32, String);

/// What became of the latest commands.
#[derive(Debug, Default)]
pub(super) struct Answers {
    known: VecDeque<(CommandId, Answer)>,
}

#[derive(Debug, Clone)]
enum Answer {
    /// It will be acted on later.
    Pending,
    /// It will never be answered.
    Silence,
    Given(Reply),
}

impl Answers {
    fn get(&self, id: &CommandId) -> Option<&Answer> {
        self.known
            .iter()
            .find(|(known, _)| known == id)
            .map(|(_, answer)| answer)
    }

    fn set(&mut self, id: &CommandId, answer: Answer) {
        self.known.retain(|(known, _)| known != id);
        if self.known.len() == ANSWERS_MAX {
            self.known.pop_front();
        }
        self.known.push_back((id.clone(), answer));
    }

    /// What was not begun before the power went never will be.
    pub(super) fn forget_pending(&mut self) {
        self.known.retain(|(_, answer)| !matches!(answer, Answer::Pending));
    }
}

impl Pile {
    pub(super) fn hear_command(&mut self, command: CommandMessage) {
        let known = self.answers.get(&command.command_id).cloned();
        self.tell(What::Command {
            kind: command.kind,
            command_id: command.command_id.clone(),
            order_id: command.order_id.clone(),
            again: known.is_some(),
        });
        match known {
            Some(Answer::Given(reply)) => return self.reply(reply, self.now.after_ms(command.ttl_ms)),
            Some(Answer::Pending | Answer::Silence) => return,
            None => {}
        }
        let is_start = command.kind == CommandKind::Start;
        let behaviour = self.spec.behaviours.iter().find_map(|behaviour| match behaviour {
            Behaviour::NoReply => Some((Answer::Silence, None)),
            Behaviour::LateStart { by_ms } if is_start => Some((
                Answer::Pending,
                Some((
                    *by_ms,
                    Timer::LateStart {
                        command: command.clone(),
                    },
                )),
            )),
            Behaviour::SlowReply { by_ms } => {
                let timer = Timer::Command {
                    command: command.clone(),
                    received: self.now,
                };
                Some((Answer::Pending, Some((*by_ms, timer))))
            }
            _ => None,
        });
        match behaviour {
            Some((answer, Some((by_ms, timer)))) => {
                self.answers.set(&command.command_id, answer);
                self.after(by_ms, timer);
            }
            Some((answer, None)) => {
                self.answers.set(&command.command_id, answer);
                self.tell(What::Ignored {
                    command_id: command.command_id,
                });
                self.tally.visits += u32::from(is_start);
            }
            None => self.act_on(command, self.now),
        }
    }

    /// Does what a command asks, if it still may.
    pub(super) fn act_on(&mut self, command: CommandMessage, received: Mono) {
        let expires = received.after_ms(command.ttl_ms);
        let is_start = command.kind == CommandKind::Start;
        if self.now >= expires {
            self.tally.visits += u32::from(is_start);
            let late = self.now.ms_since(expires);
            return self.answer(
                &command,
                expires,
                Err((code::EXPIRED, format!("expired {late} ms ago"))),
            );
        }
        match command.kind {
            CommandKind::Start => self.start(command, received),
            CommandKind::Stop => {
                let done = self.running(command.connector, &command.order_id);
                self.answer(&command, expires, done.clone().map(|_| ()));
                if let Ok(connector) = done {
                    self.end_session(connector, 9);
                }
            }
            CommandKind::Limit => {
                let done = self.running(command.connector, &command.order_id);
                if let Ok(connector) = done
                    && let Some(session) = self.connectors[connector].session.as_mut()
                {
                    session.limit_fee = command.limit_fee.or(session.limit_fee);
                    session.limit_kwh = command.limit_kwh.or(session.limit_kwh);
                }
                self.answer(&command, expires, done.map(|_| ()));
            }
            CommandKind::RequestRecord => {
                let found = self.send_record_again(&command.order_id);
                let refusal = (code::NO_SESSION, format!("no record of {}", command.order_id));
                self.answer(&command, expires, if found { Ok(()) } else { Err(refusal) });
            }
            CommandKind::Reboot => {
                self.answer(&command, expires, Ok(()));
                // A moment for the reply to leave.
                self.after(1_000, Timer::Reboot);
            }
        }
    }

    /// Starts, or says why not. `received` is when the time for the acknowledgement of the ok began to run.
    pub(super) fn start(&mut self, command: CommandMessage, received: Mono) {
        let expires = received.after_ms(command.ttl_ms);
        match self.may_start(&command) {
            Err(refusal) => {
                self.tally.visits += 1;
                self.answer(&command, expires, Err(refusal));
            }
            Ok((connector, prices)) => {
                let silent = self.behaves(|b| *b == Behaviour::SilentStart);
                if silent {
                    self.answers.set(&command.command_id, Answer::Silence);
                } else {
                    self.answer(&command, expires, Ok(()));
                }
                let ack_due = (!silent).then(|| (command.command_id.clone(), expires));
                self.begin_commanded(connector, &command, prices, ack_due);
            }
        }
    }

    fn may_start(&self, command: &CommandMessage) -> Result<(usize, Option<PriceTable>), Refusal> {
        let refuse = |code: i32, text: &str| Err((code, text.to_owned()));
        let refusal = self.spec.behaviours.iter().find_map(|behaviour| match behaviour {
            Behaviour::Refuse { code } => Some(*code),
            _ => None,
        });
        if let Some(code) = refusal {
            return refuse(code, "refused, as told");
        }
        let Some(at) = self.find(command.connector) else {
            return refuse(code::NO_CONNECTOR, "no such connector");
        };
        let connector = &self.connectors[at];
        if connector.fault.is_some() {
            return refuse(code::FAULTED, "faulted");
        }
        if connector.session.is_some() {
            return refuse(code::BUSY, "charging");
        }
        if connector.plugged.is_none() {
            return refuse(code::NOT_PLUGGED, "no car is plugged in");
        }
        if self.outbox.records() >= RECORDS_MAX {
            return refuse(code::MEMORY_FULL, "too many records wait for their ack");
        }
        let prices = PriceTable::read(&command.prices, self.spec.utc_offset_ms);
        prices
            .map(|prices| (at, prices))
            .map_err(|error| (code::BAD_PRICES, error))
    }

    /// The connector on which this order is running.
    fn running(&self, connector: ConnectorNo, order: &OrderId) -> Result<usize, Refusal> {
        let at = self
            .find(connector)
            .ok_or_else(|| (code::NO_CONNECTOR, "no such connector".to_owned()))?;
        let runs = self.connectors[at]
            .session
            .as_ref()
            .is_some_and(|session| session.order_id == *order);
        if runs {
            Ok(at)
        } else {
            Err((code::NO_SESSION, format!("{order} is not running here")))
        }
    }

    fn send_record_again(&mut self, order: &OrderId) -> bool {
        let waiting = self.outbox.ids_of_order(order);
        for id in &waiting {
            self.transmit(id);
        }
        let known = self
            .history
            .iter()
            .rev()
            .find(|record| record.order_id == *order)
            .cloned();
        match known {
            _ if !waiting.is_empty() => true,
            Some(record) => {
                self.keep(Up::Record(Box::new(record)), Purpose::Record(RecordRole::Scripted));
                true
            }
            None => false,
        }
    }

    fn answer(&mut self, command: &CommandMessage, expires: Mono, done: Result<(), Refusal>) {
        let (code, message) = done.clone().err().unwrap_or_default();
        let reply = Reply {
            command_id: command.command_id.clone(),
            ok: done.is_ok(),
            code,
            message,
            meter_kwh: None,
        };
        self.answers.set(&command.command_id, Answer::Given(reply.clone()));
        self.reply(reply, expires);
    }

    fn reply(&mut self, reply: Reply, expires: Mono) {
        let Reply {
            command_id,
            ok,
            code,
            message,
            ..
        } = reply.clone();
        self.tell(What::Replied {
            command_id: command_id.clone(),
            ok,
            code,
            message,
        });
        // A reply that comes too late to be of use is still sent once, so that the station can see it was late.
        let expires = expires.max(self.now.after_ms(1));
        self.keep(Up::Reply(reply), Purpose::Reply { command_id, expires });
    }
}
