//! Tables for people's spreadsheets, as CSV (RFC 4180).

use std::fmt::Write as _;

/// One line of a table, with its end.
pub(crate) fn line<'a>(fields: impl IntoIterator<Item = &'a str>) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_would_run_is_text_and_amounts_stay_numbers() {
        let fields = ["", "=1+1", "-5.00", "-x", "a,\"b\"", "@c,d"];
        assert_eq!(line(fields), ",'=1+1,-5.00,'-x,\"a,\"\"b\"\"\",\"'@c,d\"\r\n");
    }
}
