//! The command line of the program that carries a station's journal to head office.

#![allow(clippy::print_stdout, reason = "a command line prints its answers")]

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match sync::cli::run(sync::cli::Cli::parse()) {
        Ok(text) => {
            if !text.is_empty() {
                println!("{}", text.trim_end());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("holdfast-sync: {error:#}");
            ExitCode::FAILURE
        }
    }
}
