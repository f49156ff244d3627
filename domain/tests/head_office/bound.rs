//! The bound (rule 21 of the line), term by term: what is lost on an order that runs is at most what was delivered after its limit, less
//! the margin that is kept for that; on one whose pile was not heard in time, its limit; on an estimate, what the record says more.
//! Each is worked out from registers and prices, and each is reached.

use crate::{
    bench::*,
    joined::{Joined, soon, start},
};
use domain::{
    messages::CommandKind,
    order::{FailReason, State},
    units::Fen,
};

/// A kilowatt-hour costs one yuan here, so the register says what has run up.
fn run_up(register: u32) -> Fen {
    yuan(&(register - 1_000).to_string())
}

/// Nine tenths of what can be lost is lost somewhere, and never more than all of it.
fn is_reached(lost: Fen, bound: Fen) {
    assert!(lost <= bound, "{lost} are lost, and {bound} can be");
    assert!(bound > Fen::ZERO && lost.0 * 10 >= bound.0 * 9, "{lost} of {bound}");
}

#[test]
fn what_an_order_loses_is_what_came_after_its_limit_less_the_margin_rule_21() {
    let (mut most, mut lost) = (Fen::ZERO, Fen::ZERO);
    // A pile that goes on for ever longer after it was to stop.
    for (n, beyond) in [0, 2, 5, 20].into_iter().enumerate() {
        let mut site = Joined::new();
        let id = order_id(&format!("hq-{n}"));
        let ends = soon(&site.bench);
        site.done(start(id.as_str(), "w", "P1", "10", ends));
        let bench = &mut site.bench;
        let command = bench.order(&id).commands[0].id.clone();
        bench.reply("P1", &command, true);
        let began = bench.now;
        bench.charging("P1", &id);
        let limit = bench.order(&id).limit_fee;
        let margin = yuan("10") - limit;
        assert!(margin > Fen::ZERO, "something is kept for what comes after the limit");
        let mut register = 1_000;
        loop {
            register += 1;
            let outcome = bench.deliver("P1", &id, 10 * MINUTE, &register.to_string());
            let is_stopped = command_kinds(&outcome).contains(&CommandKind::Stop);
            assert_eq!(
                is_stopped,
                run_up(register) >= limit,
                "it is stopped by the first report that reaches the limit: {register}"
            );
            if is_stopped {
                break;
            }
        }
        for _ in 0..beyond {
            register += 1;
            bench.deliver("P1", &id, 10 * MINUTE, &register.to_string());
        }
        let record = bench.record_since("P1", &id, began, "1000", &register.to_string());
        bench.send_record("P1", &record);
        let epsilon = run_up(register) - limit;
        let bound = (epsilon - margin).max(Fen::ZERO);
        let debt = bench.debt("w");
        assert!(debt <= bound, "{debt} are owed, and {bound} can be lost");
        assert_eq!(bench.state(&id) == State::Unpaid, debt > Fen::ZERO);
        (most, lost) = (most + bound, lost + debt);
    }
    is_reached(lost, most);
}

#[test]
fn an_order_whose_pile_is_not_heard_in_time_loses_its_limit_at_most_rule_21() {
    let mut site = Joined::new();
    let ends = soon(&site.bench);
    site.done(start("hq-1", "w", "P1", "10", ends));
    let (bench, id) = (&mut site.bench, order_id("hq-1"));
    let (began, limit) = (bench.now, bench.order(&id).limit_fee);
    bench.advance(2 * MINUTE);
    assert_eq!(
        (bench.state(&id), bench.order(&id).fail),
        (State::Fail, Some(FailReason::TimedOut))
    );
    assert_eq!(site.leased("w"), Fen::ZERO, "the whole lease has gone back");
    // The pile had started, and kept to its limit by itself. The site has nothing of the member's any more.
    let bench = &mut site.bench;
    bench.pass(3 * HOUR);
    let at_limit = format!("{}.{:02}", 1_000 + limit.0 / 100, limit.0 % 100);
    let record = bench.record_since("P1", &id, began, "1000", &at_limit);
    bench.send_record("P1", &record);
    let paid = bench.order(&id).paid.charged() - bench.debt("w");
    is_reached(limit - paid, limit);
}

#[test]
fn an_estimate_loses_what_its_record_says_more_rule_21() {
    let mut site = Joined::new();
    let ends = soon(&site.bench);
    site.done(start("hq-1", "w", "P1", "10", ends));
    let (bench, id) = (&mut site.bench, order_id("hq-1"));
    let command = bench.order(&id).commands[0].id.clone();
    bench.reply("P1", &command, true);
    let began = bench.now;
    bench.charging("P1", &id);
    bench.deliver("P1", &id, HOUR, "1003");
    bench.advance(2 * HOUR);
    bench.sim("P1").meter = kwh("1009");
    let record = bench.record_since("P1", &id, began, "1000", "1009");
    bench.idle("P1");
    bench.advance(30 * MINUTE);
    assert!(bench.order(&id).estimated);
    bench.advance(DAY);
    assert_eq!(
        bench.state(&id),
        State::Payed,
        "the remainder of the estimate has gone back"
    );
    assert_eq!(site.leased("w"), run_up(1_003));
    let bench = &mut site.bench;
    bench.send_record("P1", &record);
    is_reached(bench.debt("w"), run_up(1_009) - run_up(1_003));
}
