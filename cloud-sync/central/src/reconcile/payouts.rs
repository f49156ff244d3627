//! The bank's leg: what a channel has paid out, against what was due of its trade bills, net of its fees. A payout is of all days before its
//! own that none before it was of.

use super::{
    counted::Verdicts,
    days::{Settings, night_after, through},
    funds::{self, NotRun},
    site_day::{Row, Said},
    small::{self, Days},
    totals::{Bill, Sum, Totals},
    words::{Class, Ended, Leg, Source},
};
use crate::{
    desk::Clock,
    store::{
        Db, StoreError, Tx, channel_settings, channels,
        ledger::{self, Movement},
        payouts::{self, PaidOut},
        reconcile_decided as decided,
        reconcile_runs::{self as runs, Run},
        site_verdicts as verdicts,
    },
};
use domain::{
    time::{Day, Wall},
    units::Fen,
};
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};

/// The scope of what a channel pays out.
pub fn scope_of(channel: &str) -> String {
    format!("payouts:{channel}")
}

/// What is said of a day on which something was paid out, or is overdue.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Judged {
    said: Option<Said>,
    /// What was overdue is paid.
    over: Option<Row>,
}

/// What is due on a day: of which days, and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Due {
    from: Day,
    amount: Fen,
}

fn row(reference: String) -> Row {
    Row {
        leg: Leg::Bank,
        source: Source::Payout,
        reference,
        class: Class::Payout,
    }
}

fn overdue(since: Day) -> Row {
    row(format!("due since {since}"))
}

/// What differs on a day by what was due, what of that is overdue, and what was paid out.
fn judge(day: Day, at: Wall, due: Due, late: Fen, paid: &[PaidOut]) -> Judged {
    let said = |row, ours: Fen, theirs: Fen, amount| Said {
        row,
        of_day: day,
        at,
        amount,
        ours: Some(ours.0),
        theirs: Some(theirs.0),
        order: None,
    };
    let sum: Fen = paid.iter().map(|paid| paid.amount).sum();
    match paid {
        [] if late > Fen::ZERO => Judged {
            said: Some(said(overdue(due.from), late, Fen::ZERO, -late)),
            over: None,
        },
        [] => Judged { said: None, over: None },
        paid => {
            let names: Vec<&str> = paid.iter().map(|paid| paid.reference.as_str()).collect();
            let differs = sum != due.amount;
            Judged {
                said: differs.then(|| said(row(names.join(" ")), due.amount, sum, sum - due.amount)),
                over: Some(overdue(due.from)),
            }
        }
    }
}

#[derive(Debug, Serialize)]
struct Inputs<'a> {
    before: Option<String>,
    /// The net of each day that may be due.
    due: Vec<(Day, Fen)>,
    paid: Vec<(&'a str, Fen)>,
    settle_days: u32,
    /// What people decided on the day.
    decided: Sum,
}

/// What there is of a channel's payouts.
struct Plan {
    channel: String,
    scope: String,
    settings: Settings,
    first: Day,
    due: Day,
    last_final: Option<Day>,
    /// Up to which day the channel's own days are final.
    settled: Option<Day>,
    counting: Vec<Run>,
    /// What was paid out, by its day; what came later than its day became final is of the first day that is not.
    paid: BTreeMap<Day, Vec<PaidOut>>,
    /// The bills of days, by the channel's own runs.
    bills: BTreeMap<Day, Bill>,
}

impl Plan {
    /// The days that a day's payout is of.
    fn covers(&self, day: Day) -> (Day, Day) {
        let before = self.paid.range(..day).next_back().map(|(day, _)| *day);
        (before.unwrap_or(self.settings.first()), day.plus(-1))
    }

    fn sum(&self, from: Day, to: Day, of: impl Fn(&Bill) -> Fen) -> Fen {
        if from > to {
            return Fen::ZERO;
        }
        self.bills.range(from..=to).map(|(_, bill)| of(bill)).sum()
    }

