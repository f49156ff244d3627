//! The station, through the socket that it keeps for this program: what may be asked there, and nothing else.

use crate::courier::Page;
use base64::{Engine, engine::general_purpose::STANDARD};
use domain::{
    ids::OrderId,
    journal::{Hash, Head},
};
use protocol::{
    frame::{HqEpoch, Nonce},
    key::{PublicKey, SIGNATURE_LEN, Signature},
    status::{DirectivesTaken, Hello},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use service::client::{Answer, Call, Client, Failed};
use std::{path::PathBuf, time::Duration};

/// How long a fetch waits for news, in seconds: as long as the station lets it.
const WAIT_S: u64 = 60;
/// What an answer may take beyond that.
const TIME_MAX: Duration = Duration::from_secs(90);

/// The way to the station.
#[derive(Debug, Clone)]
pub struct Station {
    client: Client,
    socket: PathBuf,
}

/// What the station says of itself, without what this program adds.
#[derive(Debug, Deserialize)]
struct SaidHello {
    site: domain::ids::SiteId,
    protocol: u32,
    station: String,
    epoch: String,
    begins_after: Head,
    head: Head,
    acknowledged: Option<Head>,
    recovering: bool,
    hq_epoch: Option<HqEpoch>,
    directives: DirectivesTaken,
    waiting_since: Option<domain::time::Wall>,
    time_zone: String,
    key: PublicKey,
    nonce: Nonce,
}

#[derive(Debug, Deserialize)]
struct SaidPage {
    begins_after: Head,
    after_hash: Option<Hash>,
    head: Head,
    entries: Vec<SaidEntry>,
    signature: Option<String>,
}

#[derive(Debug, Deserialize)]
struct SaidEntry {
    bytes: String,
}

impl Station {
    /// The station behind this socket.
    pub fn at(socket: PathBuf) -> Self {
        Self {
            client: Client::at_socket(&socket).within(TIME_MAX),
            socket,
        }
    }

    /// Where its socket is.
    pub fn socket(&self) -> &std::path::Path {
        &self.socket
    }

    /// What is to be said to head office: each time with another number.
    ///
    /// # Errors
    /// [`Failed`].
    pub async fn hello(&self) -> Result<Hello, Failed> {
        let said: SaidHello = self.put_empty("/v1/sync/hello").await?;
        Ok(Hello {
            site: said.site,
            protocol: said.protocol,
            station: said.station,
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: said.epoch,
            begins_after: said.begins_after,
            head: said.head,
            acknowledged: said.acknowledged,
            recovering: said.recovering,
            hq_epoch: said.hq_epoch,
            directives: said.directives,
            waiting_since: said.waiting_since,
            time_zone: said.time_zone,
            key: Some(said.key),
            nonce: said.nonce,
        })
    }

    /// The number of the next ping.
    ///
    /// # Errors
    /// [`Failed`].
    pub async fn ping(&self) -> Result<Nonce, Failed> {
        #[derive(Deserialize)]
        struct SaidPing {
            nonce: Nonce,
        }
        let said: SaidPing = self.put_empty("/v1/sync/ping").await?;
        Ok(said.nonce)
    }

    /// Entries after this one.
    ///
    /// # Errors
    /// [`Failed`].
    pub async fn page(&self, after: u64, limit: usize, wait: bool) -> Result<Page, Failed> {
        let wait_s = if wait { WAIT_S } else { 0 };
        let path = format!("/v1/journal?after={after}&limit={limit}&wait_s={wait_s}");
        let said: SaidPage = self.client.read(Call::get(path)).await?;
        let unreadable = |what: &str| Failed::Unreadable(format!("{what} of the journal's feed"));
        let decode = |text: &str, what: &str| STANDARD.decode(text).map_err(|_| unreadable(what));
        let entries: Result<Vec<_>, _> = said
            .entries
            .iter()
            .map(|entry| decode(&entry.bytes, "an entry"))
            .collect();
        let entries = entries?;
        let signature = match said.signature {
            Some(text) => decode(&text, "the signature")?,
            None if entries.is_empty() => vec![0; SIGNATURE_LEN],
            None => return Err(unreadable("the signature")),
        };
        Ok(Page {
            before: said.after_hash.map(|hash| Head { seq: after, hash }),
            entries,
            signature: Signature(signature.try_into().map_err(|_| unreadable("the signature"))?),
            head: said.head.seq,
            begins_after: said.begins_after.seq,
        })
    }

    /// Hands the station a frame of head office's, as it came.
    ///
    /// # Errors
    /// [`Failed`].
    pub async fn hand(&self, what: &str, frame: Vec<u8>) -> Result<(), Failed> {
        let call = Call::put(format!("/v1/sync/{what}")).content("application/octet-stream", frame);
        self.client.ask(call).await?.success().map(drop)
    }

    /// Whatever the station answers.
    ///
    /// # Errors
    /// [`Failed`]: it does not.
    pub async fn get(&self, path: &str) -> Result<Answer, Failed> {
        self.client.ask(Call::get(path)).await
    }

    /// The path of an order's live frames.
    pub fn live_path(order: &OrderId) -> String {
        format!("/v1/orders/{order}/live")
    }

    async fn put_empty<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failed> {
        self.client.read(Call::put(path).json(&json!({}))?).await
    }
}
