//! What piles keep from one run to the next, as a file: each pile's flash under its id.
//! It is replaced whole, so that a crash leaves the old one or the new one.

use anyhow::{Context, Result};
use domain::ids::PileId;
use std::{collections::BTreeMap, io::ErrorKind, path::Path};
use world::pile::Flash;

/// The flash of every pile that ever used the file.
pub(crate) type Flashes = BTreeMap<PileId, Flash>;

/// Reads the file; none yet is the same as an empty one.
pub(crate) fn read(path: &Path) -> Result<Flashes> {
    match std::fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Flashes::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| {
            format!(
                "{} is not a state file of pile-sim; move it away to begin anew",
                path.display()
            )
        }),
    }
}

/// Replaces the file.
pub(crate) fn write(path: &Path, flashes: &Flashes) -> Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = Path::new(&beside);
    let text = serde_json::to_vec_pretty(flashes).context("a flash cannot be written as JSON")?;
    std::fs::write(beside, text)
        .and_then(|()| std::fs::rename(beside, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = world::station::Folder::new("pile-sim-state").unwrap();
        let path = folder.path().join("state.json");
        assert_eq!(read(&path).unwrap(), Flashes::new());
        let flash = Flash {
            boots: 3,
            offline_sessions: 2,
            meters: vec!["1007.1".parse().unwrap()],
            records: Vec::new(),
        };
        let flashes = Flashes::from([(PileId::new("P1").unwrap(), flash)]);
        write(&path, &flashes).unwrap();
        assert_eq!(read(&path).unwrap(), flashes);
        std::fs::write(&path, "{").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("move it away"));
    }
}
