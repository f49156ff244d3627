//! A table of differences that a person has filled in and sent back: its lines, read strictly, and what each of them wants. Spreadsheets save
//! such a table with a mark or without, with commas, semicolons or tabs, and leave columns where people have put them.

use crate::{
    bills::separated,
    csv::unguarded,
    money::sent_back::{Line, Wants},
    reconcile::stake::Kind,
};
use domain::ids::MemberId;
use service::http::body::check_reason;
use std::borrow::Cow;

/// The longest file, in bytes.
pub const BYTES_MAX: usize = 8 << 20;
/// The most lines of one that want something.
pub const LINES_MAX: usize = 10_000;

/// The columns that are read; others are passed over.
const COLUMNS: [&str; 7] = [
    "discrepancy",
    "judged",
    "proposal",
    "member",
    "reason",
    "maker",
    "approve",
];
/// What stands under `approve` where somebody does.
const YES: [&str; 4] = ["yes", "y", "是", "同意"];

/// Why nothing of a file is read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} {why}")]
pub struct Unreadable {
    /// The line, counted from 1.
    pub line: u64,
    /// What is wrong, in words.
    pub why: String,
}

fn unreadable(line: u64, why: impl Into<String>) -> Unreadable {
    Unreadable { line, why: why.into() }
}

/// The lines of a file that want something, in its order.
///
/// # Errors
/// [`Unreadable`]: nothing of it is to be done.
pub fn read(bytes: &[u8]) -> Result<Vec<Line>, Unreadable> {
    const UTF_16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];
    if UTF_16.iter().any(|mark| bytes.starts_with(mark)) {
        return Err(unreadable(1, "begins as UTF-16: save the table as \"CSV UTF-8\""));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let end = if bytes.contains(&b'\n') { b'\n' } else { b'\r' };
    let mut lines = Vec::new();
    let mut head: Option<(char, [usize; COLUMNS.len()], usize)> = None;
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == end)) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = std::str::from_utf8(line).map_err(|_| {
            unreadable(
                number,
                "is not UTF-8, so names in it would be read wrong: save the table as \"CSV UTF-8\"",
            )
        })?;
        // A hint for spreadsheets.
        if text.trim().is_empty() || (head.is_none() && text.starts_with("sep=")) {
            continue;
        }
        let Some((separator, places, count)) = &head else {
            head = Some(head_of(number, text)?);
            continue;
        };
        let fields = fields(number, text, *separator)?;
        if fields.len() != *count {
            let why = format!("has {} fields for {count} columns", fields.len());
            return Err(unreadable(number, why));
        }
        let of = places.map(|place| unguarded(&fields[place]).trim());
        if let Some(line) = line_of(number, of) {
            if lines.len() == LINES_MAX {
                return Err(unreadable(
                    number,
                    format!("is one too many: at most {LINES_MAX} lines may want something; leave the others out"),
                ));
            }
            lines.push(line);
        }
    }
    match head {
        Some(_) => Ok(lines),
        None => Err(unreadable(1, "names no columns: the file is empty")),
    }
}

fn fields(number: u64, text: &str, separator: char) -> Result<Vec<Cow<'_, str>>, Unreadable> {
    separated(number, text, separator).map_err(|refusal| unreadable(number, refusal.words))
}

/// The separator, where the columns are, and how many there are.
fn head_of(number: u64, text: &str) -> Result<(char, [usize; COLUMNS.len()], usize), Unreadable> {
    let separator = [',', ';', '\t']
        .into_iter()
        .max_by_key(|separator| text.matches(*separator).count());
    let separator = separator.unwrap_or(',');
    let names = fields(number, text, separator)?;
    let mut places = [0; COLUMNS.len()];
    for (place, column) in places.iter_mut().zip(COLUMNS) {
        let mut found = (0..names.len()).filter(|at| names[*at].eq_ignore_ascii_case(column));
        *place = match (found.next(), found.next()) {
            (Some(at), None) => at,
            (None, _) => {
                let why = format!("names no column {column}: it is the table of differences that is sent back");
                return Err(unreadable(number, why));
            }
            (Some(_), Some(_)) => return Err(unreadable(number, format!("names the column {column} twice"))),
        };
    }
    Ok((separator, places, names.len()))
}

/// A line, if it wants something. What somebody had proposed when the table was taken stands in it, and is not proposed anew by whoever sends
/// it back: they may approve it.
fn line_of(number: u64, of: [&str; COLUMNS.len()]) -> Option<Line> {
    let [discrepancy, judged, proposal, _, _, maker, approve] = of;
    if approve.is_empty() && (proposal.is_empty() || !maker.is_empty()) {
        return None;
    }
    Some(Line {
        number,
        discrepancy: discrepancy.to_owned(),
        judged: judged.to_owned(),
        wants: wants(of),
    })
}

