//! `site …`: who may come in, and how far their journals are here.

use super::{Daemon, Shown};
use anyhow::Context;
use clap::Subcommand;
use domain::ids::SiteId;
use serde_json::{Value, json};
use service::{table, tls::client::put_secret};
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
    /// All sites, and how far their journals are here.
    List,
    /// One site.
    Show {
        /// Its id.
        site: SiteId,
    },
    /// Take a site's certificate back: it may not come in any more until it was invited again. What it has said is kept.
    Revoke {
        /// Its id.
        site: SiteId,
    },
}

pub(super) fn run(daemon: &Daemon, command: Site) -> anyhow::Result<Shown> {
    match command {
        Site::Add { site, name, out } => {
            daemon.put(&format!("/v1/sites/{site}"), &json!({ "name": name }))?;
            invite(daemon, &site, out)
        }
        Site::List => Ok((daemon.all("/v1/sites")?, list)),
        Site::Show { site } => Ok((daemon.get(&format!("/v1/sites/{site}"))?, table::fields)),
        Site::Enrol { site, out } => invite(daemon, &site, out),
        Site::Revoke { site } => {
            daemon.delete(&format!("/v1/sites/{site}/certificate"))?;
            Ok((json!({ "site": site }), |answer| {
                format!("site {} may not come in any more", shown(&answer["site"]))
            }))
        }
    }
}

fn invite(daemon: &Daemon, site: &SiteId, out: Option<PathBuf>) -> anyhow::Result<Shown> {
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

fn list(answer: &Value) -> String {
    let row = |site: &Value| {
        json!({
            "id": site["id"],
            "name": site["name"],
            "state": site["state"],
            "entries": site["head"]["seq"],
            "behind": site["backlog"]["entries"],
            "heard": site["heard_at"],
            "day": site["day"],
        })
    };
    let rows: Vec<Value> = answer["items"].as_array().into_iter().flatten().map(row).collect();
    let columns = ["id", "name", "state", "entries", "behind", "heard", "day"];
    table::columns(&json!({ "items": rows }), &columns)
}

/// `status`: what needs somebody first, then all sites.
pub(super) fn status(daemon: &Daemon) -> anyhow::Result<Shown> {
    daemon.get("/healthz")?;
    let mut answer = daemon.all("/v1/sites")?;
    answer["alerts"] = daemon.all("/v1/alerts?open=true")?["items"].take();
    Ok((answer, |answer| {
        let items = |what: &str| answer[what].as_array().map_or(&[][..], Vec::as_slice);
        let (sites, alerts) = (items("items"), items("alerts"));
        let mut lines = Vec::new();
        for alert in alerts {
            lines.push(format!(
                "! {} (since {})",
                shown(&alert["words"]),
                shown(&alert["begun_at"])
            ));
        }
        for site in sites {
            // What was found a moment ago is not an alert yet.
            let is_told = |alert: &Value| alert["subject"] == site["id"] && alert["kind"] == site["state"];
            if let Some(trouble) = site["trouble"].as_str().filter(|_| !alerts.iter().any(is_told)) {
                lines.push(format!(
                    "! site {} is {}: {trouble}",
                    shown(&site["id"]),
                    shown(&site["state"])
                ));
            }
            if site["heard_at"].is_null() && site["revoked_at"].is_null() {
                lines.push(format!("! site {} has never been heard", shown(&site["id"])));
            }
        }
        lines.push(format!("{} sites", sites.len()));
        lines.push(list(answer));
        lines.join("\n")
    }))
}
