//! `cargo xtask test`: everything that must hold before a change goes in. One profile, so that the steps share what is
//! built; the quickest first.

use crate::{
    fuzz, room,
    run::{Result, Steps, cargo, program, programs, root, run, succeeds},
    tidy, tools,
};
use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::{Command, Stdio},
};

/// The highest exposure that `systemd-analyze security` may find, in tenths of its scale from 0 to 10.
const EXPOSURE_MAX_TENTHS: &str = "15";

/// What is tested has bugs in it that one test switches on (`tests/tests/planted.rs`), so that everything is built once. What
/// is looked at by the lints, and released, is without them.
const PLANTED: &str = "holdfast-tests/planted-bugs";

pub(crate) fn test() -> Result {
    let mut steps = Steps::default();
    let result = all(&mut steps);
    steps.summary();
    result
}

fn all(steps: &mut Steps) -> Result {
    steps.step("tools", || tools::of_rust().and_then(|()| tools::of_tests()))?;
    steps.step("room", room::make)?;
    steps.step("format", || run(cargo().args(["fmt", "--all", "--check"])))?;
    steps.step("tidy", tidy::tidy)?;
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
    // Those of packages without tests of their own are not built with the tests.
    steps.step("programs", || {
        run(cargo().args(["build", "--locked", "--workspace", "--bins", "--features", PLANTED]))
    })?;
    // Documentation examples included; and all that fails, at once.
    steps.step("tests", || {
        let mut tests = cargo();
        tests.args([
            "test",
            "--locked",
            "--workspace",
            "--no-fail-fast",
            "--features",
            PLANTED,
        ]);
        run(tests.env("HOLDFAST_TEST_PROGRAMS_ARE_BUILT", "1"))
    })?;
    steps.step("service files", service_files)?;
    steps.step("fuzzing", fuzz::briefly)
}

/// The programs that are installed as services, with what each takes as its configuration as it is shipped.
const SERVICES: [(&str, Option<&str>); 3] = [
    ("holdfast-edge", Some("config/edge.toml")),
    ("holdfast-central", Some("config/central.toml")),
    // What it needs besides comes with its enrolment.
    ("holdfast-sync", None),
];

fn service_files() -> Result {
    let folder = programs()?.join("units");
    for (service, config) in SERVICES {
        service_file(service, &folder)?;
        if let Some(config) = config {
            // What is installed and not yet edited must be taken.
            run(Command::new(programs()?.join(service))
                .args(["check-config", "--config"])
                .arg(root().join(config)))?;
        }
    }
    user_and_folders(&folder)
}

/// Checks a unit as it will be installed, but with the program that the tests ran in place of the installed one.
fn service_file(service: &str, folder: &Path) -> Result {
    let built = programs()?.join(service);
    if !built.is_file() {
        return Err(format!("{} is missing; the tests build it", built.display()));
    }
    let unit = root().join(format!("systemd/{service}.service"));
    let text = fs::read_to_string(&unit).map_err(|error| format!("{}: {error}", unit.display()))?;
    let installed = format!("/usr/bin/{service}");
    if !text.contains(&installed) {
        return Err(format!("{} does not start {installed}", unit.display()));
    }
    let copy = folder.join(format!("{service}.service"));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&copy, text.replace(&installed, &built.to_string_lossy())))
        .map_err(|error| format!("{}: {error}", copy.display()))?;
    run(program("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(&copy))?;
    let security = |threshold: &str| {
        let mut analyze = program("systemd-analyze");
        analyze.args(["security", "--offline=true", "--no-pager", "--threshold", threshold]);
        analyze.arg(&unit).stdout(Stdio::null());
        analyze
    };
    run(&mut security(EXPOSURE_MAX_TENTHS))
        .map_err(|error| format!("{error}: {service} is exposed more than {EXPOSURE_MAX_TENTHS} tenths"))?;
    if succeeds(&mut security("0")) {
        return Err("systemd-analyze finds no exposure at all: it did not look".to_owned());
    }
    if !text.contains("CapabilityBoundingSet=\n") {
        return Err(format!(
            "{} gives the service a capability; its ports need none",
            unit.display()
        ));
    }
    Ok(())
}

/// Makes the users and the folders in an empty root, as the installed files say.
fn user_and_folders(folder: &Path) -> Result {
    let empty = folder.join("root");
    let etc = empty.join("etc");
    let put = |file: &str| {
        let file = etc.join(file);
        fs::create_dir_all(file.parent().unwrap_or(&etc)).and_then(|()| fs::write(file, ""))
    };
    let made = match fs::remove_dir_all(&empty) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => [
            "holdfast/edge.toml",
            "holdfast-sync/sync.toml",
            "holdfast-central/central.toml",
        ]
        .into_iter()
        .try_for_each(put),
    };
    made.map_err(|error| format!("{}: {error}", empty.display()))?;
    let in_root = format!("--root={}", empty.display());
    let systemd = root().join("systemd");
    let of = |what: &str| ["holdfast", "holdfast-central"].map(|name| systemd.join(format!("{name}.{what}.conf")));
    run(program("systemd-sysusers").arg(&in_root).args(of("sysusers")))?;
    let users = fs::read_to_string(empty.join("etc/passwd")).map_err(|error| error.to_string())?;
    for user in ["holdfast:", "holdfast-sync:", "holdfast-central:"] {
        if !users.lines().any(|line| line.starts_with(user)) {
            return Err(format!("systemd-sysusers made no user `{user}`"));
        }
    }
    if !tools::is_root() {
        println!("the folders are made for root only: left out");
        return Ok(());
    }
    run(program("systemd-tmpfiles")
        .args([in_root.as_str(), "--create"])
        .args(of("tmpfiles")))?;
    for (path, wanted) in [
        ("holdfast", 0o750),
        ("holdfast/tariffs", 0o750),
        ("holdfast/edge.toml", 0o640),
        ("holdfast-sync", 0o750),
        ("holdfast-sync/sync.toml", 0o640),
        ("holdfast-central/central.toml", 0o640),
    ] {
        let path = etc.join(path);
        let found = fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        if found.permissions().mode() & 0o777 != wanted || found.gid() == 0 {
            return Err(format!("{} is not for root and the service alone", path.display()));
        }
    }
    Ok(())
}
