//! The steps of a life, for whoever looks for what went wrong.

use super::{Time, station};
use std::{cell::RefCell, collections::VecDeque, rc::Rc};

/// How many of the last steps a failure shows; HOLDFAST_STEPS shows more, and those of lives that go well.
const STEPS_SHOWN: usize = 60;

/// The last steps, if anybody wants to know.
#[derive(Clone, Default)]
pub(super) struct Trace(Option<Rc<RefCell<Steps>>>);

#[derive(Default)]
struct Steps {
    last: VecDeque<String>,
    most: usize,
}

impl Steps {
    fn push(&mut self, step: String) {
        if self.last.len() == self.most {
            self.last.pop_front();
        }
        self.last.push_back(step);
    }
}

impl Trace {
    pub(super) fn on() -> Self {
        let wanted = std::env::var("HOLDFAST_STEPS").ok();
        let most = wanted.and_then(|wanted| wanted.parse().ok()).unwrap_or(STEPS_SHOWN);
        let last = VecDeque::new();
        Self(Some(Rc::new(RefCell::new(Steps { last, most }))))
    }

    pub(super) fn note(&self, now: Time, step: impl FnOnce() -> String) {
        self.add(|| format!("{} {}", station::wall(now, 0), step()));
    }

    /// A line under the step before.
    pub(super) fn add(&self, line: impl FnOnce() -> String) {
        if let Some(steps) = &self.0 {
            steps.borrow_mut().push(line());
        }
    }

    pub(super) fn take(&self) -> Vec<String> {
        self.0.as_ref().map_or(Vec::new(), |steps| steps.take().last.into())
    }
}
