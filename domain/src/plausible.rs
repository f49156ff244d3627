//! Which readings of a register are believed: those that the connector can have delivered since the one before.
//! A reading that does not fit waits; the readings after it say whether it was a slip or the register is elsewhere.
//!
//! Money is made of registers (S03 §4), and a register can be wrong at any time: in the first reading as in the last, in
//! a boot as in a heartbeat, once or for ever. So no reading is right because it came first, and no doubt lasts: either
//! the next readings settle it, or a person does ([`RegisterWatch::resolved_by_person`]).
//!
//! | what the readings do | verdict |
//! |---|---|
//! | go on from the last one | [`Verdict::Believed`] |
//! | one does not fit | [`Verdict::Waiting`] |
//! | … and the next goes on from the line before it | [`Verdict::SlipDropped`] |
//! | … or the next two go on from the reading before the last believed one, or from nothing | [`Verdict::SlipWithdrawn`] |
//! | … or enough of them agree with each other and with nothing before | [`Verdict::Adopted`] |
//! | … and later enough of them agree with the line before that | [`Verdict::Returned`] |

use crate::{
    meter,
    resolution::{Resolution, stands_still},
    time::Mono,
    units::{Energy, Power},
};
use serde::{Deserialize, Serialize};

/// So many readings must agree with each other before a line that contradicts the known one is adopted.
pub const AGREE_MIN: u32 = 3;
/// Over at least this time, in milliseconds.
pub const AGREE_MS: u64 = 30_000;
/// So many readings of 0 must agree. A pile that cannot read its meter says 0, too, and soon reads it again.
pub const ZERO_AGREE_MIN: u32 = 8;
/// Over at least this time, in milliseconds.
pub const ZERO_AGREE_MS: u64 = 300_000;
/// So many readings that agree with each other withdraw one believed reading that nothing but itself speaks for.
pub const WITHDRAW_MIN: u32 = 2;
/// A line that was left can be returned to for this time, in milliseconds. After it, what is possible is so much that
/// another meter's register may fit by chance.
pub const RETURN_MS: u64 = 86_400_000;

/// A reading as the station received it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// When it was received, by the station's elapsed time: the time of day can be stepped between two readings.
    pub at: Mono,
    /// What it says.
    pub register: Energy,
    /// For how long the station was off since, in milliseconds, which elapsed time does not count.
    #[serde(default)]
    pub away_ms: u64,
}

impl Seen {
    /// A reading that was received at `at`, with the station on ever since.
    pub fn now(at: Mono, register: Energy) -> Self {
        let away_ms = 0;
        Self { at, register, away_ms }
    }

    fn is_of_one_moment_with(self, other: Self) -> bool {
        (self.at, self.away_ms) == (other.at, other.away_ms)
    }

    /// Milliseconds from this reading to a later one; zero if that is not later.
    pub fn ms_until(self, later: Self) -> u64 {
        let passed = later.at.0.saturating_add(self.away_ms);
        passed.saturating_sub(self.at.0.saturating_add(later.away_ms))
    }
}

/// Which message a reading came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `boot`. Meters are replaced while a pile is off, so a boot that the next heartbeat agrees with is enough.
    Boot,
    /// `heartbeat`, and `reply` to a start.
    Heartbeat,
}

/// What is made of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on from the line.
    Believed,
    /// It contradicts the line. It makes no money, and the next readings say which of both is wrong.
    Waiting,
    /// It goes on from the line; the readings that waited were a slip. They were never believed: nothing is to be done.
    SlipDropped {
        /// The last of them.
        wrong: Energy,
    },
    /// It is believed, and the last believed reading was a slip: the first of all, or one that was possible and has been
    /// contradicted since. What was made of that one reading is taken back. No person is needed, unless money has moved by
    /// it (an order was settled, or placed with it as its baseline).
    SlipWithdrawn {
        /// The reading that was believed.
        wrong: Energy,
    },
    /// It goes on from the line that was left within the last day: what was adopted since was a slip that lasted. The
    /// doubt that [`Verdict::Adopted`] raised is lifted, unless money has moved by it.
    Returned {
        /// The last reading of what was adopted.
        wrong: Energy,
    },
    /// The register is elsewhere: enough readings agree with each other and not with the line. From now on they are
    /// believed, and a person decides about the orders in between. Lower (`found < known`): another meter, or the register
    /// began again at 0 after its last digit. Higher: it counted more than the connector can have delivered.
    Adopted {
        /// The last reading of the line that was left.
        known: Energy,
        /// The first reading of the new line.
        found: Energy,
        /// When that one was received.
        since: Mono,
    },
}

