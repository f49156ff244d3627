//! The bank's leg: what a channel has paid out, against what was due of its trade bills, net of its fees. A payout is of all days before its
//! own that none before it was of. What went back is due with the next; what differs is said of that payout alone.

use super::{
    counted::Verdicts,
    days::{Settings, night_of},
    funds::{self, NotRun},
    site_day::{Row, Said},
    small::{self, Days},
    totals::{Bill, Held, PaidUpTo, Sum, Totals},
    words::{Class, Ended, Leg, Source},
};
use crate::{
    desk::Clock,
    money::clearing,
    store::{
        Db, StoreError, Tx, bills, channel_settings, channels,
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

/// What our account at the bank has got of channels.
const BANK: &str = "bank";
/// The code of the movements.
const CODE: &str = "PAYOUT";

/// The scope of what a channel pays out.
pub fn scope_of(channel: &str) -> String {
    format!("payouts:{channel}")
}

/// What is due on a day.
struct Due<'a> {
    day: Day,
    /// What was paid out before.
    paid: PaidUpTo,
    /// Days up to this one are late.
    late: Day,
    /// The bills of days.
    bills: &'a BTreeMap<Day, Bill>,
    /// What was held against what was due on final days, of which something is another amount.
    held: &'a BTreeMap<Day, Held>,
}

impl Due<'_> {
    /// The net of the days after those that were paid, up to one.
    fn net(&self, paid: &PaidUpTo, to: Day) -> Fen {
        sum(self.bills, (paid.day.plus(1), to), |bill| bill.net)
    }
}

fn sum(bills: &BTreeMap<Day, Bill>, (from, to): (Day, Day), of: impl Fn(&Bill) -> Fen) -> Fen {
    match from > to {
        true => Fen::ZERO,
        false => bills.range(from..=to).map(|(_, bill)| of(bill)).sum(),
    }
}

/// What is said of a day.
#[derive(Debug, PartialEq, Eq)]
struct Judged {
    said: Vec<Said>,
    /// What was said before and is over.
    over: Vec<Row>,
    /// What is paid out after it.
    paid: PaidUpTo,
}

fn row(reference: String) -> Row {
    Row {
        leg: Leg::Bank,
        source: Source::Payout,
        reference,
        class: Class::Payout,
    }
}

/// What differs on a day by what was due, what is late, what went back, and how far all is paid out after it.
fn judge(due: &Due<'_>, at: Wall, paid: &[PaidOut]) -> Judged {
    let day = due.day;
    let said = |row, of_day: Day, ours: Fen, theirs: Fen| Said {
        row,
        of_day,
        at,
        amount: theirs - ours,
        ours: Some(ours.0),
        theirs: Some(theirs.0),
        order: None,
    };
    let mut judged = Judged {
        said: Vec::new(),
        over: Vec::new(),
        paid: PaidUpTo {
            held: None,
            ..due.paid.clone()
        },
    };
    let overdue = |paid: &PaidUpTo| row(format!("due since {}", paid.day.plus(1)));
    // Of a day of which it is known what was due: nothing is booked of which nothing is said.
    let corrects = |of: &PaidOut| {
        of.corrects()
            .filter(|day| due.paid.corrected.contains_key(day) || due.held.contains_key(day))
    };
    let mut back: BTreeMap<String, Fen> = paid
        .iter()
        .filter(|paid| !paid.is_payout() && corrects(paid).is_none())
        .map(|paid| (format!("{day} {} back", paid.reference), -paid.to_post()))
        .collect();
    let payouts: Vec<&PaidOut> = paid.iter().filter(|paid| paid.is_payout()).collect();
    if let Some(last) = payouts.iter().map(|paid| paid.day).max() {
        // It is of the days before its own, however late it is known.
        judged.paid.day = due.paid.day.max(last.plus(-1));
        judged.paid.back.clear();
        let went_back: Fen = due.paid.back.values().chain(back.values()).copied().sum();
        let owed = due.net(&due.paid, judged.paid.day) + went_back;
        let sum: Fen = payouts.iter().map(|paid| paid.amount).sum();
        let names: Vec<&str> = payouts.iter().map(|paid| paid.reference.as_str()).collect();
        let held = Held {
            name: format!("{day} {}", names.join(" ")),
            due: owed,
            paid: sum,
        };
        if sum != owed {
            judged.said.push(said(row(held.name.clone()), day, owed, sum));
        }
        judged.paid.held = Some(held);
        judged.over.extend(due.paid.back.keys().cloned().map(row));
        back.clear();
    }
    // What was another amount is said of its own payout, which is named once.
    for of in paid {
        let Some(posted_on) = corrects(of) else { continue };
        let known = judged.paid.corrected.get(&posted_on).or(due.held.get(&posted_on));
        let Some(known) = known.cloned() else { continue };
        let held = Held {
            paid: known.paid + of.to_post(),
            ..known
        };
        judged.paid.corrected.insert(posted_on, held);
    }
    let is_corrected = |day: &Day| paid.iter().any(|paid| corrects(paid) == Some(*day));
    for (of_day, held) in judged.paid.corrected.iter().filter(|(day, _)| is_corrected(day)) {
        let named = row(held.name.clone());
        match held.paid == held.due {
            true => judged.over.push(named),
            false => judged.said.push(said(named, *of_day, held.due, held.paid)),
        }
    }
    for (named, amount) in &back {
        judged.said.push(said(row(named.clone()), day, Fen::ZERO, -*amount));
    }
    judged.paid.back.extend(back);
    let late = due.net(&judged.paid, due.late);
    if judged.paid.day != due.paid.day || late <= Fen::ZERO {
        judged.over.push(overdue(&due.paid));
    }
    if late > Fen::ZERO {
        let since = judged.paid.day.plus(1);
        judged.said.push(said(overdue(&judged.paid), since, late, Fen::ZERO));
    }
    judged
}

