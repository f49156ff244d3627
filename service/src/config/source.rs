//! Reads the TOML file: every value with its line, every unknown key with the nearest known one.

use super::{
    Fault, Found, Key, Origin,
    given::{Given, shortened},
    nearest,
};
use std::collections::BTreeSet;
use toml::de::{DeTable, DeValue};

/// Puts what the file says into the draft.
///
/// # Errors
/// The text is not TOML: nothing of it counts.
pub(super) fn file<D>(text: &str, keys: &[Key<D>], draft: &mut D, found: &mut Found) -> Result<(), Fault> {
    let line_of = |byte: usize| {
        let before = &text.as_bytes()[..byte.min(text.len())];
        before.iter().filter(|b| **b == b'\n').count() + 1
    };
    let root = DeTable::parse(text).map_err(|error| Fault {
        origin: Origin::File {
            line: error.span().map(|span| line_of(span.start)),
        },
        key: String::new(),
        message: format!("is not TOML: {}", error.message()),
    })?;
    table(root.into_inner(), "", &line_of, keys, draft, found);
    Ok(())
}

fn table<D>(
    entries: DeTable<'_>,
    prefix: &str,
    line_of: &dyn Fn(usize) -> usize,
    keys: &[Key<D>],
    draft: &mut D,
    found: &mut Found,
) {
    // In the order of the file, which is the order in which a person will mend it.
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    for (name, value) in entries {
        let origin = Origin::File {
            line: Some(line_of(name.span().start)),
        };
        let path = format!("{prefix}{}", name.get_ref());
        let known = keys.iter().find(|key| key.path == path);
        let inner = format!("{path}.");
        let is_table = keys.iter().any(|key| key.path.starts_with(&inner));
        let message = match (value.into_inner(), known) {
            (DeValue::Table(entries), None) if is_table => {
                table(entries, &inner, line_of, keys, draft, found);
                continue;
            }
            (value, Some(key)) => {
                found.set(key, &given(value), origin, draft);
                continue;
            }
            (value, None) if is_table => format!(
                "is {}, but names a table; write its keys under `[{path}]`",
                given(value).what()
            ),
            (_, None) => unknown(prefix, name.get_ref(), keys),
        };
        found.note(origin, &shortened(&path), message);
    }
}

fn given(value: DeValue<'_>) -> Given {
    match value {
        DeValue::String(text) => Given::Text(text.into_owned()),
        DeValue::Integer(number) if number.radix() == 10 => Given::Number(number.as_str().to_owned()),
        DeValue::Integer(number) => Given::Number(number.to_string()),
        DeValue::Float(number) => Given::Number(number.as_str().to_owned()),
        DeValue::Boolean(value) => Given::Boolean(value),
        DeValue::Datetime(at) => Given::Datetime(at.to_string()),
        DeValue::Array(items) => Given::List(items.into_iter().map(|item| given(item.into_inner())).collect()),
        DeValue::Table(entries) => {
            let entries = entries.into_iter();
            Given::Table(
                entries
                    .map(|(key, value)| (key.into_inner().into_owned(), given(value.into_inner())))
                    .collect(),
            )
        }
    }
}

/// What to write instead of a name that is not known under `prefix`.
fn unknown<D>(prefix: &str, name: &str, keys: &[Key<D>]) -> String {
    let siblings: BTreeSet<&str> = keys
        .iter()
        .filter_map(|key| key.path.strip_prefix(prefix))
        .filter_map(|rest| rest.split('.').next())
        .collect();
    if let Some(meant) = nearest(name, siblings.iter().copied()) {
        return format!("is not a known key; did you mean `{meant}`?");
    }
    let elsewhere = keys.iter().find(|key| key.path.rsplit('.').next() == Some(name));
    if let Some((table, key)) = elsewhere.and_then(|key| key.path.rsplit_once('.')) {
        return format!("is not a known key here; `{key}` stands under `[{table}]`");
    }
    let listed: Vec<String> = siblings.iter().map(|name| format!("`{name}`")).collect();
    format!("is not a known key; known here are {}", listed.join(", "))
}
