//! Rating: from meter readings and a tariff to a bill, the same to the digit wherever it is done.
//! Energy is split at tariff boundaries, amounts stay exact, and each of the two totals is rounded once.

mod amount;
mod claim;
mod keeper;
#[cfg(test)]
mod tests;

use crate::{
    ids::TariffId,
    tariff::{PERIODS_MAX, PeriodKind, Piece, Tariff},
    time::Wall,
    units::{Energy, Fen, Price},
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

pub use amount::Amount;
pub use claim::{PeriodSplit, SplitDifference, compare_split};
pub use keeper::SampleKeeper;

/// The longest session that is rated, in days. A longer one is a clock gone wrong, and a person's case.
pub const SESSION_DAYS_MAX: i64 = 31;
/// The longest session that is rated, in milliseconds.
pub const SESSION_MS_MAX: i64 = SESSION_DAYS_MAX * 24 * 60 * 60 * 1_000;
/// The most samples that are rated: one every 15 s for the longest session is 178,560.
pub const SAMPLES_MAX: usize = 200_000;
/// The most segments a bill can have: a day can be cut at every period, and once more by a change of the clock.
pub const SEGMENTS_MAX: usize = (SESSION_DAYS_MAX as usize + 1) * (PERIODS_MAX + 2);
/// The most readings a bill can carry: two for each boundary, and both ends.
pub const BILL_READINGS_MAX: usize = 2 * SEGMENTS_MAX + 2;
/// The highest register that is taken seriously: ten thousand million kWh.
pub const REGISTER_MAX: Energy = Energy(100_000_000_000_000);

/// A meter register at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reading {
    /// When, by the station's clock.
    pub at: Wall,
    /// What the meter had counted since it was made.
    pub register: Energy,
}

/// Why readings cannot be rated. Such a session goes to a person (S03 §4).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RatingError {
    /// The session ends before it starts.
    #[error("the session stops at {stop}, before its start at {start}")]
    StopBeforeStart {
        /// When it started.
        start: Wall,
        /// When it stopped.
        stop: Wall,
    },
    /// The meter ran backwards over the session as a whole.
    #[error("the meter stops at {stop} kWh, below its start at {start} kWh")]
    RegisterBackwards {
        /// The register at the start.
        start: Energy,
        /// The register at the stop.
        stop: Energy,
    },
    /// Start or stop carry a time or a register that no meter has.
    #[error("a reading of {register} kWh at {at} is out of range")]
    OutOfRange {
        /// Its time, in milliseconds since 1970.
        at: i64,
        /// Its register.
        register: Energy,
    },
    /// The session is longer than [`SESSION_DAYS_MAX`].
    #[error("the session from {start} to {stop} is longer than {SESSION_DAYS_MAX} days")]
    TooLong {
        /// When it started.
        start: Wall,
        /// When it stopped.
        stop: Wall,
    },
    /// There are more samples than [`SAMPLES_MAX`].
    #[error("{count} samples are more than {SAMPLES_MAX}")]
    TooManySamples {
        /// How many there are.
        count: usize,
    },
}

/// One line of a bill: the energy of one tariff piece, exactly priced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillSegment {
    /// Where the piece begins within the session.
    pub from: Wall,
    /// Where it ends.
    pub to: Wall,
    /// The kind of period throughout.
    pub kind: PeriodKind,
    /// What was delivered in it, to 0.1 Wh.
    pub energy: Energy,
    /// Price of the electricity, yuan per kWh.
    pub electricity_price: Price,
    /// Price of the service, yuan per kWh.
    pub service_price: Price,
    /// `energy` × `electricity_price`, all nine places.
    pub electricity_amount: Amount,
    /// `energy` × `service_price`, all nine places.
    pub service_amount: Amount,
}

