//! The report: made by itself, its first page as people read it, and the whole as a spreadsheet.

use super::chain::{BANK, until};
use anyhow::{Context, ensure};
use serde_json::Value;
use std::path::PathBuf;
use world::{back_end::CHANNEL, head_office::HeadOfficeProcess};

/// Has a day of every channel and site reconciled. What head office is at by itself meanwhile is waited for.
///
/// # Errors
/// It is not.
pub(super) async fn reconciled(office: &HeadOfficeProcess, day: &str) -> anyhow::Result<()> {
    for of in [
        ["--channel", CHANNEL],
        ["--channel", BANK],
        ["--site", "north"],
        ["--site", "south"],
    ] {
        let words = [&["reconcile", "--day", day], &of[..]].concat();
        until("a day is reconciled", async || match office.cli(&words) {
            Ok(_) => Ok(true),
            Err(error) if error.to_string().contains("are being reconciled") => Ok(false),
            Err(error) => Err(error),
        })
        .await?;
    }
    Ok(())
}

/// The report of a day, for programs.
///
/// # Errors
/// There is none.
pub(super) fn report(office: &HeadOfficeProcess, day: &str) -> anyhow::Result<Value> {
    let text = office.cli(&["report", "--day", day, "--format", "json"])?;
    Ok(serde_json::from_str(&text)?)
}

/// Prints the first page.
///
/// # Errors
/// The report has none.
pub(super) fn first_page(report: &Value) -> anyhow::Result<()> {
    let mut before = "";
    for row in report["summary"].as_array().context("a report without a first page")? {
        let question = row["question"].as_str().unwrap_or_default();
        if question != before {
            println!("\n       {}", question.to_uppercase());
            before = question;
        }
        let count = row["count"].as_i64().map(|count| count.to_string());
        let text = |key: &str| row[key].as_str().map(str::to_owned);
        let parts = [
            text("of"),
            text("what"),
            text("answer"),
            count,
            text("amount").map(|yuan| format!("¥{yuan}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
        println!("         {}", parts.join(" | "));
    }
    Ok(())
}

/// Writes the whole as a spreadsheet; what was said of it.
///
/// # Errors
/// It is none.
pub(super) fn spreadsheet(office: &HeadOfficeProcess, day: &str) -> anyhow::Result<String> {
    let folder = demo_folder()?;
    let file = folder.join(format!("reconciliation-{day}.xlsx"));
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
    Ok(said.trim().to_owned())
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
