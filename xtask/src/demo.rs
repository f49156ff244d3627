//! `cargo xtask demo`: builds the station, the simulated piles and the program that tells their story, and runs it.

use crate::run::{Result, cargo, program, programs, run};

pub(crate) fn demo(exit: bool) -> Result {
    let mut build = cargo();
    build.args(["build", "--package", "holdfast-edge", "--package", "holdfast-tests"]);
    run(build.args(["--bin", "holdfast-edge", "--bin", "pile-sim", "--bin", "demo"]))?;
    let mut demo = program(programs()?.join("demo"));
    // It looks for the others beside itself.
    demo.env("HOLDFAST_TEST_PROGRAMS_ARE_BUILT", "1");
    if exit {
        demo.arg("--exit");
    }
    run(&mut demo)
}
