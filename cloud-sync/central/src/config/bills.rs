//! How the columns of CSV files are called that are imported as bills: `[[bills.csv]]`.

use crate::bills::{
    Encoding,
    mapped::{Kinds, Mapping},
};
use service::config::{Given, nearest, shortened};
use std::collections::BTreeMap;

/// The most mappings.
const MAPPINGS_MAX: usize = 32;
/// Every key of one.
const KEYS: [&str; 22] = [
    "channel",
    "encoding",
    "separator",
    "reference",
    "out_no",
    "amount",
    "at",
    "at_format",
    "kind",
    "payments",
    "refunds",
    "ignore",
    "settled",
    "fee",
    "refund_reference",
    "refund_out_no",
    "merchant",
    "currency",
    "status",
    "name",
    "total",
    "total_of",
];

/// All mappings, of which no channel has two.
pub(super) fn mappings(given: &Given) -> Result<Vec<Mapping>, String> {
    let Given::List(items) = given else {
        return Err(format!(
            "is {}; write a table [[bills.csv]] for each channel, in the file",
            given.what()
        ));
    };
    if items.len() > MAPPINGS_MAX {
        return Err(format!(
            "has {} tables; at most {MAPPINGS_MAX} are allowed",
            items.len()
        ));
    }
    let mut mappings: Vec<Mapping> = Vec::new();
    for (n, item) in items.iter().enumerate() {
        let Given::Table(entries) = item else {
            return Err(format!("has {} in it; write tables [[bills.csv]]", item.what()));
        };
        let read = mapping(entries).map_err(|error| format!("table {}: {error}", n + 1))?;
        if mappings.iter().any(|before| before.channel == read.channel) {
            return Err(format!("names the channel {} twice", read.channel));
        }
        mappings.push(read);
    }
    Ok(mappings)
}

fn mapping(entries: &[(String, Given)]) -> Result<Mapping, String> {
    let given: BTreeMap<&str, &Given> = entries.iter().map(|(key, value)| (key.as_str(), value)).collect();
    if let Some(wrong) = given.keys().find(|key| !KEYS.contains(*key)) {
        let meant = match nearest(wrong, KEYS.into_iter()) {
            Some(meant) => format!("; did you mean `{meant}`?"),
            None => format!("; known are {}", KEYS.join(", ")),
        };
        return Err(format!("`{}` is not a known key{meant}", shortened(wrong)));
    }
    let optional = |key: &str| -> Result<Option<String>, String> {
        let text = given.get(key).map(|value| value.text()).transpose();
        let text = text.map_err(|error| format!("{key} {error}"))?;
        Ok(text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned))
    };
    let required = |key: &str| {
        let missing = || format!("{key} is missing: the name of a column, as the file has it");
        optional(key)?.ok_or_else(missing)
    };
    let words = |key: &str| -> Result<Vec<String>, String> {
        let wanted = || format!("{key} must be a list of words, as in [\"消费\"]");
        match given.get(key) {
            None => Ok(Vec::new()),
            Some(Given::List(items)) => {
                let texts = items.iter().map(|item| item.text().map(str::to_owned));
                texts.collect::<Result<_, _>>().map_err(|_| wanted())
            }
            Some(_) => Err(wanted()),
        }
    };
    let encoding = match optional("encoding")?.as_deref() {
        None | Some("utf-8") => Encoding::Utf8,
        Some("gbk") => Encoding::Gbk,
        Some(other) => return Err(format!("encoding `{}` is not \"utf-8\" or \"gbk\"", shortened(other))),
    };
    let separator = match given.get("separator").map(|value| value.text()).transpose()? {
        None | Some(",") => ',',
        Some(";") => ';',
        Some("\t") => '\t',
        Some("|") => '|',
        Some(other) => return Err(format!("separator `{}` is not one of , ; | and tab", shortened(other))),
    };
    let (payments, refunds, ignored) = (words("payments")?, words("refunds")?, words("ignore")?);
    let kind = match (optional("kind")?, payments.is_empty()) {
        (None, true) if refunds.is_empty() && ignored.is_empty() => None,
        (Some(column), false) => Some(Kinds {
            column,
            payments,
            refunds,
            ignored,
        }),
        _ => {
            return Err(
                "kind goes with payments, refunds and ignore: a column, and the words that stand in it".to_owned(),
            );
        }
    };
    let mapping = Mapping {
        channel: required("channel").map_err(|_| "channel is missing: the channel's name".to_owned())?,
        encoding,
        separator,
        reference: required("reference")?,
        out_no: required("out_no")?,
        amount: required("amount")?,
        at: required("at")?,
        at_form: optional("at_format")?,
        kind,
        settled: optional("settled")?,
        fee: optional("fee")?,
        refund_reference: optional("refund_reference")?,
        refund_out_no: optional("refund_out_no")?,
        merchant: optional("merchant")?,
        currency: optional("currency")?,
        status: optional("status")?,
        name: optional("name")?,
        total: optional("total")?,
        total_of: words("total_of")?,
    };
    let summed = [Some(&mapping.amount), mapping.settled.as_ref(), mapping.fee.as_ref()];
    let is_summed = |name: &String| summed.contains(&Some(name));
    if !mapping.total_of.iter().all(is_summed) || (mapping.total.is_none() && !mapping.total_of.is_empty()) {
        return Err("total_of goes with total, and names columns among those of amount, settled and fee".to_owned());
    }
    Ok(mapping)
}

#[cfg(test)]
mod tests {
    use crate::{
        bills::{Expected, Format, Stopped, archive::read_file},
        config::Config,
    };
    use domain::units::Fen;
    use jiff::tz::TimeZone;
    use std::{convert::Infallible, io::Cursor, path::Path};

    /// The block of code after the mark `<!-- name -->` of `docs/bills.md`.
    fn sample(name: &str) -> String {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/bills.md");
        let text = std::fs::read_to_string(path).unwrap();
        let mark = format!("<!-- {name} -->\n```");
        let (_, after) = text.split_once(&mark).unwrap();
        let (_, code) = after.split_once('\n').unwrap();
        code[..code.find("```").unwrap()].to_owned()
    }

    #[test]
    fn the_documents_mapping_reads_the_documents_file() {
        let config = Config::of_text(Path::new("central.toml"), &sample("mapping"), []).unwrap();
        let expected = Expected {
            merchant: "1900000001".to_owned(),
            day: "2026-03-09".parse().unwrap(),
            zone: TimeZone::get("Asia/Shanghai").unwrap(),
            mapping: Some(config.bills.csv[0].clone()),
        };
        let sample = sample("csv");
        let (file, ..) = encoding_rs::GBK.encode(&sample);
        let read = read_file(Cursor::new(&file), Format::Csv, &expected, |_| Ok::<(), Infallible>(()));
        let sums = match read {
            Ok(sums) => sums,
            Err(Stopped::Refused(refusal)) => panic!("{refusal}"),
            Err(stopped) => panic!("{stopped:?}"),
        };
        assert_eq!(
            (sums.lines, sums.income, sums.outgo, sums.fees),
            (2, Fen(5_000), Fen(700), Fen(26))
        );
    }
}
