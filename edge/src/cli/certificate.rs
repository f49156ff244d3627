//! `pile cert`: the daemon issues, and the files are written here, for whoever carries them to the pile.

use super::client::Client;
use anyhow::Context;
use serde_json::{Value, json};
use service::tls::put;
use std::path::Path;

/// Asks for a certificate and writes it, its key and the authority's certificate; says where.
pub(super) fn issue(client: &Client, id: &str, out: &Path, days: i64, revoke: bool) -> anyhow::Result<Value> {
    // What cannot be written afterwards must not be issued: the key is shown once.
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let (certificate, key, authority) = (
        out.join(format!("{id}.crt")),
        out.join(format!("{id}.key")),
        out.join("ca.crt"),
    );
    let probe = out.join(format!("{id}.probe"));
    put(&probe, "", 0o600)?;
    std::fs::remove_file(&probe)?;
    let body = json!({ "days": days, "revoke": revoke });
    let answer = client.post(&format!("/v1/piles/{id}/certificate"), &body)?;
    let text = |name: &str| {
        answer[name]
            .as_str()
            .with_context(|| format!("no {name} in the answer"))
    };
    put(&key, text("private_key")?, 0o600)?;
    put(&certificate, text("certificate")?, 0o644)?;
    let authority = match answer["authority"].as_str() {
        Some(pem) => {
            put(&authority, pem, 0o644)?;
            authority.display().to_string()
        }
        None => "the one that issued the station's certificate (mqtt.tls.certificate)".to_owned(),
    };
    let before = if revoke {
        "counts no more"
    } else {
        "counts until the pile comes with this one"
    };
    Ok(json!({
        "certificate": certificate.display().to_string(),
        "private_key": key.display().to_string(),
        "authority": authority,
        "expires": text("expires")?,
        "certificate_before": before,
    }))
}
