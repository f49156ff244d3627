//! The command line: `run` is the daemon, almost everything else talks to it over its socket.

#![allow(clippy::print_stdout, reason = "a command line prints its answers")]

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match central::cli::run(central::cli::Cli::parse()) {
        Ok(text) => {
            if !text.is_empty() {
                println!("{}", text.trim_end());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("holdfast-central: {error:#}");
            ExitCode::FAILURE
        }
    }
}
