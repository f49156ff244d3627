//! Citations lead somewhere: sections of the sources, decisions, documents and their headings, paths, clauses of MQTT.
//! What is cited and cannot be found is worse than nothing: the reader looks for it.

use super::{File, Offence, Tree, markdown};

const SOURCES: &str = "docs/sources.md";
const DECISIONS: &str = "docs/decisions/";

pub(super) fn check(tree: &Tree) -> Vec<Offence> {
    let sections = sections(tree);
    let mut offences = numbered_twice(tree);
    for file in &tree.files {
        let may_cite = ["rs", "md", "toml", "py"].iter().any(|extension| file.is(extension));
        // The rules' own tests cite what is not there.
        if !may_cite || file.path.starts_with("xtask/src/tidy") {
            continue;
        }
        let mut told = |line: usize, what_to_do: Vec<String>| {
            offences.extend(what_to_do.into_iter().map(|it| file.offence(line, it)));
        };
        for (line, text) in file.lines() {
            told(line, unknown_sections(text, &sections));
            told(line, unknown_decisions(text, tree));
            told(line, malformed_clauses(text));
            told(line, unknown_documents(text, tree));
            if file.is("md") || text.trim_start().starts_with("//") {
                told(line, unknown_paths(text, tree));
            }
        }
        for (line, what_to_do) in unknown_headings(file, tree) {
            told(line, vec![what_to_do]);
        }
    }
    offences
}

/// The sections that can be cited: `S05`, `S05 §2.1`. Those are the headings of docs/sources.md and the rows below them.
fn sections(tree: &Tree) -> Vec<String> {
    let Some(sources) = tree.file(SOURCES) else {
        return Vec::new();
    };
    let mut sections = Vec::new();
    let mut source = "";
    for line in sources.text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            source = title.split([' ', ':']).next().unwrap_or(title);
            sections.push(source.to_owned());
        }
        if let Some(section) = line.strip_prefix("| §").and_then(|rest| rest.split_whitespace().next()) {
            sections.push(format!("{source} §{section}"));
        }
    }
    sections
}

/// `S05 §2.3, §4.1`: every section behind a source.
fn unknown_sections(text: &str, known: &[String]) -> Vec<String> {
    let mut unknown = Vec::new();
    for (source, mut rest) in words_after(text, "S").filter_map(|(number, rest)| Some((source(number)?, rest))) {
        let mut cited = Vec::new();
        while let Some(section) = rest.trim_start_matches([',', ' ']).strip_prefix('§') {
            let end = section
                .find(|c: char| c != '.' && !c.is_ascii_digit())
                .unwrap_or(section.len());
            cited.push(format!("{source} §{}", section[..end].trim_end_matches('.')));
            rest = &section[end..];
        }
        if known.contains(&source) {
            unknown.extend(cited.into_iter().filter(|it| !known.contains(it)));
        } else {
            unknown.push(source);
        }
    }
    let what_to_do = |it: String| format!("cite a section that {SOURCES} has, or add it there: it has no {it}");
    unknown.into_iter().map(what_to_do).collect()
}

/// `S03`: two digits, and nothing that makes it part of a longer word.
fn source(number: &str) -> Option<String> {
    (number.len() == 2 && number.bytes().all(|byte| byte.is_ascii_digit())).then(|| format!("S{number}"))
}

/// `decision 0007`, `decisions 0007 and 0011`, `docs/decisions/0007`.
fn unknown_decisions(text: &str, tree: &Tree) -> Vec<String> {
    let mut cited = Vec::new();
    let named = ["decision", "Decision"]
        .into_iter()
        .flat_map(|word| words_after(text, word));
    for (_, after) in named.filter(|(ending, _)| matches!(*ending, "" | "s")) {
        let words = after.split([' ', ',']).filter(|word| !word.is_empty());
        let numbers = words.take_while(|word| *word == "and" || word.starts_with(|c: char| c.is_ascii_digit()));
        cited.extend(numbers.filter_map(decision_number));
    }
    cited.extend(text.split(DECISIONS).skip(1).filter_map(decision_number));
    let is_there = |number: &&str| tree.paths.iter().any(|path| number_of(path) == Some(*number));
    let unknown = cited.into_iter().filter(|number| !is_there(number));
    unknown
        .map(|number| format!("cite a decision that is there: {DECISIONS} has no {number}"))
        .collect()
}

/// The four digits that a text begins with.
fn decision_number(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (end == 4).then(|| &text[..end])
}

/// The number of the decision that a path holds.
fn number_of(path: &str) -> Option<&str> {
    let name = path.strip_prefix(DECISIONS)?;
    decision_number(name).filter(|number| name[number.len()..].starts_with('-'))
}

