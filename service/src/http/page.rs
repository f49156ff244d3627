//! Pages of lists: how many rows, and where to go on.
//! A cursor is opaque to callers and points at a row's place, so rows that come later neither repeat nor hide others.

use super::problem::Problem;
use serde::Deserialize;
use utoipa::IntoParams;

/// The most rows on one page.
pub const LIMIT_MAX: usize = 200;
const LIMIT_DEFAULT: usize = 50;

/// Which page.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// Where the page begins: `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// How many rows at most, 1 to 200; 50 if left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

impl Paging {
    /// What a query that has more in it says of the page.
    pub fn new(cursor: Option<String>, limit: Option<usize>) -> Self {
        Self { cursor, limit }
    }

    /// How many rows.
    ///
    /// # Errors
    /// None at all, or more than a page has.
    pub fn limit(&self) -> Result<usize, Problem> {
        match self.limit {
            None => Ok(LIMIT_DEFAULT),
            Some(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
            Some(_) => Err(Problem::url("limit", format!("a page has from 1 to {LIMIT_MAX} rows"))),
        }
    }

    /// The cursor of a list that is ordered by number.
    ///
    /// # Errors
    /// It is not a number.
    pub fn number(&self) -> Result<Option<u64>, Problem> {
        let read = |cursor: &String| {
            let digits = cursor.bytes().all(|byte| byte.is_ascii_digit());
            cursor.parse().ok().filter(|_| digits)
        };
        match &self.cursor {
            None => Ok(None),
            Some(cursor) => read(cursor).map(Some).ok_or_else(bad_cursor),
        }
    }

    /// The cursor of a list that is ordered by name.
    ///
    /// # Errors
    /// It is empty, or longer than any name.
    pub fn name(&self) -> Result<Option<String>, Problem> {
        match &self.cursor {
            Some(cursor) if cursor.is_empty() || cursor.len() > 96 => Err(bad_cursor()),
            other => Ok(other.clone()),
        }
    }
}

fn bad_cursor() -> Problem {
    Problem::url(
        "cursor",
        "send what the page before gave as `next`, or nothing for the first page",
    )
}
