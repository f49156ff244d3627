//! What is at stake in a discrepancy, and what people may decide of it: a pure rule of its class and its two values.

use super::words::{Class, Source};
use domain::units::Fen;

/// Money that is on one side alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stake {
    /// None: what differs moves no money.
    None,
    /// 长款: the channel pays us so much that nobody was credited with. More than zero.
    Long(Fen),
    /// 短款: somebody was credited with so much that the channel does not pay us. More than zero.
    Short(Fen),
}

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Differs {
    /// Its class.
    pub class: Class,
    /// What kind of row it is about.
    pub source: Source,
    /// The row's amount; below zero: it went out.
    pub amount: Fen,
    /// Whether its line is in a pair: of one that is not nobody was credited with any of it.
    pub is_matched: bool,
    /// What our books say.
    pub ours: Option<Fen>,
    /// What the channel says.
    pub theirs: Option<Fen>,
}

impl Differs {
    /// What is at stake: what the channel pays or takes for this very row, less what our books have of it. Nothing of it hangs on another
    /// row, so that all rows of a payment together come to what is on one side alone of it.
    pub fn stake(&self) -> Stake {
        let amount = Fen(self.amount.0.abs());
        let of = |fen: Option<Fen>| fen.unwrap_or(Fen::ZERO);
        let credited = match self.is_matched {
            true => of(self.ours),
            false => Fen::ZERO,
        };
        let more_there = match (self.class, self.source) {
            // A fee is settled with what the channel pays out; a day and what is not due yet have no money of their own.
            (Class::Pending | Class::Fee | Class::FileMissing, _) | (_, Source::Day) => Fen::ZERO,
            // Of a site's own books: what money is in it is moved by adjustments, decisions on bills and refunds, each by two people.
            (_, Source::Order | Source::Entry | Source::Connector) => Fen::ZERO,
            // What was paid out is not what was due, and the next payout is of other days. What is late, or went back, is due with the next.
            (_, Source::Payout) => match of(self.theirs) > Fen::ZERO {
                true => of(self.theirs) - of(self.ours),
                false => Fen::ZERO,
            },
            // The channel's word is that nothing was paid.
            (Class::Status, Source::Payment) => -credited,
            // Nothing was given back.
            (Class::Status, _) => Fen::ZERO,
            // It pays each line, also one that comes again.
            (_, Source::Payment) => amount - credited,
            // Our books have no refunds: whatever it has given back they do not know of.
            (_, Source::Refund) => -amount,
            (_, Source::Credit) => -amount,
        };
        match more_there {
            more @ Fen(1..) => Stake::Long(more),
            Fen(0) => Stake::None,
            less => Stake::Short(-less),
        }
    }
}

impl Differs {
    /// Whether this may be decided of it. Nobody's wallet has to do with what a channel pays out.
    pub fn may_be(&self, kind: Kind) -> bool {
        let is_of_members = self.source != Source::Payout;
        kind.fits(self.stake()) && (is_of_members || !matches!(kind, Kind::Credit | Kind::Adjust))
    }

    /// What may be decided of it, in words.
    pub fn kinds(&self) -> String {
        let may_be = Kind::ALL.into_iter().filter(|kind| self.may_be(*kind));
        may_be.map(Kind::word).collect::<Vec<_>>().join(", ")
    }
}

