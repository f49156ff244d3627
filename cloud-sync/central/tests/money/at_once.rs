//! Several do something with one member's money at the same moment, each over a connection of its own to one PostgreSQL: nothing is
//! spent twice, no transaction breaks for good, and the books are whole.

use crate::{
    bench::*,
    company::{Company, ME, callback, id},
};
use central::{
    ingest::{Read, SiteCopy, Taken, take},
    money::{Decided, Money, Placed, Refused, Wanted},
    store::{Db, StoreError, Tx, sites},
};
use domain::{order::State, time::Wall, units::Fen};
use std::sync::{
    Barrier,
    atomic::{AtomicU64, Ordering},
};

/// Transactions of one thread after the other; those that another one stood in the way of are tried again, as everywhere.
struct Hand {
    db: Db,
    runtime: tokio::runtime::Runtime,
}

impl Hand {
    fn new(db: &Db) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self {
            db: db.clone(),
            runtime: runtime.unwrap(),
        }
    }

    fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&mut dyn Tx) -> Result<T, StoreError> + Clone + Send + 'static,
    ) -> T {
        for _ in 0..200 {
            match self.runtime.block_on(self.db.write(work.clone())) {
                Ok(done) => return done,
                Err(error) if error.is_transient() => {}
                Err(error) => panic!("{error}"),
            }
        }
        panic!("another one always stands in the way");
    }

    fn may<T: Send + 'static>(
        &self,
        now: Wall,
        work: impl Fn(&mut Money<'_>) -> Decided<T> + Clone + Send + 'static,
    ) -> Result<T, Refused> {
        self.write(move |tx| work(&mut Money::new(tx, now, "li")))
    }
}

#[test]
fn of_many_places_with_money_for_three_three_are_sent() {
    let mut company = Company::postgresql();
    company.member("w", "100");
    let (now, start) = (company.now(), Barrier::new(8));
    let sent = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for n in 0..8 {
            let order = company.order(n % 3, "w", ["P1", "P2", "P3"][n / 3], "30", &format!("hq-{n}"));
            let (db, start, sent) = (company.db.clone(), &start, &sent);
            scope.spawn(move || {
                let hand = Hand::new(&db);
                start.wait();
                match hand.may(now, move |money| money.place(&order)) {
                    Ok(Placed::Sent(_)) => {
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(Refused::TooLittle { .. }) => {}
                    other => panic!("{other:?}"),
                }
            });
        }
    });
    assert_eq!(sent.load(Ordering::Relaxed), 3);
    assert_eq!((company.wallet("w"), company.on_road("w")), (yuan("10"), yuan("90")));
    company.check();
}

