//! Another journal of the site than the one that head office follows.

use super::{Bench, COMPANY_MS, FORKED_MS, HELLO_MS, Input};
use domain::fact::Fact;
use protocol::frame::State;

/// Head office has followed a station up to its end, and a copy of its disk goes on by itself.
fn cloned(entries: usize, copied: usize, acknowledged: u64, more: usize) -> Bench {
    let mut bench = Bench::new();
    bench.station.grow(entries);
    bench.give(Input::Connected);
    bench.pass(COMPANY_MS + 1);
    assert!(bench.is_caught_up());
    bench.give(Input::Lost);
    bench.fetch = None;
    bench.station.acknowledged = Some(acknowledged);
    let mut copy = bench.station.copy_of(copied);
    copy.journal(Fact::ClockStepped { by_ms: 1 });
    copy.grow(more);
    bench.station = copy;
    bench.batches.clear();
    bench
}

#[test]
fn a_station_with_less_than_head_office_has_offers_its_journal_from_what_both_had() {
    let mut bench = cloned(5_000, 3_000, 2_000, 500);
    bench.give(Input::Connected);
    bench.pass(1);
    let first = bench.batches.first().unwrap();
    assert_eq!((first.1, bench.head_office.other), (2_001, Some(bench.station.head())));
    assert_eq!(bench.head_office.head.seq, 5_000, "nothing of it is followed");
    assert!(bench.courier.progress().trouble.is_some());
    // A person says that it lives: it goes on from its end.
    bench.head_office.accept();
    bench.station.grow(10);
    bench.pass(HELLO_MS + COMPANY_MS);
    assert!(bench.is_caught_up());
    assert_eq!(bench.courier.progress().trouble, None);
}

#[test]
fn a_station_with_more_than_head_office_has_of_another_journal_offers_its_own() {
    let mut bench = cloned(5_000, 3_000, 2_000, 4_000);
    bench.give(Input::Connected);
    bench.pass(1);
    assert_eq!(bench.courier.progress().state, Some(State::Forked));
    assert_eq!(bench.head_office.other, Some(bench.station.head()));
    // What comes meanwhile is offered too, when it is said again how far it is.
    let seen = bench.batches.len();
    bench.station.grow(10);
    bench.pass(HELLO_MS - 1_000);
    assert_eq!(bench.batches.len(), seen);
    bench.pass(1_000);
    assert_eq!(bench.batches[seen..].len(), 1, "and not from the beginning");
    assert_eq!(bench.head_office.other, Some(bench.station.head()));
}

#[test]
fn what_is_offered_goes_on_when_a_hello_behind_it_is_answered() {
    let mut bench = cloned(10, 5, 5, 200_000);
    let hellos = bench.station.hellos;
    bench.give(Input::Connected);
    while bench.station.hellos < hellos + 2 {
        assert!(bench.step());
    }
    // The second is not answered yet.
    let (before, last) = (bench.batches.len(), bench.batches.last().map(|(_, _, last)| *last));
    assert!(last.is_none_or(|last| last < 200_000), "{before}");
    bench.pass(1);
    assert_eq!(bench.head_office.other, Some(bench.station.head()));
    let starts = bench.batches.iter().map(|(_, first, _)| *first);
    let starts: Vec<u64> = starts.skip_while(|first| *first > 6).collect();
    assert!(
        starts.is_sorted_by(|one, next| one < next),
        "each goes once: {starts:?}"
    );
    // With nothing left to offer it is said again after a while.
    let hellos = bench.station.hellos;
    bench.pass(HELLO_MS - 1_000);
    assert_eq!(bench.station.hellos, hellos);
    // Another connection: whoever hears it may have kept nothing.
    bench.give(Input::Lost);
    bench.give(Input::Connected);
    bench.batches.clear();
    bench.pass(1);
    assert_eq!(bench.batches.first().map(|(_, first, _)| *first), Some(6));
}

#[test]
fn where_head_office_has_forgotten_what_both_had_all_of_the_journal_is_offered_after_a_while() {
    let mut bench = cloned(5_000, 3_000, 2_000, 500);
    // It was restored, and follows another journal from early on: it never heard of entry 2000 of this one.
    bench.station.acknowledged = Some(2_900);
    bench.head_office.places.truncate(1_001);
    bench.head_office.other = Some(domain::journal::Head::START);
    let mut first = Vec::new();
    for _ in 0..13 {
        bench.batches.clear();
        bench.give(Input::Connected);
        bench.pass(1);
        first.extend(bench.batches.first().map(|(_, first, _)| *first));
        bench.give(Input::Lost);
        bench.fetch = None;
    }
    let later = 2_901;
    let whole: Vec<usize> = (0..13).filter(|n| first[*n] == 1).collect();
    assert_eq!(whole, [2, 5, 11], "{first:?}");
    assert!(first.iter().all(|first| [1, later].contains(first)), "{first:?}");
    assert_eq!(
        bench.head_office.other,
        Some(bench.station.head()),
        "and people can see it"
    );
}

#[test]
fn on_a_connection_that_stands_all_of_the_journal_is_offered_in_time_too() {
    let mut bench = cloned(5_000, 3_000, 2_000, 500);
    bench.station.acknowledged = Some(2_900);
    bench.head_office.places.truncate(1_001);
    bench.head_office.other = Some(domain::journal::Head::START);
    bench.give(Input::Connected);
    bench.pass(2 * FORKED_MS - HELLO_MS);
    assert!(
        bench.batches.iter().all(|(_, first, _)| *first == 2_901),
        "each goes once: {:?}",
        bench.batches.iter().map(|(_, first, _)| *first).collect::<Vec<_>>()
    );
    bench.batches.clear();
    bench.pass(3 * HELLO_MS);
    assert_eq!(bench.batches.first().map(|(_, first, _)| *first), Some(1));
    assert_eq!(
        bench.head_office.other,
        Some(bench.station.head()),
        "and people can see it"
    );
}

#[test]
fn a_station_that_is_recovering_offers_nothing() {
    let mut bench = cloned(5_000, 3_000, 2_000, 0);
    bench.station = bench.station.copy_of(3_000);
    bench.station.recovering = true;
    bench.give(Input::Connected);
    bench.pass(3 * HELLO_MS);
    assert_eq!(bench.batches, []);
}

#[test]
fn that_head_office_follows_again_another_branch_than_the_stations_is_no_end_of_it() {
    let mut bench = cloned(5_000, 3_000, 2_000, 500);
    bench.station.acknowledged = Some(2_900);
    bench.head_office.places.truncate(1_001);
    bench.head_office.other = Some(domain::journal::Head::START);
    bench.give(Input::Connected);
    bench.pass(FORKED_MS + HELLO_MS);
    assert_eq!(bench.courier.forked_on, 2, "once, and once more after ten minutes");
    // People have named a branch, which is not the station's: it follows that, and then it meets this one.
    bench.head_office.other = None;
    bench.pass(HELLO_MS);
    assert_eq!(bench.courier.progress().state, Some(State::Following));
    bench.head_office.other = Some(domain::journal::Head::START);
    bench.batches.clear();
    bench.pass(FORKED_MS);
    assert_eq!(bench.courier.forked_on, 3);
    let whole = bench.batches.iter().find(|(_, first, _)| *first == 1);
    assert!(whole.is_some(), "{:?}", bench.batches);
    // Something of the station's is taken: that is.
    bench.head_office.accept();
    bench.station.grow(10);
    bench.pass(HELLO_MS + COMPANY_MS);
    assert!(bench.is_caught_up());
    assert_eq!(bench.courier.forked_on, 0);
}
