//! Vouchers (凭证): the driver carries the money to a site whose line is cut.

use crate::{
    bench::*,
    company::{Company, RUN, id},
    on_both,
};
use central::{money::Refused, store::at_sites};
use domain::{
    head_office::Voucher,
    site::{Input, Rejected},
    units::Fen,
};

on_both! {
    rule_15_a_voucher_is_money_at_a_site_whose_line_is_cut_and_counts_once
    what_a_voucher_carried_comes_back_only_when_the_site_has_closed_it
    no_voucher_is_handed_out_that_the_site_takes_no_more
    a_voucher_counts_for_at_most_24_hours
    a_restored_site_takes_no_voucher_of_before_and_it_comes_back_then
    the_mark_of_each_site_that_has_one_is_read_and_no_other
}

fn made(company: &Company, n: usize, who: &str, amount: &str, hours: i64, number: &str) -> Voucher {
    let (site, who, amount) = (company.site(n), id(who), yuan(amount));
    let (ends, number) = (company.now().after_ms(hours * 3_600_000), number.to_owned());
    let made = company.may(move |money| money.voucher(&who, &site, amount, ends, number));
    made.unwrap().voucher
}

fn shown(voucher: &Voucher) -> Input {
    Input::TakeVoucher {
        voucher: Box::new(voucher.clone()),
        epoch: RUN.to_owned(),
    }
}

fn rule_15_a_voucher_is_money_at_a_site_whose_line_is_cut_and_counts_once(mut company: Company) {
    company.member("w", "50");
    company.stations[0].is_cut = true;
    let voucher = made(&company, 0, "w", "20", 24, "v1");
    assert_eq!((company.wallet("w"), company.on_road("w")), (yuan("30"), yuan("20")));
    let bench = &mut company.stations[0].bench;
    bench.ok(shown(&voucher));
    bench.ok(shown(&voucher));
    assert_eq!(bench.allowance("w"), yuan("20"));
    bench.place("w", "P1", "20");
    company.stations[0].is_cut = false;
    company.settle();
    assert_eq!((company.wallet("w"), company.on_road("w")), (yuan("30"), Fen::ZERO));
    company.stations[0].bench.ok(Input::CloseVouchers {
        certainly: voucher.expires_at.after_ms(1),
    });
    company.settle();
    assert_eq!(company.wallet("w"), yuan("30"), "what was taken does not come back");
    company.check_equal();
}

fn what_a_voucher_carried_comes_back_only_when_the_site_has_closed_it(mut company: Company) {
    company.member("w", "50");
    company.stations[0].is_cut = true;
    let voucher = made(&company, 0, "w", "20", 2, "v1");
    company.pass(30 * HOUR);
    assert_eq!(company.on_road("w"), yuan("20"), "time alone frees nothing");
    company.stations[0].bench.ok(Input::CloseVouchers {
        certainly: voucher.expires_at,
    });
    assert_eq!(company.on_road("w"), yuan("20"));
    company.stations[0].is_cut = false;
    company.settle();
    assert_eq!((company.wallet("w"), company.on_road("w")), (yuan("50"), Fen::ZERO));
    let rejected = company.stations[0].bench.refused(shown(&voucher));
    assert_eq!(rejected, Rejected::VoucherClosed(voucher.expires_at));
    company.check_equal();
}

fn no_voucher_is_handed_out_that_the_site_takes_no_more(mut company: Company) {
    company.member("w", "50");
    let ahead = company.now().after_ms(5 * 3_600_000);
    company.stations[0].bench.ok(Input::CloseVouchers { certainly: ahead });
    company.settle();
    let (site, ends) = (company.site(0), company.now().after_ms(3_600_000));
    let refused = company.may(move |money| money.voucher(&id("w"), &site, yuan("20"), ends, "v1".to_owned()));
    assert!(matches!(refused, Err(Refused::MarkAhead { .. })), "{refused:?}");
    assert_eq!((company.wallet("w"), company.on_road("w")), (yuan("50"), Fen::ZERO));
    made(&company, 0, "w", "20", 6, "v2");
}

fn a_voucher_counts_for_at_most_24_hours(mut company: Company) {
    company.member("w", "50");
    for ms in [25 * HOUR as i64, 24 * HOUR as i64 + 1_000, 0, -1_000] {
        let (site, ends) = (company.site(0), company.now().after_ms(ms));
        let refused = company.may(move |money| money.voucher(&id("w"), &site, yuan("20"), ends, "v1".to_owned()));
        assert!(
            matches!(refused, Err(Refused::VoucherEnds { .. })),
            "{ms} ms: {refused:?}"
        );
    }
    assert_eq!((company.wallet("w"), company.on_road("w")), (yuan("50"), Fen::ZERO));
    made(&company, 0, "w", "20", 24, "v1");
    assert_eq!(company.on_road("w"), yuan("20"));
}

fn a_restored_site_takes_no_voucher_of_before_and_it_comes_back_then(mut company: Company) {
    company.member("w", "50");
    let voucher = made(&company, 0, "w", "20", 24, "v1");
    company.settle();
    let station = &mut company.stations[0];
    let copy = station.bench.facts.len();
    station.restored(copy, "e2", false);
    let rejected = station.bench.refused(Input::TakeVoucher {
        voucher: Box::new(voucher),
        epoch: "e2".to_owned(),
    });
    assert_eq!(rejected, Rejected::VoucherBeforeRestore);
    company.settle();
    assert_eq!((company.wallet("w"), company.on_road("w")), (yuan("50"), Fen::ZERO));
}

/// What people are told by, where a mark lies ahead of head office's clock.
fn the_mark_of_each_site_that_has_one_is_read_and_no_other(mut company: Company) {
    company.settle();
    assert!(
        company.read(at_sites::all_vouchers_closed).is_empty(),
        "all have a row, and none a mark"
    );
    let now = company.now();
    for (n, hours) in [(0, 1), (2, 5)] {
        let certainly = now.after_ms(hours * 3_600_000);
        company.stations[n].bench.ok(Input::CloseVouchers { certainly });
    }
    company.settle();
    let marks =
        |at_a: i64| [("A", at_a), ("C", 5)].map(|(site, hours)| (site.to_owned(), now.after_ms(hours * 3_600_000)));
    let read = |company: &Company| {
        company
            .read(at_sites::all_vouchers_closed)
            .into_iter()
            .collect::<Vec<_>>()
    };
    assert_eq!(read(&company), marks(1));
    let later = now.after_ms(2 * 3_600_000);
    company.stations[0].bench.ok(Input::CloseVouchers { certainly: later });
    company.settle();
    assert_eq!(read(&company), marks(2), "the last one");
    let of_b: domain::ids::SiteId = "B".parse().unwrap();
    assert_eq!(company.read(move |tx| at_sites::vouchers_closed(tx, &of_b)), None);
}
