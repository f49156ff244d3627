//! What the commands need that Rust does not bring: said, installed where it is missing, explained where it cannot be.

use crate::run::{Result, cargo, program, run, succeeds};
use std::{env, fs, path::Path};

/// A program, or a file by its path, the Debian package that has it, and what it is needed for.
struct Tool {
    program: &'static str,
    package: &'static str,
    why: &'static str,
}

/// What the tests call.
const OF_TESTS: [Tool; 7] = [
    Tool {
        program: "faketime",
        package: "faketime",
        why: "a test steps the daemon's wall clock while it runs",
    },
    Tool {
        program: "mosquitto_pub",
        package: "mosquitto-clients",
        why: "a test plays a pile by hand, as docs/pile-protocol.md has it",
    },
    Tool {
        program: "mosquitto",
        package: "mosquitto",
        why: "head office and a station meet at a broker of somebody else's",
    },
    Tool {
        program: "rabbitmq-server",
        package: "rabbitmq-server",
        why: "and at three of another kind, one of which is killed",
    },
    Tool {
        program: "python3",
        package: "python3",
        why: "another program checks an exported journal",
    },
    Tool {
        program: "initdb",
        package: "postgresql",
        why: "head office's database is tested on servers that the tests start",
    },
    Tool {
        program: "systemd-analyze",
        package: "systemd",
        why: "the service file is checked",
    },
];

/// What the station is measured against.
const OF_BENCH: [Tool; 3] = [
    Tool {
        program: "mosquitto",
        package: "mosquitto",
        why: "the broker that the station's own is measured against",
    },
    Tool {
        program: "pgbench",
        package: "postgresql",
        why: "the database whose commits orders are measured against",
    },
    Tool {
        program: "/usr/lib/python3/dist-packages/pandas/__init__.py",
        package: "python3-pandas",
        why: "the library that a day's reconciliation is measured against",
    },
];

/// What fuzzing needs.
const OF_FUZZ: [Tool; 1] = [Tool {
    program: "g++",
    package: "g++",
    why: "libFuzzer is C++ and is built with the fuzzed program",
}];

/// Installs what fuzzing needs, with apt, where it is missing.
pub(crate) fn of_fuzz() -> Result {
    install_missing(&OF_FUZZ)
}

/// What this machine is to the compiler, such as `x86_64-unknown-linux-gnu`.
pub(crate) fn host() -> Result<String> {
    let told = program("rustc").arg("-vV").output();
    let told = told.map_err(|error| format!("`rustc -vV` cannot be started: {error}"))?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| "`rustc -vV` names no host".to_owned())
}

/// Installs what tests need, with apt, where it is missing.
pub(crate) fn of_tests() -> Result {
    install_missing(&OF_TESTS)
}

/// Installs what the station is measured against, with apt, where it is missing. No service of it is started.
pub(crate) fn of_bench() -> Result {
    install_missing(&OF_BENCH)
}

fn install_missing(tools: &[Tool]) -> Result {
    let missing: Vec<&Tool> = tools.iter().filter(|tool| !is_installed(tool.program)).collect();
    if missing.is_empty() {
        println!("all there");
        return Ok(());
    }
    for tool in &missing {
        println!("missing: {} ({})", tool.package, tool.why);
    }
    let missing: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    let packages = missing.join(" ");
    let by_hand = format!("install what has these Debian packages' programs yourself, then try again: {packages}");
    if !is_installed("apt-get") {
        return Err(format!("this system has no apt-get; {by_hand}"));
    }
    let install = || {
        let mut arguments = vec!["install", "-y", "--no-install-recommends"];
        arguments.extend(&missing);
        apt(&arguments)
    };
    // Package lists that are there are tried first: fetching them again takes longer than all the rest.
    install()
        .or_else(|_| apt(&["update"]).and_then(|()| install()))
        .map_err(|error| format!("{error}; {by_hand}"))
}

/// `apt-get`, as root. `RUNLEVEL=1` keeps an installed service from being started.
fn apt(arguments: &[&str]) -> Result {
    const SETTINGS: [&str; 3] = ["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get"];
    let mut command = if is_root() { program("env") } else { program("sudo") };
    if !is_root() {
        command.arg("env");
    }
    command.args(SETTINGS).arg("-q").args(arguments);
    println!("running {}", crate::run::shown(&command));
    run(&mut command)
}

pub(crate) fn is_root() -> bool {
    program("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout == b"0\n")
}

/// Some programs lie in `sbin`, which is not on everybody's path, and PostgreSQL's server in nobody's, by version.
fn is_installed(name: &str) -> bool {
    if name.starts_with('/') {
        return Path::new(name).is_file();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let postgresql = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(|folder| Path::new(folder).to_owned()))
        .chain(postgresql.map(|version| version.path().join("bin")))
        .any(|folder| folder.join(name).is_file())
}

/// The parts of Rust that a minimal installation leaves out.
pub(crate) fn of_rust() -> Result {
    for component in ["rustfmt", "clippy"] {
        let subcommand = if component == "rustfmt" { "fmt" } else { component };
        if succeeds(cargo().args([subcommand, "--version"])) {
            continue;
        }
        println!("missing: {component}");
        run(program("rustup").args(["component", "add", component]))
            .map_err(|error| format!("{error}; install Rust's {component} yourself, then try again"))?;
    }
    Ok(())
}

/// Installs cargo-deny where it is missing.
pub(crate) fn cargo_deny() -> Result {
    if succeeds(cargo().args(["deny", "--version"])) {
        return Ok(());
    }
    println!("cargo-deny is missing; building it, which takes some minutes");
    run(cargo().args(["install", "--locked", "cargo-deny"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_or_not() {
        assert!(is_installed("sh"));
        assert!(!is_installed("no-such-program"));
    }
}
