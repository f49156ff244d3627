//! A file above 700 lines holds more than one idea.
//! Those that were longer when this rule came are listed, with the reason; the list may only get shorter.

use super::{Offence, Tree};

/// The most lines of a Rust file.
pub(super) const LINES_MAX: usize = 700;

/// A file that may be longer for now.
struct Longer {
    path: &'static str,
    /// How long at most.
    lines_max: usize,
    /// Why it has not been split.
    why: &'static str,
}

const ONE_BENCH: &str = "tests of one rule, which read from top to bottom";

const LONGER: [Longer; 12] = [
    Longer {
        path: "domain/src/alignment/tests.rs",
        lines_max: 900,
        why: ONE_BENCH,
    },
    Longer {
        path: "domain/src/messages/tests.rs",
        lines_max: 800,
        why: ONE_BENCH,
    },
    Longer {
        path: "domain/src/register/tests.rs",
        lines_max: 900,
        why: ONE_BENCH,
    },
    Longer {
        path: "domain/tests/bench/mod.rs",
        lines_max: 950,
        why: "the words in which all tests of the site are written",
    },
    Longer {
        path: "domain/tests/station/energy.rs",
        lines_max: 950,
        why: ONE_BENCH,
    },
    Longer {
        path: "domain/tests/station/offline.rs",
        lines_max: 900,
        why: ONE_BENCH,
    },
    Longer {
        path: "domain/tests/station/presence.rs",
        lines_max: 750,
        why: ONE_BENCH,
    },
    Longer {
        path: "domain/tests/station/quarantine.rs",
        lines_max: 800,
        why: ONE_BENCH,
    },
    Longer {
        path: "domain/tests/station/records.rs",
        lines_max: 750,
        why: ONE_BENCH,
    },
    Longer {
        path: "domain/tests/replay/happens.rs",
        lines_max: 800,
        why: "every kind of input, and what of it happens",
    },
    Longer {
        path: "lives/src/pile/machine/tests.rs",
        lines_max: 1100,
        why: ONE_BENCH,
    },
    Longer {
        path: "lives/src/world/oracle.rs",
        lines_max: 950,
        why: "the books as they should be, kept by one type",
    },
];

/// Where the list stands.
const LIST: &str = "xtask/src/tidy/lengths.rs";

pub(super) fn check(tree: &Tree) -> Vec<Offence> {
    against(tree, &LONGER)
}

fn against(tree: &Tree, longer: &[Longer]) -> Vec<Offence> {
    let mut offences = Vec::new();
    if let Some(list) = tree.file(LIST) {
        let gone = longer.iter().filter(|it| !tree.has(it.path));
        offences.extend(gone.map(|it| list.offence(1, format!("take {} off the list: it is gone", it.path))));
    }
    for file in tree.with_extension("rs") {
        let lines = file.text.lines().count();
        let listed = longer.iter().find(|it| it.path == file.path);
        let lines_max = listed.map_or(LINES_MAX, |it| it.lines_max);
        let what_to_do = match listed {
            _ if lines > lines_max => format!("split it by its ideas: {lines} lines, at most {lines_max} are allowed"),
            Some(it) if lines <= LINES_MAX => {
                format!("take it off the list in {LIST} (\"{}\"): it is no longer long", it.why)
            }
            _ => continue,
        };
        offences.push(file.offence(lines.min(lines_max + 1), what_to_do));
    }
    offences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::said;

    fn said_of(lines: usize, longer: &[Longer]) -> Vec<String> {
        let text = "//\n".repeat(lines);
        said(|tree| against(tree, longer), &[("a/long.rs", &text)])
    }

    #[test]
    fn a_file_above_the_limit_is_found() {
        assert!(said_of(LINES_MAX, &[]).is_empty());
        assert_eq!(
            said_of(LINES_MAX + 5, &[]),
            ["a/long.rs:701: split it by its ideas: 705 lines, at most 700 are allowed"]
        );
    }

    #[test]
    fn a_listed_file_neither_grows_nor_stays_listed_once_it_is_short() {
        let listed = || {
            [Longer {
                path: "a/long.rs",
                lines_max: 800,
                why: "one list",
            }]
        };
        assert!(said_of(LINES_MAX + 1, &listed()).is_empty());
        assert!(said_of(800, &listed()).is_empty());
        assert_eq!(said_of(801, &listed()).len(), 1);
        assert_eq!(
            said(|tree| against(tree, &listed()), &[(LIST, "//! The list.\n")]),
            [format!("{LIST}:1: take a/long.rs off the list: it is gone")]
        );
        assert_eq!(
            said_of(LINES_MAX, &listed()),
            ["a/long.rs:700: take it off the list in xtask/src/tidy/lengths.rs (\"one list\"): it is no longer long"]
        );
    }
}
