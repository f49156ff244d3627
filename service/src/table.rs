//! JSON answers as text for people: one field a line, or one row a line.

use crate::escape::escaped;
use serde_json::Value;

/// An answer with every text in it made fit for a person's screen: piles and callers wrote some of them, and a terminal
/// must show those and not obey them.
pub fn fit_for_a_screen(answer: Value) -> Value {
    match answer {
        Value::String(text) => Value::String(escaped(&text)),
        Value::Array(items) => items.into_iter().map(fit_for_a_screen).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (escaped(&name), fit_for_a_screen(value)))
            .collect(),
        other => other,
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| format!("{name}={}", text(value)))
            .collect::<Vec<_>>()
            .join(" "),
        other => other.to_string(),
    }
}

/// One field a line; an array of objects gets a line each.
pub fn fields(answer: &Value) -> String {
    let Value::Object(fields) = answer else {
        return text(answer);
    };
    let width = fields.keys().map(String::len).max().unwrap_or(0);
    let mut lines = Vec::new();
    for (name, value) in fields {
        match value {
            Value::Array(items) if items.iter().any(Value::is_object) => {
                lines.push(format!("{name}:"));
                lines.extend(items.iter().map(|item| format!("  {}", text(item))));
            }
            _ => lines.push(format!("{name:width$}  {}", text(value))),
        }
    }
    lines.join("\n")
}

/// One row a line, in the named columns.
pub fn columns(answer: &Value, names: &[&str]) -> String {
    let items = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
    if items.is_empty() {
        return "none".to_owned();
    }
    let mut table: Vec<Vec<String>> = vec![names.iter().map(ToString::to_string).collect()];
    table.extend(
        items
            .iter()
            .map(|item| names.iter().map(|name| text(&item[*name])).collect()),
    );
    aligned(&table)
}

/// One row a line, in columns, under the names of the first row's plain fields.
pub fn rows(answer: &Value) -> String {
    let items = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
    let Some(Value::Object(first)) = items.first() else {
        return "none".to_owned();
    };
    let plain = first
        .iter()
        .filter(|(_, value)| !value.is_object() && !value.is_array());
    let names: Vec<&str> = plain.map(|(name, _)| name.as_str()).collect();
    columns(answer, &names)
}

fn aligned(table: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..table.first().map_or(0, Vec::len))
        .map(|i| table.iter().map(|row| row[i].chars().count()).max().unwrap_or(0))
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    table.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_stand_in_columns() {
        let answer = json!({ "items": [{ "id": "P1", "online": true, "why": null }, { "id": "P10", "online": false, "why": "x" }] });
        assert_eq!(rows(&answer), "id   online  why\nP1   true    -\nP10  false   x");
        assert_eq!(rows(&json!({ "items": [] })), "none");
    }

    #[test]
    fn what_a_pile_calls_itself_forges_no_line_and_clears_no_screen() {
        let answer = json!({ "items": [{ "id": "P1", "vendor": "\u{1b}[2JTELD\nP9  online", "model": { "\u{9b}": ["\u{202e}"] } }] });
        let shown = columns(&fit_for_a_screen(answer), &["id", "vendor", "model"]);
        assert_eq!(shown.lines().count(), 2, "{shown}");
        assert!(
            !shown.replace('\n', "").contains(char::is_control) && !shown.contains('\u{202e}'),
            "{shown}"
        );
        assert!(shown.contains("\\u{1b}[2JTELD\\nP9  online"), "{shown}");
    }

    #[test]
    fn fields_stand_one_a_line() {
        let answer = json!({ "id": "P1", "secret": "s", "list": [{ "no": 1 }] });
        assert_eq!(fields(&answer), "id      P1\nlist:\n  no=1\nsecret  s");
    }
}
