//! Head office's database was restored from a copy: it has less of the journal, and another life of it begins.

use super::{Bench, COMPANY_MS, Input};
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