impl Verdict {
    /// Whether the reading counts, for money and for everything else that readings are made of.
    pub fn is_believed(self) -> bool {
        self != Self::Waiting
    }

    /// Whether readings of before do not go on in this one: whatever compares two readings begins anew.
    pub fn is_new_line(self) -> bool {
        matches!(
            self,
            Self::SlipWithdrawn { .. } | Self::Returned { .. } | Self::Adopted { .. }
        )
    }
}

/// The readings of one connector's register that are believed, and those that wait.
///
/// It outlives sessions, boots and restarts of the station: keep it with the connector.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RegisterWatch {
    line: Option<Line>,
    #[serde(default)]
    doubt: Option<Doubt>,
    /// The end of the line that was left for the present one, which no person has looked at yet.
    #[serde(default)]
    left: Option<Seen>,
}

/// Readings of which each goes on from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    last: Seen,
    /// The reading before it: where the line goes on if the last was a slip.
    before: Option<Seen>,
    /// A second reading, or a person, has agreed with the first.
    is_certain: bool,
    resolution: Resolution,
}

/// Readings that contradict the line and wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    first: Seen,
    line: Line,
    count: u32,
    has_boot: bool,
}

impl Line {
    fn begun_by(seen: Seen) -> Self {
        Self {
            last: seen,
            before: None,
            is_certain: false,
            resolution: Resolution::shown_by(seen.register),
        }
    }

    /// Whether this reading can follow on the last one.
    fn is_followed_by(&self, seen: Seen, power: Power) -> bool {
        follows(self.last, seen, power, self.resolution.with(seen.register))
    }

    fn go_on(&mut self, seen: Seen) {
        if !self.last.is_of_one_moment_with(seen) {
            self.before = Some(self.last);
        }
        self.last = seen;
        self.is_certain = true;
        self.resolution = self.resolution.with(seen.register);
    }
}

impl Doubt {
    fn begun_by(seen: Seen, source: Source) -> Self {
        Self {
            first: seen,
            line: Line::begun_by(seen),
            count: 1,
            has_boot: source == Source::Boot,
        }
    }

    /// The first reading that contradicts the line.
    pub fn first(&self) -> Seen {
        self.first
    }

    /// The last that agrees with it.
    pub fn last(&self) -> Seen {
        self.line.last
    }

    /// How many speak for it, less those since that agree with neither; at most [`ZERO_AGREE_MIN`].
    pub fn count(&self) -> u32 {
        self.count
    }

    fn go_on(&mut self, seen: Seen, source: Source) {
        self.line.go_on(seen);
        // Bounded, so that a long doubt does not need as long again to be given up for another.
        self.count = (self.count + 1).min(ZERO_AGREE_MIN);
        self.has_boot |= source == Source::Boot;
    }

    fn ms(&self) -> u64 {
        self.first.ms_until(self.last())
    }

    fn is_zero(&self) -> bool {
        self.last().register == Energy::ZERO
    }

    /// Whether the register can be taken to be here, now that a message of this kind has said so.
    fn is_enough(&self, source: Source) -> bool {
        if self.is_zero() {
            self.count >= ZERO_AGREE_MIN && self.ms() >= ZERO_AGREE_MS
        } else if self.has_boot && source == Source::Heartbeat {
            true
        } else {
            self.count >= AGREE_MIN && self.ms() >= AGREE_MS
        }
    }

