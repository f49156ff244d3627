//! `cargo xtask dictionary N`: makes what batches of the journal are packed with on their way to head office. A number that
//! was shipped once is never made again: batches that are packed with it must be read for ever.

use crate::run::{Result, cargo, root, run};

pub(crate) fn dictionary(number: &str) -> Result {
    let number: u8 = number
        .parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or("a dictionary has a number from 1 to 255")?;
    let file = root().join(format!("cloud-sync/protocol/dictionaries/{number}.zstd"));
    if file.exists() {
        return Err(format!(
            "{} is there: what was shipped is never made again",
            file.display()
        ));
    }
    let folder = file.parent().ok_or("it lies in no folder")?;
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    run(cargo()
        .args([
            "run",
            "--locked",
            "--package",
            "holdfast-tests",
            "--bin",
            "dictionary",
            "--",
        ])
        .arg(&file))?;
    println!("now name it in cloud-sync/protocol/src/pack.rs");
    Ok(())
}