#[derive(Debug, Serialize)]
struct Inputs<'a> {
    before: Option<&'a str>,
    /// What was paid out before, the net of each day since, and which of them are late.
    before_paid: PaidUpTo,
    due: Vec<(Day, Fen)>,
    late: Day,
    paid: Vec<(Day, &'a str, Fen, Fen)>,
    window: (i64, i64),
    /// What people decided on the day.
    decided: Sum,
}

/// What there is of a channel's payouts.
struct Plan {
    channel: String,
    scope: String,
    settings: Settings,
    now: Wall,
    last_final: Option<Day>,
    /// Up to which day the channel's own days are final.
    settled: Option<Day>,
    /// The run of the last day that is final.
    closed: Option<Run>,
    counting: Vec<Run>,
    /// What is not in the books yet, by its day, or of the first that is not final.
    paid: BTreeMap<Day, Vec<PaidOut>>,
    /// The bills of days, by the channel's own runs.
    bills: BTreeMap<Day, Bill>,
    /// What was held against what was due on final days, of which something is another amount.
    held: BTreeMap<Day, Held>,
}

impl Plan {
    /// The run of the day before, where it counts.
    fn before(&self, day: Day) -> Option<&Run> {
        let mut runs = self.closed.iter().chain(&self.counting);
        runs.find(|run| run.day == day.plus(-1))
    }

    fn due(&self, day: Day) -> Due<'_> {
        let totals = self.before(day).and_then(|run| run.totals.as_ref());
        let paid = totals.and_then(|totals| totals.paid.clone());
        let settle_days = i32::try_from(self.settings.on(day).settle_days).unwrap_or(i32::MAX - 1);
        Due {
            day,
            paid: paid.unwrap_or_else(|| PaidUpTo {
                day: self.settings.first().plus(-1),
                back: BTreeMap::new(),
                held: None,
                corrected: BTreeMap::new(),
            }),
            late: day.plus(-settle_days - 1),
            bills: &self.bills,
            held: &self.held,
        }
    }

    fn paid(&self, day: Day) -> &[PaidOut] {
        self.paid.get(&day).map_or(&[], Vec::as_slice)
    }
}

impl Days for Plan {
    type Of = String;
    const HAS_SUSPENSE: bool = true;

    fn named(of: &String) -> String {
        scope_of(of)
    }

