//! `site …`: who may come in, and how far their journals are here.

use super::Daemon;
use anyhow::Context;
use clap::Subcommand;
use domain::ids::SiteId;
use serde_json::{Value, json};
use service::tls::client::put_secret;
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub(super) enum Site {
    /// Add a site, and write its invitation: what its box needs to come in.
    Add {
        /// Its id, as `site` in its edge.toml.
        site: SiteId,
        /// A name for people.
        #[arg(long, default_value = "")]
        name: String,
        /// The file for the invitation [default: SITE.invitation].
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Write another invitation: for a new box, new keys, or where the one before is too old. What counted before goes on
    /// counting until the site has come in with it.
    Enrol {
        /// Its id.
        site: SiteId,
        /// The file for the invitation [default: SITE.invitation].
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Take a site's certificate back: it may not come in any more until it was invited again. What it has said is kept.
    Revoke {
        /// Its id.
        site: SiteId,
    },
}

pub(super) fn run(daemon: &Daemon, command: Site) -> anyhow::Result<(Value, fn(&Value) -> String)> {
    match command {
        Site::Add { site, name, out } => {
            daemon.put(&format!("/v1/sites/{site}"), &json!({ "name": name }))?;
            invite(daemon, &site, out)
        }
        Site::Enrol { site, out } => invite(daemon, &site, out),
        Site::Revoke { site } => {
            daemon.delete(&format!("/v1/sites/{site}/certificate"))?;
            Ok((json!({ "site": site }), |answer| {
                format!("site {} may not come in any more", shown(&answer["site"]))
            }))
        }
    }
}

fn invite(daemon: &Daemon, site: &SiteId, out: Option<PathBuf>) -> anyhow::Result<(Value, fn(&Value) -> String)> {
    let invitation = daemon.put(&format!("/v1/sites/{site}/invitation"), &json!({}))?;
    let file = out.unwrap_or_else(|| Path::new(&format!("{site}.invitation")).to_owned());
    put_secret(&file, &serde_json::to_string_pretty(&invitation)?).context("the invitation")?;
    let answer = json!({ "site": site, "file": file.display().to_string(), "until": invitation["until"], "at": invitation["at"] });
    Ok((answer, |answer| {
        format!(
            "{}: bring it to the box of site {} and say there\n\n  holdfast-sync enrol FILE\n\n\
             It counts once, until {}, and the box must reach {}.",
            shown(&answer["file"]),
            shown(&answer["site"]),
            shown(&answer["until"]),
            shown(&answer["at"]),
        )
    }))
}

fn shown(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
