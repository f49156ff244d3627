//! `backup` asks the daemon for a copy of its database; `restore` makes a copy the database of a daemon that does not run.

use crate::{
    clock::system_wall,
    config::Config,
    store::{AfterRestore, Restored, Store},
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

/// What an opening has written.
pub(super) fn opened(answer: &Value) -> String {
    let (seq, hash) = (&answer["head"]["seq"], answer["head"]["hash"].as_str().unwrap_or("-"));
    format!(
        "{}: {} rows after entry {seq}, signed. Bring it to head office, where two people take it: `holdfast-central site opening`\n\
         head {seq}:{hash}",
        answer["file"].as_str().unwrap_or("-"),
        answer["rows"],
    )
}

/// A restored station goes on without head office.
pub(super) fn went_on(answer: &Value) -> String {
    let (seq, hash) = (&answer["head"]["seq"], answer["head"]["hash"].as_str().unwrap_or("-"));
    format!(
        "the station goes on without what head office has beyond its copy: a branch of the journal, which head office's \
         people must accept\nnew run of the journal: {}\nhead {seq}:{hash}",
        answer["epoch"].as_str().unwrap_or("-")
    )
}

/// Puts a copy in the place of the station's database.
pub(super) fn restore(copy: &Path, config: &Path, may_move: bool) -> anyhow::Result<String> {
    let config = Config::load_here(config)?;
    service::folder::make_private(&config.data_dir)
        .with_context(|| format!("cannot make the data directory {}", config.data_dir.display()))?;
    let path = config.data_dir.join("holdfast.redb");
    let now = config.clock.start.unwrap_or_else(system_wall);
    let after = match config.head_office.is_set() {
        true => AfterRestore::Recovery,
        false => AfterRestore::NewRun,
    };
    let Restored { head, epoch, aside } = Store::restore(copy, &path, &config.site, now, may_move, after)?;
    let then = match epoch {
        Some(epoch) => format!("new run of the journal: {epoch}"),
        None => "once it is started it gets back what head office has beyond that, and books nothing before; \
                 `holdfast-edge status` says how far it is, and `holdfast-edge recover --alone REASON` goes on without"
            .to_owned(),
    };
    let mut said = format!(
        "{} is the database of site {} again, as it was at entry {}\n{then}\nhead {head}",
        path.display(),
        config.site,
        head.seq
    );
    if let Some(aside) = aside {
        said.push_str(&format!("\nthe database that was there is now {}", aside.display()));
    }
    Ok(said)
}
