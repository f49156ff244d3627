//! What a register reading can tell about itself: suspects that need a person, and gaps that are nobody's bill.
//! Billing trusts the meter and nothing else (S03 §4), so a meter that contradicts itself stops the money.

use crate::{
    ids::TariffId,
    planted::{Bug, is_planted},
    quarantine::CoveredBy,
    time::Wall,
    units::{Energy, Fen, Power},
};
use serde::{Deserialize, Serialize};

/// Why an order must wait for a person (REVIEW).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suspicion {
    /// The register at the end is below the one at the start.
    StopBelowStart {
        /// At the start.
        start: Energy,
        /// At the end.
        stop: Energy,
    },
    /// The register at the start reads zero, and the meter is not known to be new.
    StartZero,
    /// The register at the start is below one already seen on this connector.
    StartBelowLastKnown {
        /// In the record.
        start: Energy,
        /// Seen before.
        last_known: Energy,
    },
    /// More energy than the connector can deliver in the time.
    TooFast {
        /// By the register.
        energy: Energy,
        /// Possible.
        possible: Energy,
    },
    /// The session ended before it began, or lies outside what the station knows of it.
    TimesImpossible {
        /// What does not fit.
        detail: String,
    },
    /// Current flowed and the register did not count it (虚充).
    FakeCharging {
        /// By voltage and current.
        claimed: Energy,
        /// By the register, in the same time.
        counted: Energy,
    },
    /// The session's times contradict what the station knows of it, or no measure explains them.
    TimesContradict {
        /// What does not fit.
        detail: String,
        /// When it began, as the pile says.
        pile_start: Option<Wall>,
        /// When it ended, as the pile says.
        pile_stop: Option<Wall>,
        /// When it began, moved to the station's clock as well as it could be.
        station_start: Wall,
        /// When it ended, likewise.
        station_stop: Wall,
    },
    /// The pile's clock cannot be related to the station's.
    ClockUnknown,
    /// The station's own clock was stepped after the session had begun.
    ClockStepped,
    /// The fee is above the site's limit for settling without a person (S05 §5).
    LargeFee,
    /// An offline session cost more than its cap.
    AboveOfflineCap,
    /// The first session after the register was found lower than it had been: another meter, or one that ran backwards.
    RegisterLower {
        /// Known before.
        known: Energy,
        /// Found.
        found: Energy,
    },
    /// The station's own clock could not be right while it was rated.
    StationClockInDoubt,
    /// The first session after the register was found higher than the connector can have delivered.
    RegisterJumped {
        /// Known before.
        known: Energy,
        /// Found.
        found: Energy,
    },
    /// A person had set the bill before the record came. Both stand side by side, and a person decides anew.
    BillCorrected,
    /// The record says less than the station itself saw the register move while the order ran (more than 1 % and 0.1 kWh).
    BelowSeen {
        /// Delivered, by the record.
        recorded: Energy,
        /// By what the station saw of the register.
        seen: Energy,
    },
    /// The tariff was chosen by a clock that could not be right, and another one was in force when the order was placed:
    /// a person decides which price holds.
    TariffNotInForce {
        /// Which one the driver was shown.
        pinned: TariffId,
        /// Which one was in force.
        in_force: TariffId,
    },
    /// A person billed the order out of quarantine by so much more or less than it was first settled by that it takes a
    /// second person.
    BeyondOnePerson {
        /// By how much.
        differs: Fen,
        /// Who billed it.
        by: String,
    },
    /// A register of the record claims more than the station's own readings of it allow, with what the connector can have
    /// delivered between the two and one step of the register.
    NotAsSeen {
        /// Which of the record's registers.
        at: SessionEnd,
        /// In the record.
        recorded: Energy,
        /// The reading of the station's that contradicts it.
        seen: Energy,
        /// The most that can lie between the two.
        possible: Energy,
    },
    /// Something else accounts for some of these readings already, or is about to: nobody pays for them twice unasked.
    AlreadyAccounted {
        /// What covers the most of them.
        by: CoveredBy,
        /// From this register on.
        from: Energy,
        /// Up to this.
        to: Energy,
    },
}

/// An end of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionEnd {
    /// Its start.
    Start,
    /// Its stop.
    Stop,
}

impl Suspicion {
    /// Whether it says that the record's registers cannot be believed: they account for nothing until a person decides.
    pub fn is_of_register(&self) -> bool {
        matches!(
            self,
            Suspicion::StopBelowStart { .. }
                | Suspicion::StartZero
                | Suspicion::StartBelowLastKnown { .. }
                | Suspicion::TooFast { .. }
                | Suspicion::NotAsSeen { .. }
        )
    }

    /// Whether it says that the register cannot have come as far as the record says: later sessions are not held against
    /// that.
    pub fn is_too_far(&self) -> bool {
        matches!(
            self,
            Suspicion::TooFast { .. }
                | Suspicion::NotAsSeen {
                    at: SessionEnd::Stop,
                    ..
                }
        )
    }