/// What a session costs, and everything needed to work it out again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bill {
    /// The tariff version it was rated by.
    pub tariff: TariffId,
    /// Where the session starts.
    pub start: Reading,
    /// Where it stops.
    pub stop: Reading,
    /// What was delivered: the difference of the two registers, and the sum of the segments.
    pub energy: Energy,
    /// One line per tariff piece in time order; pieces without energy are left out unless no piece has any.
    pub segments: Vec<BillSegment>,
    /// The electricity amounts' sum, rounded once, half away from zero.
    pub electricity: Fen,
    /// The service amounts' sum, rounded likewise.
    pub service: Fen,
    /// `electricity` + `service`: what the driver pays.
    pub fee: Fen,
    /// The readings that decided: start, stop, and the neighbours of each boundary. Rating them gives this bill again.
    pub readings: Vec<Reading>,
    /// Samples that rating did not believe. It is not part of the result: rating `readings` again drops none.
    pub dropped: u32,
}

impl Bill {
    /// Works the bill out again from the readings it carries.
    ///
    /// # Errors
    /// As [`rate`].
    pub fn again(&self, tariff: &Tariff) -> Result<Self, RatingError> {
        rate(tariff, self.start, &self.readings, self.stop)
    }

    /// Whether the two are the same to the digit; what was dropped on the way is not part of the result.
    pub fn is_same(&self, other: &Self) -> bool {
        let Self {
            dropped: _,
            tariff,
            start,
            stop,
            energy,
            segments,
            electricity,
            service,
            fee,
            readings,
        } = self;
        (tariff, start, stop, energy, segments)
            == (&other.tariff, &other.start, &other.stop, &other.energy, &other.segments)
            && (electricity, service, fee, readings)
                == (&other.electricity, &other.service, &other.fee, &other.readings)
    }
}

/// Rates a session (S05 §2.2: by its actual times, per tariff period).
///
/// `samples` may come in any order and from several sources. They are put in order of time, those of one instant in the
/// order given. Dropped and counted are samples not strictly between `start` and `stop` in time, below `start` or above
/// `stop` in register, below a sample kept before them, or at the instant of one with another register. An exact
/// repetition is passed over without being counted.
///
/// Between two readings that straddle boundaries, energy is split linearly in time, each part floored to 0.1 Wh and the
/// remainder given to the last. Other readings decide nothing, because between them no boundary lies.
pub fn rate(tariff: &Tariff, start: Reading, samples: &[Reading], stop: Reading) -> Result<Bill, RatingError> {
    check(start, samples, stop)?;
    let (chain, dropped) = believed(start, samples, stop);
    let pieces = if start.at == stop.at {
        vec![Piece {
            from: start.at,
            to: stop.at,
            kind: tariff.kind_at(start.at),
        }]
    } else {
        tariff.pieces(start.at, stop.at).collect()
    };
    let Split { energies, readings } = split(&chain, &pieces);

    let nothing_delivered = start.register == stop.register;
    let delivering = pieces
        .iter()
        .zip(energies)
        .filter(|(_, energy)| nothing_delivered || *energy != Energy::ZERO);
    let segments: Vec<BillSegment> = delivering
        .map(|(piece, energy)| segment(tariff, piece, energy))
        .collect();
    let electricity = segments
        .iter()
        .map(|segment| segment.electricity_amount)
        .sum::<Amount>()
        .to_fen();
    let service = segments
        .iter()
        .map(|segment| segment.service_amount)
        .sum::<Amount>()
        .to_fen();
    Ok(Bill {
        tariff: tariff.id.clone(),
        start,
        stop,
        energy: stop.register - start.register,
        segments,
        electricity,
        service,
        fee: electricity + service,
        readings,
        dropped,
    })
}

