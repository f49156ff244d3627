//! Room on the disk that cargo builds on. Without it everything fails in its own way: a database stops in the middle of a commit, and
//! whoever waits for it waits.

use crate::run::{Result, cargo, program, programs, run};
use std::{path::Path, process::Command};

const GIB: u64 = 1 << 30;
/// Below this, what was built of our own crates goes first: each checkout builds them anew, and those of earlier ones only take room.
const WANTED: u64 = 16 * GIB;
/// Without this nothing is begun: programs and tests take some 8 GiB, what the tests' databases write another 4.
const NEEDED: u64 = 12 * GIB;

/// Makes room where there is little, and says so where that does not help.
pub(crate) fn make() -> Result {
    let folder = programs()?;
    let free = free(&folder)?;
    println!("{} is free at {}", gib(free), folder.display());
    if free >= WANTED {
        return Ok(());
    }
    println!("that is little: taking away what was built of our own crates");
    run(cargo().args(["clean", "--workspace"]))?;
    enough(self::free(&folder)?, &folder)
}

fn enough(free: u64, folder: &Path) -> Result {
    match free < NEEDED {
        true => Err(format!(
            "{} is free at {}, and the tests need {}: remove something there, or build elsewhere (CARGO_TARGET_DIR)",
            gib(free),
            folder.display(),
            gib(NEEDED)
        )),
        false => Ok(()),
    }
}

/// Bytes that whoever asks may still write there.
fn free(folder: &Path) -> Result<u64> {
    let mut df = program("df");
    df.args(["--block-size=1", "--output=avail"]).arg(folder);
    let said = text(&mut df)?;
    let number = said.lines().last().map(str::trim);
    number
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| format!("df does not say how much is free at {}: {said}", folder.display()))
}

fn text(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .map_err(|error| format!("df cannot be started: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("df failed: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is for people")]
fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / GIB as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_is_a_number_of_bytes() {
        let free = free(Path::new("/")).unwrap();
        assert!(free > 0, "{free}");
        assert!(
            super::free(Path::new("/no/such/folder"))
                .unwrap_err()
                .starts_with("df failed")
        );
    }

    #[test]
    fn where_there_is_too_little_it_says_what_to_do() {
        let here = Path::new("/here");
        assert!(enough(NEEDED, here).is_ok());
        let error = enough(NEEDED - 1, here).unwrap_err();
        assert!(
            error.contains("12.0 GiB is free at /here") && error.contains("CARGO_TARGET_DIR"),
            "{error}"
        );
    }
}
