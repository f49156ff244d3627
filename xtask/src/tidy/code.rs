//! Rust source as names: what is left of a file once comments and literals are taken out, and where each name stands.
//! No parser: enough to tell `redb::Database` in code from "redb" in a sentence.

/// A name in code, or a path of two: `redb`, `std::fs`, `Instant::now`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) line: usize,
    pub(super) name: String,
}

/// Every name in the code of a file, alone and with the one that a path has before it. Of a group such as
/// `std::{fs, net::IpAddr}` each member counts as if it were written out.
pub(super) fn names(text: &str) -> Vec<Name> {
    let code = blank_out(text);
    let tokens = tokens(&code);
    let mut names = Vec::new();
    // What each open brace stands behind: a path's segment, or nothing.
    let mut groups: Vec<Option<&str>> = Vec::new();
    for (at, &(line, token)) in tokens.iter().enumerate() {
        let back = |steps: usize| at.checked_sub(steps).map_or("", |at| tokens[at].1);
        let is_path = back(1) == ":" && back(2) == ":";
        match token {
            "{" => groups.push(is_path.then(|| back(3))),
            "}" => {
                groups.pop();
            }
            _ if is_name(token) => {
                names.push(Name {
                    line,
                    name: token.to_owned(),
                });
                let before = if is_path {
                    Some(back(3))
                } else {
                    let is_member = matches!(back(1), "{" | ",");
                    groups.last().copied().flatten().filter(|_| is_member)
                };
                if let Some(before) = before.filter(|before| is_name(before)) {
                    let name = format!("{before}::{token}");
                    names.push(Name { line, name });
                }
            }
            _ => {}
        }
    }
    names
}

/// The file up to the tests in it.
pub(super) fn without_tests(text: &str) -> &str {
    text.find("\n#[cfg(test)]\nmod tests {").map_or(text, |at| &text[..at])
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first == '_' || first.is_alphabetic())
}

/// Words and single marks, each with its line.
fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut tokens = Vec::new();
    for (line, text) in (1..).zip(code.lines()) {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let is_word = |c: char| c == '_' || c.is_alphanumeric();
            let len = if is_word(first) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else {
                first.len_utf8()
            };
            tokens.push((line, &rest[..len]));
            rest = rest[len..].trim_start();
        }
    }
    tokens
}

/// The same lines, with blanks in the place of comments and of what stands in quotes.
fn blank_out(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after_word = code.ends_with(|c: char| c == '_' || c.is_alphanumeric());
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if first == '"' {
            quoted(rest, '"')
        } else if let Some(len) = raw_string(rest).filter(|_| !after_word) {
            len
        } else if first == '\'' && is_character(rest) {
            quoted(rest, '\'')
        } else {
            0
        };
        if skipped == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.extend(rest[..skipped].chars().map(|c| if c == '\n' { c } else { ' ' }));
            rest = &rest[skipped..];
        }
    }
    code
}

/// The length of a comment with comments in it.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while let Some(next) = text[at..].chars().next() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                break;
            }
        } else {
            at += next.len_utf8();
        }
    }
    at
}

/// The length of what stands in quotes, quotes included.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of `r"…"`, `r#"…"#` and their kin.
fn raw_string(text: &str) -> Option<usize> {
    let marks = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = marks.len() - marks.trim_start_matches('#').len();
    let content = marks[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let len = content.find(&end).map_or(content.len(), |at| at + end.len());
    Some(text.len() - content.len() + len)
}

/// Whether a `'` begins a character, and not a lifetime.
fn is_character(text: &str) -> bool {
    let mut after = text.chars().skip(1);
    matches!((after.next(), after.next()), (Some('\\'), _) | (Some(_), Some('\'')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Vec<(usize, String)> {
        names(text).into_iter().map(|it| (it.line, it.name)).collect()
    }

    fn has(text: &str, name: &str) -> bool {
        names(text).iter().any(|it| it.name == name)
    }

    #[test]
    fn comments_and_literals_name_nothing() {
        for text in [
            "// redb",
            "/* a /* redb */ redb */",
            "\"redb \\\" redb\"",
            "r#\"redb \" redb\"#",
            "br\"redb\"",
            "'\"'; /* redb */",
            "b\"redb\"",
        ] {
            assert!(!has(text, "redb"), "{text}");
            assert!(has(&format!("{text}\n; redb::open()"), "redb"), "{text}");
        }
    }

    #[test]
    fn a_lifetime_is_no_quote() {
        assert!(has("fn a<'a>(b: &'a str) { redb() }", "redb"));
        assert!(has("let c = ('\\'', 'x', '\\n'); redb()", "redb"));
        assert!(has("let her = r; redb()", "redb"));
    }

    #[test]
    fn paths_are_told_in_pairs_and_groups_member_by_member() {
        assert_eq!(
            named("std::fs::read"),
            [(1, "std"), (1, "fs"), (1, "std::fs"), (1, "read"), (1, "fs::read")]
                .map(|(line, name)| (line, name.to_owned()))
        );
        let grouped = "use std::{\n    io,\n    net::{IpAddr, Ipv4Addr},\n    fs as files,\n};\nstruct A { fs: B }";
        for pair in ["std::io", "std::net", "net::IpAddr", "net::Ipv4Addr", "std::fs"] {
            assert!(has(grouped, pair), "{pair}");
        }
        for pair in ["std::IpAddr", "A::fs", "std::files"] {
            assert!(!has(grouped, pair), "{pair}");
        }
        assert_eq!(
            names(grouped).iter().find(|it| it.name == "std::fs").map(|it| it.line),
            Some(4)
        );
    }

    #[test]
    fn tests_at_the_end_are_left_out() {
        assert_eq!(without_tests("fn a() {}\n#[cfg(test)]\nmod tests {\n}\n"), "fn a() {}");
        let in_another_file = "#[cfg(test)]\nmod tests;\nfn a() {}\n";
        assert_eq!(without_tests(in_another_file), in_another_file);
    }
}
