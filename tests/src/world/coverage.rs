//! Which fault met an order in which state, counted over all seeds; and the rule that none of it may be rare.

use domain::order::{Order, State};
use std::{collections::BTreeMap, fmt};

/// What goes wrong in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The power goes between commits.
    PowerCut,
    /// The power goes in the middle of a commit.
    TornCommit,
    /// The power goes after a commit and before anybody was told of it.
    SilentCommit,
    /// The process ends, the machine stays up.
    Killed,
    /// An earlier copy of the database takes the place of the present one.
    Restore,
    /// Nothing passes between a pile and the station, from seconds to days.
    Partition,
    /// The switch dies: nothing passes to any pile.
    SwitchDead,
    /// A connection breaks, with what was in flight.
    Broken,
    /// The station's wall clock is put forward or back.
    ClockStep,
    /// A pile's clock is put forward or back.
    PileClockStep,
    /// A pile loses its mains.
    PilePower,
    /// A connector faults.
    PileFault,
    /// A pile comes back as another: its memory and its meter are new.
    PileReplaced,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Fault; 13] = [
        Fault::PowerCut,
        Fault::TornCommit,
        Fault::SilentCommit,
        Fault::Killed,
        Fault::Restore,
        Fault::Partition,
        Fault::SwitchDead,
        Fault::Broken,
        Fault::ClockStep,
        Fault::PileClockStep,
        Fault::PilePower,
        Fault::PileFault,
        Fault::PileReplaced,
    ];

    /// Whether it strikes one pile and not the station.
    pub fn is_of_a_pile(self) -> bool {
        matches!(
            self,
            Fault::Partition
                | Fault::Broken
                | Fault::PileClockStep
                | Fault::PilePower
                | Fault::PileFault
                | Fault::PileReplaced
        )
    }

    /// Whether the station starts again after it.
    pub fn is_a_crash(self) -> bool {
        matches!(
            self,
            Fault::PowerCut | Fault::TornCommit | Fault::SilentCommit | Fault::Killed | Fault::Restore
        )
    }
}

/// Where an order stood when something went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// PLACE.
    Place,
    /// CHARGING.
    Charging,
    /// CHARGING, and asked to stop.
    Stopping,
    /// SETTLE: an estimate waits for its record.
    Estimated,
    /// REVIEW.
    Review,
    /// PAYED.
    Payed,
    /// UNPAID.
    Unpaid,
    /// FAIL.
    Fail,
}

impl Standing {
    /// Every one.
    pub const ALL: [Standing; 8] = [
        Standing::Place,
        Standing::Charging,
        Standing::Stopping,
        Standing::Estimated,
        Standing::Review,
        Standing::Payed,
        Standing::Unpaid,
        Standing::Fail,
    ];

    /// Where `order` stands.
    pub fn of(order: &Order) -> Self {
        match order.state {
            State::Place => Self::Place,
            State::Charging if order.stopping => Self::Stopping,
            State::Charging => Self::Charging,
            State::Settle => Self::Estimated,
            State::Review => Self::Review,
            State::Payed => Self::Payed,
            State::Unpaid => Self::Unpaid,
            State::Fail => Self::Fail,
        }
    }
}

/// How often each fault met each state: at most once a fault, however many orders stood there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<(Fault, Standing), u64>);

impl Coverage {
    /// A fault struck while orders stood so.
    pub fn note(&mut self, fault: Fault, standings: impl IntoIterator<Item = Standing>) {
        for standing in standings {
            *self.0.entry((fault, standing)).or_default() += 1;
        }
    }

    /// What another seed met.
    pub fn add(&mut self, other: &Self) {
        for (cell, count) in &other.0 {
            *self.0.entry(*cell).or_default() += count;
        }
    }

    /// How often it was met.
    pub fn count(&self, fault: Fault, standing: Standing) -> u64 {
        self.0.get(&(fault, standing)).copied().unwrap_or(0)
    }

    /// The cells that were met less often than `least`.
    pub fn rare(&self, least: u64) -> Vec<String> {
        let cells = Fault::ALL
            .into_iter()
            .flat_map(|fault| Standing::ALL.map(|standing| (fault, standing)));
        cells
            .filter(|(fault, standing)| self.count(*fault, *standing) < least)
            .map(|(fault, standing)| format!("{fault:?} × {standing:?}: {}", self.count(fault, standing)))
            .collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<14}", "")?;
        for standing in Standing::ALL {
            write!(f, "{:>10}", format!("{standing:?}"))?;
        }
        for fault in Fault::ALL {
            write!(f, "\n{:<14}", format!("{fault:?}"))?;
            for standing in Standing::ALL {
                write!(f, "{:>10}", self.count(fault, standing))?;
            }
        }
        Ok(())
    }
}
