//! What waits for a person's decision: it is decided once, and where it takes two people, by two.

use super::{Decided, Money, Refused};
use crate::store::{StoreError, people};
use domain::time::Wall;

/// Something that somebody has proposed.
pub(super) trait Proposed: Sized {
    /// The one of this number.
    fn find(money: &mut Money<'_>, id: &str) -> Result<Option<Self>, StoreError>;
    /// Holds fast what others must hold who decide it.
    fn hold(&self, money: &mut Money<'_>) -> Result<(), StoreError>;
    /// Whether nobody has decided it.
    fn is_waiting(&self) -> bool;
    /// Who has proposed it, and when.
    fn by(&self) -> (&str, Wall);
    /// There is none of this number.
    fn unknown(id: &str) -> Refused;
    /// Somebody has decided it.
    fn decided(self) -> Refused;
}

impl Money<'_> {
    /// What waits under a number, held fast: of two who decide it at once the later finds it decided.
    pub(super) fn waiting<T: Proposed>(&mut self, id: &str) -> Decided<T> {
        let Some(found) = T::find(self, id)? else {
            return Ok(Err(T::unknown(id)));
        };
        found.hold(self)?;
        let again = T::find(self, id)?;
        let found = again.ok_or_else(|| StoreError::Broken(format!("{id} was there, and is not")))?;
        Ok(match found.is_waiting() {
            true => Ok(found),
            false => Err(found.decided()),
        })
    }

    /// The same where it takes a second person, whom this one is.
    pub(super) fn waiting_for_second<T: Proposed>(&mut self, id: &str) -> Decided<T> {
        let found = match self.waiting::<T>(id)? {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        let (proposed_by, at) = found.by();
        if people::are_two(self.tx, (proposed_by, at), (&self.by, self.now))? {
            return Ok(Ok(found));
        }
        Ok(Err(Refused::SamePerson {
            proposed_by: proposed_by.to_owned(),
            by: self.by.clone(),
        }))
    }
}
