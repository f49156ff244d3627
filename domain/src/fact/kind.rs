//! The names of the kinds of facts, as the journal has them: the one list of them.
//! A variant that is missing here does not compile; one that is here has a golden file (`domain/tests/facts`).

use super::Fact;

macro_rules! kinds {
    ($($kind:ident),* $(,)?) => {
        impl Fact {
            /// Every kind there is.
            pub const KINDS: &[&str] = &[$(stringify!($kind)),*];

            /// The kind's name in the journal; never changed.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Fact::$kind { .. } => stringify!($kind),)*
                }
            }
        }
    };
}

kinds![
    PileProvisioned,
    PileRemoved,
    PileBooted,
    PileDropped,
    PileEvent,
    PileBudgetSpent,
    PileBudgetRenewed,
    MaintenanceSet,
    MemberRegistered,
    MemberBlocked,
    CardBound,
    CardUnbound,
    TariffAdded,
    ToppedUp,
    OrderPlaced,
    HoldTaken,
    CommandIssued,
    CommandAnswered,
    StartAcknowledged,
    OrderFailed,
    StopRequested,
    ChargingLost,
    ChargingResumed,
    FakeChargingSeen,
    RecordReceived,
    RecordConflict,
    RegisterGapFound,
    OrderAccounted,
    RatingDiffers,
    OrderRated,
    BillCorrected,
    ReviewOpened,
    ReviewApproved,
    OrderEstimated,
    OrderSettled,
    DebtPaid,
    Refunded,
    Quarantined,
    QuarantineClosed,
    RecordTaken,
    Notified,
    ClockStepped,
    ClockMoveFound,
    PileClocksMeasured,
    ClockDoubted,
    ClockBelieved,
    OrderTimesMoved,
    OrderRepinned,
    Restored,
    RegisterRolledBack,
    RegisterJumped,
    RegisterCorrected,
    RegisterReturned,
    EnergyDiffers,
    DayBegan,
    EnergyReported,
    MeterCleared,
    FirstReading,
    UnorderedCharging,
    UnorderedChargingEnded,
    PileRestarted,
    CorrectionProposed,
    CorrectionWithdrawn,
    TopUpReversed,
    ShiftOpened,
    CashCounted,
    CashBanked,
    ShiftClosed,
    HeadOfficeSeen,
    DirectiveTaken,
    LeaseReceived,
    LeaseReturned,
    StartWished,
    MemberOwes,
    VouchersClosed,
    HeadOfficeKeySet,
    RefundMarked,
];
