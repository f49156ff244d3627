//! What of one connector's register is explained, and by what: sessions, or energy that was reported as unrecorded.
//! Records, estimates and quarantine items may come in any order, twice and late: every 0.1 Wh is posted once.
//!
//! A register is a line. Sessions claim spans of it, and where two claim the same readings the one that arrived first owns
//! them. What lies above the first known register and is in no session is unexplained, until it is reported as unrecorded
//! (REGISTER_GAP or UNBILLED, S05 §3); a session that comes later takes that back. Every change returns the postings that
//! keep the sums of the business days right. When all sessions are counted and nothing is unexplained, those sums add up to
//! what the register moved.

mod changes;
mod span;

pub use changes::{Correction, PostedAs, Posting, RegisterChanges};
pub use span::Span;

use crate::{
    ids::OrderId,
    planted::{Bug, is_planted},
    rating::{REGISTER_MAX, Reading},
    time::{Day, Wall},
    units::Energy,
};
use serde::{Deserialize, Serialize};
use span::{sum, within_range, without_all};

/// The most sessions of one connector that can still be replaced, released or renamed.
pub const SESSIONS_MAX: usize = 16;
/// The most unrecorded spans of one connector that a late session can still take back.
pub const UNRECORDED_MAX: usize = 16;
/// The most separate spans of folded sessions. With twice as many as sessions there nearly always is a hole between two of
/// them in which no session waits.
pub const FOLDED_MAX: usize = 2 * SESSIONS_MAX;

/// Whose session it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionId {
    /// An order's.
    Order(OrderId),
    /// Of a quarantine item: a metered session without an order.
    Item(u64),
}

/// What a record, an estimate or a quarantine item says of the register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whose session it is.
    pub by: SessionId,
    /// Its first reading.
    pub start: Reading,
    /// Its last reading. A session that does not end above its start claims nothing.
    pub stop: Reading,
    /// The order of arrival of what the claim rests on: the number of its journal entry. A record that replaces an estimate
    /// brings its own, because an estimate is no reason to take readings from a record that came before.
    pub seq: u64,
    /// An estimate: the record may replace it.
    pub provisional: bool,
    /// When it was is not certain.
    pub times_in_doubt: bool,
}

/// A session that explains a span of the register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Whose it is.
    pub by: SessionId,
    /// Its first reading.
    pub start: Reading,
    /// Its last reading, above the first.
    pub stop: Reading,
    /// The order of arrival: the lower number owns what two sessions claim.
    pub seq: u64,
    /// An estimate: the record may replace it.
    pub provisional: bool,
    /// When it was is not certain, so it says nothing of when others were.
    #[serde(default)]
    pub times_in_doubt: bool,
    /// A person has looked at its record and billed nobody: its energy was moved, and keeps no other session from it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dismissed: bool,
    /// The business day that its energy is posted to; none until [`RegisterBook::count`].
    pub day: Option<Day>,
    /// The energy of its span that no session owned before it did.
    pub owned: Energy,
}

impl Session {
    /// The span between its readings.
    pub fn span(&self) -> Span {
        Span::new(self.start.register, self.stop.register)
    }

    /// What makes it worth keeping by name: energy that is not posted yet, then that its record or its bill may still come.
    fn is_open(&self) -> (bool, bool) {
        let may_change = self.provisional || matches!(self.by, SessionId::Item(_));
        (self.day.is_none(), may_change)
    }

    fn posted_as(&self) -> PostedAs {
        match &self.by {
            SessionId::Order(order) => PostedAs::Metered(order.clone()),
            SessionId::Item(item) => PostedAs::Unbilled(*item),
        }
    }
}

/// How unrecorded energy was found, which is also the class that finance reads (S05 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnrecordedClass {
    /// The register moved, and nobody saw how: REGISTER_GAP.
    Gap,
    /// The station saw the connector charge without an order: UNBILLED.
    Unordered,
}

/// A span that was reported as unrecorded: one finding of its day.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unrecorded {
    /// The span.
    pub span: Span,
    /// The business day it is posted to.
    pub day: Day,
    /// The order that it was found before; none where it was found by the day's report.
    pub before: Option<OrderId>,
    /// How it was found.
    pub class: UnrecordedClass,
}

impl Unrecorded {
    fn posted_as(&self) -> PostedAs {
        let (before, class) = (self.before.clone(), self.class);
        PostedAs::Unrecorded { before, class }
    }
}

/// Something else that covers readings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    /// Whose session; none where it is folded, and the register is known to be explained there but not by whom.
    pub by: Option<SessionId>,
    /// Which of the readings that were asked for.
    pub span: Span,
}