    /// Whether it shows that the last reading of `known` was a slip: nothing but itself speaks for that one, and more than
    /// one speak for the doubt.
    fn withdraws(&self, known: &Line, power: Power) -> bool {
        let goes_on = match known.before {
            Some(before) => follows(before, self.first, power, self.line.resolution),
            None => !known.is_certain,
        };
        goes_on && !self.is_zero() && self.count >= WITHDRAW_MIN
    }
}

impl RegisterWatch {
    /// A watch of a register that is known from elsewhere: the station's store from before it kept watches, or a settled
    /// record.
    pub fn known(at: Mono, register: Energy) -> Self {
        let mut watch = Self::default();
        watch.resolved_by_person(at, register);
        watch
    }

    /// Takes a reading in, received at `at` from a connector that can deliver `power`.
    ///
    /// Every reading of every boot and heartbeat comes here, in the order received, charging or not. Those of records do
    /// not, as they tell of another time; [`RegisterWatch::is_possible`] judges them.
    pub fn take(&mut self, at: Mono, register: Energy, power: Power, source: Source) -> Verdict {
        let seen = Seen::now(at, register);
        let Some(line) = &mut self.line else {
            self.line = Some(Line::begun_by(seen));
            return Verdict::Believed;
        };
        // Of two readings of one moment the later word stands, unless it is below what was read before both.
        let takes_back =
            line.last.is_of_one_moment_with(seen) && line.before.is_some_and(|before| before.register <= register);
        if takes_back && register < line.last.register {
            line.last = seen;
            return Verdict::Believed;
        }
        if line.is_followed_by(seen, power) {
            line.go_on(seen);
            // A doubt that this reading goes on from, too, is no contradiction any more: time has explained it.
            return match self
                .doubt
                .take()
                .filter(|doubt| !doubt.line.is_followed_by(seen, power))
            {
                Some(doubt) => Verdict::SlipDropped {
                    wrong: doubt.last().register,
                },
                None => Verdict::Believed,
            };
        }
        match &mut self.doubt {
            Some(doubt) if doubt.line.is_followed_by(seen, power) => doubt.go_on(seen, source),
            Some(doubt) if doubt.count > 1 => {
                // A slip within a doubt. The majority counts, or a meter that slips often could never be replaced.
                doubt.count -= 1;
                return Verdict::Waiting;
            }
            doubt => *doubt = Some(Doubt::begun_by(seen, source)),
        }
        self.settle(power, source)
    }

    /// Leaves the line for the doubt if enough readings speak for it.
    fn settle(&mut self, power: Power, source: Source) -> Verdict {
        let (Some(known), Some(doubt)) = (self.line, self.doubt) else {
            return Verdict::Waiting;
        };
        let wrong = known.last.register;
        let withdraws = doubt.withdraws(&known, power);
        if !withdraws && !doubt.is_enough(source) {
            return Verdict::Waiting;
        }
        let line = Line {
            is_certain: true,
            ..doubt.line
        };
        self.line = Some(line);
        self.doubt = None;
        // One reading may have begun a line: what is withdrawn with it is the whole line.
        if withdraws && (known.before.is_some() || self.left.is_none()) {
            return Verdict::SlipWithdrawn { wrong };
        }
        let recent = self.left.filter(|left| left.ms_until(line.last) <= RETURN_MS);
        if recent.is_some_and(|left| follows(left, doubt.first, power, line.resolution)) {
            self.left = None;
            return Verdict::Returned { wrong };
        }
        // What is lower by its last digit alone is the same line, known better or worse.
        if withdraws || stands_still(wrong, doubt.first.register) {
            return Verdict::SlipWithdrawn { wrong };
        }
        // Of several lines in a row that were left, the first is the one that may have been right.
        self.left = recent.or(Some(known.last));
        Verdict::Adopted {
            known: wrong,
            found: doubt.first.register,
            since: doubt.first.at,
        }
    }

