//! The project's own commands, run as `cargo xtask …`. They call what every developer has, and say what they do.
//! Nothing but the standard library, so that the first build of it takes a second.

// A command line talks to a terminal; there is no log to write to.
#![allow(clippy::print_stdout)]

mod audit;
mod bench;
mod demo;
mod dictionary;
mod fuzz;
mod room;
mod run;
mod test;
mod tidy;
mod tools;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <command>

  demo [--exit]   run a station with simulated piles; with --exit end when the story is told
  test            everything that must hold before a change goes in: format, lints, documents, tests, service files,
                  fuzzing
  tidy            the part of it that no compiler sees: walls, file heads and lengths, citations, links
  fuzz [TARGET…] [--seconds N] | fuzz TARGET FILE…
                  looks for inputs that break a rule, for N seconds each, or plays inputs again;
                  targets are the folders of fuzz/corpus
  bench [--quick] [ROW…]
                  speed and memory of the release build beside mosquitto, PostgreSQL and the bare disk, in one table;
                  bench --help lists its rows
  dictionary N    makes the dictionary number N that batches of the journal are packed with, from simulated stations
  audit           licences, sources, banned and doubled dependencies, known vulnerabilities
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["demo"] => demo::demo(false),
        ["demo", "--exit"] => demo::demo(true),
        ["test"] => test::test(),
        ["tidy"] => tidy::tidy(),
        ["fuzz", arguments @ ..] => fuzz::fuzz(arguments),
        ["bench", arguments @ ..] => bench::bench(arguments),
        ["audit"] => audit::audit(),
        ["dictionary", number] => dictionary::dictionary(number),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        [] => Err(USAGE.to_owned()),
        other => Err(format!("unknown: {}\n\n{USAGE}", other.join(" "))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
