//! How this box gets its place at head office: an invitation that a person brought along, a key that never leaves the box, and
//! what head office answers, which is kept beside it.

use crate::{config::Config, line, run::Agent, station::Station};
use anyhow::{Context, bail, ensure};
use protocol::enrolment::{Enrolled, Invitation, PATH, Request};
use service::{
    client::{Call, Client, new_key},
    config::split_address,
    tls::client::{ClientKey, client_config, end_of, put_secret},
};
use std::{
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The longest file that is read.
const FILE_BYTES_MAX: u64 = 64 * 1024;

fn key_file(config: &Config) -> PathBuf {
    config.data_dir.join("agent.key")
}

fn enrolment_file(config: &Config) -> PathBuf {
    config.data_dir.join("enrolment.json")
}

/// Shows the invitation in this file to head office, with this box's own key and the station's. What it gets is kept.
///
/// # Errors
/// What is wrong, and what to do about it. The same invitation may be tried again where the answer was lost.
pub async fn enrol(config: &Config, invitation: &Path) -> anyhow::Result<Enrolled> {
    let text = read(invitation)?;
    let invitation: Invitation = serde_json::from_str(&text).with_context(|| {
        let file = invitation.display();
        format!("{file} is no invitation: it is the file that `holdfast-central site enrol SITE` writes")
    })?;
    let station = Station::at(config.station_socket.clone());
    let hello = station.hello().await.with_context(|| {
        let socket = config.station_socket.display();
        format!("the station's key is needed, which it tells at {socket}")
    })?;
    let (is, invited) = (&hello.site, &invitation.site);
    ensure!(
        is == invited,
        "the invitation is for site {invited}, and the station here is {is}"
    );
    service::folder::make_private(&config.data_dir)
        .with_context(|| format!("cannot make the data directory {}", config.data_dir.display()))?;
    let key = own_key(config)?;
    let request = Request {
        token: invitation.token,
        agent_key: key.public().to_text(),
        edge_key: hello.key.context("the station names no key: is it too old?")?,
    };
    let Some((host, port)) = split_address(&invitation.at) else {
        bail!("the invitation names no host and port: {:?}", invitation.at);
    };
    let tls = client_config(&invitation.authority, None).context("the invitation's `authority`")?;
    let client = Client::at_https(host, port, Arc::new(tls));
    let enrolled: Enrolled = client.read(Call::post(PATH, &new_key()?).json(&request)?).await?;
    put_own(&enrolment_file(config), &serde_json::to_string_pretty(&enrolled)?)?;
    Ok(enrolled)
}

/// What this box got when it enrolled.
///
/// # Errors
/// It has not, or what it got cannot be read.
pub fn enrolled(config: &Config) -> anyhow::Result<Enrolled> {
    let file = enrolment_file(config);
    if !file.exists() {
        bail!(
            "this box has not enrolled ({} is not there): have an invitation made at head office with \
             `holdfast-central site enrol SITE`, bring the file here, and say `holdfast-sync enrol FILE`",
            file.display()
        );
    }
    let text = read(&file)?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} is not what it got when it enrolled: enrol again", file.display()))
}

/// What it speaks for, with its key and certificate.
///
/// # Errors
/// As [`enrolled`], or the key cannot be read.
pub fn agent(config: &Config) -> anyhow::Result<Agent> {
    let enrolled = enrolled(config)?;
    let nodes = enrolled.brokers.iter().map(|address| {
        let split = split_address(address).map(|(host, port)| (host.to_owned(), port));
        split.with_context(|| format!("the enrolment names no host and port of a broker: {address:?}"))
    });
    let nodes: Vec<(String, u16)> = nodes.collect::<Result<_, _>>()?;
    ensure!(!nodes.is_empty(), "the enrolment names no broker");
    let tls = match enrolled.plain {
        true => None,
        false => {
            let key = read(&key_file(config))?;
            let own = Some((enrolled.certificate.as_str(), key.as_str()));
            Some(Arc::new(client_config(&enrolled.authority, own)?))
        }
    };
    Ok(Agent {
        site: enrolled.site,
        station: Station::at(config.station_socket.clone()),
        broker: line::Broker {
            nodes,
            credentials: None,
            tls,
        },
    })
}

/// When this box's certificate ends, in words.
///
/// # Errors
/// It cannot be read.
pub fn end_of_certificate(enrolled: &Enrolled) -> anyhow::Result<String> {
    Ok(end_of(&enrolled.certificate)?.to_string())
}

/// The key of this box, made where there is none.
fn own_key(config: &Config) -> anyhow::Result<ClientKey> {
    let file = key_file(config);
    if file.exists() {
        let mode = std::fs::metadata(&file)?.mode();
        let shown = file.display();
        ensure!(mode & 0o077 == 0, "{shown} can be read by others: `chmod 600 {shown}`");
        return ClientKey::from_pem(&read(&file)?)
            .with_context(|| format!("{shown} is no key: move it aside and enrol again"));
    }
    let key = ClientKey::generate()?;
    put_own(&file, &key.to_pem())?;
    Ok(key)
}

/// Writes a file for the owner of its folder alone: it is often root who enrols, and another user whose service reads it.
fn put_own(file: &Path, text: &str) -> anyhow::Result<()> {
    put_secret(file, text)?;
    let folder = std::fs::metadata(file.parent().unwrap_or(Path::new(".")))?;
    if std::fs::metadata(file)?.uid() != folder.uid() {
        chown(file, Some(folder.uid()), Some(folder.gid())).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<String> {
    let read = || {
        let size = std::fs::metadata(path)?.len();
        ensure!(size <= FILE_BYTES_MAX, "it is larger than any key or certificate");
        Ok(std::fs::read_to_string(path)?)
    };
    read().with_context(|| path.display().to_string())
}
