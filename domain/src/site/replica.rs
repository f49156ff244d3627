//! A site's rows elsewhere: whoever follows its journal has the same rows by the same code, and decides nothing.
//! What contradicts the rows is refused with its reason, whatever it is; the station's own facts never do (decision 0026).

use super::{Changes, Key, Loaded, Rows, invariants};
use crate::{
    contradiction::Contradicts,
    fact::Fact,
    ids::{MemberId, OrderId},
    journal::Stamp,
};
use std::collections::BTreeSet;

/// A fact that cannot be true after those before it: nothing of it may be written, nor of its step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("journal entry {seq} contradicts what came before it: {why}")]
pub struct Contradiction {
    /// The entry's number.
    pub seq: u64,
    /// In which way.
    pub why: Contradicts,
}

/// Why a fact was not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFollowed {
    /// A row that [`Replica::needs`] names is not in memory. Nothing has changed.
    #[error("{0:?} has not been loaded")]
    NotLoaded(Key),
    /// It contradicts the rows, or one before it did. The replica must be made anew, from what is stored.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
}

/// The rows of a site whose journal is followed.
///
/// ```text
/// needs(&Fact)           which rows must be in memory first; load() them and ask again, until none is missing
/// follow(stamp, &Fact)   the rows as the site has them after it, or in which way the fact contradicts them
/// end_step()             at the end of a step of the site: its books must be right
/// take_changes()         everything that a store has to write, then
/// evict()                takes out of memory what nothing open needs
/// ```
///
/// After a contradiction it follows nothing more and gives no changes: a part of the step is in its rows. Facts say all that
/// they need, so it has neither the site's policy nor its time zone.
#[derive(Debug, Clone)]
pub struct Replica {
    rows: Rows,
    last: Stamp,
    changes: Changes,
    orders: BTreeSet<OrderId>,
    members: BTreeSet<MemberId>,
    broken: Option<Contradiction>,
}

impl Replica {
    /// A replica that goes on after the journal entry `last`, by its number and elapsed time; 0 and 0 before the first.
    ///
    /// `rows` are what is always in memory, as of a station that starts: all piles and tariffs, every open order with its
    /// member and the accounts of both, the station's own accounts, business days that are not reported and the last 64
    /// that are, what is known of the station's clock, and the desk with its open shift and its row of the day.
    pub fn new(last: Stamp, rows: Rows) -> Self {
        Self {
            rows,
            last,
            changes: Changes::default(),
            orders: BTreeSet::new(),
            members: BTreeSet::new(),
            broken: None,
        }
    }

    /// The rows in memory; after a contradiction they are no site's.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// The last entry that was followed.
    pub fn last(&self) -> Stamp {
        self.last
    }

    /// Why it follows nothing more, if it does not.
    pub fn broken(&self) -> Option<&Contradiction> {
        self.broken.as_ref()
    }

    /// As [`Rows::needs`].
    pub fn needs(&self, fact: &Fact) -> Vec<Key> {
        self.rows.needs(fact)
    }

    /// Puts a row in memory that [`Replica::needs`] named.
    pub fn load(&mut self, row: Loaded) {
        self.rows.load(row);
    }

    /// Takes the next entry of the journal into account.
    ///
    /// # Errors
    /// [`NotFollowed`]; whatever the fact says, it does not panic.
    pub fn follow(&mut self, stamp: Stamp, fact: &Fact) -> Result<(), NotFollowed> {
        self.whole()?;
        if let Some(key) = self.rows.needs(fact).into_iter().next() {
            return Err(NotFollowed::NotLoaded(key));
        }
        match self.take_in(stamp, fact) {
            Ok(()) => self.last = stamp,
            Err(why) => return Err(self.break_off(Contradiction { seq: stamp.seq, why })),
        }
        if let Some(order) = fact.order().filter(|order| !self.orders.contains(*order)) {
            self.orders.insert(order.clone());
        }
        if let Some(member) = fact.member().filter(|member| !self.members.contains(*member)) {
            self.members.insert(member.clone());
        }
        Ok(())
    }

    /// Passes over the next entry of the journal, which people have set aside: nothing of it is taken into account, and the
    /// entries after it follow on it.
    ///
    /// # Errors
    /// [`NotFollowed::Contradiction`]: its number or its time is none that may come next.
    pub fn pass_over(&mut self, stamp: Stamp) -> Result<(), NotFollowed> {
        self.whole()?;
        match super::plain_facts::check_place(self.last, stamp) {
            Ok(()) => self.last = stamp,
            Err(why) => return Err(self.break_off(Contradiction { seq: stamp.seq, why })),
        }
        Ok(())
    }

    fn take_in(&mut self, stamp: Stamp, fact: &Fact) -> Result<(), Contradicts> {
        super::plain_facts::check_place(self.last, stamp)?;
        self.rows.check_before(fact)?;
        let transfers = self.changes.transfers.len();
        self.rows.take_in(stamp, fact, &mut self.changes)?;
        self.rows.check_after(fact, &self.changes.transfers[transfers..])
    }

    /// The last entry was the end of a step of the site: the books must be right, by the rules that the site itself goes by.
    /// They are checked on what was touched since this was last asked and is in memory, so it is asked before
    /// [`Replica::evict`].
    ///
    /// # Errors
    /// [`NotFollowed::Contradiction`].
    pub fn end_step(&mut self) -> Result<(), NotFollowed> {
        self.whole()?;
        let (orders, members) = (std::mem::take(&mut self.orders), std::mem::take(&mut self.members));
        let drift = self.rows.ledger.take_drift();
        let seq = self.last.seq;
        invariants::check_touched(&self.rows, orders.iter(), members.iter(), drift).map_err(|violation| {
            let why = Contradicts::Books(violation.to_string());
            self.break_off(Contradiction { seq, why })
        })
    }

    /// Rows that changed since this was last called: everything that a store has to write, of rows that are in memory.
    ///
    /// `energy_days` that are there no more are to be removed. Of a quarantine item its pile and digest are a key too
    /// ([`Key::SetAside`]), and which days are reported follows from the reports.
    ///
    /// # Errors
    /// [`NotFollowed::Contradiction`]: nothing of the step may be written.
    pub fn take_changes(&mut self) -> Result<Changes, NotFollowed> {
        self.whole()?;
        Ok(std::mem::take(&mut self.changes))
    }

    /// As [`Rows::evict`]. Call when no change is waiting to be written.
    pub fn evict(&mut self) {
        debug_assert!(
            self.changes.is_empty() || self.broken.is_some(),
            "changed rows are written before they are forgotten"
        );
        self.rows.evict();
    }

    fn whole(&self) -> Result<(), NotFollowed> {
        self.broken.clone().map_or(Ok(()), |broken| Err(broken.into()))
    }

    fn break_off(&mut self, found: Contradiction) -> NotFollowed {
        self.broken = Some(found.clone());
        found.into()
    }
}