/// What of one connector's register is explained, and by what. One meter has one book: where the register begins anew, the
/// connector gets another.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RegisterBook {
    /// The first known register. What lies below it is not asked for, though a session may still claim it.
    base: Option<Energy>,
    /// Spans whose explanation is final and no longer kept by name: in order, apart from each other.
    folded: Vec<Span>,
    /// Sessions by `seq`.
    sessions: Vec<Session>,
    /// What was reported as unrecorded: in no session, and apart from each other.
    unrecorded: Vec<Unrecorded>,
}

impl RegisterBook {
    /// The first known register; none until [`RegisterBook::begin`].
    pub fn base(&self) -> Option<Energy> {
        self.base
    }

    /// Sessions that are kept by name, by arrival.
    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// What was reported as unrecorded and can still be taken back.
    pub fn unrecorded(&self) -> &[Unrecorded] {
        &self.unrecorded
    }

    /// A session that is kept by name.
    pub fn session(&self, by: &SessionId) -> Option<&Session> {
        self.sessions.iter().find(|session| session.by == *by)
    }

    /// The highest register that is explained. There may be holes below it.
    pub fn explained_to(&self) -> Option<Energy> {
        self.explained().map(|span| span.to).max().max(self.base)
    }

    /// How far the register is known to have gone, by orders and by what was read and said to be unrecorded. Nobody has
    /// looked at what lies in quarantine yet: how far that goes says nothing.
    pub fn reached(&self) -> Option<Energy> {
        let orders = self
            .sessions
            .iter()
            .filter(|session| matches!(session.by, SessionId::Order(_)));
        let claimed = orders.map(|session| session.stop.register);
        let said = self.unrecorded.iter().map(|unrecorded| unrecorded.span.to);
        claimed.chain(said).max().max(self.base)
    }

    /// The highest register that a session claims or that is explained for good, or the first known. What was said to be
    /// unrecorded can still be taken back.
    pub fn claimed_to(&self) -> Option<Energy> {
        let folded = self.folded.iter().map(|span| span.to);
        let claimed = self.sessions.iter().map(|session| session.stop.register);
        folded.chain(claimed).max().max(self.base)
    }

    /// The register that is known to have been reached before a session from `start` to `stop`, whatever came first: where
    /// other sessions cover some of its readings, the highest that is explained.
    pub fn known_before(&self, start: Energy, stop: Energy) -> Option<Energy> {
        if !self.overlapping(start, stop).is_empty() {
            return self.explained_to();
        }
        let below = self.explained().map(|span| span.to).filter(|to| *to <= start).max();
        below.max(self.base.filter(|base| *base <= start)).or(self.base)
    }

    /// A trusted reading: the first there is becomes the base, later ones change nothing.
    pub fn begin(&mut self, register: Energy) {
        self.base.get_or_insert(within_range(register));
    }

    /// Adds a session, or replaces the one of the same name, which keeps its day. What was reported as unrecorded within its
    /// span is taken back. `today` is the day for what has to be posted when a list is full.
    pub fn claim(&mut self, claim: Claim, today: Day) -> RegisterChanges {
        let mut changes = RegisterChanges::default();
        let before = self.take_out(&claim.by, &mut changes);
        let reading = |of: Reading| Reading {
            register: within_range(of.register),
            ..of
        };
        let session = Session {
            by: claim.by,
            start: reading(claim.start),
            stop: reading(claim.stop),
            seq: claim.seq,
            provisional: claim.provisional,
            times_in_doubt: claim.times_in_doubt,
            dismissed: false,
            day: before.and_then(|before| before.day),
            owned: Energy::ZERO,
        };
        let span = session.span();
        if span.energy() > Energy::ZERO {
            self.put(session);
            if !is_planted(Bug::GapStays) {
                self.take_back(span, &mut changes);
            }
        }
        self.recount(&mut changes);
        self.compact(today, &mut changes);
        changes
    }

    /// Takes a claim back, for instance because its readings were wrong. What it owned is unexplained again, or another's.
    pub fn release(&mut self, by: &SessionId) -> RegisterChanges {
        let mut changes = RegisterChanges::default();
        self.take_out(by, &mut changes);
        self.recount(&mut changes);
        changes
    }

    /// A person has billed nobody for an item: it still explains what the register moved, and covers nothing any more.
    pub fn dismiss(&mut self, item: u64) {
        let by = SessionId::Item(item);
        if let Some(session) = self.sessions.iter_mut().find(|session| session.by == by) {
            session.dismissed = true;
        }
    }