    fn judged(&self, day: Day) -> Judged {
        let (from, to) = self.covers(day);
        let settle_days = i32::try_from(self.settings.on(day).settle_days).unwrap_or(i32::MAX - 1);
        let late = self.sum(from, to.min(day.plus(-settle_days - 1)), |bill| bill.net);
        let due = Due {
            from,
            amount: self.sum(from, to, |bill| bill.net),
        };
        let paid = self.paid.get(&day).map_or(&[][..], Vec::as_slice);
        judge(day, self.settings.window(day).end, due, late, paid)
    }
}

impl Days for Plan {
    type Of = String;

    fn plan(tx: &mut dyn Tx, of: &String, now: Wall) -> Result<Option<Self>, StoreError> {
        let Some(channel) = channels::find(tx, of)? else {
            return Ok(None);
        };
        let (Some(settings), Some(first)) = (channel_settings::load(tx, &channel)?, payouts::first(tx, of)?) else {
            return Ok(None);
        };
        let scope = scope_of(of);
        let first = first.max(settings.first());
        let last_final = runs::last_final(tx, &scope)?;
        let open = last_final.map_or(first, |day| day.plus(1));
        let channels_scope = funds::scope_of(of);
        let bills = runs::counting(tx, &channels_scope, settings.first())?;
        let bills = bills.into_iter().filter_map(|run| Some((run.day, run.totals?.bill)));
        let mut paid: BTreeMap<Day, Vec<PaidOut>> = BTreeMap::new();
        for payout in payouts::between(tx, of, settings.first(), settings.over(now))? {
            let is_posted = payout.day < open && ledger::is_booked(tx, &id_of(of, &payout))?;
            let day = if is_posted { payout.day } else { payout.day.max(open) };
            paid.entry(day).or_default().push(payout);
        }
        Ok(Some(Self {
            due: settings.due(now),
            settled: runs::last_final(tx, &channels_scope)?,
            counting: runs::counting(tx, &scope, open)?,
            bills: bills.collect(),
            channel: of.clone(),
            scope,
            settings,
            first,
            last_final,
            paid,
        }))
    }

    fn scope(&self) -> &str {
        &self.scope
    }

    fn open(&self) -> (Day, Day) {
        (self.last_final.map_or(self.first, |day| day.plus(1)), self.due)
    }

    fn counting(&self) -> &[Run] {
        &self.counting
    }

    fn inputs(&self, tx: &mut dyn Tx, day: Day) -> Result<String, StoreError> {
        let before = runs::counting(tx, &self.scope, day.plus(-1))?.into_iter().next();
        let (from, to) = self.covers(day);
        let due = through(from, to).filter_map(|day| Some((day, self.bills.get(&day)?.net)));
        let paid = self.paid.get(&day).into_iter().flatten();
        let inputs = Inputs {
            before: before.filter(|run| run.day == day.plus(-1)).and_then(|run| run.digest),
            due: due.collect(),
            paid: paid.map(|paid| (paid.reference.as_str(), paid.amount)).collect(),
            settle_days: self.settings.on(day).settle_days,
            decided: decided::on(tx, &self.scope, &self.settings.window(day))?,
        };
        serde_json::to_string(&inputs).map_err(|error| StoreError::Broken(error.to_string()))
    }

    fn judge(&self, tx: &mut dyn Tx, day: Day) -> Result<Totals, StoreError> {
        verdicts::take_back(tx, &self.scope, day)?;
        let Judged { said, over } = self.judged(day);
        verdicts::put(tx, &self.scope, day, said.as_slice())?;
        verdicts::end(tx, &self.scope, day, over.as_slice(), Ended::Matched)?;
        let before = runs::counting(tx, &self.scope, day.plus(-1))?.into_iter().next();
        let before = before.filter(|run| run.day == day.plus(-1)).and_then(|run| run.totals);
        let window = self.settings.window(day);
        let said = Verdicts::of(tx, &self.scope, day, (window.begin, window.end))?;
        Ok(Totals {
            classes: said.classes(&before.unwrap_or_default().classes),
            ..Totals::default()
        })
    }

