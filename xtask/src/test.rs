//! `cargo xtask test`: everything that must hold before a change goes in. One profile, so that the steps share what is
//! built; the quickest first.

use crate::{
    run::{Result, Steps, cargo, program, programs, root, run},
    tools,
};
use std::fs;

/// The highest exposure that `systemd-analyze security` may find, in tenths of its scale from 0 to 10.
const EXPOSURE_MAX_TENTHS: &str = "15";

pub(crate) fn test() -> Result {
    let mut steps = Steps::default();
    let result = all(&mut steps);
    steps.summary();
    result
}

fn all(steps: &mut Steps) -> Result {
    steps.step("tools", || tools::of_rust().and_then(|()| tools::of_tests()))?;
    steps.step("format", || run(cargo().args(["fmt", "--all", "--check"])))?;
    steps.step("lints", || {
        run(cargo().args([
            "clippy",
            "--locked",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]))
    })?;
    steps.step("documents", || {
        let mut doc = cargo();
        doc.args(["doc", "--locked", "--workspace", "--no-deps"]);
        run(doc.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    // Documentation examples included. The programs that end-to-end tests start are built with the tests.
    steps.step("tests", || {
        let mut tests = cargo();
        tests.args(["test", "--locked", "--workspace"]);
        run(tests.env("HOLDFAST_TEST_PROGRAMS_ARE_BUILT", "1"))
    })?;
    // A build of its own: nothing else is ever built with planted bugs.
    steps.step("planted bugs", || {
        run(cargo().args([
            "test",
            "--locked",
            "--package",
            "holdfast-tests",
            "--features",
            "planted-bugs",
            "--test",
            "planted",
        ]))
    })?;
    steps.step("service files", service_files)
}

/// Checks the unit as it will be installed, but with the program that the tests ran in place of the installed one.
fn service_files() -> Result {
    let built = programs()?.join("holdfast-edge");
    if !built.is_file() {
        return Err(format!("{} is missing; the tests build it", built.display()));
    }
    let unit = root().join("systemd/holdfast-edge.service");
    let text = fs::read_to_string(&unit).map_err(|error| format!("{}: {error}", unit.display()))?;
    let installed = "/usr/bin/holdfast-edge";
    if !text.contains(installed) {
        return Err(format!("{} does not start {installed}", unit.display()));
    }
    let folder = programs()?.join("units");
    let copy = folder.join("holdfast-edge.service");
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&copy, text.replace(installed, &built.to_string_lossy())))
        .map_err(|error| format!("{}: {error}", copy.display()))?;
    run(program("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(&copy))?;
    run(program("systemd-analyze")
        .args([
            "security",
            "--offline=true",
            "--no-pager",
            "--threshold",
            EXPOSURE_MAX_TENTHS,
        ])
        .arg(&unit)
        .stdout(std::process::Stdio::null()))
    .map_err(|error| format!("{error}: the service is exposed more than {EXPOSURE_MAX_TENTHS} tenths"))
}
