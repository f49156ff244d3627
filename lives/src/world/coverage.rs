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
    /// The station starts with an empty battery, in 1970, and nothing tells it the time for a while.
    ClockLost,
    /// One reading of a register is hundreds of kWh off.
    RegisterSlip,
    /// A register counts what nobody ordered.
    Leak,
    /// A car takes nothing for a while, and stays in its session.
    Pause,
    /// A pile says nothing of its connector, and nothing of the order there when it connects.
    Silence,
    /// A pile forgets a session: no record will come.
    SessionForgotten,
    /// A card is given to another member.
    CardPassedOn,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Fault; 20] = [
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
        Fault::ClockLost,
        Fault::RegisterSlip,
        Fault::Leak,
        Fault::Pause,
        Fault::Silence,
        Fault::SessionForgotten,
        Fault::CardPassedOn,
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
                | Fault::RegisterSlip
                | Fault::Leak
                | Fault::Pause
                | Fault::Silence
                | Fault::SessionForgotten
        )
    }

    /// Whether the station starts again after it.
    pub fn is_a_crash(self) -> bool {
        matches!(
            self,
            Fault::PowerCut
                | Fault::TornCommit
                | Fault::SilentCommit
                | Fault::Killed
                | Fault::Restore
                | Fault::ClockLost
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

/// What else piles and people do that is not as it should be, in whatever state orders are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Oddity {
    /// A field of a record that no money hangs on cannot be read.
    IllTypedRecord,
    /// The same in another message.
    IllTypedMessage,
    /// A record contradicts the one that its order has.
    SecondRecord,
    /// A session on a register that shows whole kWh.
    CoarseRegister,
    /// A pile's clock stood at 1970 after its power was back.
    DeadPileClock,
    /// A pile's clock was set from elsewhere when its power was back.
    PileClockSet,
    /// An offline session of a card that has had more than one holder.
    OldCard,
    /// A quarantine item was billed although something else covers its readings.
    BilledDespite,
    /// A person said that a register is right again.
    MeterCleared,
    /// A settled bill was corrected.
    BillCorrected,
    /// A top-up was taken back.
    TopUpReversed,
    /// A shift was closed.
    ShiftClosed,
}

impl Oddity {
    /// Every one.
    pub const ALL: [Oddity; 12] = [
        Oddity::IllTypedRecord,
        Oddity::IllTypedMessage,
        Oddity::SecondRecord,
        Oddity::CoarseRegister,
        Oddity::DeadPileClock,
        Oddity::PileClockSet,
        Oddity::OldCard,
        Oddity::BilledDespite,
        Oddity::MeterCleared,
        Oddity::BillCorrected,
        Oddity::TopUpReversed,
        Oddity::ShiftClosed,
    ];
}

/// How often each fault met each state: at most once a fault, however many orders stood there. And how often each oddity
/// was met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    cells: BTreeMap<(Fault, Standing), u64>,
    oddities: BTreeMap<Oddity, u64>,
}

impl Coverage {
    /// A fault struck while orders stood so.
    pub fn note(&mut self, fault: Fault, standings: impl IntoIterator<Item = Standing>) {
        for standing in standings {
            *self.cells.entry((fault, standing)).or_default() += 1;
        }
    }

    /// Something was not as it should be.
    pub fn note_oddity(&mut self, oddity: Oddity) {
        *self.oddities.entry(oddity).or_default() += 1;
    }

    /// What another seed met.
    pub fn add(&mut self, other: &Self) {
        for (cell, count) in &other.cells {
            *self.cells.entry(*cell).or_default() += count;
        }
        for (oddity, count) in &other.oddities {
            *self.oddities.entry(*oddity).or_default() += count;
        }
    }

    /// How often it was met.
    pub fn count(&self, fault: Fault, standing: Standing) -> u64 {
        self.cells.get(&(fault, standing)).copied().unwrap_or(0)
    }

    /// How often this oddity was met.
    pub fn oddity(&self, oddity: Oddity) -> u64 {
        self.oddities.get(&oddity).copied().unwrap_or(0)
    }

    /// The cells and oddities that were met less often than `least`.
    pub fn rare(&self, least: u64) -> Vec<String> {
        let cells = Fault::ALL
            .into_iter()
            .flat_map(|fault| Standing::ALL.map(|standing| (fault, standing)));
        let cells = cells
            .filter(|(fault, standing)| self.count(*fault, *standing) < least)
            .map(|(fault, standing)| format!("{fault:?} × {standing:?}: {}", self.count(fault, standing)));
        let oddities = Oddity::ALL.into_iter().filter(|oddity| self.oddity(*oddity) < least);
        cells
            .chain(oddities.map(|oddity| format!("{oddity:?}: {}", self.oddity(oddity))))
            .collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<17}", "")?;
        for standing in Standing::ALL {
            write!(f, "{:>10}", format!("{standing:?}"))?;
        }
        for fault in Fault::ALL {
            write!(f, "\n{:<17}", format!("{fault:?}"))?;
            for standing in Standing::ALL {
                write!(f, "{:>10}", self.count(fault, standing))?;
            }
        }
        for (n, oddity) in Oddity::ALL.into_iter().enumerate() {
            let between = if n % 4 == 0 { "\n" } else { ", " };
            write!(f, "{between}{oddity:?} {}", self.oddity(oddity))?;
        }
        Ok(())
    }
}