    /// Whether it says that the session's times are not certain.
    pub fn is_of_times(&self) -> bool {
        matches!(
            self,
            Suspicion::ClockUnknown
                | Suspicion::TimesImpossible { .. }
                | Suspicion::TimesContradict { .. }
                | Suspicion::StationClockInDoubt
        )
    }

    /// Whether it is about the station's own clock, and goes when that is right again.
    pub fn is_of_station_clock(&self) -> bool {
        matches!(self, Suspicion::StationClockInDoubt | Suspicion::ClockStepped)
    }
}

/// A register found below what it was known to have counted (ROLLBACK): the meter was replaced, or runs backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// Known before.
    pub known: Energy,
    /// Found.
    pub found: Energy,
}

/// Energy that no session accounts for: between the last known reading and the start of a record (REGISTER_GAP).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterGap {
    /// The last reading known before the session.
    pub last_known: Energy,
    /// The record's start reading.
    pub start: Energy,
}

/// What the registers of a session say about themselves, by its record or by its estimate.
///
/// `last_known` is the connector's last reading before the session, and `step` the step in which it was shown: it may have
/// been rounded up. `power` the connector's maximum and `ms` the
/// session's length, which together bound what can have been delivered (a tenth more, and a minute, are allowed).
pub fn suspicions(
    (start, stop): (Energy, Energy),
    last_known: Option<Energy>,
    step: Energy,
    power: Power,
    ms: i64,
) -> Vec<Suspicion> {
    let mut found = Vec::new();
    if stop < start {
        found.push(Suspicion::StopBelowStart { start, stop });
    }
    if start == Energy::ZERO && stop > start && last_known != Some(Energy::ZERO) && !is_planted(Bug::TrustMeter) {
        found.push(Suspicion::StartZero);
    }
    if let Some(last_known) =
        last_known.filter(|last_known| start <= *last_known - step && !is_planted(Bug::TrustMeter))
    {
        found.push(Suspicion::StartBelowLastKnown { start, last_known });
    }
    let possible = possible(power, ms);
    let energy = stop - start;
    if energy > possible && !is_planted(Bug::TrustMeter) {
        found.push(Suspicion::TooFast { energy, possible });
    }
    found
}

/// The most that a connector of `power` can have delivered in `ms` milliseconds, with a tenth and a minute allowed.
pub fn possible(power: Power, ms: i64) -> Energy {
    let energy = power.energy_in_ms(ms.saturating_add(60_000));
    Energy(energy.0.saturating_add(energy.0 / 10))
}

/// The gap before a record, if its start lies above the last known reading.
pub fn gap(start: Energy, last_known: Option<Energy>) -> Option<RegisterGap> {
    last_known
        .filter(|last_known| start > *last_known && !is_planted(Bug::SwallowGap))
        .map(|last_known| RegisterGap { last_known, start })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registers(start: &str, stop: &str) -> (Energy, Energy) {
        (kwh(start), kwh(stop))
    }

    fn kwh(text: &str) -> Energy {
        text.parse().unwrap()
    }

    const STEP: Energy = Energy(1);
    const SEVEN_KW: Power = Power(7_000);
    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn a_plain_session_is_not_suspect() {
        assert_eq!(
            suspicions(registers("100", "107"), Some(kwh("100")), STEP, SEVEN_KW, HOUR_MS),
            []
        );
        assert_eq!(
            suspicions(registers("0", "7"), Some(kwh("0")), STEP, SEVEN_KW, HOUR_MS),
            [],
            "a new meter starts at zero"
        );
    }

    #[test]
    fn registers_that_contradict_themselves_are_suspect() {
        let suspects = |start, stop, known: Option<&str>| {
            suspicions(registers(start, stop), known.map(kwh), STEP, SEVEN_KW, HOUR_MS)
        };
        assert!(matches!(
            suspects("100", "99", None)[..],
            [Suspicion::StopBelowStart { .. }]
        ));
        assert!(matches!(suspects("0", "3", None)[..], [Suspicion::StartZero]));
        assert!(matches!(
            suspects("90", "92", Some("100"))[..],
            [Suspicion::StartBelowLastKnown { .. }]
        ));
        assert!(matches!(
            suspects("0", "910.083", Some("910"))[..],
            [
                Suspicion::StartZero,
                Suspicion::StartBelowLastKnown { .. },
                Suspicion::TooFast { .. }
            ]
        ));
    }

    #[test]
    fn energy_that_nobody_reported_is_a_gap() {
        assert_eq!(
            gap(kwh("101"), Some(kwh("100"))),
            Some(RegisterGap {
                last_known: kwh("100"),
                start: kwh("101")
            })
        );
        assert_eq!(gap(kwh("100"), Some(kwh("100"))), None);
        assert_eq!(gap(kwh("100"), None), None);
    }
}
