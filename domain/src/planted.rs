//! Bugs on purpose, to see that the simulated world in `lives/` finds them.
//!
//! They exist only with the feature `planted-bugs`, with which `cargo xtask test` builds; only that one test switches any on, for
//! its own threads. Without the feature, as everything that is released, [`is_planted`] is `false` where it is compiled, and what
//! it guards is gone from the program.

/// A bug that can be switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A commit is acknowledged before it is synced.
    AcknowledgeBeforeSync,
    /// A record that comes again is taken in again.
    RecordTwice,
    /// A settlement releases the whole hold besides capturing from it.
    ReleaseAndCapture,
    /// A session is rated by when its record was received.
    RateByReceiveTime,
    /// Commands that wait, and stops that were asked for, are forgotten when the station starts again.
    ForgetOutbox,
    /// The last fact of a large batch is not written.
    LoseTail,
    /// A message is known again by its `msg_id` alone, whatever it says and whatever boot of the pile it is from.
    MsgIdAlone,
    /// A record that fits nowhere is acknowledged and not put aside.
    DropQuarantine,
    /// Deadlines are forgotten when the station starts again.
    ForgetTimers,
    /// What a bill leaves unpaid is no debt.
    NoDebt,
    /// After a start the journal is sealed to nothing.
    UnchainedJournal,
    /// The offset of a pile's clock is applied twice.
    OffsetTwice,
    /// Answers are not remembered: the same request again has its effect again.
    ForgetAnswers,
    /// A failed order keeps its hold.
    KeepHold,
    /// A start reading below the last known one is taken for a good one.
    TrustMeter,
    /// What flowed between two sessions is found by nobody.
    SwallowGap,
    /// What is rated by a clock that cannot be right is settled at once.
    BelieveDoubtfulClock,
    /// Nobody looks whether the station's clock was put elsewhere while the station was off.
    MissClockMove,
    /// What was certain of the time does not bound which tariff is in force.
    NoCertainTime,
    /// Every reading of a register is believed, however high.
    BelieveEveryReading,
    /// A record that was written in an earlier start of the pile goes by the present offset of its clock.
    OffsetOfPresentBoot,
    /// A session that a pile ran alone may have been at any time before now.
    NoLowerBound,
    /// A pile that is online and says nothing of a connector, or that it is in no session, leaves its order charging.
    HangInCharging,
    /// A car that pauses counts as one whose session is over.
    CutPause,
    /// The driver pays from the last reading before the start.
    ChargeTheGap,
    /// A record that says less than the station saw is settled at once.
    SettleBelowSeen,
    /// An offline session is paid by whoever holds the card when its record arrives.
    CardHolderNow,
    /// The seventeenth record that contradicts an order's is acknowledged and stored nowhere.
    DropSeventeenth,
    /// A person who bills a quarantine item is not told what else covers its readings.
    BillTwice,
    /// A message with a field that cannot be read is not read, whatever hangs on that field.
    StrictOptionalFields,
    /// No gap is looked for before an order that an estimate settles.
    EstimateSwallowsGap,
    /// Unrecorded energy that a session explains later stays unrecorded.
    GapStays,
    /// A correction downwards pays out what was never paid, and leaves the debt.
    CorrectionPaysTwice,
    /// What a pile says may fill the journal.
    NoJournalBudget,
    /// Head office acknowledges a batch as it comes.
    AckBeforeCommit,
    /// Head office takes a batch that does not follow on what it has.
    GapSkipped,
    /// Head office takes entries that it has once more.
    DuplicateApplied,
    /// Whoever lost a site at head office goes on with it.
    HeadNotFenced,
    /// The last movement of money in what head office hands back to a station that was restored is made once more.
    TailWithEffects,
    /// Bills are not rated again at head office.
    ReRatingLeftOut,
    /// What a wallet leases to a site stays in the wallet as well.
    LeaseAsLimit,
    /// Money on the road is free again when the site has not answered for a while.
    FreedOnTimeOut,
    /// A directive that comes again is done again.
    DirectiveTwice,
    /// The numbers of directives go on when another life of head office's begins.
    NumberWithoutEpoch,
    /// What head office has paid of a debt beyond what was owed is not given back.
    SurplusKept,
    /// What a refused directive carried stays on the road.
    TransitForgotten,
    /// What a voucher carried goes back before the site has closed it.
    VoucherReturnedEarly,
    /// A refund is in the wallet before the order's site has marked it.
    RefundBeforeMark,
    /// An order of head office's that comes after its time is placed.
    LateStartTaken,
    /// A restore pays for what was forgotten before the wallet does.
    RestorePaysFirst,
    /// Vouchers are closed by when it may be, not by when it certainly is.
    ClosedByLatestTime,
}

impl Bug {
    /// Every bug.
    pub const ALL: &[Bug] = &[
        Bug::AcknowledgeBeforeSync,
        Bug::RecordTwice,
        Bug::ReleaseAndCapture,
        Bug::RateByReceiveTime,
        Bug::ForgetOutbox,
        Bug::LoseTail,
        Bug::MsgIdAlone,
        Bug::DropQuarantine,
        Bug::ForgetTimers,
        Bug::NoDebt,
        Bug::UnchainedJournal,
        Bug::OffsetTwice,
        Bug::ForgetAnswers,
        Bug::KeepHold,
        Bug::TrustMeter,
        Bug::SwallowGap,
        Bug::BelieveDoubtfulClock,
        Bug::MissClockMove,
        Bug::NoCertainTime,
        Bug::BelieveEveryReading,
        Bug::OffsetOfPresentBoot,
        Bug::NoLowerBound,
        Bug::HangInCharging,
        Bug::CutPause,
        Bug::ChargeTheGap,
        Bug::SettleBelowSeen,
        Bug::CardHolderNow,
        Bug::DropSeventeenth,
        Bug::BillTwice,
        Bug::StrictOptionalFields,
        Bug::EstimateSwallowsGap,
        Bug::GapStays,
        Bug::CorrectionPaysTwice,
        Bug::NoJournalBudget,
        Bug::AckBeforeCommit,
        Bug::GapSkipped,
        Bug::DuplicateApplied,
        Bug::HeadNotFenced,
        Bug::TailWithEffects,
        Bug::ReRatingLeftOut,
        Bug::LeaseAsLimit,
        Bug::FreedOnTimeOut,
        Bug::DirectiveTwice,
        Bug::NumberWithoutEpoch,
        Bug::SurplusKept,
        Bug::TransitForgotten,
        Bug::VoucherReturnedEarly,
        Bug::RefundBeforeMark,
        Bug::LateStartTaken,
        Bug::RestorePaysFirst,
        Bug::ClosedByLatestTime,
    ];
}

#[cfg(feature = "planted-bugs")]
mod switch {
    use super::Bug;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// From now on everything on this thread has this bug, or none.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    /// Whether this bug is switched on, on this thread.
    pub fn is_planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// What gives another thread, which works for this one, the same bug.
    pub fn carry() -> impl FnOnce() + Send + 'static {
        let bug = PLANTED.get();
        move || plant(bug)
    }
}

#[cfg(feature = "planted-bugs")]
pub use switch::{carry, is_planted, plant};

/// Never: this program has no planted bugs.
#[cfg(not(feature = "planted-bugs"))]
pub const fn is_planted(_: Bug) -> bool {
    false
}

/// Nothing: this program has no planted bugs.
#[cfg(not(feature = "planted-bugs"))]
pub const fn carry() -> impl FnOnce() + Send + 'static {
    || ()
}
