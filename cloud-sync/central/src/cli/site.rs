//! `site …`: who may come in, and how far their journals are here.

use super::{Daemon, Shown};
use anyhow::Context;
use clap::Subcommand;
use domain::{ids::SiteId, journal::Head};
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
    /// Branches of a site's journal that are not followed: where each leaves the one that is, and how far it is here.
    Branches {
        /// Its id.
        site: SiteId,
    },
    /// Say which branch of a site's journal lives, after a station was restored and went on alone, or its disk was cloned.
    Accept {
        /// Its id.
        site: SiteId,
        /// A place that this branch goes through, and no other: an entry's number, a colon, its hash, as `holdfast-edge status`
        /// at the site prints it, and `site branches` here.
        #[arg(value_name = "SEQ:HASH")]
        through: Head,
        /// Why, for the audit chain.
        #[arg(long)]
        reason: String,
    },
    /// Try a site again whose journal is ahead or broken, from its head; a new start does so anyway.
    Resume {
        /// Its id.
        site: SiteId,
    },
    /// Set aside one entry at which a site's journal is broken: nothing of it is applied, and the entries after it are followed.
    /// Two people do it.
    SetAside {
        /// Its id.
        site: SiteId,
        /// The entry as `site show` has it in `trouble`: its number, a colon, its hash.
        #[arg(value_name = "SEQ:HASH")]
        entry: Head,
        #[command(flatten)]
        decide: Decide,
    },
    /// Join a station with a history, whose journal does not begin with its first entry any more, with the opening that it has made
    /// (`holdfast-edge opening`). Two people do it. Without a file and without `--approve`: show what was proposed.
    Opening {
        /// Its id.
        site: SiteId,
        /// The opening, where the daemon can read it: it is proposed, and another person approves it.
        #[arg(requires = "reason")]
        file: Option<PathBuf>,
        /// Why.
        #[arg(long, requires = "file")]
        reason: Option<String>,
        /// Approve what another person has proposed.
        #[arg(long, conflicts_with = "file")]
        approve: bool,
    },
    /// Close a site that never comes back: it may not come in any more, what is open there becomes a finding. Two people do it.
    Close {
        /// Its id.
        site: SiteId,
        #[command(flatten)]
        decide: Decide,
    },
    /// Take a site's certificate back: it may not come in any more until it was invited again. What it has said is kept.
    Revoke {
        /// Its id.
        site: SiteId,
    },
}

/// What two people decide.
#[derive(Debug, clap::Args)]
pub(super) struct Decide {
    /// Propose it, and why. Another person approves it.
    #[arg(long, required_unless_present = "approve")]
    reason: Option<String>,
    /// Approve what another person has proposed, by the name that they were told.
    #[arg(long, conflicts_with = "reason", value_name = "PROPOSAL")]
    approve: Option<String>,
}

impl Decide {
    fn put(&self, daemon: &Daemon, path: &str, site: &SiteId) -> anyhow::Result<Shown> {
        if let Some(proposal) = &self.approve {
            daemon.put(&format!("{path}/approval"), &json!({ "proposal": proposal }))?;
            return Ok((json!({ "site": site }), |answer| {
                format!("site {}: approved", shown(&answer["site"]))
            }));
        }
        let proposed = daemon.put(path, &json!({ "reason": self.reason }))?;
        Ok((json!({ "site": site, "proposal": proposed["proposal"] }), |answer| {
            format!(
                "site {}: proposed; another person approves it with the same command and `--approve {}` in place of the reason",
                shown(&answer["site"]),
                shown(&answer["proposal"])
            )
        }))
    }
}

pub(super) fn run(daemon: &Daemon, command: Site) -> anyhow::Result<Shown> {
    match command {
        Site::Add { site, name, out } => {
            daemon.put(&format!("/v1/sites/{site}"), &json!({ "name": name }))?;
            invite(daemon, &site, out)
        }
        Site::List => Ok((daemon.all("/v1/sites")?, list)),
        Site::Show { site } => Ok((daemon.get(&format!("/v1/sites/{site}"))?, table::fields)),
        Site::Branches { site } => Ok((daemon.get(&format!("/v1/sites/{site}/branches"))?, branches)),
        Site::Accept { site, through, reason } => {
            let body = json!({ "through": through.to_string(), "reason": reason });
            let accepted = daemon.put(&format!("/v1/sites/{site}/branch"), &body)?;
            Ok((accepted, table::fields))
        }
        Site::Resume { site } => {
            daemon.put(&format!("/v1/sites/{site}/trial"), &json!({}))?;
            Ok((json!({ "site": site }), |answer| {
                format!("site {} is tried again", shown(&answer["site"]))
            }))
        }
        Site::SetAside { site, entry, decide } => {
            decide.put(daemon, &format!("/v1/sites/{site}/set-aside/{entry}"), &site)
        }
        Site::Opening {
            site,
            file: Some(file),
            reason,
            ..
        } => {
            let file = std::path::absolute(&file)?.display().to_string();
            let body = json!({ "file": file, "reason": reason });
            Ok((daemon.put(&format!("/v1/sites/{site}/opening"), &body)?, table::fields))
        }
        Site::Opening { site, approve, .. } => {
            if approve {
                daemon.put(&format!("/v1/sites/{site}/opening/approval"), &json!({}))?;
            }
            Ok((daemon.get(&format!("/v1/sites/{site}/opening"))?, table::fields))
        }
        Site::Close { site, decide } => decide.put(daemon, &format!("/v1/sites/{site}/closure"), &site),
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

fn branches(answer: &Value) -> String {
    let place = |place: &Value| format!("{}:{}", place["seq"], shown(&place["hash"]));
    let row = |branch: &Value| {
        json!({
            "branch": branch["number"],
            "entries": branch["entries"],
            "taken": branch["taken_at"],
            "leaves at": branch["leaves_at"]["seq"],
            "head": place(&branch["head"]),
        })
    };
    let rows: Vec<Value> = answer["others"].as_array().into_iter().flatten().map(row).collect();
    let columns = ["branch", "entries", "taken", "leaves at", "head"];
    let others = table::columns(&json!({ "items": rows }), &columns);
    format!("branch {} is followed\n{others}", answer["followed"])
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
    answer["restored"] = daemon.get("/v1/head-office")?["restored"].take();
    answer["alerts"] = daemon.all("/v1/alerts?open=true")?["items"].take();
    Ok((answer, |answer| {
        let items = |what: &str| answer[what].as_array().map_or(&[][..], Vec::as_slice);
        let (sites, alerts) = (items("items"), items("alerts"));
        let mut lines = Vec::new();
        // What was found a moment ago is not an alert yet.
        if let Some(asked) = answer["restored"]
            .as_str()
            .filter(|_| !alerts.iter().any(|one| one["kind"] == "restored"))
        {
            lines.push(format!("! {asked}"));
        }
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
