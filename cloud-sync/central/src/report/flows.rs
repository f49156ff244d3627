//! Flows of control totals in words: opening + new − cleared − written off = closing. Pure functions of a run.

use crate::{
    reconcile::{
        totals::{Flow, Sum, Totals},
        words::{Class, Leg},
    },
    store::reconcile_runs::Run,
};

/// Named flows of control totals.
pub fn flows(totals: &Totals) -> impl Iterator<Item = (&str, &Flow)> {
    let named = [
        ("credits", &totals.credits),
        ("payments", &totals.payments),
        ("refunds", &totals.refunds),
    ];
    let classes = totals.classes.iter().map(|(class, flow)| (class.as_str(), flow));
    named.into_iter().chain(classes)
}

/// The flows of a run: only a channel's has credits, payments and refunds.
pub fn flows_of(run: &Run) -> Vec<(&str, &Flow)> {
    let is_channel = run.scope.starts_with("channel:");
    let all = run.totals.iter().flat_map(flows);
    let is_told = |(name, _): &(&str, &Flow)| is_channel || name.contains(' ');
    all.filter(is_told).collect()
}

/// What is open at the end of a run's day, by class, in words; PENDING is not.
pub fn open_in(run: &Run) -> Vec<String> {
    let pending = format!("{} {}", Leg::Funds.word(), Class::Pending.word());
    let differ = run.totals.iter().flat_map(|totals| &totals.classes);
    let differ = differ.filter(|(class, flow)| **class != pending && flow.closing.count > 0);
    let told = |(what, flow): (&String, &Flow)| {
        let class = what.split_once(' ').map_or(what.as_str(), |(_, class)| class);
        match is_of_meters(what) {
            true => format!("{class} {}", flow.closing.count),
            false => format!("{class} {} ({})", flow.closing.count, flow.closing.amount),
        }
    };
    differ.map(told).collect()
}

/// Whether what flows under a name is energy, and no money.
fn is_of_meters(what: &str) -> bool {
    let leg = what.split_once(' ').map(|(leg, _)| leg);
    leg == Some(Leg::Meters.word())
}

/// The equation of a flow of this name, with its numbers: how much, or of meters how many.
pub fn equation(what: &str, of: &Flow) -> String {
    let sign = if of.closes() { "=" } else { "≠" };
    if is_of_meters(what) {
        let [opening, new, cleared] = [of.opening, of.new, of.cleared].map(|sum| sum.count);
        let (written_off, closing) = (of.written_off.count, of.closing.count);
        return format!("{opening} + {new} − {cleared} − {written_off} {sign} {closing}");
    }
    let term = |sum: Sum| match sum.amount.0 {
        ..0 => format!("({})", sum.amount),
        _ => sum.amount.to_string(),
    };
    let [opening, new, cleared, written_off] = [of.opening, of.new, of.cleared, of.written_off].map(term);
    let closing = of.closing.amount;
    format!("{opening} + {new} − {cleared} − {written_off} {sign} {closing} yuan")
}
