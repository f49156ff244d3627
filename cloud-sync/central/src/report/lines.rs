//! Rows of a report's tables but the first, each from what was read: the columns are [`Sheet::columns`](super::Sheet::columns).

use super::{
    Cell,
    flows::flows_of,
    summary::{ChannelFound, SiteFound, name_of, site},
};
use crate::{
    reconcile::{
        days::{age, apart},
        site_day::reference_told,
        words::{Ended, Leg, Source},
    },
    store::{bills::File, discrepancies::State, queries::reports::Difference, reconcile_runs::Run},
};
use domain::{
    time::Day,
    units::{Energy, Fen},
};

/// Control totals of a run.
pub fn totals(run: &Run) -> Vec<Vec<Cell>> {
    let row = |(what, flow): (&str, &crate::reconcile::totals::Flow)| {
        let mut row: Vec<Cell> = vec![
            run.scope.as_str().into(),
            run.day.into(),
            run.status.word().into(),
            what.into(),
        ];
        for sum in [flow.opening, flow.new, flow.cleared, flow.written_off, flow.closing] {
            row.extend([sum.count.into(), sum.amount.into()]);
        }
        row.push(flow.closes().into());
        row
    };
    flows_of(run).into_iter().map(row).collect()
}

/// A difference, on a day, where it is another day now.
pub fn difference(of: &Difference, scope: &str, (day, on): (Day, Day)) -> Vec<Cell> {
    let is_over = of.until == Some(day);
    let movement = match (of.day == day, is_over) {
        (true, true) => "new, cleared",
        (true, false) => "new",
        (false, true) => "cleared",
        (false, false) => "carried",
    };
    let ended = of.ended.map(|code| match code {
        code if code == Ended::Matched.code() => "matched",
        code if code == Ended::Changed.code() => "other class",
        code if code == Ended::Refunded.code() => "refunded",
        code if code == Ended::Said.code() => "said",
        _ => "over",
    });
    let work = of.work.as_ref();
    let is_open = of.until.is_none() && work.is_none_or(|work| !matches!(work.state, State::Posted | State::Cleared));
    let since = work.map_or(of.day, |work| work.since.min(of.day));
    let decision = work.and_then(|work| work.decision.as_ref());
    // What was decided before the discrepancy was found again is over.
    let is_decided = work.is_some_and(|work| matches!(work.state, State::Proposed | State::Posted));
    let decision = decision.filter(|decision| is_decided && decision.state != "rejected");
    let channel = scope.split_once(':').map_or(scope, |(_, channel)| channel);
    let in_suspense = work.and_then(|work| work.suspense);
    // Of the meters' leg both values are energy; and what a row of a site's is about is an order, where a refund's is its payment.
    let is_energy = of.leg == Leg::Meters;
    let money = |value: Option<Fen>| value.filter(|_| !is_energy);
    let energy = |value: Option<Fen>| value.filter(|_| is_energy).map(|value| Energy(value.0));
    let is_order = matches!(of.source, Source::Order | Source::Entry | Source::Connector);
    let about = |is_wanted: bool| of.payment.clone().filter(|_| is_wanted);
    let account = work
        .zip(in_suspense)
        .map(|(work, amount)| crate::store::suspense::account(channel, work.discrepancy, amount));
    vec![
        work.map(|work| work.discrepancy).into(),
        scope.into(),
        of.class.word().into(),
        of.source.word().into(),
        reference_told(of.source, &of.reference).into(),
        about(!is_order).into(),
        of.out_no.clone().into(),
        of.line.map(|(file, _)| file).into(),
        of.line.map(|(_, line)| line).into(),
        of.of_day.into(),
        of.at.into(),
        of.day.into(),
        movement.into(),
        of.until.into(),
        ended.into(),
        of.amount.into(),
        money(of.ours).into(),
        money(of.theirs).into(),
        work.map(|work| work.state.word()).into(),
        is_open.then(|| apart(since, on)).into(),
        is_open.then(|| age(since, on)).into(),
        work.and_then(|work| work.assigned.clone()).into(),
        account.into(),
        in_suspense.into(),
        work.map(|work| work.values.judged()).into(),
        decision.map(|of| of.kind.clone()).into(),
        decision.and_then(|of| of.member.clone()).into(),
        decision.map(|of| of.reason.clone()).into(),
        decision.map(|of| of.maker.clone()).into(),
        decision.and_then(|of| of.checker.clone()).into(),
        Cell::None,
        of.leg.word().into(),
        energy(of.ours).into(),
        energy(of.theirs).into(),
        about(is_order).into(),
        of.status.clone().into(),
    ]
}