fn wants([discrepancy, _, proposal, member, reason, maker, approve]: [&str; COLUMNS.len()]) -> Result<Wants, String> {
    let number = discrepancy.parse();
    let number = number.map_err(|_| format!("`{}` is not the number of a discrepancy", shortened(discrepancy)))?;
    let approves = match approve {
        "" => false,
        word if YES.contains(&word.to_lowercase().as_str()) => true,
        word => {
            let word = shortened(word);
            return Err(format!(
                "`{word}` under approve is not yes; leave it empty, or reject what is proposed one by one"
            ));
        }
    };
    let kind = Kind::of_word(&proposal.to_lowercase()).ok_or_else(|| {
        let words = Kind::ALL.map(Kind::word).join(", ");
        format!("`{}` under proposal is not one of {words}", shortened(proposal))
    })?;
    let member = match member {
        "" => None,
        member => {
            let read = member.parse::<MemberId>();
            Some(read.map_err(|error| format!("`{}` is not a member: {error}", shortened(member)))?)
        }
    };
    check_reason("reason", reason).map_err(|problem| format!("the reason {}", problem.details().detail))?;
    Ok(Wants {
        discrepancy: number,
        approves,
        kind,
        member,
        reason: reason.to_owned(),
        maker: Some(maker.to_owned()).filter(|maker| !maker.is_empty()),
    })
}

fn shortened(text: &str) -> String {
    service::config::shortened(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "discrepancy,class,judged,proposal,member,reason,maker,approve";

    fn read_text(text: &str) -> Result<Vec<Line>, Unreadable> {
        read(text.as_bytes())
    }

    #[test]
    fn a_table_is_read_however_a_spreadsheet_has_saved_it() {
        let wanted = |discrepancy, approves, kind, member: Option<&str>, reason: &str, maker: Option<&str>| {
            Ok(Wants {
                discrepancy,
                approves,
                kind,
                member: member.map(|member| member.parse().unwrap()),
                reason: reason.to_owned(),
                maker: maker.map(str::to_owned),
            })
        };
        let plain = format!(
            "\u{feff}{HEAD}\r\n7,LONG,LONG 500/-/500/0/-,credit,m1,\"as he says, \"\"mine\"\"\",,\r\n8,SHORT,SHORT 1/1/-/0/-,,,,,\r\n\
             9,SHORT,SHORT 2/2/-/0/-,WRITE_OFF,,'-5 from us,li,Yes\r\n10,LONG,j,credit,m1,it waits,li,\r\n"
        );
        let semicolons = plain
            .replace("as he says, ", "as he says; ")
            .replace(',', ";")
            .replace("says; ", "says, ");
        let tabs = plain
            .replace("says, ", "says; ")
            .replace(',', "\t")
            .replace("says; ", "says, ");
        let old_macs = plain.replace("\r\n", "\r");
        let without_mark = plain.replace('\u{feff}', "").replace("\r\n", "\n");
        let hinted = format!("sep=;\r\n{}", semicolons.replace('\u{feff}', ""));
        for text in [&plain, &semicolons, &tabs, &old_macs, &without_mark, &hinted] {
            let lines = read_text(text).unwrap();
            let wants: Vec<_> = lines.iter().map(|line| line.wants.clone()).collect();
            assert_eq!(
                wants,
                [
                    wanted(7, false, Kind::Credit, Some("m1"), "as he says, \"mine\"", None),
                    wanted(9, true, Kind::WriteOff, None, "-5 from us", Some("li")),
                ],
                "{text}"
            );
            assert_eq!(lines[0].judged, "LONG 500/-/500/0/-");
        }
        assert_eq!(read_text(&plain).unwrap()[1].number, 4);
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_line() {
        let told = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
        let mut gbk = format!("{HEAD}\r\n1,LONG,j,accept,,").into_bytes();
        gbk.extend(encoding_rs::GBK.encode("银行错了").0.iter());
        gbk.extend(b",,\r\n");
        assert!(told(&gbk).starts_with("line 2 is not UTF-8"), "{}", told(&gbk));
        assert!(told(b"\xff\xfed\0").starts_with("line 1 begins as UTF-16"));
        assert_eq!(told(b""), "line 1 names no columns: the file is empty");
        assert!(told(b"discrepancy,proposal\r\n").contains("names no column judged"));
        assert!(told(format!("{HEAD},approve\r\n").as_bytes()).contains("names the column approve twice"));
        assert_eq!(
            told(format!("{HEAD}\r\n1,2\r\n").as_bytes()),
            "line 2 has 2 fields for 8 columns"
        );
        assert!(told(format!("{HEAD}\r\n1,\"2\r\n").as_bytes()).starts_with("line 2 has a quoted field"));
        let many = format!("{HEAD}\r\n{}", "1,c,j,accept,,r,,\r\n".repeat(LINES_MAX + 1));
        assert!(told(many.as_bytes()).starts_with("line 10002 is one too many"));
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said_of_it_alone() {
        let wrong = |line: &str| {
            let lines = read_text(&format!("{HEAD}\r\n{line}\r\n1,c,j,accept,,r,,\r\n")).unwrap();
            assert!(lines[1].wants.is_ok());
            lines[0].wants.clone().unwrap_err()
        };
        assert_eq!(wrong("x,c,j,accept,,r,,"), "`x` is not the number of a discrepancy");
        assert!(wrong("1,c,j,give,,r,,").starts_with("`give` under proposal is not one of credit, write_off"));
        assert!(wrong("1,c,j,credit,no member,r,,").contains("is not a member"));
        assert!(wrong("1,c,j,accept,,,,").contains("reason"));
        assert!(wrong("1,c,j,accept,,r,,no").contains("is not yes"));
    }
}
