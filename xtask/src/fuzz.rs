//! `cargo xtask fuzz`: libFuzzer, guided by coverage, on the stable toolchain. The targets are the folders of
//! `fuzz/corpus`; what each holds to be true stands in `fuzz.rs` of the crate that it is about.

use crate::{
    run::{Result, cargo, program, programs, root, run},
    tools,
};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    thread,
};

/// What makes LLVM count which branches are taken and what is compared with what, for crates of the fuzzed program alone.
/// `sancov-module` is a pass of LLVM's: no nightly compiler is needed for it, as it is for sanitizers. `fuzzing` is what
/// crates look at that behave otherwise under a fuzzer.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";
/// How many inputs each target is given before a change goes in: some ten seconds' worth. Counted in inputs, so that a slow
/// machine finds what a fast one does.
const RUNS: u32 = 200_000;
/// How long one input may take, in seconds. Most take microseconds; one that hangs is a finding.
const INPUT_SECONDS_MAX: u32 = 60;
/// The longest input, in bytes. What is bounded by more than that is bounded by the same code.
const INPUT_BYTES_MAX: u32 = 4096;
const SECONDS_DEFAULT: u32 = 60;

/// How long targets run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    Inputs(u32),
    Seconds(u32),
}

/// `[TARGET…] [--seconds N]`, or `TARGET FILE…` to play inputs again.
pub(crate) fn fuzz(arguments: &[&str]) -> Result {
    let asked = Asked::read(arguments, &targets()?)?;
    let built = build()?;
    if asked.inputs.is_empty() {
        return all(&built, &asked.targets, Until::Seconds(asked.seconds));
    }
    run(of_target(&built, &asked.targets[0]).args(&asked.inputs))
}

/// What must hold before a change goes in.
pub(crate) fn briefly() -> Result {
    all(&build()?, &targets()?, Until::Inputs(RUNS))
}

#[derive(Debug, PartialEq, Eq)]
struct Asked {
    targets: Vec<String>,
    seconds: u32,
    /// Files to play again instead.
    inputs: Vec<PathBuf>,
}

impl Asked {
    fn read(arguments: &[&str], known: &[String]) -> Result<Self> {
        let mut asked = Self {
            targets: Vec::new(),
            seconds: SECONDS_DEFAULT,
            inputs: Vec::new(),
        };
        let mut arguments = arguments.iter();
        while let Some(&argument) = arguments.next() {
            if argument == "--seconds" {
                let seconds = arguments.next().and_then(|seconds| seconds.parse().ok());
                asked.seconds = seconds
                    .filter(|seconds| *seconds > 0)
                    .ok_or("--seconds takes a number above zero")?;
            } else if known.iter().any(|target| target == argument) {
                asked.targets.push(argument.to_owned());
            } else if Path::new(argument).is_file() {
                let input = fs::canonicalize(argument).map_err(|error| format!("{argument}: {error}"))?;
                asked.inputs.push(input);
            } else {
                return Err(format!(
                    "{argument} is no target and no file; targets are: {}",
                    known.join(" ")
                ));
            }
        }
        if !asked.inputs.is_empty() && asked.targets.len() != 1 {
            return Err("name the one target that the files are for, before them".to_owned());
        }
        if asked.targets.is_empty() {
            asked.targets = known.to_vec();
        }
        Ok(asked)
    }
}

/// The folders of `fuzz/corpus`.
fn targets() -> Result<Vec<String>> {
    let folder = root().join("fuzz/corpus");
    let unreadable = |error| format!("{}: {error}", folder.display());
    let mut targets = Vec::new();
    for entry in fs::read_dir(&folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        targets.extend(entry.file_name().into_string().ok().filter(|_| entry.path().is_dir()));
    }
    targets.sort();
    Ok(targets)
}

/// Beside what else is built: other flags would have everything built again.
fn folder() -> Result<PathBuf> {
    let programs = programs()?;
    let built = programs.parent().ok_or("programs lie in no folder")?;
    Ok(built.join("fuzz"))
}

/// Builds the fuzzed program. With a target named, the flags are for it alone and not for build scripts.
fn build() -> Result<PathBuf> {
    tools::of_fuzz()?;
    let host = tools::host()?;
    let mut build = cargo();
    build.args([
        "build",
        "--locked",
        "--package",
        "holdfast-fuzz",
        "--features",
        "libfuzzer",
    ]);
    build
        .args(["--profile", "fuzz", "--target", &host, "--target-dir"])
        .arg(folder()?);
    build.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", COVERAGE);
    run(&mut build)?;
    Ok(folder()?.join(host).join("fuzz/fuzz"))
}

fn of_target(built: &Path, target: &str) -> Command {
    let mut fuzz = program(built);
    fuzz.env("HOLDFAST_FUZZ_TARGET", target);
    fuzz.arg(format!("-timeout={INPUT_SECONDS_MAX}"));
    fuzz
}

/// Runs targets side by side, as many as there are processors, and tells of all that failed.
fn all(built: &Path, targets: &[String], until: Until) -> Result {
    let side_by_side = thread::available_parallelism().map_or(1, usize::from);
    let mut failures = Vec::new();
    for some in targets.chunks(side_by_side) {
        let results = thread::scope(|scope| {
            let running: Vec<_> = some
                .iter()
                .map(|target| scope.spawn(|| one(built, target, until)))
                .collect();
            let ended = running
                .into_iter()
                .map(|one| one.join().unwrap_or_else(|_| Err("the thread panicked".to_owned())));
            ended.collect::<Vec<_>>()
        });
        failures.extend(results.into_iter().filter_map(Result::err));
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.join("\n\n"))
    }
}