    /// A quarantine item is billed as an order: its energy is no longer unbilled, and is the order's from
    /// [`RegisterBook::count`] on. It takes the place of what the order had claimed before.
    pub fn rename(&mut self, item: u64, order: &OrderId) -> RegisterChanges {
        let mut changes = RegisterChanges::default();
        if let Some(session) = self.take_out(&SessionId::Item(item), &mut changes) {
            let by = SessionId::Order(order.clone());
            let day = self.take_out(&by, &mut changes).and_then(|before| before.day);
            self.put(Session { by, day, ..session });
            self.recount(&mut changes);
        }
        changes
    }

    /// The money of a session moved, or its item is reported: its energy belongs to `day` from now on, and to no other.
    pub fn count(&mut self, by: &SessionId, day: Day) -> RegisterChanges {
        let mut changes = RegisterChanges::default();
        let uncounted = |session: &&mut Session| session.by == *by && session.day.is_none();
        if let Some(session) = self.sessions.iter_mut().find(uncounted) {
            session.day = Some(day);
            changes.post(day, session.posted_as(), session.owned);
        }
        changes
    }

    /// What lies between the base and a register and is neither in a session nor reported, in order.
    pub fn unexplained(&self, up_to: Energy) -> Vec<Span> {
        self.unexplained_within(Span::new(Energy::ZERO, up_to))
    }

    /// Reports spans as unrecorded: what of them is unexplained is posted to `day`.
    pub fn say(
        &mut self,
        spans: &[Span],
        day: Day,
        before: Option<&OrderId>,
        class: UnrecordedClass,
    ) -> RegisterChanges {
        let mut changes = RegisterChanges::default();
        for span in spans {
            for span in self.unexplained_within(Span::new(span.from, span.to)) {
                let before = before.cloned();
                let unrecorded = Unrecorded {
                    span,
                    day,
                    before,
                    class,
                };
                changes.post(day, unrecorded.posted_as(), span.energy());
                changes.found.push(unrecorded.clone());
                self.unrecorded.push(unrecorded);
            }
        }
        self.compact(day, &mut changes);
        changes
    }

    /// A reading was wrong: nothing lies above `register` but what sessions claim. What was reported there is taken back,
    /// and a base above it has to begin anew.
    pub fn unsay_above(&mut self, register: Energy) -> RegisterChanges {
        let mut changes = RegisterChanges::default();
        self.take_back(Span::new(register, REGISTER_MAX), &mut changes);
        self.base = self.base.filter(|base| *base <= register);
        changes
    }

    /// What covers any of these readings, a session of the same name included. What a person has dismissed covers nothing.
    pub fn overlapping(&self, from: Energy, to: Energy) -> Vec<Cover> {
        let asked = Span::new(from, to);
        let earlier = self.folded.iter().map(|span| (None, *span));
        let named = self.sessions.iter().filter(|session| !session.dismissed);
        let named = named.map(|session| (Some(&session.by), session.span()));
        let covers = earlier.chain(named).filter_map(|(by, span)| {
            let (by, span) = (by.cloned(), span.common(asked)?);
            Some(Cover { by, span })
        });
        covers.collect()
    }

    /// Between which times a session from register `from` to `to` must lie: the latest end of other sessions below it, and
    /// the earliest start of those above it, as far as they are kept and their times are certain.
    pub fn neighbours(&self, of: &SessionId, from: Energy, to: Energy) -> (Option<Wall>, Option<Wall>) {
        let tells = |session: &&Session| session.by != *of && !session.times_in_doubt;
        let others = || self.sessions.iter().filter(tells);
        let below = others().filter(|session| session.stop.register <= from);
        let above = others().filter(|session| session.start.register >= to);
        (
            below.map(|session| session.stop.at).max(),
            above.map(|session| session.start.at).min(),
        )
    }

    fn explained(&self) -> impl Iterator<Item = Span> {
        let folded = self.folded.iter().copied();
        let claimed = self.sessions.iter().map(Session::span);
        let reported = self.unrecorded.iter().map(|unrecorded| unrecorded.span);
        folded.chain(claimed).chain(reported)
    }

    fn unexplained_within(&self, span: Span) -> Vec<Span> {
        let asked = self.base.and_then(|base| span.common(Span::new(base, REGISTER_MAX)));
        without_all(asked.into_iter().collect(), self.explained())
    }

    /// The spans that each session owns: first come, first served.
    fn owned(&self) -> Vec<Vec<Span>> {
        let mut taken = self.folded.clone();
        let owned = self.sessions.iter().map(|session| {
            let own = without_all(vec![session.span()], taken.iter().copied());
            taken.push(session.span());
            own
        });
        owned.collect()
    }