    /// None as long as no payout is known, and while the channel's own days are being done: what is due is not known then.
    fn plan(tx: &mut dyn Tx, of: &String, now: Wall) -> Result<Option<Self>, StoreError> {
        let Some(channel) = channels::find(tx, of)?.filter(|channel| channel.bills.is_some()) else {
            return Ok(None);
        };
        let Some(settings) = channel_settings::load(tx, &channel)? else {
            return Ok(None);
        };
        let own = funds::scope_of(of);
        let days = (settings.first(), settings.over(now));
        if !payouts::are_known(tx, of)? || !runs::is_all_found(tx, &own, days)? {
            return Ok(None);
        }
        let scope = scope_of(of);
        let last_final = runs::last_final(tx, &scope)?;
        let open = last_final.map_or(settings.first(), |day| day.plus(1));
        let mut counting = runs::counting(tx, &scope, last_final.unwrap_or(open))?;
        let closed = counting.iter().position(|run| run.day < open);
        let closed = closed.map(|at| counting.remove(at));
        let totals = closed.as_ref().and_then(|run| run.totals.as_ref());
        let since = totals.and_then(|totals| totals.paid.as_ref());
        let since = since.map_or(settings.first(), |paid| paid.day.plus(1));
        let bills = runs::counting(tx, &own, since)?;
        let bills = bills.into_iter().filter_map(|run| Some((run.day, run.totals?.bill)));
        let (mut paid, mut held): (BTreeMap<Day, Vec<PaidOut>>, _) = (BTreeMap::new(), BTreeMap::new());
        for payout in payouts::to_post(tx, of, days)? {
            if let Some(on) = payout.corrects() {
                let run = runs::counting(tx, &scope, on)?.into_iter().find(|run| run.day == on);
                let totals = run.and_then(|run| run.totals);
                held.extend(totals.and_then(|totals| Some((on, totals.paid?.held?))));
            }
            paid.entry(payout.day.max(open)).or_default().push(payout);
        }
        Ok(Some(Self {
            settled: runs::last_final(tx, &own)?,
            bills: bills.collect(),
            channel: of.clone(),
            scope,
            settings,
            now,
            last_final,
            closed,
            counting,
            paid,
            held,
        }))
    }

    /// Days are done after the channel's own.
    fn open(&self) -> (Day, Day) {
        let from = self.last_final.map_or(self.settings.first(), |day| day.plus(1));
        let last = self.bills.last_key_value().map(|(day, _)| *day).max(self.settled);
        let due = self.settings.due(self.now);
        (from, last.map_or(from.plus(-1), |last| last.min(due)))
    }

    fn over(&self) -> Day {
        self.settings.over(self.now)
    }

    fn counting(&self) -> &[Run] {
        &self.counting
    }

    fn inputs(&self, tx: &mut dyn Tx, day: Day) -> Result<String, StoreError> {
        let due = self.due(day);
        let window = self.settings.window(day);
        let since = self.bills.range(due.paid.day.plus(1)..day.max(due.paid.day.plus(1)));
        let paid = self.paid(day).iter();
        let inputs = Inputs {
            before: self.before(day).and_then(|run| run.digest.as_deref()),
            due: since.map(|(day, bill)| (*day, bill.net)).collect(),
            late: due.late,
            before_paid: due.paid,
            paid: paid
                .map(|paid| (paid.day, paid.reference.as_str(), paid.amount, paid.posted))
                .collect(),
            window: (window.begin.0, window.end.0),
            decided: decided::on(tx, &self.scope, &window)?,
        };
        serde_json::to_string(&inputs).map_err(|error| StoreError::Broken(error.to_string()))
    }

    fn judge(&self, tx: &mut dyn Tx, day: Day) -> Result<Totals, StoreError> {
        verdicts::take_back(tx, &self.scope, day)?;
        let window = self.settings.window(day);
        let Judged { said, over, paid } = judge(&self.due(day), window.end, self.paid(day));
        verdicts::end(tx, &self.scope, day, &over, Ended::Matched)?;
        verdicts::put(tx, &self.scope, day, &said)?;
        let before = self.before(day).and_then(|run| run.totals.clone()).unwrap_or_default();
        let said = Verdicts::of(tx, &self.scope, day, (window.begin, window.end))?;
        Ok(Totals {
            classes: said.classes(&before.classes),
            paid: Some(paid),
            ..Totals::default()
        })
    }

    /// A day up to which the channel's own days are final, a night after head office learnt of what is of it.
    fn closes(&self, _: &mut dyn Tx, day: Day, now: Wall) -> Result<Option<Wall>, StoreError> {
        if self.settled.is_none_or(|settled| settled < day) {
            return Ok(None);
        }
        let over = self.settings.window(day).end;
        let learnt = self.paid(day).iter().map(|paid| paid.learnt);
        let night = night_of(&self.settings.last().zone, learnt.chain([over]), now);
        Ok(night.is_none_or(|night| now >= night).then_some(over))
    }

