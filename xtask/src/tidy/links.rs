//! Links in Markdown lead to a file of this tree, and to a heading in it.
//! What leads out of the tree is not asked for: a check that needs a network fails for reasons of its own.

use super::{File, Offence, Tree, markdown};

pub(super) fn check(tree: &Tree) -> Vec<Offence> {
    let mut offences = Vec::new();
    for file in tree.with_extension("md") {
        for (line, text) in markdown::prose(file) {
            for target in targets(&markdown::without_code(text)) {
                offences.extend(dead_end(tree, file, &target).map(|what_to_do| file.offence(line, what_to_do)));
            }
        }
    }
    offences
}

/// What the links of a line point to: `[text](target)` and `[name]: target`.
fn targets(line: &str) -> Vec<String> {
    let inline = line
        .split("](")
        .skip(1)
        .filter_map(|after| after.split([')', ' ']).next());
    let named = line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]: "))
        .map(|(_, target)| target.trim());
    inline
        .chain(named)
        .filter(|target| !target.is_empty())
        .map(str::to_owned)
        .collect()
}

/// What to do about a link that leads nowhere.
fn dead_end(tree: &Tree, from: &File, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target
        .split_once('#')
        .map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let path = if path.is_empty() {
        from.path.clone()
    } else {
        resolve(&from.path, path)
    };
    if !tree.has(&path) {
        return Some(format!("mend the link `{target}`: there is no {path}"));
    }
    let anchor = anchor?;
    let headings = tree.file(&path).map(markdown::headings).unwrap_or_default();
    let leads_there = headings.iter().any(|heading| heading.anchor == anchor);
    (!leads_there).then(|| format!("mend the link `{target}`: {path} has no heading with the anchor #{anchor}"))
}

/// A path relative to the file that names it, from the root of the tree.
fn resolve(from: &str, path: &str) -> String {
    let mut folders: Vec<&str> = from.split('/').collect();
    folders.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                folders.pop();
            }
            _ => folders.push(part),
        }
    }
    folders.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::said;

    /// What is said of a `docs/a.md` with this text, beside a README and a decision.
    fn said_of(text: &str) -> Vec<String> {
        let files = [
            ("docs/a.md", text),
            ("docs/decisions/0001-one.md", "# 0001 One\n\n## Context\n"),
            ("README.md", "# It\n\n## Two commands\n"),
        ];
        said(check, &files)
    }

    #[test]
    fn a_link_to_a_file_that_is_not_there_is_found() {
        assert_eq!(
            said_of("# A\n\nsee [one](decisions/0002-two.md)\n"),
            ["docs/a.md:3: mend the link `decisions/0002-two.md`: there is no docs/decisions/0002-two.md"]
        );
        assert_eq!(said_of("[b]: b.md\n").len(), 1);
        for good in [
            "[one](decisions/0001-one.md)",
            "[all](decisions)",
            "[all](./decisions/)",
            "[readme](../README.md)",
            "[out](https://example.org/x#y)",
            "`[code](nowhere.md)`",
            "```\n[code](nowhere.md)\n```",
        ] {
            assert!(said_of(good).is_empty(), "{good}: {:?}", said_of(good));
        }
    }

    #[test]
    fn a_link_to_a_heading_that_is_not_there_is_found() {
        for (good, bad) in [
            ("../README.md#two-commands", "../README.md#three-commands"),
            ("decisions/0001-one.md#context", "decisions/0001-one.md#decision"),
            ("#a", "#b"),
        ] {
            assert!(said_of(&format!("# A\n[x]({good})\n")).is_empty(), "{good}");
            let said = said_of(&format!("# A\n[x]({bad})\n"));
            assert_eq!(said.len(), 1, "{bad}");
            assert!(said[0].contains("has no heading with the anchor"), "{said:?}");
        }
    }
}
