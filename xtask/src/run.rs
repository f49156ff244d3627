//! Running other programs, in the project's folder, with what they print going straight through.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// What a command comes to: nothing, or a text that says what to do.
pub(crate) type Result<T = ()> = std::result::Result<T, String>;

/// The checkout that cargo was started in, whichever of several this program was built from.
pub(crate) fn root() -> PathBuf {
    let xtask = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let folder = xtask.parent();
    folder.expect("xtask lies in a folder of the checkout").to_owned()
}

/// Where cargo puts the programs of the dev profile: where it put this one.
pub(crate) fn programs() -> Result<PathBuf> {
    let own = env::current_exe().map_err(|error| format!("cannot tell where cargo builds to: {error}"))?;
    let folder = own.parent().ok_or("this program lies in no folder")?;
    Ok(folder.to_owned())
}

/// The cargo that runs this, without what it says of this package: build scripts that look at these names would run again,
/// and everything above them be built again, each time somebody changes between `cargo xtask` and `cargo` itself.
pub(crate) fn cargo() -> Command {
    let mut cargo = program(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    for (name, _) in env::vars_os() {
        let of_this_package = ["CARGO_PKG_", "CARGO_MANIFEST_"];
        if name
            .to_str()
            .is_some_and(|name| of_this_package.iter().any(|prefix| name.starts_with(prefix)))
        {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Any program, in the checkout.
pub(crate) fn program(name: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root());
    command
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default();
    std::iter::once(name)
        .chain(command.get_args())
        .map(|part| part.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs it to its end; anything but success is an error that names it.
pub(crate) fn run(command: &mut Command) -> Result {
    let line = shown(command);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` failed ({status})")),
        Err(error) => Err(format!("`{line}` cannot be started: {error}")),
    }
}

/// Whether it runs and succeeds, without a word.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Steps one after the other, with the time each took.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<(&'static str, Duration)>,
}

impl Steps {
    /// One step; the first that fails ends the command.
    pub(crate) fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result) -> Result {
        println!("\n== {name}");
        let started = Instant::now();
        let result = work();
        let took = started.elapsed();
        println!(
            "== {name}: {} after {}",
            if result.is_ok() { "done" } else { "FAILED" },
            seconds(took)
        );
        self.done.push((name, took));
        result
    }

    /// What took how long.
    pub(crate) fn summary(&self) {
        println!();
        let width = self.done.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, took) in &self.done {
            println!("{name:width$}  {:>8}", seconds(*took));
        }
        let total = self.done.iter().map(|(_, took)| *took).sum();
        println!("{:width$}  {:>8}", "all", seconds(total));
    }
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["fmt", "--check"]);
        assert_eq!(shown(&command), "cargo fmt --check");
    }

    #[test]
    fn a_failure_names_the_command() {
        assert_eq!(
            run(&mut program("false")).unwrap_err(),
            "`false` failed (exit status: 1)"
        );
        assert!(
            run(&mut program("no-such-program"))
                .unwrap_err()
                .starts_with("`no-such-program` cannot be started")
        );
    }

    #[test]
    fn the_root_is_the_workspace() {
        assert!(root().join("Cargo.lock").is_file());
    }
}
