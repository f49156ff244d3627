//! Reads the tables of `docs/journal.md`, and says whether a fact is what they describe.
//! Every field that is met is noted, so that none stands there that nothing has.

use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What the document says that a value is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Type {
    pub(crate) is_list: bool,
    pub(crate) or_null: bool,
    pub(crate) may_be_absent: bool,
    /// The name of a table, or a word of the document's list of types.
    name: String,
    is_table: bool,
}

/// A row of a table.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) of: Type,
    pub(crate) meaning: String,
}

/// What stands under a heading.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    Fields(Vec<Field>),
    OneOf(BTreeMap<String, Choice>),
    /// A text, or an object with these fields.
    TextOr(Vec<Field>),
    /// A connector's number and its register.
    Pair,
}

/// One of several words, with what comes with it.
#[derive(Debug, Clone)]
pub(crate) enum Choice {
    Alone,
    With(Vec<Field>),
    Value(Type),
}

/// Where a field was met, and how.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Met {
    pub(crate) table: String,
    pub(crate) field: String,
    /// With a value, rather than absent or null.
    pub(crate) there: bool,
}

pub(crate) struct Document {
    pub(crate) shapes: BTreeMap<String, Shape>,
}

/// A cell of a table, with its links as `@Name`, and every other code as it is.
fn plain(cell: &str) -> String {
    let mut text = String::new();
    let mut rest = cell.trim();
    while let Some((before, after)) = rest.split_once("[`") {
        let (name, after) = after.split_once("`](#").expect("a link names its table");
        let (anchor, after) = after.split_once(')').expect("a link ends");
        assert_eq!(anchor, name.to_lowercase(), "a link goes to the table that it names");
        text.push_str(&format!("{before}@{name}"));
        rest = after;
    }
    text + rest
}

fn type_of(text: &str) -> Type {
    let or_null = text.contains(", or null");
    let may_be_absent = text.contains(", may be absent");
    let bare = text.replace(", or null", "").replace(", may be absent", "");
    let bare = bare.trim().trim_end_matches([',', ';']).trim();
    let (is_list, bare) = bare.strip_prefix("list of ").map_or((false, bare), |bare| (true, bare));
    let (is_table, name) = bare.strip_prefix('@').map_or((false, bare), |name| (true, name));
    Type {
        is_list,
        or_null,
        may_be_absent,
        name: name.to_owned(),
        is_table,
    }
}

/// Fields in one cell: `` `code` number, `message` text ``.
fn fields_in(cell: &str) -> Vec<Field> {
    let parts: Vec<&str> = cell.split('`').collect();
    let named = parts[1..].chunks(2).map(|pair| Field {
        name: pair[0].to_owned(),
        of: type_of(pair[1]),
        meaning: String::new(),
    });
    named.collect()
}

impl Document {
    pub(crate) fn read(text: &str) -> Self {
        let mut shapes = BTreeMap::new();
        for section in text.split("\n### ").skip(1) {
            let (name, body) = section.split_once('\n').unwrap();
            let body = body.split("\n## ").next().unwrap();
            let rows: Vec<Vec<String>> = body
                .lines()
                .filter(|line| line.starts_with("| "))
                .map(|line| line.trim_matches('|').split('|').map(plain).collect())
                .collect();
            let code = |cell: &str| cell.trim().trim_matches('`').to_owned();
            let fields = || -> Vec<Field> {
                let rows = rows.iter().skip(1);
                rows.map(|row| Field {
                    name: code(&row[0]),
                    of: type_of(&row[1]),
                    meaning: row[2].clone(),
                })
                .collect()
            };
            let shape = match rows.first().map(|row| (row[0].trim(), row[1].trim())) {
                None => Shape::Pair,
                Some(("word", with)) => {
                    let choice = |row: &Vec<String>| match row[1].trim() {
                        "" => Choice::Alone,
                        value if with == "value" => Choice::Value(type_of(value)),
                        fields => Choice::With(fields_in(fields)),
                    };
                    Shape::OneOf(rows.iter().skip(1).map(|row| (code(&row[0]), choice(row))).collect())
                }
                Some(_) if body.trim_start().starts_with("A string where") => Shape::TextOr(fields()),
                Some(_) => Shape::Fields(fields()),
            };
            let before = shapes.insert(name.to_owned(), shape);
            assert!(before.is_none(), "{name} is described twice");
        }
        Self { shapes }
    }

