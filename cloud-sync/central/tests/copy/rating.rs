//! Every bill is rated again at head office, and one that is not the same to the digit is found; the site's own stands.

use crate::{
    everywhere,
    head_office::{HeadOffice, ME, NOW},
    journal::Journal,
};
use central::{
    store::findings::{Class, Filter, Found, list},
    upkeep,
};
use domain::{
    fact::Fact,
    ids::OrderId,
    order::Basis,
    rating::Bill,
    settlement::Payment,
    tariff::Tariff,
    units::{Energy, Fen},
};
use serde_json::Value;

everywhere! {
    a_bill_that_is_not_what_its_readings_give_is_found_once_and_stands
    what_a_station_by_chance_rates_is_rated_the_same
}

/// All but what came from a head office that this one is not: by chance stations take leases, and mark refunds, that nobody here has
/// issued.
fn found(office: &HeadOffice) -> Vec<Found> {
    let all = office.read(|tx| list(tx, &Filter::default(), None, 1_000)).unwrap();
    all.into_iter()
        .filter(|found| ![Class::Forgotten, Class::OverRefund].contains(&found.finding.class))
        .collect()
}

fn rated(journal: &mut Journal, nth: usize) -> (u64, OrderId, &mut Bill) {
    let mut rated = journal.facts.iter_mut().filter_map(|(stamp, fact)| match fact {
        Fact::OrderRated { order, bill, .. } => Some((stamp.seq, order.clone(), bill)),
        _ => None,
    });
    rated.nth(nth).unwrap()
}

fn settled<'a>(journal: &'a mut Journal, of: &OrderId) -> &'a mut Payment {
    let mut settled = journal.facts.iter_mut().filter_map(|(_, fact)| match fact {
        Fact::OrderSettled { order, payment } if order == of => Some(payment),
        _ => None,
    });
    settled.next().unwrap()
}

fn what_a_station_by_chance_rates_is_rated_the_same(office: &HeadOffice) {
    let journal = Journal::of_chance(1);
    office.follow(&journal, 60);
    assert_eq!(found(office), []);
}

#[test]
fn many_stations_by_chance_have_no_finding_and_rate_all_there_is_to_rate() {
    let (mut by_record, mut estimates) = (0, 0);
    for seed in 2..40 {
        let journal = Journal::of_chance(seed);
        for (_, fact) in &journal.facts {
            match fact {
                Fact::OrderRated {
                    basis: Basis::Record, ..
                } => by_record += 1,
                Fact::OrderRated { .. } => estimates += 1,
                _ => {}
            }
        }
        let office = HeadOffice::in_memory();
        office.follow(&journal, 60);
        // A till that was counted may differ from its books.
        let mut found = found(&office);
        found.retain(|found| found.finding.class != Class::Cash);
        assert_eq!(found, [], "station {seed}");
    }
    assert!(
        by_record > 100 && estimates > 3,
        "{by_record} by record, {estimates} estimates"
    );
}

/// One fen of the service is called electricity: the driver pays the same, and every account adds up.
fn a_bill_that_is_not_what_its_readings_give_is_found_once_and_stands(office: &HeadOffice) {
    let mut journal = Journal::of_sessions("S1", 12);
    let (seq, order, bill) = rated(&mut journal, 4);
    bill.electricity += Fen(1);
    bill.service -= Fen(1);
    let (electricity, service) = (bill.electricity, bill.service);
    let payment = settled(&mut journal, &order);
    payment.from_hold.electricity += Fen(1);
    payment.from_hold.service -= Fen(1);
    journal.seal();
    office.follow(&journal, 40);

    let all = found(office);
    let [
        Found {
            site,
            branch: 0,
            finding,
            found_at: NOW,
        },
    ] = all.as_slice()
    else {
        panic!("{all:?}")
    };
    assert_eq!((site, finding.class), (&journal.site, Class::Rating));
    assert_eq!((finding.seq, finding.order.as_ref()), (seq, Some(&order)));
    let detail: Value = serde_json::from_str(&finding.detail).unwrap();
    assert_eq!(detail["site"]["electricity"], electricity.to_string(), "{detail}");
    assert_eq!(detail["site"]["service"], service.to_string(), "{detail}");
    assert_eq!(
        detail["here"]["electricity"],
        (electricity - Fen(1)).to_string(),
        "{detail}"
    );
    assert_eq!(detail["here"]["service"], (service + Fen(1)).to_string(), "{detail}");

    // The site's bill stands, and whoever follows it again finds nothing twice.
    let (site, of) = (journal.site.clone(), order.clone());
    let fee = office.read(move |tx| {
        let values = [site.as_str().into(), of.as_str().into()];
        let row = tx.query_optional("SELECT fee FROM r_order WHERE site = $1 AND id = $2", &values)?;
        row.unwrap().int(0)
    });
    assert_eq!(fee, Ok((electricity + service).0));
    let site = journal.site.clone();
    let later = NOW.after_ms(1_000);
    office
        .write(move |tx| upkeep::replica::rebuild(tx, ME, &site, later))
        .unwrap();
    assert_eq!(found(office), all);
}

