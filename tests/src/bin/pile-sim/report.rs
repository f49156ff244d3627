//! What is printed: one line per event, for people or as JSON, and a summary at the end.
//! When nobody reads any more the simulation goes on in silence.

use serde::Serialize;
use std::{
    fmt,
    io::{self, Write},
};
use world::pile::{PileEvent, Status};

/// How everything went.
#[derive(Debug, Default, Clone, Serialize)]
#[serde(tag = "event", rename = "summary")]
pub(crate) struct Summary {
    pub(crate) piles: usize,
    /// Piles that were never connected.
    pub(crate) never_connected: usize,
    pub(crate) sessions: u64,
    pub(crate) visits: u64,
    pub(crate) heartbeats: u64,
    pub(crate) unacked_records: usize,
    pub(crate) unexpected: u64,
    pub(crate) gave_up: bool,
}

impl Summary {
    /// Counts one more pile.
    pub(crate) fn add(&mut self, status: &Status, was_connected: bool) {
        self.piles += 1;
        self.never_connected += usize::from(!was_connected);
        self.sessions += u64::from(status.sessions);
        self.visits += u64::from(status.visits);
        self.heartbeats += status.heartbeats;
        self.unacked_records += status.unacked_records;
        self.unexpected += u64::from(status.unexpected);
    }

    /// Whether the contract was kept.
    pub(crate) fn is_good(&self) -> bool {
        self.unacked_records == 0 && self.unexpected == 0 && self.never_connected == 0 && !self.gave_up
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            piles,
            sessions,
            visits,
            heartbeats,
            unacked_records,
            unexpected,
            ..
        } = self;
        write!(
            f,
            "{}: {piles} piles, {visits} visits, {sessions} sessions, {heartbeats} heartbeats, ",
            if self.is_good() { "GOOD" } else { "BAD" }
        )?;
        write!(f, "{unacked_records} records without ack, {unexpected} unexpected")?;
        if self.never_connected > 0 {
            write!(f, ", {} piles never connected", self.never_connected)?;
        }
        if self.gave_up {
            f.write_str(", gave up waiting")
        } else {
            Ok(())
        }
    }
}

/// Prints an event.
pub(crate) fn event(event: &PileEvent, json: bool) {
    print(event, json);
}

/// Prints the summary.
pub(crate) fn summary(summary: &Summary, json: bool) {
    print(summary, json);
}

fn print<T: Serialize + fmt::Display>(what: &T, json: bool) {
    let text = if json {
        serde_json::to_string(what)
            .unwrap_or_else(|error| format!("{{\"event\":\"unprintable\",\"detail\":\"{error}\"}}"))
    } else {
        what.to_string()
    };
    // A closed pipe is no reason to stop charging cars.
    let _ = writeln!(io::stdout().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{
        ids::{MsgId, OrderId, PileId},
        messages::AckResult,
        time::Mono,
        units::Fen,
    };
    use world::pile::What;

    #[test]
    fn an_event_is_one_line_for_people_and_one_object_for_programs() {
        let what = What::RecordAcked {
            order_id: OrderId::new("o1").unwrap(),
            msg_id: MsgId::new("1-9").unwrap(),
            result: AckResult::Ok,
            fee: Some(Fen(1234)),
            detail: String::new(),
        };
        let event = PileEvent {
            pile: PileId::new("P1").unwrap(),
            at_ms: Mono(3_723_004),
            ts: None,
            what,
        };
        assert_eq!(
            event.to_string(),
            "01:02:03.004 P1         record of o1 (1-9) acknowledged: ok, fee ¥12.34"
        );
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"pile":"P1","at_ms":3723004,"ts":null,"event":"record_acked","order_id":"o1","msg_id":"1-9","result":"ok","fee":"12.34","detail":""}"#
        );
    }

    #[test]
    fn a_run_is_good_only_if_nothing_is_left_open() {
        let good = Status {
            sessions: 1,
            visits: 1,
            ..Status::default()
        };
        let mut summary = Summary::default();
        summary.add(&good, true);
        assert!(summary.is_good() && summary.to_string().starts_with("GOOD: 1 piles"));
        for bad in [
            Status {
                unacked_records: 1,
                ..good.clone()
            },
            Status {
                unexpected: 1,
                ..good.clone()
            },
        ] {
            let mut summary = summary.clone();
            summary.add(&bad, true);
            assert!(!summary.is_good() && summary.to_string().starts_with("BAD"), "{bad:?}");
        }
        summary.add(&good, false);
        assert!(!summary.is_good());
        let json = serde_json::to_string(&summary).unwrap();
        assert!(
            json.starts_with(r#"{"event":"summary","piles":2,"never_connected":1,"#),
            "{json}"
        );
    }
}
