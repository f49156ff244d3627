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

    /// The cursor of a list that is ordered by several things: one text for each, as [`cursor_of`] wrote them.
    ///
    /// # Errors
    /// There are fewer, or one is longer than any name.
    pub fn parts<const N: usize>(&self) -> Result<Option<[&str; N]>, Problem> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let parts: Vec<&str> = cursor.splitn(N, PART_ENDS).collect();
        let short = parts.iter().all(|part| part.len() <= PART_CHARS_MAX);
        let parts = parts.try_into().ok().filter(|_| short);
        parts.map(Some).ok_or_else(bad_cursor)
    }
}

/// What stands between the parts of a cursor: no id has it.
const PART_ENDS: char = ',';
/// The longest part of a cursor: an account of an order has two ids in its name.
const PART_CHARS_MAX: usize = 200;

/// A cursor of several parts, of which only the last may have a comma in it.
pub fn cursor_of<const N: usize>(parts: [String; N]) -> String {
    parts.join(&PART_ENDS.to_string())
}

/// A cursor that was not made here.
pub fn bad_cursor() -> Problem {
    Problem::url(
        "cursor",
        "send what the page before gave as `next`, or nothing for the first page",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_of_several_parts_is_read_as_it_was_written_and_no_other_is() {
        let paging = |cursor: &str| Paging::new(Some(cursor.to_owned()), None);
        let cursor = cursor_of(["17".to_owned(), "s1".to_owned(), "o-1,x".to_owned()]);
        assert_eq!(paging(&cursor).parts(), Ok(Some(["17", "s1", "o-1,x"])));
        assert_eq!(Paging::new(None, None).parts::<2>(), Ok(None));
        assert!(paging("17,s1").parts::<3>().is_err());
        assert!(paging(&format!("17,{}", "x".repeat(201))).parts::<2>().is_err());
    }
}
