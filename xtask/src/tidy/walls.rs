//! Walls that manifests cannot see: which names may stand in which folder.
//! A crate may depend on a library and still keep it in one room.

use super::{File, Offence, Tree, code};

/// Names that stay out of a part of the tree.
struct Wall {
    /// Where: a file, or a folder with its slash. Empty for everywhere.
    within: &'static str,
    /// But for these.
    except: &'static [&'static str],
    /// What is not named there: a name, or a path of two.
    names: &'static [&'static str],
    /// What to do instead.
    instead: &'static str,
    /// Whether the tests at the end of a file may.
    tests_may: bool,
}

/// SQL libraries that head office could use.
const SQL: &[&str] = &["rusqlite", "postgres", "tokio_postgres", "sqlx", "sea_orm", "diesel"];

const WALLS: [Wall; 11] = [
    Wall {
        within: "",
        // Tests give the store a disk of their own, in memory or one that loses what was not synced: a backend of redb's.
        except: &["edge/src/store/", "edge/tests/", "lives/src/world/disk.rs"],
        names: &["redb"],
        instead: "go through `edge::store`: only edge/src/store names redb",
        tests_may: false,
    },
    Wall {
        within: "",
        except: &["broker/src/router/"],
        names: &["rumqttd"],
        instead: "go through the broker's `router`: only broker/src/router names rumqttd",
        tests_may: false,
    },
    Wall {
        within: "",
        // Which starts PostgreSQL as a program, to be measured against.
        except: &["cloud-sync/books/src/store/", "tests/src/bin/bench/yardstick.rs"],
        names: SQL,
        instead: "only cloud-sync/books/src/store names an SQL library",
        tests_may: false,
    },
    Wall {
        within: "domain/src/",
        except: &[],
        names: &[
            "tokio",
            "rand",
            "getrandom",
            "std::fs",
            "std::net",
            "std::env",
            "std::process",
            "std::thread",
            "SystemTime::now",
            "Instant::now",
            "Timestamp::now",
            "Zoned::now",
        ],
        instead: "domain does no I/O and reads no clock, environment or randomness: make it an input",
        tests_may: true,
    },
    Wall {
        within: "cloud-sync/bills/src/",
        // Which read the contract's samples.
        except: &["cloud-sync/bills/src/tests.rs"],
        names: &[
            "tokio",
            "getrandom",
            "std::fs",
            "std::net",
            "std::env",
            "SystemTime::now",
            "Instant::now",
            "Timestamp::now",
        ],
        instead: "what reads bills does no I/O of its own and has no clock: central's bills/ does",
        tests_may: true,
    },
    Wall {
        within: "cloud-sync/books/src/",
        // Which has files, threads of its own, and waits for them.
        except: &["cloud-sync/books/src/store/"],
        names: &[
            "tokio",
            "std::fs",
            "std::process",
            "std::thread",
            "SystemTime::now",
            "Instant::now",
            "Timestamp::now",
        ],
        instead: "head office's books have no clock and no files but the database: central has",
        tests_may: true,
    },
    Wall {
        within: "cloud-sync/books/src/",
        except: &[],
        names: &["axum", "hyper", "rumqttc", "broker", "std::net", "std::env"],
        instead: "head office's books have no network and no environment: central has",
        tests_may: true,
    },
    Wall {
        within: "edge/src/station/writer.rs",
        except: &[],
        names: &["tokio", "SystemTime::now", "Instant::now", "getrandom"],
        instead: "the writer has no runtime and no clock, so that the simulated world can run it: ask in run.rs",
        tests_may: false,
    },
    Wall {
        within: "broker/src/session/",
        // Tests of it.
        except: &["broker/src/session/model.rs", "broker/src/session/fuzz.rs"],
        names: &["tokio", "SystemTime::now", "Instant::now"],
        instead: "a session is without I/O, and the time is an input",
        tests_may: true,
    },
    Wall {
        within: "service/",
        except: &[],
        names: &["redb", "rumqttd"],
        instead: "service is what daemons share: no storage, no broker",
        tests_may: false,
    },
    Wall {
        within: "service/src/",
        // What is sent of orders, bills and the like stands beside the core, which knows none of it.
        except: &["service/src/wire/"],
        names: &["domain::order", "domain::site", "domain::ledger", "crate::wire"],
        instead: "what daemons share knows no order and no pile: say it in wire/",
        tests_may: false,
    },
];

