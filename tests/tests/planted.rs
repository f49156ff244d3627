//! The simulated worlds, of one station and of three sites with a head office, find bugs that were planted on purpose: each is
//! switched on, and a life must fail.
//! Run with `cargo test --workspace --features holdfast-tests/planted-bugs --test planted`.

#![allow(clippy::print_stdout, reason = "says how soon a bug was found")]

use domain::planted::{Bug, plant};
use world::world::{Failure, live_through, three_sites};

/// Within how many lives a bug must be found.
const LIVES_MAX: u64 = 60;

/// One life, without what it came to.
type Life = fn(u64) -> Result<(), Failure>;

const OF_A_STATION: Life = |seed| live_through(seed).map(drop);
const OF_THREE_SITES: Life = |seed| three_sites::live_through(seed).map(drop);

/// Looks for a bug from a life on: what is rare is looked for where it is known to be met.
fn is_found(live: Life, bug: Bug, first: u64) {
    // Most bugs show as a broken assertion: its message comes with the failure.
    std::panic::set_hook(Box::new(|_| {}));
    for seed in first..first + LIVES_MAX {
        plant(Some(bug));
        let failure = live(seed).err();
        plant(None);
        if let Some(failure) = failure {
            println!("{bug:?} is found in life {seed}: {}", failure.what);
            let without = live(seed);
            assert!(
                without.is_ok(),
                "the same life without the bug: {}",
                without.err().map_or_else(String::new, |failure| failure.to_string())
            );
            return;
        }
    }
    panic!("{bug:?} was not found in {LIVES_MAX} lives from {first} on");
}

macro_rules! found {
    ($lives:ident: $($name:ident: $bug:ident $(from $first:literal)?,)*) => { $(
        #[test]
        fn $name() {
            is_found($lives, Bug::$bug, 0 $(+ $first)?);
        }
    )* };
}

found! {
    OF_A_STATION:
    acknowledge_before_sync: AcknowledgeBeforeSync,
    apply_a_record_twice: RecordTwice,
    release_and_capture_both: ReleaseAndCapture,
    rate_by_receive_time: RateByReceiveTime,
    forget_the_outbox_on_restart: ForgetOutbox,
    lose_the_tail_of_a_batch: LoseTail,
    know_a_message_again_by_its_msg_id_alone: MsgIdAlone,
    acknowledge_an_orphan_without_keeping_it: DropQuarantine,
    forget_timers_on_restart: ForgetTimers,
    write_no_debt: NoDebt,
    leave_the_journal_unchained_after_a_restart: UnchainedJournal,
    apply_a_clock_offset_twice: OffsetTwice,
    forget_answers: ForgetAnswers,
    keep_the_hold_of_a_failed_order: KeepHold,
    trust_a_meter_that_contradicts_itself: TrustMeter from 197,
    swallow_what_flows_between_sessions: SwallowGap,
    believe_a_clock_that_cannot_be_right: BelieveDoubtfulClock,
    miss_that_the_clock_was_put_elsewhere_meanwhile: MissClockMove from 1948,
    forget_what_was_certain_of_the_time: NoCertainTime,
    believe_every_reading: BelieveEveryReading from 100,
    rate_by_the_clock_of_another_start: OffsetOfPresentBoot,
    believe_any_time_of_a_session_that_a_pile_ran_alone: NoLowerBound from 358,
    leave_an_order_charging_that_nobody_charges: HangInCharging from 158,
    cut_off_a_car_that_pauses: CutPause from 221,
    charge_the_driver_for_what_flowed_before: ChargeTheGap from 2604,
    settle_a_record_below_what_was_seen: SettleBelowSeen,
    charge_whoever_holds_the_card_now: CardHolderNow from 334,
    store_sixteen_contradicting_records_and_no_more: DropSeventeenth,
    bill_the_same_energy_twice_unasked: BillTwice,
    read_no_message_with_a_field_that_is_wrong: StrictOptionalFields,
    look_for_no_gap_before_an_estimate: EstimateSwallowsGap from 19,
    leave_a_gap_that_a_session_explains: GapStays,
    pay_out_by_a_correction_what_was_never_paid: CorrectionPaysTwice from 19,
    let_a_contact_that_bounces_fill_the_journal: NoJournalBudget,
}

found! {
    OF_THREE_SITES:
    acknowledge_before_the_commit: AckBeforeCommit,
    take_what_does_not_follow: GapSkipped,
    take_entries_once_more: DuplicateApplied,
    go_on_with_a_site_that_another_process_has: HeadNotFenced,
    decide_once_more_what_head_office_hands_back: TailWithEffects from 2,
    rate_no_bill_again: ReRatingLeftOut,
    keep_in_the_wallet_what_was_leased: LeaseAsLimit,
    free_money_on_a_time_out: FreedOnTimeOut,
    do_a_directive_twice: DirectiveTwice,
    number_directives_without_the_life_of_head_office: NumberWithoutEpoch from 3,
    keep_what_is_paid_beyond_a_debt: SurplusKept from 2,
    leave_on_the_road_what_was_refused: TransitForgotten,
    give_a_voucher_back_before_it_is_closed: VoucherReturnedEarly,
    pay_a_refund_before_the_site_has_marked_it: RefundBeforeMark,
    place_an_order_that_comes_late: LateStartTaken,
    have_a_restore_pay_before_the_wallet: RestorePaysFirst from 6,
    close_vouchers_that_may_not_have_ended: ClosedByLatestTime,
}
