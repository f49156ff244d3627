//! Vouchers, and leases that are frozen where a restored station goes on without what head office has.

use crate::{
    bench::*,
    joined::{EPOCH, Joined, lease},
};
use domain::{
    fact::{Fact, WentOnAlone},
    head_office::{Directive, HqEpoch, LeasedBy, Voucher, VoucherRef},
    journal::Stamp,
    site::{Changes, Input, Rejected, Site},
    time::Wall,
};

fn voucher(id: &str, who: &str, amount: &str, expires_at: Wall) -> Voucher {
    Voucher {
        site: "S1".parse().unwrap(),
        hq_epoch: EPOCH,
        epoch: "e1".to_owned(),
        id: id.to_owned(),
        member: member(who),
        name: who.to_owned(),
        amount: yuan(amount),
        expires_at,
    }
}

fn shown(voucher: Voucher) -> Input {
    Input::TakeVoucher {
        voucher: Box::new(voucher),
        epoch: "e1".to_owned(),
    }
}

#[test]
fn rule_15_a_voucher_is_taken_once_and_its_directive_is_no_second_lease() {
    let mut site = Joined::new();
    let ends = site.bench.now.wall.after_ms(3_600_000);
    site.bench.ok(shown(voucher("v1", "w", "20", ends)));
    let facts = site.bench.facts.len();
    site.bench.ok(shown(voucher("v1", "w", "20", ends)));
    assert_eq!(site.bench.facts.len(), facts);
    let by_directive = |id: &str| Directive::Lease {
        member: member("w"),
        name: "w".to_owned(),
        amount: yuan("20"),
        voucher: Some(VoucherRef {
            id: id.to_owned(),
            expires_at: ends,
        }),
    };
    site.done(by_directive("v1"));
    assert_eq!(
        site.leased("w"),
        yuan("20"),
        "already taken is not a refusal, and no second lease"
    );
    site.done(by_directive("v2"));
    site.bench.ok(shown(voucher("v2", "w", "20", ends)));
    assert_eq!(site.leased("w"), yuan("40"));
    let received = site.bench.facts.iter().filter_map(|(_, fact)| match fact {
        Fact::LeaseReceived {
            by: LeasedBy::Voucher { id, .. },
            ..
        } => Some(id.clone()),
        _ => None,
    });
    assert_eq!(received.collect::<Vec<_>>(), ["v1", "v2"]);
}

#[test]
fn rule_16_the_mark_alone_makes_a_voucher_too_old() {
    let mut site = Joined::new();
    let ends = site.bench.now.wall.after_ms(3_600_000);
    // Whatever the station's own clock says.
    site.bench.pass(10 * HOUR);
    site.bench.ok(shown(voucher("v1", "w", "20", ends)));
    site.bench.ok(Input::CloseVouchers { certainly: ends });
    assert_eq!(
        site.bench.refused(shown(voucher("v2", "w", "20", ends))),
        Rejected::VoucherClosed(ends)
    );
    let late = Directive::Lease {
        member: member("w"),
        name: "w".to_owned(),
        amount: yuan("20"),
        voucher: Some(VoucherRef {
            id: "v2".to_owned(),
            expires_at: ends,
        }),
    };
    assert_eq!(site.refused(late), "voucher_closed");
    let facts = site.bench.facts.len();
    site.bench.ok(Input::CloseVouchers {
        certainly: ends.after_ms(-1),
    });
    assert_eq!(site.bench.facts.len(), facts, "a mark never goes back");
    site.bench.ok(shown(voucher("v1", "w", "20", ends)));
    assert_eq!(site.leased("w"), yuan("20"), "what was taken stays taken");
}

#[test]
fn a_voucher_of_another_run_or_life_or_for_the_stations_own_member_is_not_taken() {
    let mut site = Joined::new();
    let ends = site.bench.now.wall.after_ms(3_600_000);
    let other_run = Voucher {
        epoch: "e0".to_owned(),
        ..voucher("v1", "w", "20", ends)
    };
    assert_eq!(site.bench.refused(shown(other_run)), Rejected::VoucherBeforeRestore);
    let other_life = Voucher {
        hq_epoch: HqEpoch([9; 16]),
        ..voucher("v1", "w", "20", ends)
    };
    assert_eq!(site.bench.refused(shown(other_life)), Rejected::OtherHqEpoch);
    assert!(matches!(
        site.bench.refused(shown(voucher("v1", "m", "20", ends))),
        Rejected::NotHeadOffices(_)
    ));
    site.done(Directive::Member {
        member: member("m"),
        name: "m".to_owned(),
        adopt: true,
    });
    site.bench.ok(shown(voucher("v1", "m", "20", ends)));
    assert_eq!(site.bench.allowance("m"), yuan("80"));
}

#[test]
fn rule_7_after_going_on_alone_leases_are_frozen_until_head_office_follows_again() {
    let mut site = Joined::new();
    site.done(lease("w", "50"));
    site.bench.top_up("w", "10");
    let restored = Fact::Restored {
        epoch_before: "e1".to_owned(),
        alone: Some(WentOnAlone {
            reason: "the line is down for days".to_owned(),
            by: "wang".to_owned(),
        }),
    };
    // As a restored daemon journals it, before anything else of its run.
    let stamp = Stamp {
        seq: site.bench.site.last().seq + 1,
        at: site.bench.now.wall,
        mono: site.bench.now.mono,
    };
    let mut rows = site.bench.replayed();
    rows.apply(stamp, &restored, &mut Changes::default());
    site.bench.facts.push((stamp, restored));
    site.bench.disk.head_office = rows.head_office.clone();
    site.bench.site = Site::new(site.bench.site.policy().clone(), stamp, rows);
    site.bench.evicts = false;
    for pile in ["P1", "P2", "P3"] {
        site.bench.connect(pile);
    }

    let place = site.bench.place_input("w", "P1", "10.01");
    assert_eq!(
        site.bench.refused(place),
        Rejected::LeasesFrozen {
            member: member("w"),
            frozen: yuan("50")
        },
        "desk cash alone counts"
    );
    let mut fresh = voucher("v1", "w", "20", site.bench.now.wall.after_ms(3_600_000));
    fresh.epoch = "e2".to_owned();
    site.bench.ok(Input::TakeVoucher {
        voucher: Box::new(fresh),
        epoch: "e2".to_owned(),
    });
    let more = site.bench.place_input("w", "P1", "30.01");
    assert!(matches!(site.bench.refused(more), Rejected::LeasesFrozen { .. }));
    let order = site.bench.place("w", "P1", "30");
    site.bench.ok(Bench::stop_input(&order));
    // The branch lives: all of it counts again.
    site.bench.ok(Input::HeadOfficeSeen(HqEpoch([2; 16])));
    site.bench.place("w", "P2", "80");
}