    /// Brings what each session owns up to date, and posts the difference where it is counted.
    fn recount(&mut self, changes: &mut RegisterChanges) {
        let owned = self.owned();
        for (session, spans) in self.sessions.iter_mut().zip(owned) {
            let change = sum(&spans) - session.owned;
            session.owned += change;
            if let Some(day) = session.day {
                changes.post(day, session.posted_as(), change);
            }
        }
    }

    fn put(&mut self, session: Session) {
        let place = self.sessions.partition_point(|before| before.seq <= session.seq);
        self.sessions.insert(place, session);
    }

    /// Takes a session out with its energy; the others are recounted afterwards.
    fn take_out(&mut self, by: &SessionId, changes: &mut RegisterChanges) -> Option<Session> {
        let place = self.sessions.iter().position(|session| session.by == *by)?;
        let session = self.sessions.remove(place);
        if let Some(day) = session.day {
            changes.post(day, session.posted_as(), -session.owned);
        }
        let owned = Energy::ZERO;
        Some(Session { owned, ..session })
    }

    /// What was reported within `span` is no longer unrecorded.
    fn take_back(&mut self, span: Span, changes: &mut RegisterChanges) {
        for was in std::mem::take(&mut self.unrecorded) {
            let now = was.span.without(span);
            let left = now.iter().map(|span| Unrecorded {
                span: *span,
                ..was.clone()
            });
            self.unrecorded.extend(left);
            if now != [was.span] {
                changes.post(was.day, was.posted_as(), sum(&now) - was.span.energy());
                changes.corrected.push(Correction { was, now });
            }
        }
    }

    /// Brings the lists back within their bounds. What is folded stays posted and can no longer change.
    fn compact(&mut self, today: Day, changes: &mut RegisterChanges) {
        while self.sessions.len() > SESSIONS_MAX {
            self.fold_session(|_| true, today, changes);
        }
        self.unrecorded.sort_unstable();
        let surplus = self.unrecorded.len().saturating_sub(UNRECORDED_MAX);
        let lowest: Vec<Unrecorded> = self.unrecorded.drain(..surplus).collect();
        for unrecorded in lowest {
            self.fold(unrecorded.span);
        }
        // Every round closes a hole or folds a session, so it ends.
        while self.folded.len() > FOLDED_MAX {
            self.close_hole(today, changes);
        }
    }

    /// Folds the session among `candidates` that is the least worth keeping by name: of several, the first to arrive.
    fn fold_session(&mut self, candidates: impl Fn(&Session) -> bool, today: Day, changes: &mut RegisterChanges) {
        let all = self.sessions.iter().enumerate();
        let least = all
            .filter(|(_, session)| candidates(session))
            .min_by_key(|(_, session)| session.is_open());
        let Some(place) = least.map(|(place, _)| place) else {
            return;
        };
        let spans = self.owned().swap_remove(place);
        let mut session = self.sessions.remove(place);
        if session.is_open() != (false, false) {
            if session.day.is_none() {
                changes.post(today, session.posted_as(), session.owned);
            }
            session.day.get_or_insert(today);
            changes.forgotten.push(session);
        }
        for span in spans {
            self.fold(span);
        }
    }

    /// Adds a span to those that are explained for good.
    fn fold(&mut self, span: Span) {
        let touches = |other: &mut Span| other.from <= span.to && span.from <= other.to;
        let joined = self.folded.extract_if(.., touches).fold(span, |joined, other| Span {
            from: joined.from.min(other.from),
            to: joined.to.max(other.to),
        });
        let place = self.folded.partition_point(|before| before.from < joined.from);
        self.folded.insert(place, joined);
    }

    /// Closes the lowest hole between folded spans: what of it is unexplained is unrecorded. Holes in which a session waits
    /// are kept while there are others.
    fn close_hole(&mut self, today: Day, changes: &mut RegisterChanges) {
        let holes = self.folded.windows(2).map(|pair| Span::new(pair[0].to, pair[1].from));
        let holes: Vec<Span> = holes.collect();
        let waits_in = |session: &Session, hole: Span| session.span().common(hole).is_some();
        let is_free = |hole: &&Span| !self.sessions.iter().any(|session| waits_in(session, **hole));
        let Some(hole) = holes.iter().find(is_free).copied() else {
            let waits = |session: &Session| holes.iter().any(|hole| waits_in(session, *hole));
            return self.fold_session(waits, today, changes);
        };
        for span in self.unexplained_within(hole) {
            let unrecorded = Unrecorded {
                span,
                day: today,
                before: None,
                class: UnrecordedClass::Gap,
            };
            changes.post(today, unrecorded.posted_as(), span.energy());
            changes.found.push(unrecorded);
        }
        self.unrecorded
            .retain(|unrecorded| unrecorded.span.common(hole).is_none());
        self.fold(hole);
    }
}

#[cfg(test)]
mod tests;
