//! Head office signs with another key (rule 11): announced to every site, in use when all of them believe it, and the old one ended.

use crate::{company::Company, on_both};
use central::{
    money::{Believes, Refused, Rotation},
    store::{directives, identity, sites},
};
use domain::{
    head_office::{DirectiveRow, HqKey},
    ids::SiteId,
};
use protocol::{frame::State, key::PublicKey};

on_both! {
    rule_11_a_new_key_signs_when_every_site_believes_it_and_the_old_one_ends_a_day_after
    a_site_that_stands_still_holds_it_up_until_a_person_leaves_it_out
    a_site_that_stood_still_when_the_old_key_ended_is_told_so_when_it_is_followed_again
    a_key_that_was_announced_by_a_life_that_is_over_is_announced_again
}

fn rotate(company: &Company, left_out: &[&str]) -> Result<Rotation, Refused> {
    let left_out: Vec<SiteId> = left_out.iter().map(|site| site.parse().unwrap()).collect();
    company.may(move |money| money.rotate_key(&left_out))
}

fn believe(rotation: &Rotation) -> Vec<Believes> {
    rotation.sites.iter().map(|(_, believes)| *believes).collect()
}

fn signs(company: &Company) -> PublicKey {
    company.read(|tx| Ok(identity::signs_with(tx)?.public()))
}

/// The keys that count at a site whose configuration has this one.
fn counting(company: &Company, n: usize, configured: PublicKey) -> Vec<PublicKey> {
    let row = &company.stations[n].bench.disk.head_office;
    let keys = row.counting(&[HqKey::from(configured)]);
    keys.into_iter().map(PublicKey::from).collect()
}

fn rule_11_a_new_key_signs_when_every_site_believes_it_and_the_old_one_ends_a_day_after(mut company: Company) {
    company.settle();
    let old = signs(&company);
    company.stations[2].is_cut = true;
    let first = rotate(&company, &[]).unwrap();
    let new = first.next.unwrap();
    assert_eq!((first.key, believe(&first)), (old, vec![Believes::Told; 3]));
    // Whoever comes in meanwhile is told of both.
    assert_eq!(company.read(identity::public_keys), [old, new]);
    company.settle();
    let again = rotate(&company, &[]).unwrap();
    let waits = [Believes::Yes, Believes::Yes, Believes::Told];
    assert_eq!((again.key, again.next), (old, Some(new)), "the same key");
    assert_eq!(believe(&again), waits);
    let site = company.site(2);
    let of = (site, company.epoch);
    let told = company.read(move |tx| directives::waiting(tx, (&of.0, of.1), DirectiveRow::Others, 9));
    assert_eq!(told.len(), 1, "nobody is told twice");

    company.stations[2].is_cut = false;
    company.settle();
    assert_eq!(signs(&company), old, "it is a person who says so");
    let last = rotate(&company, &[]).unwrap();
    assert_eq!((last.key, last.next), (new, None));
    assert_eq!(believe(&last), [Believes::Yes; 3]);
    assert_eq!((signs(&company), company.read(identity::public_keys)), (new, vec![new]));
    company.settle();
    let (changed, hour) = (company.now(), 3_600_000);
    for n in 0..3 {
        let bench = &mut company.stations[n].bench;
        // Up to the last voucher that the old one can have signed.
        bench.ok(domain::site::Input::CloseVouchers {
            certainly: changed.after_ms(24 * hour),
        });
        assert_eq!(counting(&company, n, old).len(), 2, "site {n}");
        company.stations[n].bench.ok(domain::site::Input::CloseVouchers {
            certainly: changed.after_ms(25 * hour),
        });
        assert_eq!(counting(&company, n, old), [new], "site {n}");
    }
    company.settle();
    // And another one after that.
    let next = rotate(&company, &[]).unwrap();
    assert!(next.key == new && next.next.is_some_and(|next| next != new && next != old));
}

fn a_site_that_stands_still_holds_it_up_until_a_person_leaves_it_out(mut company: Company) {
    company.settle();
    let old = signs(&company);
    let site = company.site(1);
    company
        .write(move |tx| {
            let found = sites::find(tx, &site)?.unwrap();
            sites::stand_still(tx, crate::company::ME, &found, State::Broken, "a test")
        })
        .unwrap();
    let first = rotate(&company, &[]).unwrap();
    assert_eq!(believe(&first)[1], Believes::CannotBeTold("broken"));
    company.settle();
    assert!(rotate(&company, &[]).unwrap().next.is_some());
    assert_eq!(
        rotate(&company, &["nowhere"]),
        Err(Refused::UnknownSite("nowhere".parse().unwrap()))
    );
    let last = rotate(&company, &["B"]).unwrap();
    assert_eq!((believe(&last)[1], last.next), (Believes::LeftOut, None));
    assert_ne!(signs(&company), old);
    company.settle();
    assert_eq!(counting(&company, 1, old), [old], "its configuration tells it");
}

fn a_site_that_stood_still_when_the_old_key_ended_is_told_so_when_it_is_followed_again(mut company: Company) {
    company.settle();
    let old = signs(&company);
    let new = rotate(&company, &[]).unwrap().next.unwrap();
    company.settle();
    // It has said that it believes the new one, and stands still when a person asks again.
    let stands = |company: &Company, state: State| {
        let site = company.site(1);
        company
            .write(move |tx| {
                let found = sites::find(tx, &site)?.unwrap();
                sites::stand_still(tx, crate::company::ME, &found, state, "a test")
            })
            .unwrap();
    };
    stands(&company, State::Broken);
    assert_eq!(rotate(&company, &[]).unwrap().key, new);
    company.settle();
    let until = company.now().after_ms(25 * 3_600_000);
    let closes = |company: &mut Company| {
        let mark = domain::site::Input::CloseVouchers { certainly: until };
        company.stations[1].bench.ok(mark);
    };
    closes(&mut company);
    assert_eq!(counting(&company, 1, old).len(), 2, "nobody could tell it");
    let hourly = |company: &Company| company.may(|money| money.end_keys().map(Ok)).unwrap();
    hourly(&company);
    let of = (company.site(1), company.epoch);
    let waiting = move |company: &Company| {
        let of = of.clone();
        company
            .read(move |tx| directives::waiting(tx, (&of.0, of.1), DirectiveRow::Others, 9))
            .len()
    };
    assert_eq!(waiting(&company), 0, "nothing is issued to a site that stands still");

    stands(&company, State::Following);
    for _ in 0..2 {
        hourly(&company);
        assert_eq!(waiting(&company), 1, "it is said, and once");
    }
    company.settle();
    assert_eq!(counting(&company, 1, old), [new]);
    hourly(&company);
    assert_eq!(waiting(&company), 0, "it has said so");
}

fn a_key_that_was_announced_by_a_life_that_is_over_is_announced_again(mut company: Company) {
    company.settle();
    company.stations[1].is_cut = true;
    let new = rotate(&company, &[]).unwrap().next.unwrap();
    company.settle();
    let now = company.now();
    company.epoch = company.write(move |tx| identity::begin_anew(tx, now)).unwrap();
    company.stations[1].is_cut = false;
    company.settle();
    let last = rotate(&company, &[]).unwrap();
    assert_eq!((last.key, believe(&last)), (new, vec![Believes::Yes; 3]));
}
