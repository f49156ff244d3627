//! A Rust file opens by saying what it holds, and its name says something too.
//! Who looks for a rule reads the first lines of files, not the files.

use super::{File, Offence, Tree};
use std::path::Path;

/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 8] = [
    "util", "utils", "helper", "helpers", "manager", "common", "misc", "stuff",
];

pub(super) fn check(tree: &Tree) -> Vec<Offence> {
    let mut offences = Vec::new();
    for file in tree.with_extension("rs") {
        if !has_head(file) {
            let what_to_do = "open with `//! ` and a sentence on what this file holds";
            offences.push(file.offence(1, what_to_do));
        }
        let folders_and_name = Path::new(&file.path).with_extension("");
        let says_nothing = |part: &&str| EMPTY_NAMES.contains(part);
        if let Some(name) = folders_and_name
            .iter()
            .filter_map(|part| part.to_str())
            .find(says_nothing)
        {
            offences.push(file.offence(1, format!("name it after what it holds: `{name}` says nothing")));
        }
    }
    offences
}

/// A first line of `//!` with a sentence in it. The sentence may go on below.
fn has_head(file: &File) -> bool {
    let mut lines = file.text.lines();
    let words = lines.next().and_then(|first| first.strip_prefix("//! ")).unwrap_or("");
    words.split_whitespace().nth(2).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::said;

    #[test]
    fn a_file_without_a_head_is_found() {
        const WHAT: &str = "open with `//! ` and a sentence on what this file holds";
        for headless in [
            "",
            "use std::fmt;\n",
            "// What it holds.\n",
            "//!\n",
            "//! Tests.\n",
            "\n//! What it holds.\n",
        ] {
            assert_eq!(
                said(check, &[("a/b.rs", headless)]),
                [format!("a/b.rs:1: {WHAT}")],
                "{headless:?}"
            );
        }
        assert!(said(check, &[("a/b.rs", "//! What it holds.\n")]).is_empty());
        assert!(said(check, &[("a/b.py", "import os\n")]).is_empty());
    }

    #[test]
    fn a_name_that_says_nothing_is_found() {
        for path in ["edge/src/util.rs", "edge/src/common/mod.rs"] {
            let said = said(check, &[(path, "//! What it holds.\n")]);
            assert_eq!(said.len(), 1, "{path}");
            assert!(said[0].contains("name it after what it holds"), "{said:?}");
        }
    }
}
