//! Tariffs as people and programs write them: one model, in TOML or JSON, read with the place of every fault.
//! Numbers are taken by their digits, so that no price is ever a float.

use super::{
    Currency, DOCUMENT_BYTES_MAX, DaySchedule, Fault, MinuteOfDay, PERIODS_MAX, Period, PeriodKind, PriceParts,
    SCHEDULES_MAX, Tariff, TariffFault, TariffSpec, Weekday, check::FAULTS_MAX, parse_clock,
};
use crate::{ids::TariffId, time::Wall, units::Price};
use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};
use toml::de::{DeTable, DeValue};

/// Deeper than the model goes: document, schedules, schedule, periods, period, value.
const DEPTH_MAX: usize = 8;

/// A document, whichever language it was written in.
enum Node {
    Text(String),
    /// A number by its digits.
    Number(String),
    /// A number that has been a float for its language; refused where digits count.
    Float(String),
    Datetime(String),
    List(Vec<Node>),
    Table(Vec<(String, Node)>),
    /// Something the model has no use for, by name.
    Other(&'static str),
}

/// The line on which each key stands; empty for a document without lines.
type Lines = BTreeMap<String, usize>;

/// Reads TOML.
pub(super) fn from_toml(text: &str, site_zone: &str) -> Result<Tariff, TariffFault> {
    bounded(text)?;
    let line_ends: Vec<usize> = text
        .bytes()
        .enumerate()
        .filter(|(_, b)| *b == b'\n')
        .map(|(at, _)| at)
        .collect();
    let line_of = |byte: usize| line_ends.partition_point(|end| *end < byte) + 1;
    let root = DeTable::parse(text).map_err(|error| {
        let line = error.span().map(|span| line_of(span.start));
        TariffFault {
            faults: vec![Fault {
                line,
                path: String::new(),
                message: error.message().to_owned(),
            }],
        }
    })?;
    let mut lines = Lines::new();
    let root = toml_table(root.into_inner(), "", 0, &mut |path, byte| {
        lines.insert(path, line_of(byte));
    });
    read(root, Some(site_zone), lines, UnknownKeys::AreFaults)
}

/// Reads JSON as a person wrote it; without a `site_zone` the document must name its own.
pub(super) fn from_json(text: &str, site_zone: Option<&str>) -> Result<Tariff, TariffFault> {
    from_json_as(text, site_zone, UnknownKeys::AreFaults)
}

/// Reads JSON as a station wrote it, which may have been a newer one.
pub(super) fn from_stored_json(text: &str) -> Result<Tariff, TariffFault> {
    from_json_as(text, None, UnknownKeys::ArePassedOver)
}

/// What becomes of keys that are not known: a person has mistyped them, or a newer program has written them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UnknownKeys {
    AreFaults,
    ArePassedOver,
}

fn from_json_as(text: &str, site_zone: Option<&str>, unknown: UnknownKeys) -> Result<Tariff, TariffFault> {
    bounded(text)?;
    let whole = |line, message| TariffFault {
        faults: vec![Fault {
            line,
            path: String::new(),
            message,
        }],
    };
    let raw: &RawValue =
        serde_json::from_str(text).map_err(|error| whole(Some(error.line()), format!("not JSON: {error}")))?;
    // Syntax is settled by now; what is left to go wrong is an escape that is no character.
    let root = json_node(raw.get(), 0).map_err(|error| whole(None, format!("not JSON: {error}")))?;
    read(root, site_zone, Lines::new(), unknown)
}

fn bounded(text: &str) -> Result<(), TariffFault> {
    if text.len() <= DOCUMENT_BYTES_MAX {
        return Ok(());
    }
    let message = format!("the document is longer than {DOCUMENT_BYTES_MAX} bytes");
    Err(TariffFault {
        faults: vec![Fault::at("", message)],
    })
}

fn toml_table(table: DeTable<'_>, path: &str, depth: usize, place: &mut dyn FnMut(String, usize)) -> Node {
    let entries = table.into_iter().map(|(key, value)| {
        let path = joined(path, key.get_ref());
        place(path.clone(), key.span().start);
        (
            key.into_inner().into_owned(),
            toml_node(value.into_inner(), &path, depth + 1, place),
        )
    });
    Node::Table(entries.collect())
}

