//! `pile-sim`: any number of simulated piles against a real station, for its makers and for makers of piles.
//! It prints what the piles hear and do, and its exit code says whether the contract was kept.

mod options;
mod plan;
mod report;
mod run;
mod state;

use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Everything went as the contract says.
const EXIT_GOOD: u8 = 0;
/// A record stayed without its `ack`, something unexpected happened, or it took too long.
const EXIT_BAD: u8 = 1;
/// The simulation could not begin.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let options = options::read();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error")))
        .with_writer(std::io::stderr)
        .init();
    let plan = match plan::make(options) {
        Ok(plan) => plan,
        Err(error) => return complain(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error.into()),
    };
    match runtime.block_on(run::run(plan)) {
        Ok(true) => ExitCode::from(EXIT_GOOD),
        Ok(false) => ExitCode::from(EXIT_BAD),
        Err(error) => complain(&error),
    }
}

fn complain(error: &anyhow::Error) -> ExitCode {
    tracing::debug!("{error:?}");
    eprintln!("pile-sim: {error:#}");
    ExitCode::from(EXIT_USAGE)
}
