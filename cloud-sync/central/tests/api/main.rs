//! Head office's HTTP API over real sockets, on SQLite and on a PostgreSQL that the tests start. What it shows has come in by the
//! real ingest, from journals that the station's own code wrote.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod access;
mod adjustments;
mod alerts;
mod asked;
mod audit;
#[path = "../../../../domain/tests/bench/mod.rs"]
mod bench;
mod bill_proposals;
#[path = "../../../bills/src/bill_writer.rs"]
mod bill_writer;
mod bills;
mod bills_folder;
mod books_check;
mod branches;
mod callbacks;
#[allow(dead_code, reason = "the tests of the store use more of it")]
#[path = "../store/cluster.rs"]
mod cluster;
mod document;
mod inbox;
#[allow(dead_code, reason = "the domain's tests use more of it")]
#[path = "../../../../domain/tests/head_office/joined.rs"]
mod joined;
mod lists;
mod machines;
mod mini_program;
mod money;
mod office;
mod payouts;
mod people;
#[allow(dead_code, reason = "the tests of deliveries use more of it")]
#[path = "../alerts/receiver.rs"]
mod receiver;
mod reconciliation;
mod refunds;
mod reports;
mod slow;
mod statements;
mod station;
mod stations;

/// Each test on SQLite and on PostgreSQL. Those on PostgreSQL stand together: they share a server, which ends with the last.
macro_rules! on_both {
    ($($file:ident { $($test:ident)* })*) => {
        mod on_sqlite { $(mod $file { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { crate::$file::$test(crate::office::Office::sqlite().await).await; }
        )* })* }
        mod on_postgresql { $(mod $file { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { crate::$file::$test(crate::office::Office::postgresql().await).await; }
        )* })* }
    };
}

