//! Bills compared, to the digit, with figures that another program worked out from the design alone.
//! The sessions, that program and its working are in `tests/figures`.

use domain::{
    rating::{BillSegment, Reading, SampleKeeper, rate},
    tariff::Tariff,
    units::{Energy, Fen},
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Session {
    name: String,
    tariff: Tariff,
    start: Reading,
    samples: Vec<Reading>,
    stop: Reading,
}

#[derive(Deserialize)]
struct Expected {
    name: String,
    energy: Energy,
    dropped: u32,
    segments: Vec<BillSegment>,
    electricity: Fen,
    service: Fen,
    fee: Fen,
}

fn sessions() -> Vec<Session> {
    serde_json::from_str(include_str!("../../../tests/figures/sessions.json"))
        .expect("sessions.json is what it should be")
}

#[test]
fn every_session_costs_what_the_other_program_says() {
    let expected: Vec<Expected> = serde_json::from_str(include_str!("../../../tests/figures/expected.json"))
        .expect("expected.json is what it should be");
    let sessions = sessions();
    assert!(sessions.len() >= 10);
    assert_eq!(sessions.len(), expected.len(), "run tests/figures/figures.py");
    for (session, expected) in sessions.iter().zip(expected) {
        let name = &session.name;
        assert_eq!(*name, expected.name);
        let bill = rate(&session.tariff, session.start, &session.samples, session.stop).expect("these can be rated");
        assert_eq!(bill.segments, expected.segments, "{name}");
        assert_eq!(bill.energy, expected.energy, "{name}");
        assert_eq!(bill.dropped, expected.dropped, "{name}");
        assert_eq!(
            (bill.electricity, bill.service, bill.fee),
            (expected.electricity, expected.service, expected.fee),
            "{name}"
        );
    }
}

#[test]
fn thinned_as_they_come_or_taken_from_the_bill_the_samples_cost_the_same() {
    for Session {
        name,
        tariff,
        start,
        mut samples,
        stop,
    } in sessions()
    {
        let bill = rate(&tariff, start, &samples, stop).expect("these can be rated");
        samples.retain(|sample| sample.at < stop.at && sample.register <= stop.register);
        samples.sort_by_key(|sample| sample.at);
        let mut keeper = SampleKeeper::default();
        for sample in [start].into_iter().chain(samples) {
            keeper.push(&tariff, sample);
        }
        for readings in [keeper.readings(), &bill.readings] {
            let mut again = rate(&tariff, start, readings, stop).expect("these can be rated");
            again.dropped = bill.dropped;
            assert_eq!(again, bill, "{name}");
        }
    }
}
