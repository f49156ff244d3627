//! Every case of a fuzz target, played again. The packages whose rules are fuzzed take this file into their own tests.

use std::{fs, path::Path};

/// Plays every case of `target` again; their names are printed, the one that breaks a rule last.
pub(crate) fn play(target: &str, property: fn(&[u8])) {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut corpora = above.map(|folder| folder.join("fuzz/corpus"));
    let corpus = corpora
        .find(|folder| folder.is_dir())
        .expect("a package lies below the tree's root");
    let folder = corpus.join(target);
    let cases = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut played = 0;
    for case in cases {
        let path = case.unwrap().path();
        println!("{}", path.display());
        property(&fs::read(&path).unwrap());
        played += 1;
    }
    assert!(played > 0, "{} is empty", folder.display());
}