on_both! {
    access {
        every_operation_wants_one_of_its_roles
        what_nobody_made_is_not_known_and_head_asks_as_get_does
        whoever_opens_the_socket_is_an_administrator_and_no_person
    }
    alerts {
        what_is_open_is_listed_first_and_counted
        what_a_site_knows_and_head_office_does_not_is_shown_with_what_to_do
    }
    asked {
        a_station_is_asked_and_its_answer_is_passed_on
        a_site_that_is_away_or_unknown_is_said_to_be
        whoever_watches_an_order_sees_its_newest_frame_while_they_do
    }
    audit {
        every_change_is_told_with_who_and_what
        many_at_once_are_one_chain
        an_entry_that_was_altered_is_named
        an_entry_that_was_taken_out_is_named
        an_end_that_was_cut_off_is_found
    }
    callbacks {
        unsigned_callbacks_are_kept_by_address_so_that_a_stranger_hides_nobodys
    }
    bills {
        a_bill_is_imported_once_and_the_same_file_again_changes_nothing
        a_file_that_is_wrong_leaves_nothing_and_is_told_with_its_line
        a_day_has_one_bill_and_a_bill_one_day
        each_day_of_a_channel_is_known_as_present_or_missing
        the_same_file_twice_at_once_is_imported_once
        what_an_import_that_was_killed_has_written_never_counts_and_goes
        the_same_bytes_for_two_channels_at_once_are_one_bill
    }
    bill_proposals {
        a_file_that_should_not_be_there_is_withdrawn_by_two
        of_a_day_that_is_final_no_file_is_withdrawn
        whoever_is_on_the_machine_is_told_that_it_takes_people
        a_day_without_a_trade_is_confirmed_by_two
    }
    bills_folder {
        a_folder_that_is_watched_is_emptied_into_imported_and_refused
        no_link_and_no_pipe_in_the_folder_is_read
        what_is_put_away_goes_through_no_link_and_over_nothing
        a_database_that_says_no_is_asked_again_after_a_pause
    }
    books_check {
        a_balance_sheet_that_a_station_draws_up_is_compared_when_somebody_asks
        each_business_day_the_books_are_compared_once_whichever_process_does_it
        a_site_that_is_away_is_asked_again_later
        a_sheet_that_is_ahead_of_what_is_here_waits_for_it
    }
    branches {
        a_branch_that_is_accepted_is_followed_and_told
        a_site_that_stands_still_is_tried_again_and_an_entry_is_set_aside_by_two
        a_site_is_closed_by_two
        an_invitation_of_a_clock_that_was_years_ahead_lets_nobody_in
        whoever_comes_in_or_is_shut_out_is_written_down_beside_the_database
    }
    inbox {
        a_driver_is_told_of_each_step_of_an_order_in_its_order
        who_cannot_pay_is_told_what_is_owed_and_who_is_a_sites_own_is_told_nothing
        an_inbox_is_listed_by_every_filter_and_page_size
        dead_letters_are_listed_and_sent_again_when_a_person_asks
    }
    mini_program {
        the_examples_of_the_document_are_what_is_asked_and_answered
        the_postings_of_the_document_are_what_a_drivers_day_moves
        its_own_token_starts_an_order_reads_it_follows_it_and_stops_it
    }
    stations {
        sites_are_shown_with_their_prices_and_free_connectors
        a_site_whose_line_is_down_says_so_and_up_to_when_it_is_known
        a_connector_that_cannot_be_had_says_why
    }
    lists {
        orders_of_all_sites_are_listed_by_every_filter_and_page_size
        an_order_its_bill_and_its_log_are_the_stations_own
        members_piles_tariffs_energy_and_quarantine_are_the_stations_own
        what_was_dealt_with_is_listed_only_where_that_is_asked
        the_books_are_the_stations_and_their_sums_are_zero
        findings_are_listed_the_newest_first_by_every_filter_and_page_size
        a_journal_is_handed_out_as_the_site_stored_it
        a_site_shows_its_state_its_backlog_and_what_it_said
        what_cannot_be_asked_is_told_by_its_place_in_the_url
    }
    machines {
        a_token_is_shown_once_and_counts_until_it_is_taken_back
        what_a_token_cannot_be_is_refused_with_the_field
        a_request_that_is_repeated_counts_once_and_gets_its_answer_without_the_secret
        the_same_request_many_times_at_once_is_one
        what_is_over_is_forgotten
    }
    money {
        a_channel_credits_what_it_has_signed_and_nobody_else_does
        what_was_paid_and_credits_nobody_is_listed_until_it_does
        what_a_channel_called_back_is_kept_as_it_came_with_its_answer
        money_goes_to_a_site_by_lease_order_and_voucher_and_all_of_it_is_shown
        who_is_frozen_blocked_or_unknown_is_told_so
        sites_are_told_of_prices_piles_and_whose_their_members_are
    }
    adjustments {
        a_wallet_is_adjusted_by_two_people_and_the_audit_chain_has_both
        two_tokens_that_one_has_made_are_one_person
    }
    reconciliation {
        a_day_is_reconciled_when_somebody_asks_and_what_differs_is_listed
        two_people_decide_what_differs_one_by_one_and_many_at_once
        many_are_decided_two_hundred_at_a_time_whatever_stands_before_them
    }
    reports {
        a_days_report_is_had_in_every_format_by_who_may_and_each_reading_is_told
        a_table_that_was_filled_in_is_done_line_by_line_and_once
    }
    refunds {
        money_goes_back_for_an_order_by_one_person_or_two_once_its_site_has_marked_it
        a_bill_is_decided_at_head_office_and_by_two_where_it_is_far_off
    }
    statements {
        a_statement_tells_every_movement_and_its_cause_and_adds_up_as_json_and_as_a_table
    }
    payouts {
        two_people_say_what_a_channel_has_paid_out_and_its_run_looks_at_it
    }
    people {
        the_first_administrator_is_made_on_the_machine_and_lets_others_in
        a_cookie_alone_changes_nothing
        a_session_ends_when_it_is_idle_when_it_is_old_and_when_somebody_logs_out
        what_an_administrator_takes_from_somebody_counts_at_once
        another_password_ends_ones_other_sessions
        wrong_passwords_are_told_alike_and_make_one_wait
        nothing_of_a_password_or_a_session_is_in_the_database
    }
}
