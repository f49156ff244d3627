//! The number of a request: in the log line, in the answer's header and in a problem, so that one leads to the other.

use axum::http::{HeaderMap, HeaderName};
use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

/// The header of a request that has a number already, and of every answer.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest number of a caller's own that is taken over, in characters.
const CHARS_MAX: usize = 64;

/// The number of a request: the caller's own, or one that is made here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// Takes the caller's number over if it is 1 to 64 letters, digits, `-`, `_` or `.`, so that it can stand in a log line
    /// and a header; otherwise makes one.
    pub fn of(headers: &HeaderMap, numbers: &Numbers) -> Self {
        let given = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok());
        let is_good = |text: &&str| {
            (1..=CHARS_MAX).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        match given.filter(is_good) {
            Some(text) => Self(text.to_owned()),
            None => numbers.next(),
        }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Gives requests their numbers: a word of this run of the daemon, and a count.
#[derive(Debug)]
pub struct Numbers {
    run: String,
    count: AtomicU64,
}

impl Numbers {
    /// Numbers of a run with this name.
    pub fn of_run(run: impl Into<String>) -> Self {
        Self {
            run: run.into(),
            count: AtomicU64::new(0),
        }
    }

    /// Numbers of a run whose name is random, so that two runs do not give the same.
    ///
    /// # Errors
    /// If the operating system gives no randomness.
    pub fn of_this_run() -> Result<Self, getrandom::Error> {
        let mut random = [0_u8; 4];
        getrandom::fill(&mut random)?;
        Ok(Self::of_run(format!("{:08x}", u32::from_be_bytes(random))))
    }

    fn next(&self) -> RequestId {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        RequestId(format!("{}-{count}", self.run))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_own_number_is_taken_over_if_it_can_stand_in_a_line() {
        let numbers = Numbers::of_run("run");
        let mut headers = HeaderMap::new();
        assert_eq!(RequestId::of(&headers, &numbers).as_str(), "run-1");
        headers.insert(REQUEST_ID, "kiosk-7.a_b".parse().unwrap());
        assert_eq!(RequestId::of(&headers, &numbers).as_str(), "kiosk-7.a_b");
        for bad in ["", "a b", "a\tb", "\"", &"x".repeat(CHARS_MAX + 1)] {
            headers.insert(REQUEST_ID, bad.parse().unwrap());
            assert!(
                RequestId::of(&headers, &numbers).as_str().starts_with("run-"),
                "{bad:?}"
            );
        }
    }
}