/// What is decided of a discrepancy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 补单: a member's wallet gets what nobody was credited with.
    Credit,
    /// 核销: it is our gain, or our loss.
    WriteOff,
    /// 调账: whoever was credited with it gives it back, or owes it.
    Adjust,
    /// It is right as it is: no money is at stake.
    Accept,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Credit, Self::WriteOff, Self::Adjust, Self::Accept];

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Credit => "credit",
            Self::WriteOff => "write_off",
            Self::Adjust => "adjust",
            Self::Accept => "accept",
        }
    }

    /// The one of this word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Whether it may be decided where this is at stake.
    const fn fits(self, stake: Stake) -> bool {
        matches!(
            (self, stake),
            (Self::Credit, Stake::Long(_))
                | (Self::WriteOff, Stake::Long(_) | Stake::Short(_))
                | (Self::Adjust, Stake::Short(_))
                | (Self::Accept, Stake::None)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_channel_has_paid_out_is_our_gain_or_loss_and_nobodys_wallet() {
        let kinds = |ours, theirs| {
            let differs = Differs {
                class: Class::Payout,
                source: Source::Payout,
                amount: Fen(theirs - ours),
                is_matched: false,
                ours: Some(Fen(ours)),
                theirs: Some(Fen(theirs)),
            };
            (differs.stake(), differs.kinds())
        };
        assert_eq!(
            kinds(9_940, 9_900),
            (Stake::Short(Fen(40)), "write_off".to_owned()),
            "it has paid too little"
        );
        assert_eq!(
            kinds(0, 500),
            (Stake::Long(Fen(500)), "write_off".to_owned()),
            "of no day"
        );
        assert_eq!(kinds(9_940, 0), (Stake::None, "accept".to_owned()), "it is late");
        assert_eq!(kinds(0, -500), (Stake::None, "accept".to_owned()), "it went back");
    }

    #[test]
    fn each_class_has_at_stake_what_is_on_one_side_alone() {
        let stake = |class, source, is_matched, amount, ours: Option<i64>, theirs: Option<i64>| {
            Differs {
                class,
                source,
                amount: Fen(amount),
                is_matched,
                ours: ours.map(Fen),
                theirs: theirs.map(Fen),
            }
            .stake()
        };
        use Class::*;
        use Source::{Credit, Day, Payment, Refund};
        let (long, short) = (|fen| Stake::Long(Fen(fen)), |fen| Stake::Short(Fen(fen)));
        let (paired, alone) = (true, false);
        for (class, source, is_matched, amount, ours, theirs, at_stake) in [
            (Long, Payment, alone, 500, None, Some(500), long(500)),
            (Short, Credit, alone, 500, Some(500), None, short(500)),
            (Short, Refund, alone, -200, None, Some(-200), short(200)),
            (Amount, Payment, paired, 700, Some(500), Some(700), long(200)),
            (Amount, Payment, paired, 300, Some(500), Some(300), short(200)),
            (Amount, Payment, alone, 700, Some(500), Some(700), long(700)),
            (Ambiguous, Payment, paired, 500, Some(500), Some(500), Stake::None),
            (Ambiguous, Payment, alone, 500, None, Some(500), long(500)),
            (Duplicate, Payment, alone, 500, None, Some(500), long(500)),
            (Duplicate, Refund, alone, -500, None, Some(-500), short(500)),
            (Status, Payment, paired, 500, Some(500), Some(500), short(500)),
            (Status, Payment, paired, 700, Some(500), Some(700), short(500)),
            (Status, Payment, alone, 500, None, Some(500), Stake::None),
            (Status, Refund, alone, -500, None, Some(-500), Stake::None),
            (RefundOrphan, Refund, alone, -500, None, Some(-500), short(500)),
            (OverRefund, Refund, alone, -300, Some(500), Some(600), short(300)),
            (Pending, Refund, alone, -300, None, Some(-300), Stake::None),
            (Fee, Payment, paired, 500, Some(3), Some(4), Stake::None),
            (FileMissing, Day, alone, 0, None, None, Stake::None),
        ] {
            let found = stake(class, source, is_matched, amount, ours, theirs);
            assert_eq!(found, at_stake, "{class:?} of a {source:?}");
            let fit: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| kind.fits(found)).collect();
            let wanted: &[Kind] = match found {
                Stake::None => &[Kind::Accept],
                Stake::Long(_) => &[Kind::Credit, Kind::WriteOff],
                Stake::Short(_) => &[Kind::WriteOff, Kind::Adjust],
            };
            assert_eq!(fit, wanted);
        }
    }
}