/// What is changed of a station's word, so that its money still adds up.
type Change = fn(&mut Journal);

#[test]
fn whatever_of_a_bill_is_changed_is_found() {
    let changes: [(&str, Change); 5] = [
        ("a line's energy", |journal| {
            rated(journal, 3).2.segments[0].energy += Energy(1)
        }),
        ("a reading that decided", |journal| {
            let bill = rated(journal, 3).2;
            let last = bill.readings.len() - 1;
            bill.readings[last].at = bill.readings[last].at.after_ms(1);
        }),
        ("the end", |journal| {
            let bill = rated(journal, 3).2;
            bill.stop.at = bill.stop.at.after_ms(-1);
        }),
        ("the record", |journal| {
            let of = rated(journal, 3).1;
            for (_, fact) in &mut journal.facts {
                if let Fact::RecordReceived { order, ending, .. } = fact
                    && *order == of
                {
                    ending.stop.at = ending.stop.at.after_ms(1_000);
                }
            }
        }),
        ("the tariff", |journal| {
            let other = crate::bench::TARIFF.replace("id = \"t1\"", "id = \"t0\"");
            let other = Tariff::from_toml(&other, "Asia/Shanghai").unwrap();
            let id = other.spec().id.clone();
            let added = Fact::TariffAdded {
                tariff: other,
                by: "setup".to_owned(),
            };
            rated(journal, 3).2.tariff = id;
            // In the place of something that nothing depends on.
            let notice = journal
                .facts
                .iter_mut()
                .find(|(_, fact)| matches!(fact, Fact::Notified { .. }));
            notice.unwrap().1 = added;
        }),
    ];
    for (what, change) in changes {
        let mut journal = Journal::of_sessions("S1", 6);
        let seq = rated(&mut journal, 3).0;
        change(&mut journal);
        journal.seal();
        let office = HeadOffice::in_memory();
        office.follow(&journal, 40);
        let all = found(&office);
        assert_eq!(all.len(), 1, "{what}: {all:?}");
        assert_eq!(
            (all[0].finding.class, all[0].finding.seq),
            (Class::Rating, seq),
            "{what}"
        );
    }
}

#[test]
fn a_dearer_tariff_than_the_stations_own_shows_in_every_bill() {
    let mut journal = Journal::of_sessions("S1", 6);
    let dearer = crate::bench::TARIFF
        .replace("\"0.60\"", "\"0.61\"")
        .replace("\"1.00\"", "\"1.01\"");
    let tariff = Tariff::from_toml(&dearer, "Asia/Shanghai").unwrap();
    let added = journal.facts.iter_mut().find_map(|(_, fact)| match fact {
        Fact::TariffAdded { tariff, .. } => Some(tariff),
        _ => None,
    });
    *added.unwrap() = tariff;
    journal.seal();
    let office = HeadOffice::in_memory();
    office.follow(&journal, 40);
    let all = found(&office);
    assert_eq!(all.len(), 6, "{all:?}");
}
