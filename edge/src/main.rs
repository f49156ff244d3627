//! The command line: `run` is the daemon, everything else talks to it over its socket.

#![allow(clippy::print_stdout, reason = "a command line prints its answers")]

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match edge::cli::run(edge::cli::Cli::parse()) {
        Ok(text) => {
            if !text.is_empty() {
                println!("{}", text.trim_end());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("holdfast-edge: {error:#}");
            if error.is::<edge::disk::DiskFull>() {
                ExitCode::from(edge::disk::EXIT_DISK_FULL)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}
