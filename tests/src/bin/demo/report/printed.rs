//! The report: made by itself, its first page as people read it, and the whole as a spreadsheet.

use super::chain::until;
use anyhow::{Context, bail, ensure};
use serde_json::Value;
use std::{io::ErrorKind, path::PathBuf, process::Command};
use world::{head_office::HeadOfficeProcess, station::repository};

/// Has a day of a channel or a site reconciled. What head office is at by itself meanwhile is waited for.
///
/// # Errors
/// It is not.
pub(super) async fn reconciled(office: &HeadOfficeProcess, day: &str, of: [&str; 2]) -> anyhow::Result<()> {
    let words = [&["reconcile", "--day", day], &of[..]].concat();
    until("a day is reconciled", async || match office.cli(&words) {
        Ok(_) => Ok(true),
        Err(error) if error.to_string().contains("are being reconciled") => Ok(false),
        Err(error) => Err(error),
    })
    .await
}

/// The report of a day, for programs.
///
/// # Errors
/// There is none.
pub(super) fn report(office: &HeadOfficeProcess, day: &str) -> anyhow::Result<Value> {
    let text = office.cli(&["report", "--day", day, "--format", "json"])?;
    Ok(serde_json::from_str(&text)?)
}

/// Prints the first page: the questions, and what is said to each. Without control totals and digests it is the one in the document.
///
/// # Errors
/// There is none, or another one than in `docs/reconciliation.md`.
pub(super) fn first_page(office: &HeadOfficeProcess, day: &str) -> anyhow::Result<()> {
    let words = ["report", "--day", day, "--format", "csv", "--sheet", "summary"];
    let table = office.cli(&words)?;
    let (mut before, mut page) = (String::new(), String::new());
    for line in table.lines().skip(1) {
        let fields = fields(line);
        let [question, of, what, answer, count, amount] = &fields[..] else {
            bail!("a line of the first page: {line}");
        };
        // Numbers of runs, control totals and digests are printed, and not in the document.
        let is_in_document = match question.as_str() {
            "report" => !what.contains("digest"),
            "does it balance" => what == "balances",
            question => question != "by what",
        };
        if *question != before {
            println!("\n       {}", question.to_uppercase());
            if question != "by what" {
                page += &format!("\n{}\n", question.to_uppercase());
            }
            question.clone_into(&mut before);
        }
        let amount = match amount.as_str() {
            "" => String::new(),
            yuan => format!("¥{yuan}"),
        };
        let line = format!("  {of:24} {what:31} {count:>4} {amount:>10}  {answer}");
        println!("       {line}");
        if is_in_document {
            page += &format!("{}\n", line.trim_end());
        }
    }
    let document = std::fs::read_to_string(repository().join("docs/reconciliation.md"))?;
    ensure!(
        in_document(&document)? == spaced(&page),
        "docs/reconciliation.md has another first page than this:\n{page}"
    );
    Ok(())
}

/// The first page in the document.
fn in_document(document: &str) -> anyhow::Result<Vec<String>> {
    let page = document
        .split_once("```text\nREPORT\n")
        .context("no first page in it")?
        .1;
    let page = page.split_once("```").context("a first page without an end")?.0;
    Ok(spaced(&format!("REPORT\n{page}")))
}

/// Its lines that say something, with one space between words: how far apart columns stand is nobody's concern.
fn spaced(page: &str) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    page.lines().map(words).filter(|line| !line.is_empty()).collect()
}

/// The fields of a line of CSV (RFC 4180), without the apostrophe that keeps a text one.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut is_quoted) = (vec![String::new()], false);
    for letter in line.chars() {
        match letter {
            // A quote within quotes is two, so it ends and begins again.
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(String::new()),
            letter => fields.last_mut().into_iter().for_each(|field| field.push(letter)),
        }
    }
    fields
        .into_iter()
        .map(|field| field.trim_start_matches('\'').to_owned())
        .collect()
}

/// Writes the whole as a spreadsheet, and has a program that shares no code with head office read it; what was said of it.
///
/// # Errors
/// It is none, or has something else in it than the report.
pub(super) fn spreadsheet(office: &HeadOfficeProcess, day: &str, report: &Value) -> anyhow::Result<String> {
    let file = demo_folder()?.join(format!("reconciliation-{day}.xlsx"));
    if file.exists() {
        std::fs::remove_file(&file)?;
    }
    let path = file.to_str().context("a path")?;
    let said = office.cli(&["report", "--day", day, "--format", "xlsx", "--output", path])?;
    let bytes = std::fs::read(&file)?;
    ensure!(bytes.starts_with(b"PK\x03\x04"), "{path} is no spreadsheet");
    ensure!(
        said.contains(&format!("{} bytes", bytes.len())),
        "{said}, and not {} bytes",
        bytes.len()
    );
    let said = said.trim();
    let script = repository().join("tests/figures/xlsx.py");
    let read = match Command::new("python3").arg(script).arg(&file).output() {
        Ok(read) => read,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(format!(
                "{said}\n       NOT CHECKED: python3 is not installed, so no other program has read the spreadsheet back"
            ));
        }
        Err(error) => return Err(error.into()),
    };
    ensure!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let classes = classes_in(&serde_json::from_slice(&read.stdout)?)?;
    let rows = report["differences"]
        .as_array()
        .context("a report without differences")?;
    let reported: Vec<&str> = rows.iter().filter_map(|row| row["class"].as_str()).collect();
    ensure!(
        classes == reported,
        "the spreadsheet has {classes:?}, and the report {reported:?}"
    );
    Ok(format!(
        "{said}; another program reads {} differences in it",
        classes.len()
    ))
}

/// The classes on the sheet of differences, as they were read in a spreadsheet.
fn classes_in(read: &Value) -> anyhow::Result<Vec<String>> {
    let sheets = read.as_array().context("sheets")?;
    let sheet = sheets.iter().find(|sheet| sheet["name"] == "Differences");
    let rows = sheet.and_then(|sheet| sheet["rows"].as_array());
    let (head, rows) = rows
        .and_then(|rows| rows.split_first())
        .context("no differences in it")?;
    let head = head.as_array().context("names of columns")?;
    let class = head
        .iter()
        .position(|cell| cell["text"] == "class")
        .context("no classes in it")?;
    let text = |row: &Value| row[class]["text"].as_str().map(str::to_owned);
    rows.iter()
        .map(|row| text(row).context("a row without a class"))
        .collect()
}

/// Where the demonstration leaves what it has written: beside the programs.
fn demo_folder() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program
        .parent()
        .context("a program lies in a folder")?
        .join("demo-report");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