    /// What was paid out has left the channel, and so has what it kept of the days that it is of.
    fn closed(&self, tx: &mut dyn Tx, day: Day, now: Wall) -> Result<(), StoreError> {
        let paid = self.paid(day);
        let channel = &self.channel;
        // Below zero it goes the other way.
        let from_channel = |id: String, to: String, amount: Fen| {
            let (debit, credit) = match amount > Fen::ZERO {
                true => (to, clearing(channel)),
                false => (clearing(channel), to),
            };
            Movement {
                id,
                debit,
                credit,
                amount: Fen(amount.0.abs()),
                code: CODE,
                day: Some(day),
                at: now,
                ..Movement::default()
            }
        };
        let mut movements = Vec::with_capacity(paid.len() + 1);
        for of in paid {
            let id = format!("payout:{channel}:{day}:{}:{}", of.day, of.reference);
            movements.push(from_channel(id, BANK.to_owned(), of.to_post()));
        }
        let after = self.counting.iter().find(|run| run.day == day);
        let after = after.and_then(|run| run.totals.as_ref()?.paid.as_ref());
        if let Some(after) = after {
            let of = (self.due(day).paid.day.plus(1), after.day);
            let fees = sum(&self.bills, of, |bill| bill.fees);
            if fees != Fen::ZERO {
                let id = format!("payout_fees:{channel}:{day}");
                movements.push(from_channel(id, format!("fee:{channel}"), fees));
            }
        }
        payouts::post(tx, channel, day, paid)?;
        ledger::book(tx, &movements)
    }
}

