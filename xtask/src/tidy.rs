//! `cargo xtask tidy`: what a compiler does not see. Walls between parts, file heads and lengths, citations and links.
//! Each rule looks at the whole tree and says file, line and what to do; its file has the tests that plant an offence.

mod citations;
mod code;
mod heads;
mod lengths;
mod links;
mod markdown;
mod walls;

use crate::run::{Result, program, root};
use std::{fmt, fs, path::Path};

/// Everything that the rules find, one line each.
pub(crate) fn tidy() -> Result {
    let tree = Tree::checkout(&root())?;
    let offences = offences(&tree);
    if offences.is_empty() {
        println!("{} files are tidy", tree.files.len());
        return Ok(());
    }
    for offence in &offences {
        println!("{offence}");
    }
    Err(format!("{} of these to mend", offences.len()))
}

fn offences(tree: &Tree) -> Vec<Offence> {
    const RULES: [fn(&Tree) -> Vec<Offence>; 5] = [
        walls::check,
        heads::check,
        lengths::check,
        citations::check,
        links::check,
    ];
    let mut offences: Vec<Offence> = RULES.iter().flat_map(|rule| rule(tree)).collect();
    offences.sort();
    offences
}

/// Something to mend. Shown as editors and terminals make links of: `file:line: what to do`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Offence {
    file: String,
    line: usize,
    what_to_do: String,
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what_to_do)
    }
}

/// A text file, by its path from the root of the checkout.
struct File {
    path: String,
    text: String,
}

impl File {
    fn is(&self, extension: &str) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|found| found == extension)
    }

    /// Its lines with their numbers, counted from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    fn offence(&self, line: usize, what_to_do: impl Into<String>) -> Offence {
        Offence {
            file: self.path.clone(),
            line,
            what_to_do: what_to_do.into(),
        }
    }
}

/// What the rules look at: the files that git knows, or would add. Tests make small ones up.
struct Tree {
    /// The text files, sorted by path.
    files: Vec<File>,
    /// All paths, those of files that are no text and of folders included.
    paths: Vec<String>,
}

impl Tree {
    fn checkout(root: &Path) -> Result<Self> {
        let mut git = program("git");
        git.args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]);
        let listed = git
            .output()
            .map_err(|error| format!("git cannot be started: {error}"))?;
        if !listed.status.success() {
            return Err(format!("git ls-files: {}", String::from_utf8_lossy(&listed.stderr)));
        }
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        // A file that was deleted is listed until that is committed.
        let names = listed.split_terminator('\0').filter(|name| root.join(name).is_file());
        let files = names.map(|name| {
            let content = fs::read(root.join(name)).map_err(|error| format!("{name}: {error}"))?;
            Ok((name.to_owned(), String::from_utf8(content).ok()))
        });
        Ok(Self::new(files.collect::<Result<Vec<_>>>()?))
    }

    fn new(found: Vec<(String, Option<String>)>) -> Self {
        let mut paths = Vec::new();
        for (path, _) in &found {
            let folders = path.match_indices('/').map(|(at, _)| path[..at].to_owned());
            paths.extend(folders.chain([path.clone()]));
        }
        paths.sort();
        paths.dedup();
        let texts = found
            .into_iter()
            .filter_map(|(path, text)| Some(File { path, text: text? }));
        let mut files: Vec<File> = texts.collect();
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Self { files, paths }
    }

    fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.paths.binary_search_by(|found| found.as_str().cmp(path)).is_ok()
    }

    fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    fn with_extension<'a>(&'a self, extension: &'a str) -> impl Iterator<Item = &'a File> {
        self.files.iter().filter(move |file| file.is(extension))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of these files.
    pub(super) fn tree(files: &[(&str, &str)]) -> Tree {
        let owned = |(path, text): &(&str, &str)| ((*path).to_owned(), Some((*text).to_owned()));
        Tree::new(files.iter().map(owned).collect())
    }

    /// What a rule says of these files: `file:line: what to do`.
    pub(super) fn said(rule: impl Fn(&Tree) -> Vec<Offence>, files: &[(&str, &str)]) -> Vec<String> {
        rule(&tree(files)).iter().map(Offence::to_string).collect()
    }

    #[test]
    fn every_rule_is_asked() {
        let offences = offences(&tree(&[
            (
                "domain/src/a.rs",
                &format!("use std::fs;{}", "\n".repeat(lengths::LINES_MAX + 1)),
            ),
            ("README.md", "[there](nowhere.md) and decision 0099\n"),
        ]));
        let found: Vec<(&str, usize)> = offences.iter().map(|it| (it.file.as_str(), it.line)).collect();
        let of_the_file = [("domain/src/a.rs", 1); 2];
        assert_eq!(
            found,
            [
                &[("README.md", 1); 2][..],
                &of_the_file,
                &[("domain/src/a.rs", lengths::LINES_MAX + 1)]
            ]
            .concat()
        );
    }

    #[test]
    fn a_tree_knows_its_folders_and_what_is_no_text() {
        let tree = Tree::new(vec![
            ("tests/fixtures/old.redb".to_owned(), None),
            ("README.md".to_owned(), Some("# It\n".to_owned())),
        ]);
        assert_eq!(tree.files.len(), 1);
        for path in [
            "README.md",
            "tests",
            "tests/fixtures",
            "tests/fixtures/",
            "tests/fixtures/old.redb",
        ] {
            assert!(tree.has(path), "{path}");
        }
        for path in ["fixtures", "tests/fix", "READ", ""] {
            assert!(!tree.has(path), "{path}");
        }
    }
}