/// Two decisions of one number, or one whose title has another number than its name.
fn numbered_twice(tree: &Tree) -> Vec<Offence> {
    let mut offences = Vec::new();
    let mut before = None;
    for file in &tree.files {
        let Some(number) = number_of(&file.path) else {
            continue;
        };
        if before == Some(number) {
            offences.push(file.offence(
                1,
                format!("give it a number of its own: there is another decision {number}"),
            ));
        }
        before = Some(number);
        if !file.text.starts_with(&format!("# {number} ")) {
            offences.push(file.offence(
                1,
                format!("begin with `# {number} ` and the title, as the file's name does"),
            ));
        }
    }
    offences
}

/// `MQTT-3.1.2-24` is a statement, `MQTT-3.1.2` or `MQTT5 3.1.2.11` a section, of chapters 1 to 7.
fn malformed_clauses(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (clause, _) in words_after(text, "MQTT-").filter(|(clause, _)| clause.starts_with(|c: char| c.is_ascii_digit()))
    {
        let (section, statement) = clause
            .split_once('-')
            .map_or((clause, None), |(section, no)| (section, Some(no)));
        let numbers: Vec<Option<u32>> = section.split('.').map(|number| number.parse().ok()).collect();
        let is_section = numbers.iter().all(Option::is_some) && matches!(numbers.first(), Some(Some(1..=7)));
        let is_good = match statement {
            None => is_section && (2..=5).contains(&numbers.len()),
            // Statements are numbered within sections of three numbers, MQTT-3.1.0-1 too.
            Some(number) => is_section && numbers.len() == 3 && number.parse().is_ok_and(|number: u32| number > 0),
        };
        if !is_good {
            wrong.push(format!(
                "write a clause of MQTT as MQTT-3.1.2-24 or MQTT-3.1.2, not MQTT-{clause}"
            ));
        }
    }
    wrong
}

/// `docs/pile-protocol.md`, wherever it is named.
fn unknown_documents(text: &str, tree: &Tree) -> Vec<String> {
    let mut unknown = Vec::new();
    for (at, _) in text.match_indices("docs/") {
        let begins = !text[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_'))
            || text[..at].ends_with("../");
        let named = &text[at..];
        let end = named.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '/' | '.' | '-' | '_'));
        let named = named[..end.unwrap_or(named.len())].trim_end_matches('.');
        let is_file = [".md", ".json", ".yaml"]
            .iter()
            .any(|extension| named.ends_with(extension));
        if begins && is_file && !tree.has(named) {
            unknown.push(format!("name a document that is there: there is no {named}"));
        }
    }
    unknown
}

/// `domain/src/site/invariants.rs`, in backticks.
fn unknown_paths(text: &str, tree: &Tree) -> Vec<String> {
    let is_path = |code: &&str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
        code.contains('/') && code.chars().all(plain) && !code.starts_with(DECISIONS)
    };
    // What begins with a folder of the root is meant from there.
    let from_the_root = |code: &&str| code.split('/').next().is_some_and(|folder| tree.has(folder));
    let paths = markdown::code_in(text).filter(is_path).filter(from_the_root);
    let unknown = paths.filter(|path| !tree.has(path));
    unknown
        .map(|path| format!("name a path that is there: there is no {path}"))
        .collect()
}

/// `see *Storage*` in a document, and `docs/architecture.md, *Storage*` anywhere.
fn unknown_headings(file: &File, tree: &Tree) -> Vec<(usize, String)> {
    let mut unknown = Vec::new();
    for (line, text) in file.lines() {
        for (at, _) in text.match_indices('*') {
            let Some((title, _)) = text[at + 1..].split_once('*').filter(|(title, _)| !title.is_empty()) else {
                continue;
            };
            let before = text[..at].trim_end().trim_end_matches([',', '`', '(', ' ']);
            let named = before.rsplit([' ', '`', '(']).next().unwrap_or("");
            let document = if named.starts_with("docs/") && named.ends_with(".md") {
                tree.file(named)
            } else if file.is("md") && text[..at].ends_with("see ") {
                Some(file)
            } else {
                continue;
            };
            let Some(document) = document else {
                continue;
            };
            if markdown::headings(document)
                .iter()
                .all(|heading| heading.title != title)
            {
                unknown.push((
                    line,
                    format!("name a heading that is there: {} has no *{title}*", document.path),
                ));
            }
        }
    }
    unknown
}