fn toml_node(value: DeValue<'_>, path: &str, depth: usize, place: &mut dyn FnMut(String, usize)) -> Node {
    match value {
        _ if depth > DEPTH_MAX => Node::Other("too deeply nested"),
        DeValue::String(text) => Node::Text(text.into_owned()),
        DeValue::Integer(number) if number.radix() == 10 => Node::Number(number.as_str().to_owned()),
        DeValue::Integer(number) => Node::Float(number.to_string()),
        DeValue::Float(number) => Node::Float(number.as_str().to_owned()),
        DeValue::Boolean(_) => Node::Other("a boolean"),
        DeValue::Datetime(at) => Node::Datetime(at.to_string()),
        DeValue::Array(items) => {
            let items = items.into_iter().enumerate().map(|(index, item)| {
                let path = format!("{path}[{index}]");
                place(path.clone(), item.span().start);
                toml_node(item.into_inner(), &path, depth + 1, place)
            });
            Node::List(items.collect())
        }
        DeValue::Table(table) => toml_table(table, path, depth, place),
    }
}

/// Takes apart a text that is known to be JSON.
fn json_node(text: &str, depth: usize) -> serde_json::Result<Node> {
    let text = text.trim_ascii();
    Ok(match text.as_bytes().first() {
        _ if depth > DEPTH_MAX => Node::Other("too deeply nested"),
        Some(b'{') => {
            let JsonTable(entries) = serde_json::from_str(text)?;
            let entries = entries
                .into_iter()
                .map(|(key, raw)| Ok((key, json_node(raw.get(), depth + 1)?)));
            Node::Table(entries.collect::<serde_json::Result<_>>()?)
        }
        Some(b'[') => {
            let items: Vec<Box<RawValue>> = serde_json::from_str(text)?;
            Node::List(
                items
                    .iter()
                    .map(|raw| json_node(raw.get(), depth + 1))
                    .collect::<serde_json::Result<_>>()?,
            )
        }
        Some(b'"') => Node::Text(serde_json::from_str(text)?),
        _ => match text {
            "null" => Node::Other("null"),
            "true" | "false" => Node::Other("a boolean"),
            number => Node::Number(number.to_owned()),
        },
    })
}

