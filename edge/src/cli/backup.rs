//! `backup` asks the daemon for a copy of its database; `restore` makes a copy the database of a daemon that does not run.

use crate::{
    clock::system_wall,
    config::Config,
    daemon::make_private_folder,
    store::{Restored, Store},
};
use anyhow::Context;
use serde_json::Value;
use std::path::Path;

/// What a backup has written.
pub(super) fn made(answer: &Value) -> String {
    let number = |key: &str| answer[key].as_u64().unwrap_or(0);
    let (seq, hash) = (&answer["head"]["seq"], answer["head"]["hash"].as_str().unwrap_or("-"));
    format!(
        "{}: {} bytes in {} ms\nhead {seq}:{hash}",
        answer["file"].as_str().unwrap_or("-"),
        number("bytes"),
        number("took_ms")
    )
}

/// Puts a copy in the place of the station's database.
pub(super) fn restore(copy: &Path, config: &Path, may_move: bool) -> anyhow::Result<String> {
    let config = Config::load_here(config)?;
    make_private_folder(&config.data_dir)
        .with_context(|| format!("cannot make the data directory {}", config.data_dir.display()))?;
    let path = config.data_dir.join("holdfast.redb");
    let now = config.clock.start.unwrap_or_else(system_wall);
    let Restored { head, epoch, aside } = Store::restore(copy, &path, &config.site, now, may_move)?;
    let mut said = format!(
        "{} is the database of site {} again, as it was at entry {}\nnew run of the journal: {epoch}\nhead {head}",
        path.display(),
        config.site,
        head.seq
    );
    if let Some(aside) = aside {
        said.push_str(&format!("\nthe database that was there is now {}", aside.display()));
    }
    Ok(said)
}
