//! A line's fields, and the columns by their names: in whichever order they stand.

use crate::{Refusal, Why, quoted};
use std::borrow::Cow;

/// WeChat's lines: each field begins with a backtick. What drivers and shops write has no comma in it: WeChat replaces it.
pub(super) fn after_backticks(line: &str) -> Vec<Cow<'_, str>> {
    let line = line.strip_prefix('`').unwrap_or(line);
    line.split(",`").map(|field| Cow::Borrowed(field.trim())).collect()
}

/// Fields of CSV (RFC 4180) that end on their line. Blanks and tabs around them count for nothing.
///
/// # Errors
/// A field in quotes does not end on the line, or goes on after them.
pub fn separated(number: u64, line: &str, separator: char) -> Result<Vec<Cow<'_, str>>, Refusal> {
    let unended = || {
        let words = "has a quoted field that does not end on it, or goes on after its quote";
        Refusal::new(number, Why::Fields, words)
    };
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let inside = rest.trim_start_matches(|blank: char| blank.is_whitespace() && blank != separator);
        if let Some(quoted) = inside.strip_prefix('"') {
            let (field, after) = unquoted(quoted).ok_or_else(unended)?;
            fields.push(field);
            let after = after.trim_start_matches(|blank: char| blank.is_whitespace() && blank != separator);
            match after.strip_prefix(separator) {
                Some(next) => rest = next,
                None if after.is_empty() => return Ok(fields),
                None => return Err(unended()),
            }
            continue;
        }
        match rest.split_once(separator) {
            Some((field, next)) => {
                fields.push(Cow::Borrowed(field.trim()));
                rest = next;
            }
            None => {
                fields.push(Cow::Borrowed(rest.trim()));
                return Ok(fields);
            }
        }
    }
}

/// What stands between quotes, of which the first is gone; and what comes after them.
fn unquoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let (mut field, mut rest) = (Cow::Borrowed(""), text);
    loop {
        let (part, after) = rest.split_once('"')?;
        field += part;
        let Some(more) = after.strip_prefix('"') else {
            return Some((field, after));
        };
        field.to_mut().push('"');
        rest = more;
    }
}

/// The name of a column as it is compared: parentheses are full-width in some files and not in others.
fn plain(name: &str) -> String {
    name.trim().replace('（', "(").replace('）', ")")
}

/// Where the columns are that are wanted.
pub(super) struct Columns {
    count: usize,
    places: Vec<usize>,
    names: Vec<String>,
}

impl Columns {
    /// Finds them in the line that names all.
    pub(super) fn find(number: u64, header: &[Cow<'_, str>], wanted: &[&str]) -> Result<Self, Refusal> {
        let header: Vec<String> = header.iter().map(|name| plain(name)).collect();
        let (mut places, mut missing, mut twice) = (Vec::new(), Vec::new(), Vec::new());
        for name in wanted {
            let is_it = plain(name);
            let mut found = header.iter().enumerate().filter(|(_, name)| **name == is_it);
            match (found.next(), found.next()) {
                (Some((place, _)), None) => places.push(place),
                (None, _) => missing.push(*name),
                (Some(_), Some(_)) => twice.push(*name),
            }
        }
        if let Some(name) = twice.first() {
            return Err(Refusal::new(
                number,
                Why::Columns,
                format!("names the column {name} twice"),
            ));
        }
        if !missing.is_empty() {
            let words = format!(
                "names no column {}; it has {}",
                missing.join(", "),
                quoted(&header.join(","))
            );
            return Err(Refusal::new(number, Why::Columns, words));
        }
        let names = wanted.iter().map(|name| (*name).to_owned()).collect();
        Ok(Self {
            count: header.len(),
            places,
            names,
        })
    }

    /// Whether a line has a field for each column.
    pub(super) fn fit(&self, number: u64, fields: &[Cow<'_, str>]) -> Result<(), Refusal> {
        match fields.len() == self.count {
            true => Ok(()),
            false => {
                let words = format!("has {} fields for {} columns", fields.len(), self.count);
                Err(Refusal::new(number, Why::Fields, words))
            }
        }
    }

    /// What stands in the wanted column of this place, in a line that fits.
    pub(super) fn get<'a>(&self, fields: &'a [Cow<'_, str>], wanted: usize) -> &'a str {
        let place = self.places.get(wanted).copied();
        place.and_then(|place| fields.get(place)).map_or("", |field| field)
    }

    /// What that column is called.
    pub(super) fn name(&self, wanted: usize) -> &str {
        self.names.get(wanted).map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(line: &str) -> Result<Vec<String>, Why> {
        let split = separated(1, line, ',').map_err(|refusal| refusal.why)?;
        Ok(split.into_iter().map(Cow::into_owned).collect())
    }

    #[test]
    fn fields_are_divided_by_their_separator_but_for_what_is_quoted() {
        let split = |line: &str| fields(line).unwrap();
        assert_eq!(split("a, b\t,,c"), ["a", "b", "", "c"]);
        assert_eq!(split("\"a,b\",\"say \"\"x\"\"\" ,\"\""), ["a,b", "say \"x\"", ""]);
        assert_eq!(split("a\"b,c"), ["a\"b", "c"], "a quote within a field is text");
        assert_eq!(split("a,"), ["a", ""]);
        assert_eq!(split(""), [""]);
        for wrong in ["\"a", "\"a\"b,c", "a,\"b\"\""] {
            assert_eq!(fields(wrong), Err(Why::Fields), "{wrong}");
        }
        let tabs = separated(1, "a\t\t\"b\"\tc", '\t').unwrap();
        assert_eq!(tabs, ["a", "", "b", "c"]);
        assert_eq!(after_backticks("`a,`=1+1,`,`b,c"), ["a", "=1+1", "", "b,c"]);
    }

    #[test]
    fn columns_are_found_by_name_wherever_they_stand() {
        let header = ["b", " 金额（元）", "a"].map(Cow::Borrowed);
        let columns = Columns::find(1, &header, &["a", "金额(元)"]).unwrap();
        let line = ["1", "2", "3"].map(Cow::Borrowed);
        assert_eq!((columns.get(&line, 0), columns.get(&line, 1)), ("3", "2"));
        assert!(columns.fit(2, &line[..2]).is_err());
        let missing = Columns::find(1, &header, &["a", "c", "d"]).err().unwrap();
        assert!(missing.words.contains("no column c, d; it has"), "{missing}");
        let twice = ["a", "a"].map(Cow::Borrowed);
        assert!(Columns::find(1, &twice, &["a"]).is_err());
    }
}