fn check(start: Reading, samples: &[Reading], stop: Reading) -> Result<(), RatingError> {
    for Reading { at, register } in [start, stop] {
        if !Wall::RANGE.contains(&at) || !(Energy::ZERO..=REGISTER_MAX).contains(&register) {
            return Err(RatingError::OutOfRange { at: at.0, register });
        }
    }
    if stop.at < start.at {
        return Err(RatingError::StopBeforeStart {
            start: start.at,
            stop: stop.at,
        });
    }
    if stop.register < start.register {
        return Err(RatingError::RegisterBackwards {
            start: start.register,
            stop: stop.register,
        });
    }
    if stop.at.ms_since(start.at) > SESSION_MS_MAX {
        return Err(RatingError::TooLong {
            start: start.at,
            stop: stop.at,
        });
    }
    if samples.len() > SAMPLES_MAX {
        return Err(RatingError::TooManySamples { count: samples.len() });
    }
    Ok(())
}

/// The readings that are believed, from start to stop, strictly rising in time and never falling in register; and how
/// many samples were not.
fn believed(start: Reading, samples: &[Reading], stop: Reading) -> (Vec<Reading>, u32) {
    let mut samples = Cow::Borrowed(samples);
    if !samples.is_sorted_by_key(|sample| sample.at) {
        samples.to_mut().sort_by_key(|sample| sample.at);
    }
    let mut chain = Vec::with_capacity(samples.len() + 2);
    chain.push(start);
    let (mut last, mut dropped) = (start, 0);
    for sample in samples.iter().copied().filter(|sample| *sample != stop) {
        if sample.at > last.at
            && sample.at < stop.at
            && sample.register >= last.register
            && sample.register <= stop.register
        {
            chain.push(sample);
            last = sample;
        } else if sample != last {
            dropped += 1;
        }
    }
    if stop != start {
        chain.push(stop);
    }
    (chain, dropped)
}

/// How a session's energy falls on its pieces.
struct Split {
    /// Energy by piece.
    energies: Vec<Energy>,
    /// The readings that decided it.
    readings: Vec<Reading>,
}

/// Distributes the energy of a rising chain of readings over pieces that cover it without gaps.
fn split(chain: &[Reading], pieces: &[Piece]) -> Split {
    let mut energies = vec![Energy::ZERO; pieces.len()];
    let mut readings = Vec::with_capacity(2 * pieces.len() + 2);
    let mut note = |reading: Reading| {
        if readings.last() != Some(&reading) {
            readings.push(reading);
        }
    };
    note(chain[0]);
    let mut current = 0;
    for pair in chain.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        // A reading exactly on a boundary belongs to both sides, and nothing straddles there.
        if before.at >= pieces[current].to && current + 1 < pieces.len() {
            note(before);
            current += 1;
        }
        let mut left = after.register - before.register;
        if after.at > pieces[current].to {
            note(before);
            let (whole, whole_ms) = (left, after.at.ms_since(before.at));
            while after.at > pieces[current].to {
                let piece = pieces[current];
                let part_ms = piece.to.ms_since(piece.from.max(before.at));
                let part = share(whole, part_ms, whole_ms);
                energies[current] += part;
                left -= part;
                current += 1;
            }
            note(after);
        }
        energies[current] += left;
    }
    note(chain[chain.len() - 1]);
    Split { energies, readings }
}

/// `whole` × `part_ms` ÷ `whole_ms`, floored to 0.1 Wh.
fn share(whole: Energy, part_ms: i64, whole_ms: i64) -> Energy {
    let share = i128::from(whole.0) * i128::from(part_ms) / i128::from(whole_ms);
    Energy(i64::try_from(share).expect("a part of an i64 is an i64"))
}

fn segment(tariff: &Tariff, piece: &Piece, energy: Energy) -> BillSegment {
    let price = tariff.price_of(piece.kind);
    BillSegment {
        from: piece.from,
        to: piece.to,
        kind: piece.kind,
        energy,
        electricity_price: price.electricity,
        service_price: price.service,
        electricity_amount: Amount::of(energy, price.electricity),
        service_amount: Amount::of(energy, price.service),
    }
}
