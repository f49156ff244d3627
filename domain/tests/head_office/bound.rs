//! The bound (rule 21 of the line): what is lost on an order is at most what was delivered after its limit, less the margin that is
//! reserved for that; and it can come to as much.

use crate::{
    bench::*,
    joined::{Joined, soon, start},
};
use domain::{order::State, units::Fen};

#[test]
fn what_an_order_loses_reaches_the_bound_and_is_never_above_it() {
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
        // A kilowatt-hour costs one yuan here, so the register says what has run up.
        let limit = bench.order(&id).limit_fee;
        let (mut register, mut stopped) = (1_000, None);
        while stopped.is_none() {
            register += 1;
            let outcome = bench.deliver("P1", &id, 10 * MINUTE, &register.to_string());
            let is_stopped = command_kinds(&outcome).contains(&domain::messages::CommandKind::Stop);
            stopped = is_stopped.then(|| yuan(&(register - 1_000).to_string()));
            assert!(register < 1_020, "it is stopped at its limit");
        }
        assert!(stopped >= Some(limit));
        for _ in 0..beyond {
            register += 1;
            bench.deliver("P1", &id, 10 * MINUTE, &register.to_string());
        }
        let record = bench.record_since("P1", &id, began, "1000", &register.to_string());
        bench.send_record("P1", &record);
        let row = bench.order(&id);
        let (delivered_after, margin) = (row.paid.charged() - limit, yuan("10") - limit);
        let bound = (delivered_after - margin).max(Fen::ZERO);
        let debt = bench.debt("w");
        assert!(debt <= bound, "{debt} are owed, and {bound} can be lost");
        assert_eq!(row.state == State::Unpaid, debt > Fen::ZERO);
        (most, lost) = (most + bound, lost + debt);
    }
    assert!(most >= yuan("20"));
    assert!(lost.0 * 10 >= most.0 * 9, "{lost} of {most}");
}
