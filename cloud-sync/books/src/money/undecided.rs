//! Why people cannot settle a discrepancy, in words for them.

use domain::units::Fen;

/// Why nothing is proposed or decided of a discrepancy. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// There is none such.
    #[error("there is no discrepancy {0}")]
    UnknownDiscrepancy(u64),
    /// Something was proposed or done before.
    #[error("discrepancy {discrepancy} is {state}: only of one that is open something can be proposed")]
    NotOpen {
        /// Which.
        discrepancy: u64,
        /// How far it is.
        state: &'static str,
    },
    /// Nobody waits for a second word.
    #[error("discrepancy {discrepancy} is {state}: nothing waits to be approved or rejected")]
    NothingProposed {
        /// Which.
        discrepancy: u64,
        /// How far it is.
        state: &'static str,
    },
    /// It would move money that is not there, or leave some where it is.
    #[error("`{kind}` does not settle discrepancy {discrepancy}; what does is: {fit}")]
    DoesNotFit {
        /// Which.
        discrepancy: u64,
        /// What was proposed.
        kind: &'static str,
        /// What may be proposed.
        fit: String,
    },
    /// The channel has not said for whom it is.
    #[error("nobody has said whose discrepancy {0} is: name the member whose wallet is to be credited")]
    NobodyNamed(u64),
    /// No wallet was credited.
    #[error(
        "no wallet was credited with what discrepancy {0} is about, so none can give it back: `write_off` settles it"
    )]
    NobodyCredited(u64),
    /// Runs have found other values since.
    #[error(
        "discrepancy {discrepancy} was about {proposed} yuan when this was proposed, and is about {now} now: reject it, and propose anew"
    )]
    StakeChanged {
        /// Which.
        discrepancy: u64,
        /// What was at stake.
        proposed: Fen,
        /// What is.
        now: Fen,
    },
    /// A bill that is not final may be another one tomorrow.
    #[error(
        "the day of discrepancy {0} is not final yet, and what a wallet gets it keeps: propose it once the day is final"
    )]
    NotFinal(u64),
    /// The channel has called back.
    #[error("a wallet was credited with what discrepancy {0} is about since it was found: the next run clears it")]
    CreditedMeanwhile(u64),
}

impl Undecided {
    /// Its code, as in problem details.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownDiscrepancy(_) => "unknown_discrepancy",
            Self::NotOpen { .. } => "discrepancy_not_open",
            Self::NothingProposed { .. } => "nothing_proposed",
            Self::DoesNotFit { .. } => "does_not_settle_it",
            Self::NobodyNamed(_) => "member_wanted",
            Self::NobodyCredited(_) => "nobody_credited",
            Self::StakeChanged { .. } => "discrepancy_changed",
            Self::NotFinal(_) => "day_not_final",
            Self::CreditedMeanwhile(_) => "credited_meanwhile",
        }
    }
}
