//! A session as facts tell of it: when it was by the station's clock, and who or what asked for its end.
//! How the times come about is decided in [`crate::alignment`].

use crate::{
    messages::Record,
    meter::Suspicion,
    rating::{Reading, SESSION_MS_MAX},
    time::Wall,
};
use serde::{Deserialize, Serialize};

/// Who or what asked for the end of charging.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopCause {
    /// The driver, or somebody for them.
    Asked {
        /// Who.
        by: String,
    },
    /// The driver's card.
    Card,
    /// The fee reached the hold less the margin.
    FundsUsed,
    /// The driver's own limit was reached.
    LimitReached,
}

/// A record's times, moved to the station's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionTimes {
    /// When it began.
    pub start: Wall,
    /// When it ended.
    pub stop: Wall,
    /// The buffered readings whose time is known.
    pub samples: Vec<Reading>,
    /// Why the times cannot be believed.
    pub suspicion: Option<Suspicion>,
    /// Further reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Suspicion>,
}

impl SessionTimes {
    /// Times that nobody doubts.
    pub fn certain(start: Wall, stop: Wall, samples: Vec<Reading>) -> Self {
        Self {
            start,
            stop,
            samples,
            suspicion: None,
            also: Vec::new(),
        }
    }

    /// How long the session lasted, for what its connector can have delivered, in milliseconds. Of times that are not known
    /// at all the pile's uptime tells, as far as it makes sense.
    pub fn lasted_ms(&self, record: &Record) -> i64 {
        let lasted = self.stop.ms_since(self.start);
        let is_unknown = self.suspicions().any(|doubt| *doubt == Suspicion::ClockUnknown);
        let uptime = record.uptime().filter(|_| is_unknown);
        let by_uptime = uptime.and_then(|(start, stop)| i64::try_from(stop.checked_sub(start)?).ok());
        let possible = by_uptime.filter(|ms| *ms <= SESSION_MS_MAX);
        possible.map_or(lasted, |ms| ms.max(lasted))
    }

    /// Every reason why they cannot be believed.
    pub fn suspicions(&self) -> impl Iterator<Item = &Suspicion> {
        self.suspicion.iter().chain(&self.also)
    }

    /// The same session by a station's clock that has been put forward by so many milliseconds since.
    pub(crate) fn moved(mut self, by_ms: i64) -> Self {
        let own = [&mut self.start, &mut self.stop].into_iter();
        for at in own.chain(self.samples.iter_mut().map(|sample| &mut sample.at)) {
            *at = at.after_ms(by_ms);
        }
        self
    }

    /// The same times, now that the station's own clock is certain. A step between the session and its record may be the one
    /// that began the doubt, and how long the station was off before that one nobody knows.
    pub(crate) fn believed(self) -> Self {
        let doubts = self.suspicion.into_iter().chain(self.also);
        let mut others = doubts.filter(|doubt| *doubt != Suspicion::StationClockInDoubt);
        Self {
            suspicion: others.next(),
            also: others.collect(),
            ..self
        }
    }
}