    /// Notes what is met of `value`, which is described under the heading `table`.
    pub(crate) fn check(&self, table: &str, value: &Value, met: &mut BTreeSet<Met>) -> Result<(), String> {
        let shape = self.shapes.get(table).ok_or(format!("{table} has no heading"))?;
        match (shape, value) {
            (Shape::Fields(fields) | Shape::TextOr(fields), Value::Object(object)) => {
                self.check_fields(table, fields, object, met)
            }
            (Shape::TextOr(_), Value::String(_)) => Ok(()),
            (Shape::Pair, Value::Array(two)) if two.len() == 2 && two[0].is_u64() && is("kWh", &two[1]) => Ok(()),
            (Shape::OneOf(choices), Value::String(word)) => match choices.get(word) {
                Some(Choice::Alone) => {
                    note(table, word, true, met);
                    Ok(())
                }
                _ => Err(format!("{table} has no word {word}")),
            },
            (Shape::OneOf(choices), Value::Object(object)) if object.len() == 1 => {
                let (word, value) = object.iter().next().unwrap();
                note(table, word, true, met);
                let under = format!("{table}.{word}");
                match (choices.get(word), value) {
                    (Some(Choice::With(fields)), Value::Object(object)) => {
                        self.check_fields(&under, fields, object, met)
                    }
                    (Some(Choice::Value(of)), value) => self.check_value(&under, of, value, met),
                    _ => Err(format!("{table} does not have {word} with {value}")),
                }
            }
            _ => Err(format!("{value} is no {table}")),
        }
    }

    fn check_fields(
        &self,
        table: &str,
        fields: &[Field],
        object: &Map<String, Value>,
        met: &mut BTreeSet<Met>,
    ) -> Result<(), String> {
        for key in object.keys() {
            if !fields.iter().any(|field| field.name == *key) {
                return Err(format!("{table} does not describe {key}"));
            }
        }
        for field in fields {
            let under = format!("{table}.{}", field.name);
            match object.get(&field.name) {
                None if field.of.may_be_absent || field.meaning.contains("absent in earlier entries") => {
                    note(table, &field.name, false, met);
                }
                None => return Err(format!("{under} is not there")),
                Some(Value::Null) if field.of.or_null => note(table, &field.name, false, met),
                Some(value) => {
                    note(table, &field.name, true, met);
                    if field.of.name == "word" && !field.of.is_list && !field.meaning.is_empty() {
                        let word = format!("`{}`", value.as_str().unwrap_or_default());
                        if !field.meaning.contains(&word) {
                            return Err(format!("{under} does not name {word}"));
                        }
                    }
                    self.check_value(&under, &field.of, value, met)?;
                }
            }
        }
        Ok(())
    }

    fn check_value(&self, under: &str, of: &Type, value: &Value, met: &mut BTreeSet<Met>) -> Result<(), String> {
        let items = match (of.is_list, value) {
            (true, Value::Array(items)) => items.iter().collect(),
            (true, other) => return Err(format!("{under}: {other} is no list")),
            (false, one) => vec![one],
        };
        for item in items {
            if of.is_table {
                self.check(&of.name, item, met)
                    .map_err(|wrong| format!("{under}: {wrong}"))?;
            } else if !is(&of.name, item) {
                return Err(format!("{under}: {item} is no {}", of.name));
            }
        }
        Ok(())
    }

    /// Every field and word that the document has under this heading, and whether it must be met without a value too.
    pub(crate) fn described(&self, table: &str) -> Vec<(Met, bool)> {
        let of_fields = |table: &str, fields: &[Field]| -> Vec<(Met, bool)> {
            let is_optional = |field: &Field| field.of.or_null || field.of.may_be_absent;
            let earlier = |field: &Field| field.meaning.contains("absent in earlier entries");
            fields
                .iter()
                .map(|field| (met(table, &field.name, true), is_optional(field) || earlier(field)))
                .collect()
        };
        match &self.shapes[table] {
            Shape::Fields(fields) | Shape::TextOr(fields) => of_fields(table, fields),
            Shape::Pair => Vec::new(),
            Shape::OneOf(choices) => {
                let with = |(word, choice): (&String, &Choice)| {
                    let mut all = vec![(met(table, word, true), false)];
                    if let Choice::With(fields) = choice {
                        all.extend(of_fields(&format!("{table}.{word}"), fields));
                    }
                    all
                };
                choices.iter().flat_map(with).collect()
            }
        }
    }