pub(super) fn check(tree: &Tree) -> Vec<Offence> {
    tree.with_extension("rs").flat_map(of_file).collect()
}

fn of_file(file: &File) -> Vec<Offence> {
    let lies_in = |place: &&str| file.path.starts_with(*place);
    let applies = |wall: &&Wall| lies_in(&wall.within) && !wall.except.iter().any(lies_in);
    let walls: Vec<&Wall> = WALLS.iter().filter(applies).collect();
    let product_lines = code::without_tests(&file.text).lines().count();
    let mut offences = Vec::new();
    for code::Name { line, name } in code::names(&file.text) {
        for wall in &walls {
            let is_excused = wall.tests_may && line > product_lines;
            if wall.names.contains(&name.as_str()) && !is_excused {
                offences.push(file.offence(line, format!("names `{name}`: {}", wall.instead)));
            }
        }
    }
    offences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::said;

    /// Whether naming this in this file is refused, and on which line.
    fn refused(path: &str, code: &str) -> Option<usize> {
        let offences = check(&crate::tidy::tests::tree(&[(path, code)]));
        offences.first().map(|it| it.line)
    }

    #[test]
    fn an_offence_says_where_and_what_to_do() {
        assert_eq!(
            said(check, &[("edge/src/api/mod.rs", "//! Rows.\n\nuse redb::Database;\n")]),
            ["edge/src/api/mod.rs:3: names `redb`: go through `edge::store`: only edge/src/store names redb"]
        );
    }

    #[test]
    fn libraries_stay_in_their_rooms() {
        for (library, inside, outside) in [
            ("redb", "edge/src/store/read.rs", "edge/src/daemon.rs"),
            ("redb", "lives/src/world/disk.rs", "lives/src/world/oracle.rs"),
            ("rumqttd", "broker/src/router/mod.rs", "broker/src/front/mod.rs"),
            (
                "rusqlite",
                "cloud-sync/books/src/store/mod.rs",
                "cloud-sync/central/src/main.rs",
            ),
            ("postgres", "cloud-sync/books/src/store/mod.rs", "service/src/lib.rs"),
        ] {
            let code = format!("use {library}::It;\n");
            assert_eq!(refused(inside, &code), None, "{library} in {inside}");
            assert_eq!(refused(outside, &code), Some(1), "{library} in {outside}");
        }
        assert_eq!(
            refused(
                "edge/src/daemon.rs",
                "// As redb does.\nlet path = \"holdfast.redb\";\n"
            ),
            None
        );
    }

    #[test]
    fn domain_names_nothing_of_the_world() {
        for code in [
            "use tokio::sync::mpsc;",
            "use std::{collections::HashMap, fs};",
            "let address: std::net::IpAddr;",
            "std::env::var(\"A\")",
            "let now = SystemTime::now();",
            "let now = std::time::Instant::now();",
            "jiff::Timestamp::now()",
            "let id = rand::random();",
        ] {
            assert_eq!(refused("domain/src/site/mod.rs", code), Some(1), "{code}");
            assert_eq!(refused("edge/src/clock.rs", code), None, "{code}");
        }
        assert_eq!(refused("domain/src/units.rs", "use std::{fmt, time::Duration};"), None);
    }

    #[test]
    fn tests_in_a_file_may_do_more_where_that_is_said() {
        let with_test = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
        assert_eq!(refused("domain/src/a.rs", with_test), None);
        assert_eq!(
            refused("domain/src/a.rs", &format!("use std::fs;\n{with_test}")),
            Some(1)
        );
        let with_test = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    use redb::Database;\n}\n";
        assert_eq!(refused("edge/src/hub.rs", with_test), Some(5));
    }

    #[test]
    fn brains_have_neither_clock_nor_runtime() {
        for brain in [
            "edge/src/station/writer.rs",
            "broker/src/session/inbound.rs",
            "cloud-sync/books/src/money/mod.rs",
        ] {
            assert_eq!(refused(brain, "\nlet now = Instant::now();\n"), Some(2), "{brain}");
            assert_eq!(refused(brain, "use tokio::time;"), Some(1), "{brain}");
        }
        assert_eq!(refused("edge/src/station/run.rs", "use tokio::time;"), None);
    }

    #[test]
    fn what_daemons_share_knows_no_order() {
        assert_eq!(
            refused("service/src/paging.rs", "use domain::{ids::SiteId, order::State};"),
            Some(1)
        );
        assert_eq!(refused("service/src/paging.rs", "use domain::ids::SiteId;"), None);
    }
}
