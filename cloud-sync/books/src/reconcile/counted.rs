//! What a run has found, counted at its end, and the control totals that it comes to.

use super::{
    days::Settings,
    totals::{Bill, Flow, Sum, Totals},
    words::{Class, Ended, Leg, Source},
};
use crate::store::{
    StoreError, Tx,
    reconcile::{self, Scope, TradeFile},
    reconcile_decided::{self as decided, Decided},
    reconcile_runs::{self as runs, Group, Standing},
};
use domain::time::{Day, Wall};
use std::collections::BTreeMap;

/// What is said of a scope's rows at a day's end.
pub(super) struct Verdicts {
    new: Vec<Group>,
    over: Vec<Group>,
    open: Vec<Group>,
    /// Of what is open, what people have decided: at the end of the day before, and at the end of this one.
    decided: [Vec<Decided>; 2],
}

impl Verdicts {
    /// Of a day that begins and ends at these times.
    pub(super) fn of(tx: &mut dyn Tx, scope: &str, day: Day, (begin, end): (Wall, Wall)) -> Result<Self, StoreError> {
        Ok(Self {
            new: runs::groups(tx, scope, day, Standing::New)?,
            over: runs::groups(tx, scope, day, Standing::Over)?,
            open: runs::groups(tx, scope, day, Standing::Open)?,
            decided: [
                decided::open(tx, scope, day.plus(-1), begin)?,
                decided::open(tx, scope, day, end)?,
            ],
        })
    }

    /// What is open of each class, as it follows from the day before; under names as in `funds LONG`.
    ///
    /// What people have decided is not open any more. That of a day is what is decided at its end less what was at that of the day before:
    /// where what was decided is over, it is taken from what was decided, and cleared.
    pub(super) fn classes(&self, before: &BTreeMap<String, Flow>) -> BTreeMap<String, Flow> {
        let mut classes: BTreeMap<String, Flow> = BTreeMap::new();
        for (class, flow) in before {
            classes.entry(class.clone()).or_default().opening = flow.closing;
        }
        for (groups, which) in [
            (&self.new, Standing::New),
            (&self.over, Standing::Over),
            (&self.open, Standing::Open),
        ] {
            for group in groups {
                let flow = classes.entry(name(group.leg, group.class)).or_default();
                let part = match which {
                    Standing::New => &mut flow.new,
                    Standing::Over => &mut flow.cleared,
                    Standing::Open => &mut flow.closing,
                };
                *part = part.plus(group.sum);
            }
        }
        for (at, all) in self.decided.iter().enumerate() {
            for Decided { of, is_write_off } in all {
                let flow = classes.entry(name(of.leg, of.class)).or_default();
                let part = match is_write_off {
                    true => &mut flow.written_off,
                    false => &mut flow.cleared,
                };
                if at == 1 {
                    *part = part.plus(of.sum);
                    flow.closing = flow.closing.minus(of.sum);
                } else {
                    *part = part.minus(of.sum);
                }
            }
        }
        classes.retain(|_, flow| *flow != Flow::default());
        classes
    }
}

fn name(leg: Leg, class: Class) -> String {
    format!("{} {}", leg.word(), class.word())
}

/// What is counted at the end of a channel's run.
pub(super) struct Counted {
    said: Verdicts,
    credits: Sum,
    bill: Bill,
    /// By the amounts of credits, and by those of lines.
    pairs: (Sum, Sum),
    /// Credits in no pair of days without a bill: of all of them, and of this day.
    unlisted: (Sum, Sum),
}

impl Counted {
    /// Of a day with these credits, whose bill is in these files; of the days whose bill is missing.
    pub(super) fn of(
        tx: &mut dyn Tx,
        of: &Scope,
        credits: Sum,
        files: &[TradeFile],
        (missing, settings): (&[Day], &Settings),
    ) -> Result<Self, StoreError> {
        let (scope, day) = (&of.name, of.window.day);
        let mut unlisted = (Sum::default(), Sum::default());
        for missing in missing {
            let sum = reconcile::unlisted(tx, &of.channel, &settings.window(*missing))?;
            unlisted.0 = unlisted.0.plus(sum);
            if *missing == day {
                unlisted.1 = sum;
            }
        }
        Ok(Self {
            said: Verdicts::of(tx, scope, day, (of.window.begin, of.window.end))?,
            credits,
            bill: reconcile::bill(tx, files)?,
            pairs: reconcile::pairs(tx, of, files)?,
            unlisted,
        })
    }

    /// The control totals, where these are those of the day before; `is_listed`: the day's bill is there. What people have decided is taken off
    /// as in [`Verdicts::classes`].
    pub(super) fn totals(&self, before: Option<&Totals>, is_listed: bool) -> Totals {
        let before = before.cloned().unwrap_or_default();
        let sum = |groups: &[Group], is: &dyn Fn(&Group) -> bool| {
            let of = groups.iter().filter(|group| is(group));
            of.fold(Sum::default(), |sum, group| sum.plus(group.sum))
        };
        let ended = |group: &Group, how: Ended| group.ended == Some(how.code());
        // Rows that are in no pair: what waits.
        let waiting = |source: Source| move |group: &Group| group.source == source && !group.is_matched;
        let decided = |at: usize, is: &dyn Fn(&Decided) -> bool| {
            let of = self.said.decided[at].iter().filter(|decided| is(decided));
            of.fold(Sum::default(), |sum, decided| sum.plus(decided.of.sum))
        };
        let flow = |source: Source, opening: Sum, new: Sum, matched: Sum, unlisted: Sum| {
            let waits = waiting(source);
            let is_done = |group: &Group| ended(group, Ended::Refunded) || ended(group, Ended::Said);
            let refunded = sum(&self.said.over, &|group| waits(group) && is_done(group));
            let decided_on = |is_write_off: bool| {
                let is = |of: &Decided| waits(&of.of) && of.is_write_off == is_write_off;
                decided(1, &is).minus(decided(0, &is))
            };
            Flow {
                opening,
                new,
                cleared: matched.plus(refunded).plus(decided_on(false)),
                written_off: decided_on(true),
                closing: sum(&self.said.open, &waits)
                    .plus(unlisted)
                    .minus(decided(1, &|of| waits(&of.of))),
            }
        };
        let (unlisted, of_today) = self.unlisted;
        let nothing = Sum::default();
        let mut classes = self.said.classes(&before.classes);
        let left_before = unlisted.minus(of_today);
        if unlisted != nothing || before.unlisted != nothing {
            let pending = classes.entry(name(Leg::Funds, Class::Pending)).or_default();
            pending.closing = pending.closing.plus(unlisted);
            pending.new = pending.new.plus(if is_listed { nothing } else { of_today });
            pending.cleared = pending.cleared.plus(before.unlisted.minus(left_before));
        }
        classes.retain(|_, flow| *flow != Flow::default());
        Totals {
            credits: flow(
                Source::Credit,
                before.credits.closing,
                self.credits,
                self.pairs.0,
                unlisted,
            ),
            payments: flow(
                Source::Payment,
                before.payments.closing,
                self.bill.gross,
                self.pairs.1,
                nothing,
            ),
            refunds: flow(
                Source::Refund,
                before.refunds.closing,
                self.bill.refunds,
                nothing,
                nothing,
            ),
            matched: self.pairs.0,
            unlisted,
            bill: self.bill,
            classes,
            site: None,
            paid: None,
        }
    }
}