/// The channels of whose payouts something may be due, each with a word for all that it goes by: another word is other work.
///
/// # Errors
/// [`StoreError`].
pub fn due(tx: &mut dyn Tx, now: Wall) -> Result<Vec<(String, String)>, StoreError> {
    let mut due = Vec::new();
    for channel in channels::all(tx)? {
        let Some(settings) = channel_settings::load(tx, &channel)? else {
            continue;
        };
        let name = channel.name;
        if channel.bills.is_some() && payouts::are_known(tx, &name)? {
            let word = format!(
                "{} {} {} {}",
                settings.due(now),
                bills::which_funds(tx, &name)?,
                payouts::count_approved(tx, &name)?,
                runs::which(tx, &funds::scope_of(&name))?
            );
            due.push((name, word));
        }
    }
    Ok(due)
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

    fn paid(reference: &str, amount: i64, posted: i64) -> PaidOut {
        PaidOut {
            day: day("2026-03-10"),
            reference: reference.to_owned(),
            amount: Fen(amount),
            posted: Fen(posted),
            posted_on: (posted != 0).then(|| day("2026-03-06")),
            learnt: Wall(0),
        }
    }

    /// What is said of 2026-03-10, where the days from 03-08 on came to so much each: row, ours and theirs; what is over; what is paid.
    fn judged(
        nets: [i64; 2],
        late: &str,
        back: &[(&str, i64)],
        paid: &[PaidOut],
    ) -> (Vec<String>, Vec<String>, PaidUpTo) {
        let bill = |net| Bill {
            net: Fen(net),
            ..Bill::default()
        };
        let before = Held {
            name: "2026-03-06 W1".to_owned(),
            due: Fen(9_500),
            paid: Fen(9_100),
        };
        let days = [day("2026-03-08"), day("2026-03-09")];
        let bills = days.into_iter().zip(nets.map(bill)).collect();
        let due = Due {
            day: day("2026-03-10"),
            paid: PaidUpTo {
                day: day("2026-03-07"),
                back: back.iter().map(|(name, fen)| ((*name).to_owned(), Fen(*fen))).collect(),
                held: None,
                corrected: BTreeMap::new(),
            },
            late: day(late),
            bills: &bills,
            held: &BTreeMap::from([(day("2026-03-06"), before)]),
        };
        let Judged { said, over, paid } = judge(&due, Wall(0), paid);
        let value = |fen: Option<i64>| fen.unwrap();
        let said = said.iter().map(|said| {
            assert_eq!(said.amount.0, value(said.theirs) - value(said.ours));
            format!("{}: {} {}", said.row.reference, value(said.ours), value(said.theirs))
        });
        let over = over.into_iter().map(|row| row.reference);
        (said.collect(), over.collect(), paid)
    }

    const NOT_LATE: &str = "2026-03-07";
    const SINCE: &str = "due since 2026-03-08";

    #[test]
    fn what_was_paid_out_is_what_was_due_or_is_named_with_both() {
        let nets = [5_000, 4_940];
        let (said, over, after) = judged(nets, "2026-03-08", &[], &[]);
        assert_eq!(
            (said, over.len()),
            (vec![format!("{SINCE}: 5000 0")], 0),
            "what is late"
        );
        assert_eq!(after.day, day("2026-03-07"));
        for paid in [
            &[paid("W1", 9_940, 0)][..],
            &[paid("W1", 4_940, 0), paid("W2", 5_000, 0)],
        ] {
            let (said, over, after) = judged(nets, "2026-03-08", &[], paid);
            assert_eq!((said.len(), over), (0, vec![SINCE.to_owned()]));
            assert_eq!(after.day, day("2026-03-09"));
        }
        let (said, _, after) = judged(nets, NOT_LATE, &[], &[paid("W1", 9_900, 0)]);
        assert_eq!(said, ["2026-03-10 W1: 9940 9900"]);
        assert_eq!(
            after.day,
            day("2026-03-09"),
            "it is said of this payout, and of none after it"
        );
    }

    #[test]
    fn a_payout_that_is_known_late_is_of_the_days_before_its_own() {
        let early = PaidOut {
            day: day("2026-03-09"),
            ..paid("W1", 5_000, 0)
        };
        let (said, over, after) = judged([5_000, 4_940], "2026-03-09", &[], &[early]);
        assert_eq!((after.day, over), (day("2026-03-08"), vec![SINCE.to_owned()]));
        assert_eq!(said, ["due since 2026-03-09: 4940 0"], "and of no others");
        let earlier = PaidOut {
            day: day("2026-03-05"),
            ..paid("W0", 300, 0)
        };
        let (said, over, after) = judged([5_000, 4_940], NOT_LATE, &[], &[earlier]);
        assert_eq!((after.day, over), (day("2026-03-07"), vec![SINCE.to_owned()]));
        assert_eq!(said, ["2026-03-10 W0: 0 300"], "of days that are paid");
    }

    #[test]
    fn what_is_late_is_over_when_nothing_is_due_any_more() {
        let (said, over, _) = judged([5_000, -6_000], "2026-03-09", &[], &[]);
        assert_eq!((said.len(), over), (0, vec![SINCE.to_owned()]));
    }

    #[test]
    fn what_went_back_is_due_with_the_next() {
        let (said, _, after) = judged([5_000, 4_940], NOT_LATE, &[], &[paid("R1", -700, 0)]);
        let back = "2026-03-10 R1 back";
        assert_eq!(said, [format!("{back}: 0 -700")]);
        assert_eq!(after.day, day("2026-03-07"), "it is of no days");
        assert_eq!(after.back, BTreeMap::from([(back.to_owned(), Fen(700))]));
        let (said, over, after) = judged([5_000, 4_940], NOT_LATE, &[(back, 700)], &[paid("W1", 10_640, 0)]);
        assert_eq!(said.len(), 0, "{said:?}");
        assert!(over.contains(&back.to_owned()) && after.back.is_empty());
        // On one day: what went back is paid out again, and nothing differs.
        let (said, _, after) = judged(
            [5_000, 4_940],
            NOT_LATE,
            &[],
            &[paid("R1", -700, 0), paid("W2", 10_640, 0)],
        );
        assert_eq!((said.len(), after.back.len()), (0, 0), "{said:?}");
        // Nothing of it is known any more.
        let (_, _, after) = judged([0, 0], NOT_LATE, &[], &[paid("W1", 0, 9_100)]);
        assert_eq!(after.back["2026-03-10 W1 back"], Fen(9_100));
    }

    #[test]
    fn what_was_another_amount_is_said_of_its_own_payout() {
        let name = "2026-03-06 W1";
        let (said, over, after) = judged([5_000, 4_940], NOT_LATE, &[], &[paid("W1", 9_500, 9_100)]);
        assert_eq!(
            (said.len(), &over[0]),
            (0, &name.to_owned()),
            "it is what was due after all"
        );
        assert_eq!((after.day, after.back.len()), (day("2026-03-07"), 0));
        assert_eq!(
            after.corrected[&day("2026-03-06")].paid,
            Fen(9_500),
            "it may be another once more"
        );
        let (said, _, _) = judged(
            [5_000, 4_940],
            NOT_LATE,
            &[],
            &[paid("W1", 9_400, 9_100), paid("W2", 9_940, 0)],
        );
        assert_eq!(
            said,
            [format!("{name}: 9500 9400")],
            "and what is due of other days is not touched"
        );
        // Of a day of which nothing is known: it is said all the same.
        let stranger = PaidOut {
            posted_on: Some(day("2026-03-01")),
            ..paid("W3", 500, 400)
        };
        let (said, _, after) = judged([5_000, 4_940], NOT_LATE, &[], &[stranger]);
        assert_eq!(said, ["2026-03-10 W3 back: 0 100"]);
        assert_eq!(after.back["2026-03-10 W3 back"], Fen(-100));
    }
}
