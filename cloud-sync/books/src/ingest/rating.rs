//! Every bill that a site makes is rated again by the domain's own code, and must be the same to the digit. Where it is not, the
//! site's bill stands and people are told (RATING).

use crate::store::findings::{Class, Finding};
use domain::{
    fact::Fact,
    ids::TariffId,
    order::{Basis, OrderRow},
    planted::{Bug, is_planted},
    rating::{Bill, BillSegment, Reading, rate},
    site::Rows,
    units::{Energy, Fen},
};
use serde::Serialize;

/// What of a bill is told where it differs.
#[derive(Debug, Serialize)]
struct Told<'a> {
    tariff: &'a TariffId,
    start: Reading,
    stop: Reading,
    energy: Energy,
    electricity: Fen,
    service: Fen,
    fee: Fen,
    /// The first of its lines that the other one has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    segment: Option<&'a BillSegment>,
}

/// The detail of a finding.
#[derive(Debug, Serialize)]
struct Detail<'a> {
    why: String,
    site: Told<'a>,
    here: Option<Told<'a>>,
}

/// Rates the bill of an entry again, if it is of one, by the tariff and on the evidence that the rows have after that entry. The
/// difference, if there is one.
pub(super) fn check(rows: &Rows, seq: u64, fact: &Fact) -> Option<Finding> {
    let Fact::OrderRated { order, basis, bill } = fact else {
        return None;
    };
    if is_planted(Bug::ReRatingLeftOut) {
        return None;
    }
    let (why, here) = difference(rows, rows.order(order).map(|order| &**order), *basis, bill)?;
    let detail = Detail {
        why,
        site: told(bill, here.as_ref()),
        here: here.as_ref().map(|here| told(here, Some(bill))),
    };
    Some(Finding {
        class: Class::Rating,
        seq,
        order: Some(order.clone()),
        detail: serde_json::to_string(&detail).expect("a bill has string keys and no failing serializer"),
    })
}

/// In which way a bill is not what it must be, and the one that it must be where that can be said.
fn difference(rows: &Rows, order: Option<&OrderRow>, basis: Basis, bill: &Bill) -> Option<(String, Option<Bill>)> {
    let Some(tariff) = rows.tariffs.get(&bill.tariff) else {
        return Some((format!("tariff {} is not here", bill.tariff), None));
    };
    let here = match bill.again(tariff) {
        Ok(here) => here,
        Err(error) => return Some((format!("it cannot be rated: {error}"), None)),
    };
    if !here.is_same(bill) {
        return Some(("its readings give another bill by this tariff".to_owned(), Some(here)));
    }
    let order = order?;
    if order.tariff != bill.tariff {
        let pinned = rows
            .tariffs
            .get(&order.tariff)
            .and_then(|tariff| bill.again(tariff).ok());
        return Some((format!("the order goes by tariff {}", order.tariff), pinned));
    }
    // The record is what it was rated by, unless the clock was put right since, or a person billed another or the same at the
    // times of a quarantine item.
    let by_record = basis == Basis::Record && order.times_moved.is_none() && order.items.is_empty();
    let ending = order.ending.as_ref().filter(|_| by_record)?;
    if (ending.start, ending.stop) == (bill.start, bill.stop) {
        return None;
    }
    match rate(tariff, ending.start, &bill.readings, ending.stop) {
        Ok(here) => Some(("it begins or ends elsewhere than its record".to_owned(), Some(here))),
        // What cannot be rated is billed with nothing, and a person looks at it.
        Err(_) if bill.start == bill.stop => None,
        Err(error) => Some((format!("its record cannot be rated: {error}"), None)),
    }
}

fn told<'a>(bill: &'a Bill, other: Option<&Bill>) -> Told<'a> {
    let segment = other.and_then(|other| bill.segments.iter().find(|segment| !other.segments.contains(segment)));
    Told {
        tariff: &bill.tariff,
        start: bill.start,
        stop: bill.stop,
        energy: bill.energy,
        electricity: bill.electricity,
        service: bill.service,
        fee: bill.fee,
        segment,
    }
}