/// Every place where `prefix` is followed by letters, digits, dots and hyphens, with no letter or digit before it: these,
/// and what follows them.
fn words_after<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    text.match_indices(prefix).filter_map(move |(at, _)| {
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            return None;
        }
        let after = &text[at + prefix.len()..];
        let end = after.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-'));
        let word = after[..end.unwrap_or(after.len())].trim_end_matches(['.', '-']);
        Some((word, &after[word.len()..]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::said;

    const SOURCES_TEXT: &str = "# Sources\n\n## S05: exceptions\n\n| section | rule |\n|---|---|\n| §2.1 | a start |\n";

    /// What is said of a line in `a.rs`, beside sources and two decisions.
    fn said_of(line: &str) -> Vec<String> {
        let files = [
            ("a.rs", line),
            ("docs/sources.md", SOURCES_TEXT),
            ("docs/decisions/0001-one.md", "# 0001 One\n"),
            ("docs/decisions/0002-two.md", "# 0002 Two\n\n## Context\n"),
            ("domain/src/units.rs", "//! Units of it.\n"),
        ];
        said(check, &files)
    }

    fn all_lead_somewhere(lines: &[&str]) {
        for line in lines {
            assert_eq!(said_of(line), [""; 0], "{line}");
        }
    }

    fn each_leads_nowhere(lines: &[(&str, &str)]) {
        for (line, named) in lines {
            let said = said_of(line);
            assert_eq!(said.len(), 1, "{line}: {said:?}");
            assert!(said[0].starts_with("a.rs:1: ") && said[0].contains(named), "{said:?}");
        }
    }

    #[test]
    fn a_section_that_the_sources_do_not_have_is_found() {
        all_lead_somewhere(&[
            "// (S05 §2.1)",
            "// Of S05.",
            "// S05 §2.1, and so on",
            "RFC 5280 §4.1",
            "SS05 A_S03 S030",
        ]);
        each_leads_nowhere(&[
            ("// (S05 §2.2)", "it has no S05 §2.2"),
            ("// S05 §2.1, §3: both", "it has no S05 §3"),
            ("// as S03 has it", "it has no S03"),
        ]);
        assert_eq!(said_of("// S03 §4; S05 §5, §6").len(), 3);
    }

    #[test]
    fn a_decision_that_is_not_there_is_found() {
        all_lead_somewhere(&[
            "// (decision 0001)",
            "// decisions 0001, 0002 and more",
            "// `docs/decisions/0002` says why",
            "// a decision of 2026",
        ]);
        each_leads_nowhere(&[
            ("// (decision 0003)", "no 0003"),
            ("// Decision 0003.", "no 0003"),
            ("// decisions 0001 and 0004", "no 0004"),
            ("// `docs/decisions/0009`", "no 0009"),
        ]);
    }

    #[test]
    fn two_decisions_of_one_number_are_found() {
        let files = [
            ("docs/decisions/0001-one.md", "# 0001 One\n"),
            ("docs/decisions/0001-other.md", "# 0001 Other\n"),
            ("docs/decisions/0002-two.md", "# 0003 Two\n"),
        ];
        assert_eq!(
            said(check, &files),
            [
                "docs/decisions/0001-other.md:1: give it a number of its own: there is another decision 0001",
                "docs/decisions/0002-two.md:1: begin with `# 0002 ` and the title, as the file's name does"
            ]
        );
    }

    #[test]
    fn a_clause_of_mqtt_in_no_valid_form_is_found() {
        all_lead_somewhere(&[
            "// (MQTT-3.1.2-24)",
            "// MQTT-3.4 to 3.7, MQTT-4.7.1.2.",
            "// MQTT-3.1.2-13, -15; MQTT-3.1.0-1",
            "// MQTT-style; MQTT5 3.1.2.11",
        ]);
        each_leads_nowhere(&[
            ("// (MQTT-3.1-24)", "MQTT-3.1-24"),
            ("// MQTT-3.1.2.5-1", "MQTT-3.1.2.5-1"),
            ("// MQTT-9.1.2-1", "MQTT-9.1.2-1"),
            ("// MQTT-3.1.2-0", "MQTT-3.1.2-0"),
            ("// MQTT-3", "MQTT-3"),
            ("// MQTT-3.1.2-2-4", "MQTT-3.1.2-2-4"),
        ]);
    }

    #[test]
    fn a_document_that_is_not_there_is_found() {
        all_lead_somewhere(&[
            "// docs/sources.md says",
            "file(\"../docs/sources.md\")",
            "// docs/decisions",
            "mydocs/a.md",
        ]);
        each_leads_nowhere(&[
            ("// docs/source.md says", "no docs/source.md"),
            ("file(\"../docs/open.json\")", "no docs/open.json"),
        ]);
    }

    #[test]
    fn a_path_in_backticks_that_is_not_there_is_found() {
        all_lead_somewhere(&[
            "// `domain/src/units.rs`, `domain/src/`, `domain/src/*.rs`",
            "// `application/json`, `site/units.rs`",
            "let text = \"`domain/src/unit.rs`\";",
        ]);
        each_leads_nowhere(&[("    /// `domain/src/unit.rs`", "no domain/src/unit.rs")]);
    }

    #[test]
    fn a_heading_that_is_not_there_is_found() {
        all_lead_somewhere(&[
            "// `docs/decisions/0002-two.md`, *Context*",
            "// (docs/decisions/0002-two.md, *Context*)",
            "// see *Context*",
        ]);
        each_leads_nowhere(&[("// `docs/decisions/0002-two.md`, *Decision*", "has no *Decision*")]);
        let files = [("a.md", "# A\n\nsee *A*, and see *B*; *Receive Maximum*\n")];
        assert_eq!(
            said(check, &files),
            ["a.md:3: name a heading that is there: a.md has no *B*"]
        );
    }
}