/// A JSON object with its keys as they come, so that one given twice is seen.
struct JsonTable(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for JsonTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> de::Visitor<'de> for Entries {
            type Value = JsonTable;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<JsonTable, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(JsonTable(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

fn read(root: Node, site_zone: Option<&str>, lines: Lines, unknown_keys: UnknownKeys) -> Result<Tariff, TariffFault> {
    let mut reader = Reader {
        unknown_keys,
        faults: Vec::new(),
    };
    let spec = reader.tariff(root, site_zone);
    let outcome = match spec {
        Some(spec) if reader.faults.is_empty() => spec.validate(),
        _ => Err(TariffFault { faults: reader.faults }),
    };
    outcome.map_err(|mut fault| {
        fault.faults.truncate(FAULTS_MAX);
        for fault in &mut fault.faults {
            fault.line = line_of(&lines, &fault.path);
        }
        fault
    })
}

/// The line of a key, or of the nearest key around it that the document has.
fn line_of(lines: &Lines, path: &str) -> Option<usize> {
    let parent = |path: &str| path.rfind(['.', '[']).map(|end| path[..end].to_owned());
    std::iter::successors(Some(path.to_owned()), |path| parent(path)).find_map(|path| lines.get(&path).copied())
}

/// Turns nodes into the model; what cannot be read is a fault and `None`.
struct Reader {
    unknown_keys: UnknownKeys,
    faults: Vec<Fault>,
}

impl Reader {
    fn note(&mut self, path: &str, message: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault::at(path, message));
        }
    }

    fn fault<T>(&mut self, path: &str, message: impl Into<String>) -> Option<T> {
        self.note(path, message);
        None
    }

    fn tariff(&mut self, root: Node, site_zone: Option<&str>) -> Option<TariffSpec> {
        const KEYS: [&str; 6] = ["id", "effective_from", "currency", "time_zone", "prices", "schedules"];
        let [id, effective_from, currency, time_zone, prices, schedules] = self.fields(root, "", KEYS)?;
        let id = self.required(id, "id").and_then(|id| self.id(id));
        let effective_from = self
            .required(effective_from, "effective_from")
            .and_then(|at| self.wall(at));
        let currency = currency.map_or(Some(Currency::Cny), |currency| self.currency(currency));
        let time_zone = self.time_zone(time_zone, site_zone);
        let prices = self.required(prices, "prices").and_then(|prices| self.prices(prices));
        let schedules = self
            .required(schedules, "schedules")
            .and_then(|schedules| self.schedules(schedules));
        Some(TariffSpec {
            id: id?,
            effective_from: effective_from?,
            currency: currency?,
            time_zone: time_zone?,
            prices: prices?,
            schedules: schedules?,
        })
    }

    fn id(&mut self, node: Node) -> Option<TariffId> {
        let text = self.text(node, "id", "a name such as \"sh-2026-summer\"")?;
        TariffId::new(&text)
            .map_err(|invalid| self.note("id", invalid.to_string()))
            .ok()
    }

    fn wall(&mut self, node: Node) -> Option<Wall> {
        let text = match node {
            Node::Datetime(text) => text,
            other => self.text(
                other,
                "effective_from",
                "a time with its offset such as \"2026-07-01T00:00:00+08:00\"",
            )?,
        };
        Wall::parse(&text)
            .map_err(|message| self.note("effective_from", message))
            .ok()
    }

    fn currency(&mut self, node: Node) -> Option<Currency> {
        match self.text(node, "currency", "\"CNY\"")?.as_str() {
            "CNY" => Some(Currency::Cny),
            other => self.fault(
                "currency",
                format!("`{}` is not supported; the only currency is \"CNY\"", shortened(other)),
            ),
        }
    }

    fn time_zone(&mut self, node: Option<Node>, site_zone: Option<&str>) -> Option<String> {
        let Some(node) = node else {
            return match site_zone {
                Some(zone) => Some(zone.to_owned()),
                None => self.fault("time_zone", "is missing; give an IANA name such as \"Asia/Shanghai\""),
            };
        };
        let named = self.text(node, "time_zone", "an IANA name such as \"Asia/Shanghai\"")?;
        match site_zone {
            Some(zone) if zone != named => {
                let message = format!(
                    "is `{}`, but the site is in `{zone}`; leave it out here",
                    shortened(&named)
                );
                self.fault("time_zone", message)
            }
            _ => Some(named),
        }
    }

    fn prices(&mut self, node: Node) -> Option<BTreeMap<PeriodKind, PriceParts>> {
        let kinds = PeriodKind::ALL;
        let parts = self.fields(node, "prices", kinds.map(PeriodKind::as_str))?;
        let mut prices = BTreeMap::new();
        for (kind, node) in kinds.into_iter().zip(parts) {
            let Some(node) = node else { continue };
            let path = format!("prices.{kind}");
            if let Some([electricity, service]) = self.fields(node, &path, ["electricity", "service"]) {
                let (electricity_path, service_path) = (format!("{path}.electricity"), format!("{path}.service"));
                let electricity = self
                    .required(electricity, &electricity_path)
                    .and_then(|price| self.price(price, &electricity_path));
                let service = self
                    .required(service, &service_path)
                    .and_then(|price| self.price(price, &service_path));
                if let (Some(electricity), Some(service)) = (electricity, service) {
                    prices.insert(kind, PriceParts { electricity, service });
                }
            }
        }
        Some(prices)
    }

    fn price(&mut self, node: Node, path: &str) -> Option<Price> {
        let text = match node {
            Node::Number(digits) => digits,
            Node::Float(text) => {
                let message = format!(
                    "write the price in quotes (\"{}\"), so that every digit counts",
                    shortened(&text)
                );
                return self.fault(path, message);
            }
            other => self.text(other, path, "a price in yuan per kWh such as \"0.55\"")?,
        };
        text.parse()
            .map_err(|invalid: crate::units::InvalidAmount| self.note(path, invalid.to_string()))
            .ok()
    }

    fn schedules(&mut self, node: Node) -> Option<Vec<DaySchedule>> {
        let schedules = self.list(node, "schedules", SCHEDULES_MAX)?.into_iter().enumerate();
        Some(
            schedules
                .filter_map(|(index, node)| self.schedule(node, &format!("schedules[{index}]")))
                .collect(),
        )
    }

    fn schedule(&mut self, node: Node, path: &str) -> Option<DaySchedule> {
        let [months, weekdays, periods] = self.fields(node, path, ["months", "weekdays", "periods"])?;
        let months = months.map(|node| self.months(node, &format!("{path}.months")));
        let weekdays = weekdays.map(|node| self.weekdays(node, &format!("{path}.weekdays")));
        let path = format!("{path}.periods");
        let periods = self
            .required(periods, &path)
            .and_then(|node| self.periods(node, &path))?;
        Some(DaySchedule {
            months,
            weekdays,
            periods,
        })
    }

    fn months(&mut self, node: Node, path: &str) -> BTreeSet<u8> {
        let mut months = BTreeSet::new();
        for (index, node) in self.list(node, path, 12).into_iter().flatten().enumerate() {
            let month = match node {
                Node::Number(digits) => digits.parse().ok().filter(|month| (1..=12).contains(month)),
                _ => None,
            };
            let path = format!("{path}[{index}]");
            match month {
                Some(month) if !months.insert(month) => self.note(&path, "is listed twice"),
                Some(_) => {}
                None => self.note(&path, "a month is a number from 1 to 12"),
            }
        }
        months
    }

    fn weekdays(&mut self, node: Node, path: &str) -> BTreeSet<Weekday> {
        let mut weekdays = BTreeSet::new();
        for (index, node) in self.list(node, path, 7).into_iter().flatten().enumerate() {
            let weekday = match node {
                Node::Text(text) => Weekday::ALL.into_iter().find(|day| day.as_str() == text),
                _ => None,
            };
            let path = format!("{path}[{index}]");
            match weekday {
                Some(weekday) if !weekdays.insert(weekday) => self.note(&path, "is listed twice"),
                Some(_) => {}
                None => {
                    let message = "a day of the week is one of \"mon\" \"tue\" \"wed\" \"thu\" \"fri\" \"sat\" \"sun\"";
                    self.note(&path, message)
                }
            }
        }
        weekdays
    }

    /// The periods of a day, which must follow one another from 00:00 to 24:00.
    fn periods(&mut self, node: Node, path: &str) -> Option<Vec<Period>> {
        let nodes = self.list(node, path, PERIODS_MAX)?;
        let last = nodes.len().saturating_sub(1);
        let mut periods = Vec::with_capacity(nodes.len());
        let mut covered_to = Some(0);
        for (index, node) in nodes.into_iter().enumerate() {
            let path = format!("{path}[{index}]");
            let Some([from, to, kind]) = self.fields(node, &path, ["from", "to", "kind"]) else {
                covered_to = None;
                continue;
            };
            let (from_path, to_path, kind_path) =
                (format!("{path}.from"), format!("{path}.to"), format!("{path}.kind"));
            let from = self
                .required(from, &from_path)
                .and_then(|node| self.clock(node, &from_path));
            let to = self.required(to, &to_path).and_then(|node| self.clock(node, &to_path));
            let kind = self
                .required(kind, &kind_path)
                .and_then(|node| self.kind(node, &kind_path));
            if let (Some(from), Some(covered_to)) = (from, covered_to) {
                self.adjacent(from, covered_to, &from_path);
            }
            if let (Some(from), Some(to)) = (from, to) {
                self.ends_after_it_starts(from, to, &to_path);
                if index == last && to < MinuteOfDay::PER_DAY && from < to {
                    self.note(
                        &to_path,
                        format!("the day ends at {}; the last period must go to 24:00", clock(to)),
                    )
                }
            }
            covered_to = to;
            if let (Some(from), Some(kind)) = (from.and_then(MinuteOfDay::new), kind) {
                periods.push(Period { from, kind });
            }
        }
        Some(periods)
    }

    fn adjacent(&mut self, from: u16, covered_to: u16, path: &str) {
        let (starts, ends) = (clock(from), clock(covered_to));
        if from > covered_to {
            self.note(
                path,
                format!("nothing covers {ends} to {starts}; start this period at {ends}"),
            )
        } else if from < covered_to {
            let message =
                format!("overlaps the period before it, which ends at {ends}; start at {ends}, with periods in order");
            self.note(path, message)
        }
    }

    fn ends_after_it_starts(&mut self, from: u16, to: u16, path: &str) {
        if to <= from {
            let message = format!(
                "ends at {}, not after its start at {}; a period across midnight is written as two: one to 24:00, one from 00:00",
                clock(to),
                clock(from)
            );
            self.note(path, message)
        }
    }

    fn clock(&mut self, node: Node, path: &str) -> Option<u16> {
        let text = self.text(node, path, "a time of day in quotes such as \"08:30\"")?;
        match parse_clock(&text) {
            Some(minutes) => Some(minutes),
            None => self.fault(
                path,
                format!(
                    "`{}` is not a time of day from \"00:00\" to \"24:00\"",
                    shortened(&text)
                ),
            ),
        }
    }

    fn kind(&mut self, node: Node, path: &str) -> Option<PeriodKind> {
        let names = PeriodKind::ALL.map(PeriodKind::as_str);
        let text = self.text(node, path, "one of \"sharp\" \"peak\" \"flat\" \"valley\"")?;
        match PeriodKind::ALL.into_iter().find(|kind| kind.as_str() == text) {
            Some(kind) => Some(kind),
            None => self.fault(path, unknown(&text, &names)),
        }
    }

    /// The values of a table's `keys`; any other key, and any key given twice, is a fault.
    fn fields<const N: usize>(&mut self, node: Node, path: &str, keys: [&str; N]) -> Option<[Option<Node>; N]> {
        let Node::Table(entries) = node else {
            return self.fault(path, format!("is {}; give a table with {}", node.what(), quoted(&keys)));
        };
        let mut values = [const { None }; N];
        for (key, value) in entries {
            let path = joined(path, &shortened(&key));
            match keys.iter().position(|known| *known == key) {
                Some(index) if values[index].is_none() => values[index] = Some(value),
                Some(_) => self.note(&path, "is given twice"),
                None if self.unknown_keys == UnknownKeys::ArePassedOver => {}
                None => self.note(&path, unknown(&key, &keys)),
            }
        }
        Some(values)
    }

    fn required(&mut self, node: Option<Node>, path: &str) -> Option<Node> {
        node.or_else(|| self.fault(path, "is missing"))
    }

    fn list(&mut self, node: Node, path: &str, items_max: usize) -> Option<Vec<Node>> {
        match node {
            Node::List(items) if items.len() <= items_max => Some(items),
            Node::List(items) => self.fault(
                path,
                format!("has {} entries; at most {items_max} are allowed", items.len()),
            ),
            other => self.fault(path, format!("is {}; give a list", other.what())),
        }
    }

    fn text(&mut self, node: Node, path: &str, wanted: &str) -> Option<String> {
        match node {
            Node::Text(text) => Some(text),
            other => self.fault(path, format!("is {}; give {wanted}", other.what())),
        }
    }
}

impl Node {
    fn what(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Number(_) | Self::Float(_) => "a number",
            Self::Datetime(_) => "a date or time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(what) => what,
        }
    }
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn clock(minutes: u16) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

fn quoted(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn unknown(given: &str, known: &[&str]) -> String {
    let given = shortened(given);
    let nearest = known
        .iter()
        .map(|name| (edits(&given, name), name))
        .min()
        .filter(|(edits, _)| *edits <= 2);
    match nearest {
        Some((_, name)) => format!("`{given}` is not known here; did you mean `{name}`?"),
        None => format!("`{given}` is not known here; known are {}", quoted(known)),
    }
}

/// Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
