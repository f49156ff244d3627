//! `cargo xtask demo`: builds the three programs, the simulated piles and the program that tells their story, and runs it.

use crate::run::{Result, cargo, program, programs, run};

pub(crate) fn demo(exit: bool) -> Result {
    let mut build = cargo();
    build.arg("build");
    for package in ["holdfast-edge", "holdfast-central", "holdfast-sync", "holdfast-tests"] {
        build.args(["--package", package]);
    }
    for program in ["holdfast-edge", "holdfast-central", "holdfast-sync", "pile-sim", "demo"] {
        build.args(["--bin", program]);
    }
    run(&mut build)?;
    let mut demo = program(programs()?.join("demo"));
    // It looks for the others beside itself.
    demo.env("HOLDFAST_TEST_PROGRAMS_ARE_BUILT", "1");
    if exit {
        demo.arg("--exit");
    }
    run(&mut demo)
}
