//! `cargo xtask demo`: builds the station, the simulated piles and the program that tells their story, and runs it.

use crate::run::{Result, cargo, program, programs, run};

pub(crate) fn demo(exit: bool) -> Result {
    let mut build = cargo();
    build.args(["build", "--package", "holdfast-edge", "--package", "holdfast-tests"]);
    run(build.args(["--bin", "holdfast-edge", "--bin", "pile-sim", "--bin", "demo"]))?;
    let folder = programs()?;
    let mut demo = program(folder.join("demo"));
    if exit {
        demo.arg("--exit");
    }
    run(&mut demo)
}
