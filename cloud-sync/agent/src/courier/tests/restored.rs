//! Head office's database was restored from a copy: it has less of the journal, and another life of it begins.

use super::{Bench, COMPANY_MS, HELLO_MS, Input};
use protocol::{
    frame::{HqEpoch, Nonce},
    topic::Kind,
};

#[test]
fn another_life_of_head_offices_is_greeted_anew_though_the_connection_stands() {
    let mut bench = Bench::new();
    bench.station.grow(10);
    bench.give(Input::Connected);
    bench.pass(20_000);
    let heard = |bench: &Bench| {
        let fresh = bench.handed.iter().map(|(_, ack)| ack);
        let fresh = fresh.filter(|ack| ack.nonce != Nonce::NONE);
        fresh.map(|ack| ack.hq_epoch).collect::<Vec<_>>()
    };
    let (first, second) = (HqEpoch([0; 16]), HqEpoch([1; 16]));
    assert_eq!(heard(&bench), [first]);
    // Behind a broker of its own another process goes on with the site, after a restore.
    bench.head_office.life = second;
    let says = bench.head_office.ack(Nonce::NONE);
    bench.give(Input::Down(Kind::Ack, says));
    bench.pass(1);
    assert_eq!(
        heard(&bench),
        [first, second],
        "the station hears of it by the answer to a hello"
    );
    bench.station.grow(3);
    bench.pass(20_000);
    assert!(bench.is_caught_up());
    assert_eq!(
        (heard(&bench).len(), bench.reconnects),
        (2, 0),
        "once, and on the same connection"
    );
}

#[test]
fn a_head_office_that_was_restored_gets_again_what_it_forgot() {
    let mut bench = Bench::new();
    bench.station.grow(5_000);
    bench.give(Input::Connected);
    bench.pass(COMPANY_MS + 1);
    assert!(bench.is_caught_up());
    bench.head_office.head = bench.station.place(2_000).unwrap();
    // The new owner says from where.
    let ack = bench.head_office.ack(Nonce::NONE);
    bench.give(Input::Down(Kind::Ack, ack));
    bench.pass(COMPANY_MS + 1);
    assert!(bench.is_caught_up());
    assert_eq!(bench.head_office.entries, 8_000);
}

#[test]
fn old_acknowledgements_of_another_life_one_after_another_are_greeted_once_in_half_a_minute() {
    let mut bench = Bench::new();
    bench.station.grow(10);
    bench.give(Input::Connected);
    bench.pass(COMPANY_MS + 1);
    assert!(bench.is_caught_up());
    let hellos = bench.station.hellos;
    let first = std::mem::replace(&mut bench.head_office.life, HqEpoch([9; 16]));
    let old = bench.head_office.ack(Nonce::NONE);
    bench.head_office.life = first;
    for second in 0..300 {
        for _ in 0..10 {
            bench.give(Input::Down(Kind::Ack, old.clone()));
        }
        bench.station.grow(usize::from(second % 10 == 0));
        bench.pass(1_000);
    }
    let more = bench.station.hellos - hellos;
    assert_eq!(more, 11, "at once, and every half a minute for five");
    bench.pass(COMPANY_MS + 1);
    assert!(bench.is_caught_up(), "the journal goes on meanwhile");
}

#[test]
fn a_life_that_begins_soon_after_an_old_acknowledgement_is_greeted_all_the_same() {
    let mut bench = Bench::new();
    bench.give(Input::Connected);
    bench.pass(COMPANY_MS + 1);
    let first = std::mem::replace(&mut bench.head_office.life, HqEpoch([9; 16]));
    let old = bench.head_office.ack(Nonce::NONE);
    bench.head_office.life = first;
    bench.give(Input::Down(Kind::Ack, old));
    bench.pass(1_000);
    let new = HqEpoch([5; 16]);
    bench.head_office.life = new;
    // One acknowledgement of it, and nothing more is said.
    let ack = bench.head_office.ack(Nonce::NONE);
    bench.give(Input::Down(Kind::Ack, ack));
    let handed = bench.handed.len();
    bench.pass(HELLO_MS);
    assert!(bench.handed[handed..].iter().any(|(_, ack)| ack.hq_epoch == new));
}
