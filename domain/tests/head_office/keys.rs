//! Keys that head office signs with (rule 11): a new one counts beside the old one, which ends with the last voucher that it can
//! have signed.

use crate::{bench::*, joined::Joined};
use domain::{
    fact::Fact,
    head_office::{Directive, HQ_KEYS_MAX, HqKey},
    site::Input,
    time::Wall,
};
use std::collections::BTreeSet;

fn key(n: u8) -> HqKey {
    HqKey([n; 32])
}

fn counts(n: u8) -> Directive {
    Directive::Key {
        key: key(n),
        ends: None,
    }
}

fn ends(n: u8, at: Wall) -> Directive {
    Directive::Key {
        key: key(n),
        ends: Some(at),
    }
}

/// The keys that count of a configuration that has the first.
fn counting(site: &Joined) -> Vec<u8> {
    let counting: BTreeSet<HqKey> = site.bench.disk.head_office.counting(&[key(1)]);
    counting.into_iter().map(|key| key.0[0]).collect()
}

#[test]
fn rule_11_both_keys_count_until_the_mark_of_vouchers_passes_the_end_of_the_old_one() {
    let mut site = Joined::new();
    assert_eq!(counting(&site), [1]);
    site.done(counts(2));
    assert_eq!(counting(&site), [1, 2]);
    let end = site.bench.now.wall.after_ms(86_400_000);
    site.done(ends(1, end));
    // Whatever the station's own clock says: a voucher that the old one has signed is taken until the mark is there.
    site.bench.pass(48 * HOUR);
    site.bench.ok(Input::CloseVouchers {
        certainly: end.after_ms(-1),
    });
    assert_eq!(counting(&site), [1, 2]);
    site.bench.ok(Input::CloseVouchers { certainly: end });
    assert_eq!(
        counting(&site),
        [2],
        "and it does not count because the configuration names it"
    );
    assert_eq!(site.bench.replayed().head_office, site.bench.disk.head_office);
    // The third takes the place of the second, and the first stays where it is.
    site.done(counts(3));
    site.done(ends(2, end));
    assert_eq!(counting(&site), [3], "an end that lies behind the mark is one at once");
}

#[test]
fn what_is_said_of_a_key_again_is_done_already_and_what_has_ended_stays_so() {
    let mut site = Joined::new();
    let end = site.bench.now.wall;
    assert_eq!(
        site.refused(ends(1, end)),
        "last_key",
        "nothing would be left to believe"
    );
    site.done(counts(2));
    assert_eq!(site.refused(ends(2, end)), "last_key");
    site.done(ends(1, end));
    let facts = site.bench.facts.len();
    site.done(counts(2));
    site.done(ends(1, end));
    let taken = site.bench.facts.iter().skip(facts).map(|(_, fact)| fact.kind());
    assert_eq!(taken.collect::<Vec<_>>(), ["DirectiveTaken", "DirectiveTaken"]);
    assert_eq!(site.refused(counts(1)), "key_ends");
    assert_eq!(
        site.refused(ends(1, end.after_ms(1))),
        "key_ends",
        "nor does it end later"
    );
}

#[test]
fn a_station_remembers_so_many_keys_and_no_more() {
    let mut site = Joined::new();
    for n in 0..HQ_KEYS_MAX {
        site.done(counts(u8::try_from(n).unwrap()));
    }
    assert_eq!(site.refused(counts(200)), "too_many_keys");
    site.done(ends(0, site.bench.now.wall));
    let set = site.bench.facts.iter();
    let set = set.filter(|(_, fact)| matches!(fact, Fact::HeadOfficeKeySet { .. }));
    assert_eq!(set.count(), HQ_KEYS_MAX + 1);
}
