//! Tables for people's spreadsheets, as CSV (RFC 4180).

use std::{borrow::Cow, fmt::Write as _};

/// One line of a table, with its end.
pub fn line<'a>(fields: impl IntoIterator<Item = &'a str>) -> String {
    let mut line = String::new();
    for (n, field) in fields.into_iter().enumerate() {
        if n > 0 {
            line.push(',');
        }
        cell(&mut line, field);
    }
    line.push_str("\r\n");
    line
}

/// A field, in quotes where it has to be. What a spreadsheet would take for a formula begins with an apostrophe.
fn cell(line: &mut String, field: &str) {
    let is_formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']) && field.parse::<f64>().is_err();
    let guard = if is_formula { "'" } else { "" };
    if field.contains([',', '"', '\r', '\n']) {
        let _infallible = write!(line, "\"{guard}{}\"", field.replace('"', "\"\""));
    } else {
        let _infallible = write!(line, "{guard}{field}");
    }
}

/// Whether a spreadsheet would take a text for something else: for a formula, or for a number, a day or a time.
pub fn is_mistaken(text: &str) -> bool {
    const BEGINS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
    let is_formula = text.starts_with(BEGINS) || text.trim_start().starts_with(BEGINS);
    let of_number = |letter: char| letter.is_ascii_digit() || ".,:/-+eE% ".contains(letter);
    is_formula || (text.contains(|letter: char| letter.is_ascii_digit()) && text.chars().all(of_number))
}

/// A text that stays one in a spreadsheet: with an apostrophe before what would be [mistaken](is_mistaken).
pub fn guarded(text: &str) -> Cow<'_, str> {
    match is_mistaken(text) || text.starts_with('\'') {
        true => Cow::Owned(format!("'{text}")),
        false => Cow::Borrowed(text),
    }
}

/// The text that was [guarded], or was never.
pub fn unguarded(text: &str) -> &str {
    let guarded = text.strip_prefix('\'');
    guarded
        .filter(|text| is_mistaken(text) || text.starts_with('\''))
        .unwrap_or(text)
}

/// A field as it is, in quotes where it has to be.
pub fn quoted(line: &mut String, field: &str) {
    if field.contains([',', ';', '"', '\r', '\n', '\t']) {
        let _infallible = write!(line, "\"{}\"", field.replace('"', "\"\""));
    } else {
        line.push_str(field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_mistaken_is_guarded_and_comes_back_as_it_was() {
        for text in [
            "=1+1",
            "+x",
            "-5",
            "@sum",
            "\tx",
            "\rx",
            "\nx",
            " =x",
            "＝1",
            "＋1",
            "－1",
            "＠1",
            "4200001234567890123456789",
            "0012",
            "1E5",
            "2026-03-09",
            "3-4",
            "12:30",
            "'=1",
            "'a",
            "5%",
        ] {
            let told = guarded(text);
            assert_eq!(told, format!("'{text}"));
            assert_eq!(unguarded(&told), text);
        }
        for text in [
            "",
            "m-1001",
            "LONG 500/-/500/0",
            "as the channel's log says",
            "e",
            "长款",
        ] {
            assert_eq!(guarded(text), text);
            assert_eq!(unguarded(text), text);
        }
        assert_eq!(unguarded("'typed by hand"), "'typed by hand");
    }

    #[test]
    fn what_a_spreadsheet_would_run_is_text_and_amounts_stay_numbers() {
        let fields = ["", "=1+1", "-5.00", "-x", "a,\"b\"", "@c,d"];
        assert_eq!(line(fields), ",'=1+1,-5.00,'-x,\"a,\"\"b\"\"\",\"'@c,d\"\r\n");
    }
}