#[test]
fn sites_that_report_while_members_pay_in_place_and_move_money_book_every_fen_once() {
    const MEMBERS: [&str; 3] = ["u", "v", "w"];
    let mut company = Company::postgresql();
    for who in MEMBERS {
        company.member(who, "60");
    }
    // At each site each member charges for more than was reserved: all owe everywhere, and every fact about one of them has
    // head office do something about the others' sites.
    let mut open = Vec::new();
    for n in 0..3 {
        for (at, who) in ["P1", "P2", "P3"].into_iter().zip(MEMBERS) {
            open.push((n, at, company.charge(n, who, at, "5", &format!("hq-{n}-{who}"))));
        }
    }
    let started: Vec<_> = company.stations.iter().map(|station| station.bench.now).collect();
    company.pass(3 * HOUR);
    for (n, at, order) in &open {
        company.record(*n, at, order, started[*n], "12");
        assert_eq!(company.stations[*n].bench.state(order), State::Unpaid);
    }
    let batches: Vec<_> = (0..3)
        .map(|n| (company.site(n), company.stations[n].batches()))
        .collect();
    assert!(batches.iter().all(|(_, batches)| batches.len() >= 3));
    let (now, start) = (company.now(), Barrier::new(6));
    std::thread::scope(|scope| {
        for (site, batches) in batches {
            let (db, start) = (company.db.clone(), &start);
            scope.spawn(move || {
                let hand = Hand::new(&db);
                start.wait();
                for batch in batches {
                    let of = site.clone();
                    let taken = hand.write(move |tx| {
                        let found = sites::find(tx, &of)?.unwrap();
                        let keys = found.keys.clone();
                        let mut copy = SiteCopy::load(tx, found)?;
                        let read = Read::of(&batch, &of, &keys).unwrap();
                        take(tx, ME, &mut copy, &read, now)
                    });
                    assert_eq!(taken, Taken::Followed);
                }
            });
        }
        for (n, who) in MEMBERS.into_iter().enumerate() {
            let (db, start, site) = (company.db.clone(), &start, company.site(n));
            scope.spawn(move || {
                let hand = Hand::new(&db);
                start.wait();
                for round in 0..8 {
                    let (of, reference) = (id(who), format!("A-{who}-{round}"));
                    let asked = reference.clone();
                    hand.may(now, move |money| money.ask_top_up(&of, "wechat", &asked, yuan("3")))
                        .unwrap();
                    let said = callback(&reference, &format!("tx-{who}-{round}"), yuan("3"));
                    hand.write(move |tx| Money::new(tx, now, "li").called_back(&said));
                    let (of, to) = (id(who), site.clone());
                    match hand.may(now, move |money| money.lease(&of, &to, yuan("1"))) {
                        Ok(_) | Err(Refused::TooLittle { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                    let (of, from) = (id(who), site.clone());
                    hand.may(now, move |money| money.recall(&of, &from, yuan("1"))).unwrap();
                }
            });
        }
    });
    company.check();
    company.settle();
    company.check_equal();
    let charged: Fen = open
        .iter()
        .map(|(n, _, order)| company.stations[*n].bench.order(order).paid.charged())
        .sum();
    let worth: Fen = MEMBERS.iter().map(|who| company.worth(who)).sum();
    assert_eq!(
        worth,
        yuan("180") + yuan("72") - charged,
        "what they have, less what they owe"
    );
}

#[test]
fn rule_23_of_many_refunds_at_once_no_more_are_approved_than_was_paid() {
    let mut company = Company::postgresql();
    company.member("w", "50");
    let order = company.charge(0, "w", "P1", "20", "hq-1");
    company.end(0, "P1", &order, "3");
    company.settle();
    let (now, start, site) = (company.now(), Barrier::new(8), company.site(0));
    let approved = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for n in 0..8 {
            let wanted = Wanted {
                id: format!("r{n}"),
                site: site.clone(),
                order: order.clone(),
                amount: yuan("1"),
                reason: "as agreed".to_owned(),
            };
            let (db, start, approved) = (company.db.clone(), &start, &approved);
            scope.spawn(move || {
                let hand = Hand::new(&db);
                start.wait();
                match hand.may(now, move |money| money.refund(&wanted, yuan("50"))) {
                    Ok(_) => {
                        approved.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(Refused::RefundTooMuch { .. }) => {}
                    other => panic!("{other:?}"),
                }
            });
        }
    });
    assert_eq!(approved.load(Ordering::Relaxed), 3);
    company.settle();
    assert_eq!(
        (company.wallet("w"), company.balance("refund")),
        (yuan("50"), Fen::ZERO - yuan("3"))
    );
    company.check_equal();
}

#[test]
fn callbacks_that_come_together_from_two_sides_are_each_credited_once() {
    const MEMBERS: [&str; 3] = ["u", "v", "w"];
    const EACH: usize = 12;
    let mut company = Company::postgresql();
    for who in MEMBERS {
        company.member(who, "0");
    }
    let mut said = Vec::new();
    for (n, who) in MEMBERS.into_iter().cycle().take(EACH * MEMBERS.len()).enumerate() {
        let reference = format!("B-{n}");
        let asked = reference.clone();
        let pending = company.may(move |money| money.ask_top_up(&id(who), "wechat", &asked, yuan("1")));
        pending.unwrap();
        said.push(callback(&reference, &format!("tx-{n}"), yuan("1")));
        said.push(callback(&format!("nobody-{n}"), &format!("ty-{n}"), yuan("1")));
    }
    let (now, start) = (company.now(), Barrier::new(2));
    std::thread::scope(|scope| {
        for backwards in [false, true] {
            let (db, start, mut said) = (company.db.clone(), &start, said.clone());
            scope.spawn(move || {
                if backwards {
                    said.reverse();
                }
                let hand = Hand::new(&db);
                start.wait();
                for some in said.chunks(9) {
                    let some = some.to_vec();
                    hand.write(move |tx| Money::new(tx, now, "wechat").called_back_together(&some));
                }
            });
        }
    });
    for who in MEMBERS {
        assert_eq!(company.wallet(who), yuan("12"), "{who}");
    }
    company.check();
}