    /// The station was off for so long, in milliseconds, which elapsed time does not count: registers went on.
    pub fn let_pass(&mut self, ms: u64) {
        let earlier = |seen: &mut Seen| seen.away_ms = seen.away_ms.saturating_add(ms);
        let line = |line: &mut Line| {
            earlier(&mut line.last);
            line.before.as_mut().map(earlier);
        };
        self.line.as_mut().map(line);
        self.left.as_mut().map(earlier);
        if let Some(doubt) = &mut self.doubt {
            earlier(&mut doubt.first);
            line(&mut doubt.line);
        }
    }

    /// The pile says at its start that the register is lower: another meter's, for all that is known. The line before can be
    /// returned to, as a pile may speak before it can read its meter.
    pub fn begin_another(&mut self, at: Mono, register: Energy) {
        let line = self.line.map(|line| line.last);
        *self = Self {
            line: Some(Line::begun_by(Seen::now(at, register))),
            doubt: None,
            left: self.left.or(line),
        };
    }

    /// A person has looked at the session by which the register was found here: it is where it is.
    pub fn looked_at(&mut self) {
        self.left = None;
    }

    /// A person says where the register is: the meter was looked at, or a bill was decided by it. Doubts end here.
    ///
    /// Where they name no reading, that is [`RegisterWatch::latest`].
    pub fn resolved_by_person(&mut self, at: Mono, register: Energy) {
        let line = Line {
            is_certain: true,
            ..Line::begun_by(Seen::now(at, register))
        };
        *self = Self {
            line: Some(line),
            ..Self::default()
        };
    }

    /// Whether a register told for `at`, before or after the last believed reading, can be right by that reading: what
    /// records are judged by. Anything can while nothing is known.
    pub fn is_possible(&self, at: Mono, register: Energy, power: Power) -> bool {
        let Some(line) = &self.line else { return true };
        let last = line.last;
        let told = Seen::now(at, register);
        let ms = |earlier: Seen, later: Seen| i64::try_from(earlier.ms_until(later)).unwrap_or(i64::MAX);
        let later_by = ms(last, told).saturating_sub(ms(told, last));
        can_be(register, last.register, later_by, power, line.resolution.step())
    }

    /// The last believed reading.
    pub fn believed(&self) -> Option<Seen> {
        self.line.map(|line| line.last)
    }

    /// The last reading, believed or waiting.
    pub fn latest(&self) -> Option<Seen> {
        self.doubt.map(|doubt| doubt.last()).or(self.believed())
    }

    /// The readings that wait, for `status` and people.
    pub fn doubt(&self) -> Option<&Doubt> {
        self.doubt.as_ref()
    }

    /// The last reading of the line that was left and that no person has looked at yet.
    pub fn left(&self) -> Option<Seen> {
        self.left
    }

    /// The step in which this register counts.
    pub fn step(&self) -> Energy {
        self.line.map_or(Resolution::COARSEST, |line| line.resolution.step())
    }
}

/// Whether `later` can be the register after `earlier`: not below it, and not above what can have been delivered since
/// and one step of the register.
fn follows(earlier: Seen, later: Seen, power: Power, resolution: Resolution) -> bool {
    let most = possible(power, earlier.ms_until(later)) + resolution.step();
    later.register >= earlier.register && later.register - earlier.register <= most
}

/// Whether the register can have been `told` so many milliseconds after it was read as `seen`, or before that if they are
/// negative. What is told may show more places than what was seen does, rounded either way: by as much as `step`.
pub(crate) fn can_be(told: Energy, seen: Energy, later_by_ms: i64, power: Power, step: Energy) -> bool {
    let (earlier, later) = if later_by_ms < 0 { (told, seen) } else { (seen, told) };
    earlier <= later + step && later - earlier <= possible(power, later_by_ms.unsigned_abs()) + step
}

fn possible(power: Power, ms: u64) -> Energy {
    meter::possible(power, i64::try_from(ms).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
