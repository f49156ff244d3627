//! `cargo xtask bench`: builds the station and head office for release with the program that measures it, brings the yardsticks along, and
//! runs it. `docs/numbers.md` says how to read the table.

use crate::{
    run::{Result, cargo, program, root, run, shown},
    tools,
};
use std::{env, path::PathBuf};

/// On the disk and not in memory, and where other users may go: PostgreSQL refuses to be root.
const FOLDER: &str = "/var/tmp";

pub(crate) fn bench(arguments: &[&str]) -> Result {
    tools::of_bench()?;
    let mut build = cargo();
    build.args([
        "build",
        "--locked",
        "--release",
        "--package",
        "holdfast-broker",
        "--package",
        "holdfast-central",
        "--package",
        "holdfast-edge",
        "--package",
        "holdfast-sync",
        "--package",
        "holdfast-tests",
    ]);
    for program in ["holdfast-central", "holdfast-edge", "holdfast-sync", "bench"] {
        build.args(["--bin", program]);
    }
    run(build.args(["--example", "open"]))?;
    let programs = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    // A connection is an open file, on both sides of it.
    let mut bench = program("sh");
    bench.args(["-c", "ulimit -n \"$(ulimit -Hn)\" && exec \"$0\" \"$@\""]);
    bench.arg(programs.join("release/bench")).args(arguments);
    bench.env(
        "TMPDIR",
        env::var_os("HOLDFAST_BENCH_DIR").unwrap_or_else(|| FOLDER.into()),
    );
    // It looks for the daemons beside itself.
    bench.env("HOLDFAST_TEST_PROGRAMS_ARE_BUILT", "1");
    println!("running {}", shown(&bench));
    run(&mut bench)
}
