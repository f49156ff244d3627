//! Directives on their way to the station: one at a time, in order, and none that is kept.

use super::Effect;
use std::collections::VecDeque;

/// The most that wait for the station: head office has no more on the way.
const DIRECTIVES_MAX: usize = 16;

/// Directives that came down.
#[derive(Debug, Default)]
pub(super) struct Directives {
    waiting: VecDeque<Vec<u8>>,
    handing: bool,
    /// Why the station could not take the last one, if it could not.
    untaken: Option<String>,
}

impl Directives {
    /// One came. Where too many wait it is left out: head office sends it again.
    pub(super) fn came(&mut self, directive: Vec<u8>) -> Option<Effect> {
        if self.waiting.len() < DIRECTIVES_MAX {
            self.waiting.push_back(directive);
        }
        self.hand()
    }

    /// The station took the one that it was handed, or could not. Then those behind it do not follow any more: head office sends
    /// them again, as it hears from the journal how far the station is.
    pub(super) fn taken(&mut self, taken: Result<(), String>) -> Option<Effect> {
        self.handing = false;
        self.untaken = taken.err();
        if self.untaken.is_some() {
            self.waiting.clear();
        }
        self.hand()
    }

    /// The connection ended: what waits comes again over the next.
    pub(super) fn lost(&mut self) {
        self.waiting.clear();
    }

    /// Why the station could not take the last one, if it could not.
    pub(super) fn untaken(&self) -> Option<&str> {
        self.untaken.as_deref()
    }

    fn hand(&mut self) -> Option<Effect> {
        if self.handing {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.handing = true;
        Some(Effect::HandDirective(next))
    }
}