/// Runs one target from its corpus on: by inputs from one seed, by seconds from what earlier runs have found as well.
fn one(built: &Path, target: &str, until: Until) -> Result {
    let folder = folder()?;
    let (found, log) = (folder.join("found").join(target), folder.join(format!("{target}.log")));
    let mut fuzz = of_target(built, target);
    fuzz.arg(format!("-max_len={INPUT_BYTES_MAX}"))
        .args(["-print_final_stats=1", "-reload=0"]);
    fuzz.arg(format!("-artifact_prefix={}/", found.display()));
    let grown = match until {
        Until::Inputs(inputs) => {
            // Comparisons hold addresses, which differ from run to run; without them one seed gives one sequence.
            fuzz.args(["-seed=1", "-use_cmp=0"]).arg(format!("-runs={inputs}"));
            folder.join("briefly").join(target)
        }
        Until::Seconds(seconds) => {
            fuzz.arg(format!("-max_total_time={seconds}"));
            folder.join("grown").join(target)
        }
    };
    if matches!(until, Until::Inputs(_)) && grown.exists() {
        fs::remove_dir_all(&grown).map_err(|error| format!("{}: {error}", grown.display()))?;
    }
    for folder in [&found, &grown] {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    fuzz.arg(&grown).arg(root().join("fuzz/corpus").join(target));
    let output = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    let result = run(fuzz
        .stdout(output.try_clone().map_err(|error| error.to_string())?)
        .stderr(output));
    let said = fs::read_to_string(&log).unwrap_or_default();
    match result {
        Ok(()) => {
            println!("{target}: {}", summary(&said));
            Ok(())
        }
        Err(_) => Err(told(target, &said, &log)),
    }
}

/// What libFuzzer says at the end, in one line.
fn summary(said: &str) -> String {
    let stat = |name: &str| {
        let line = said
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("stat::").and_then(|it| it.strip_prefix(name)));
        line.map_or("?", |line| line.trim_start_matches(':').trim())
    };
    let last = said.lines().rev().find(|line| line.contains(" cov: ")).unwrap_or("");
    let word_after = |name: &str| {
        last.split_whitespace()
            .skip_while(|word| *word != name)
            .nth(1)
            .unwrap_or("?")
    };
    format!(
        "{} inputs, {} a second, {} branches seen",
        stat("number_of_executed_units"),
        stat("average_exec_per_sec"),
        word_after("cov:")
    )
}

/// What was found, and how to see it again.
fn told(target: &str, said: &str, log: &Path) -> String {
    let input = said
        .lines()
        .rev()
        .find_map(|line| line.split_once("Test unit written to ").map(|(_, path)| path));
    let about = said
        .lines()
        .skip_while(|line| !line.contains("panicked at"))
        .take(4)
        .collect::<Vec<_>>()
        .join("\n  ");
    let Some(input) = input else {
        return format!("{target}: the program failed without an input; see {}", log.display());
    };
    format!(
        "{target}: an input breaks a rule\n  {about}\n  play it again:  cargo xtask fuzz {target} {input}\n  \
         once mended, keep it under a name that says what it is:  cp {input} fuzz/corpus/{target}/"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<String> {
        ["mqtt", "pile"].map(str::to_owned).to_vec()
    }

    #[test]
    fn targets_and_seconds_are_read() {
        let asked = |arguments: &[&str]| Asked::read(arguments, &known());
        let all = asked(&[]).unwrap();
        assert_eq!((all.targets, all.seconds), (known(), SECONDS_DEFAULT));
        let one = asked(&["pile", "--seconds", "600"]).unwrap();
        assert_eq!((one.targets, one.seconds), (vec!["pile".to_owned()], 600));
        for wrong in [
            &["nothing"][..],
            &["--seconds"],
            &["--seconds", "0"],
            &["pile", "--seconds", "x"],
        ] {
            assert!(asked(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_input_is_played_by_the_target_it_is_for() {
        let input = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let asked = Asked::read(&["mqtt", input], &known()).unwrap();
        assert_eq!(asked.targets, ["mqtt"]);
        assert!(asked.inputs[0].is_absolute());
        assert!(Asked::read(&[input], &known()).is_err());
    }

    #[test]
    fn a_finding_is_told_with_what_to_do() {
        let said = "INFO: …\nthread 'main' panicked at a.rs:1:2:\nmessages keep their order\nnote: x\n\
                    artifact_prefix='/t/'; Test unit written to /t/crash-1\nBase64: eA==\n";
        let told = told("session", said, Path::new("/t/session.log"));
        for part in [
            "messages keep their order",
            "cargo xtask fuzz session /t/crash-1",
            "fuzz/corpus/session/",
        ] {
            assert!(told.contains(part), "{told}");
        }
    }

    #[test]
    fn the_end_of_a_run_is_one_line() {
        let said = "#2\tINITED cov: 12 ft: 1\n#900\tDONE   cov: 345 ft: 6 corp: 7\n\
                    stat::number_of_executed_units: 900\nstat::average_exec_per_sec:     300\n";
        assert_eq!(summary(said), "900 inputs, 300 a second, 345 branches seen");
    }

    #[test]
    fn every_folder_of_the_corpus_is_a_target() {
        assert!(targets().unwrap().contains(&"mqtt".to_owned()));
    }
}