    /// Whether the document says how the field is read where it is absent, though it is always written now.
    pub(crate) fn reads_where_absent(&self, table: &str, path: &[Step], key: &str) -> bool {
        let said = "read as";
        let fields = |fields: &[Field]| {
            let found = fields.iter().find(|field| field.name == key);
            found.is_some_and(|field| field.meaning.contains(said))
        };
        let Some(step) = path.first() else {
            return matches!(&self.shapes[table], Shape::Fields(own) if fields(own));
        };
        match (&self.shapes[table], step) {
            (Shape::Fields(own), Step::Key(name)) => {
                let of = own.iter().find(|field| field.name == *name).map(|field| &field.of);
                let below = if of.is_some_and(|of| of.is_list) { 2 } else { 1 };
                of.is_some_and(|of| of.is_table && self.reads_where_absent(&of.name, &path[below..], key))
            }
            _ => false,
        }
    }

    /// Every object in `value` that may have fields of a newer program, as a path of keys and indexes.
    pub(crate) fn objects(&self, table: &str, value: &Value) -> Vec<Vec<Step>> {
        let of_fields = |fields: &[Field], object: &Map<String, Value>, at: Vec<Step>| {
            let mut found = vec![at.clone()];
            for field in fields {
                let Some(value) = object.get(&field.name) else { continue };
                let items = match (field.of.is_list, value) {
                    (true, Value::Array(items)) => {
                        let items = items.iter().enumerate();
                        items
                            .map(|(n, item)| (vec![Step::Key(field.name.clone()), Step::At(n)], item))
                            .collect()
                    }
                    _ => vec![(vec![Step::Key(field.name.clone())], value)],
                };
                for (steps, item) in items.into_iter().filter(|_| field.of.is_table) {
                    let below = self.objects(&field.of.name, item).into_iter();
                    found.extend(below.map(|below| [at.clone(), steps.clone(), below].concat()));
                }
            }
            found
        };
        match (self.shapes.get(table), value) {
            (Some(Shape::Fields(fields)), Value::Object(object)) => of_fields(fields, object, Vec::new()),
            (Some(Shape::OneOf(choices)), Value::Object(object)) => {
                let (word, value) = object.iter().next().unwrap();
                match (choices.get(word), value) {
                    (Some(Choice::With(fields)), Value::Object(object)) => {
                        of_fields(fields, object, vec![Step::Key(word.clone())])
                    }
                    _ => Vec::new(),
                }
            }
            _ => Vec::new(),
        }
    }
}

/// A step into a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    Key(String),
    At(usize),
}

/// The object at the end of a path.
pub(crate) fn object_at<'a>(value: &'a mut Value, path: &[Step]) -> &'a mut Map<String, Value> {
    let mut at = value;
    for step in path {
        at = match step {
            Step::Key(key) => &mut at[key],
            Step::At(n) => &mut at[n],
        };
    }
    at.as_object_mut().expect("the path leads to an object")
}

fn met(table: &str, field: &str, there: bool) -> Met {
    Met {
        table: table.to_owned(),
        field: field.to_owned(),
        there,
    }
}

fn note(table: &str, field: &str, there: bool, all: &mut BTreeSet<Met>) {
    all.insert(met(table, field, there));
}

/// Whether a value is what a word of the document's list of types says.
fn is(name: &str, value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    let decimal = |places: usize| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let all = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let split = digits.split_once('.');
        split.is_some_and(|(whole, fraction)| all(whole) && all(fraction) && fraction.len() == places)
    };
    let of = |allowed: &str, most: usize| {
        (1..=most).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || allowed.as_bytes().contains(&byte))
    };
    match name {
        "text" => value.is_string(),
        "name" => of("_-", 32),
        "id" => of("_-.:~", 96),
        "word" => of("_", 40),
        "number" | "item" | "elapsed" | "uptime" => value.is_i64() || value.is_u64(),
        "ms" | "unix ms" => value.is_i64(),
        "yes/no" => value.is_boolean(),
        "yuan" => decimal(2),
        "kWh" => decimal(4),
        "kW" => decimal(3),
        "yuan/kWh" => decimal(5),
        "exact yuan" => decimal(9),
        "time" => text.ends_with('Z') && text.len() >= 20,
        "day" => text.len() == 10 && text.split('-').count() == 3,
        "clock" => text.len() == 5 && text.as_bytes()[2] == b':',
        "hash" => text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
        _ => false,
    }
}
