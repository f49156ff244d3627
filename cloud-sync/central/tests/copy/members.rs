//! Members that are made at two desks.

use crate::{bench::Bench, everywhere, head_office::HeadOffice, journal::Journal};
use central::store::{
    findings::{Class, Filter, list},
    sites,
};
use domain::fact::Fact;

everywhere! {
    a_member_that_a_desk_makes_under_another_sites_number_is_found_and_the_journal_goes_on
}

/// Rule 12.
fn a_member_that_a_desk_makes_under_another_sites_number_is_found_and_the_journal_goes_on(office: &HeadOffice) {
    // The first site has number 1, the second number 2.
    let mut expected = Vec::new();
    for (site, own, other) in [("S1", "s1_anna", "s2_berta"), ("S2", "s2_carl", "s1_dora")] {
        let mut bench = Bench::new();
        for member in [own, "m1001", other, "s_x"] {
            bench.member(member, "50");
        }
        let made = bench.facts.iter().find_map(|(stamp, fact)| match fact {
            Fact::MemberRegistered { member, .. } if member.as_str() == other => Some(stamp.seq),
            _ => None,
        });
        expected.push((site.to_owned(), made.unwrap()));
        let copy = office.follow(&Journal::of(site, bench.facts), 5);
        assert!(copy.site().head.seq > made.unwrap(), "nothing of it is lost");
    }
    let found = office.read(|tx| list(tx, &Filter::default(), None, 100)).unwrap();
    let mut places = Vec::new();
    for found in found {
        assert_eq!(found.finding.class, Class::MemberId);
        assert!(
            found.finding.detail.contains("this one is number"),
            "{}",
            found.finding.detail
        );
        places.push((found.site.to_string(), found.finding.seq));
    }
    places.sort();
    assert_eq!(places, expected);
    let numbers = office.read(sites::all).unwrap();
    assert_eq!(numbers.iter().map(|site| site.number).collect::<Vec<_>>(), [1, 2]);
}
