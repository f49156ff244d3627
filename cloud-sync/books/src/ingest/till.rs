//! What was counted in a till and what its books say (rule 20).

use crate::store::findings::{Class, Finding};
use domain::{fact::Fact, units::Fen};
use serde::Serialize;

/// The detail of a finding.
#[derive(Debug, Serialize)]
struct Detail<'a> {
    why: &'a str,
    /// What was there, and what should have been there by the books.
    site: Fen,
    here: Fen,
    by: &'a str,
}

/// The difference, if an entry is a count that found one.
pub(super) fn check(seq: u64, fact: &Fact) -> Option<Finding> {
    let Fact::CashCounted {
        counted,
        by_books,
        difference,
        reason,
        by,
    } = fact
    else {
        return None;
    };
    if *difference == Fen::ZERO {
        return None;
    }
    let detail = Detail {
        why: reason.as_deref().unwrap_or("nobody said why"),
        site: *counted,
        here: *by_books,
        by,
    };
    Some(Finding {
        class: Class::Cash,
        seq,
        order: None,
        detail: serde_json::to_string(&detail).expect("it has string keys and no failing serializer"),
    })
}