/// Files of a channel's day, and days whose bill is not here.
pub fn bills(of: &ChannelFound) -> Vec<Vec<Cell>> {
    let file = |file: &File| {
        vec![
            of.name.as_str().into(),
            file.day.into(),
            "here".into(),
            file.id.into(),
            name_of(file).into(),
            file.sums.lines.into(),
            file.sums.income.into(),
            file.sums.outgo.into(),
            file.sums.fees.into(),
            file.sha256.as_str().into(),
            file.made_at.into(),
            file.made_by.as_str().into(),
        ]
    };
    let missing = |day: &Day| {
        let mut row: Vec<Cell> = vec![of.name.as_str().into(), (*day).into(), "missing".into()];
        row.resize(12, Cell::None);
        row
    };
    of.files
        .iter()
        .map(file)
        .chain(of.missing.iter().map(missing))
        .collect()
}

/// Where a channel's money is.
pub fn suspense(of: &ChannelFound) -> Vec<Vec<Cell>> {
    let row = |account: String, state: &str, count: Option<i64>, amount: Fen| {
        vec![
            of.name.as_str().into(),
            account.into(),
            state.into(),
            count.into(),
            amount.into(),
        ]
    };
    let clearing = row(format!("clearing:{}", of.name), "balance", None, of.clearing);
    let sums = of
        .suspense
        .iter()
        .map(|(kind, state, count, amount)| row(format!("{kind}:{}:…", of.name), state, Some(*count), *amount));
    std::iter::once(clearing).chain(sums).collect()
}

/// A site.
pub fn of_site(of: &SiteFound) -> Vec<Cell> {
    let told = site(of);
    let (balances, why) = match of.is_gone {
        true => ("gone", "it was closed, or shut out".to_owned()),
        false => (told.balances.word(), told.why.join("; ")),
    };
    let energy = match of.energy {
        None => "no report",
        Some(0) => "agrees",
        Some(_) => "differs",
    };
    let found: i64 = of.findings.iter().map(|(_, count)| count).sum();
    let totals = of.run.as_ref().and_then(|run| run.totals.as_ref());
    let open = totals.map(|totals| totals.classes.values().map(|flow| flow.closing.count).sum::<i64>());
    let day = totals.and_then(|totals| totals.site);
    vec![
        of.id.as_str().into(),
        of.name.as_str().into(),
        balances.into(),
        why.into(),
        of.state.as_str().into(),
        of.business_day.clone().into(),
        of.behind.into(),
        of.books.as_ref().map(|(day, _)| day.clone()).into(),
        of.books.as_ref().map(|(_, outcome)| outcome.clone()).into(),
        found.into(),
        energy.into(),
        of.energy.into(),
        of.run.as_ref().map(|run| run.id).into(),
        of.run.as_ref().map(|run| run.status.word()).into(),
        open.into(),
        day.map(|day| day.orders.count).into(),
        day.map(|day| day.orders.amount).into(),
        day.map(|day| day.energy).into(),
        day.map(|day| day.electricity).into(),
        day.map(|day| day.service).into(),
        day.map(|day| day.refunds).into(),
        day.map(|day| day.cash).into(),
    ]
}