    /// A day up to which the channel's own days are final, a night after head office learnt of what was paid out on it.
    fn closes(&self, tx: &mut dyn Tx, day: Day, now: Wall) -> Result<Option<Wall>, StoreError> {
        if self.settled.is_none_or(|settled| settled < day) {
            return Ok(None);
        }
        let over = self.settings.window(day).end;
        let learnt = payouts::learnt(tx, &self.channel, day)?.map_or(over, |learnt| learnt.max(over));
        Ok((now >= night_after(&self.settings.last().zone, learnt)).then_some(over))
    }

    /// What was paid out has left the channel, and so has what it kept of the days that it is of.
    fn closed(&self, tx: &mut dyn Tx, day: Day, now: Wall) -> Result<(), StoreError> {
        let Some(paid) = self.paid.get(&day) else {
            return Ok(());
        };
        let clearing = format!("clearing:{}", self.channel);
        let booked = |id: String, debit: String, amount: Fen| Movement {
            id,
            debit,
            credit: clearing.clone(),
            amount,
            code: "PAYOUT",
            day: Some(day),
            at: now,
            ..Movement::default()
        };
        let mut movements: Vec<Movement> = paid
            .iter()
            .map(|paid| booked(id_of(&self.channel, paid), "bank".to_owned(), paid.amount))
            .collect();
        let (from, to) = self.covers(day);
        let fees = self.sum(from, to, |bill| bill.fees);
        let id = format!("payout:{}:fees:{day}", self.channel);
        match fees {
            Fen(1..) => movements.push(booked(id, format!("fee:{}", self.channel), fees)),
            Fen(0) => {}
            // The channel gave back more of its fees than it kept.
            back => movements.push(Movement {
                debit: clearing.clone(),
                credit: format!("fee:{}", self.channel),
                ..booked(id, String::new(), -back)
            }),
        }
        ledger::book(tx, &movements)
    }
}

/// The movement that a payout is.
fn id_of(channel: &str, paid: &PaidOut) -> String {
    format!("payout:{channel}:{}", paid.reference)
}

/// Reconciles what channels have paid out.
#[derive(Clone)]
pub struct Payouts {
    /// Where everything is.
    pub db: Db,
    /// What the time is.
    pub clock: Arc<dyn Clock>,
}

impl Payouts {
    /// Reconciles what is due of a channel's payouts. How many days were done.
    ///
    /// # Errors
    /// [`NotRun`].
    pub async fn catch_up(&self, channel: &str, by: &str) -> Result<usize, NotRun> {
        small::catch_up::<Plan>(&self.db, &self.clock, &channel.to_owned(), None, by).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        Day::parse(text).unwrap()
    }

    fn paid(amount: i64) -> PaidOut {
        PaidOut {
            day: day("2026-03-10"),
            reference: "W1".to_owned(),
            amount: Fen(amount),
        }
    }

    #[test]
    fn what_was_paid_out_is_what_was_due_or_is_named_with_both() {
        let due = Due {
            from: day("2026-03-09"),
            amount: Fen(9_940),
        };
        let judged = |late: i64, paid: &[PaidOut]| judge(day("2026-03-10"), Wall(0), due, Fen(late), paid);
        let nothing = Judged { said: None, over: None };
        assert_eq!(judged(0, &[]), nothing);
        let since = overdue(due.from);
        assert_eq!(judged(0, &[paid(9_940)]).said, None);
        assert_eq!(judged(0, &[paid(9_940)]).over, Some(since.clone()));
        assert_eq!(judged(0, &[paid(4_940), paid(5_000)]).said, None, "in two parts");
        let less = judged(0, &[paid(9_900)]).said.unwrap();
        assert_eq!(
            (less.amount, less.ours, less.theirs),
            (Fen(-40), Some(9_940), Some(9_900))
        );
        let late = judged(5_000, &[]).said.unwrap();
        assert_eq!((late.row, late.amount, late.ours), (since, Fen(-5_000), Some(5_000)));
    }
}
