//! Head office's end of a station's line, played by hand: it has what it has pulled, and signs what a test wants signed.
//! Frames go straight to the station's socket; the program that carries them, and the broker between, are not here.

use crate::station::{Answer, StationProcess};
use anyhow::{Context, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use domain::{
    head_office::{Directive, DirectiveNo, DirectiveRow, Voucher},
    ids::{MemberId, SiteId},
    journal::{Hash, Head},
    time::Wall,
    units::Fen,
};
use protocol::{
    frame::{Ack, Batch, HqEpoch, Nonce, Pong, SignedDirective, State, Tail},
    key::SigningKey,
    pack::Packer,
};
use serde_json::Value;
use service::client::{Call, Client};
use std::path::PathBuf;

/// Its life.
const HQ_EPOCH: HqEpoch = HqEpoch([9; 16]);

/// Head office, as far as one station is concerned.
pub struct Line {
    site: SiteId,
    key: SigningKey,
    socket: PathBuf,
    /// The station's journal: each entry's hash and stored bytes.
    entries: Vec<(Hash, Vec<u8>)>,
}

impl Line {
    /// The line of this station, whose head office signs with this key.
    ///
    /// # Panics
    /// If the station's site is none.
    pub fn of(station: &StationProcess, site: &str, key: SigningKey) -> Self {
        Self {
            site: SiteId::new(site).expect("a test names its site rightly"),
            key,
            socket: station.sync_socket(),
            entries: Vec::new(),
        }
    }

    /// The line in `[head_office]` that makes this key count.
    pub fn in_configuration(key: &SigningKey) -> String {
        format!("public_key = \"{}\"", key.public())
    }

    /// The last entry that it has.
    pub fn head(&self) -> Head {
        Head {
            seq: self.entries.len() as u64,
            hash: self.entries.last().map_or(Hash::GENESIS, |(hash, _)| *hash),
        }
    }

    /// The place of an entry that it has; 0 is before the first.
    pub fn place(&self, seq: u64) -> Head {
        let index = usize::try_from(seq).unwrap_or(usize::MAX).checked_sub(1);
        let hash = index.and_then(|index| self.entries.get(index)).map(|(hash, _)| *hash);
        Head {
            seq,
            hash: hash.unwrap_or(Hash::GENESIS),
        }
    }

    /// The stored bytes of entries after `after`, up to `last`.
    pub fn bytes(&self, after: u64, last: u64) -> Vec<Vec<u8>> {
        let skipped = self.entries.iter().take(usize::try_from(last).unwrap_or(usize::MAX));
        let some = skipped.skip(usize::try_from(after).unwrap_or(usize::MAX));
        some.map(|(_, bytes)| bytes.clone()).collect()
    }

    /// Pulls what is new of the journal.
    ///
    /// # Errors
    /// If the station does not give it, or its hashes do not follow.
    pub async fn pull(&mut self) -> anyhow::Result<Head> {
        loop {
            let head = self.head();
            let call = Call::get(format!("/v1/journal?after={}&limit=100", head.seq));
            let page = self.ask(call).await?.success()?;
            let entries = page["entries"].as_array().context("no entries")?;
            if entries.is_empty() {
                return Ok(head);
            }
            for entry in entries {
                let bytes = STANDARD.decode(entry["bytes"].as_str().context("no bytes")?)?;
                let hash = Hash::seal(&self.head().hash, &bytes);
                ensure!(
                    entry["hash"] == hash.to_string(),
                    "{entry} is not sealed to what is before"
                );
                self.entries.push((hash, bytes));
            }
        }
    }

    /// Any request on the line's socket.
    ///
    /// # Errors
    /// If the station does not answer.
    pub async fn ask(&self, call: Call) -> anyhow::Result<Answer> {
        let answer = Client::at_socket(&self.socket).ask(call).await?;
        let text = || Value::String(String::from_utf8_lossy(&answer.body).into_owned());
        Ok(Answer {
            status: answer.status,
            body: serde_json::from_slice(&answer.body).unwrap_or_else(|_| text()),
        })
    }

    /// Puts a frame there.
    ///
    /// # Errors
    /// If the station does not answer.
    pub async fn put(&self, what: &str, frame: Vec<u8>) -> anyhow::Result<Answer> {
        let call = Call::put(format!("/v1/sync/{what}"));
        self.ask(call.content("application/octet-stream", frame)).await
    }

    /// The station's hello, and its number.
    ///
    /// # Errors
    /// If the station does not answer.
    pub async fn hello(&self) -> anyhow::Result<(Value, Nonce)> {
        let said = self.ask(Call::put("/v1/sync/hello")).await?.success()?;
        let nonce = said["nonce"].as_str().context("no nonce")?.to_owned();
        let nonce = Nonce::try_from(nonce).map_err(anyhow::Error::msg)?;
        Ok((said, nonce))
    }

    /// An acknowledgement of this place.
    pub fn ack(&self, state: State, head: Head, nonce: Nonce) -> Vec<u8> {
        let ack = Ack {
            hq_epoch: HQ_EPOCH,
            state,
            head,
            nonce,
        };
        ack.to_bytes(&self.site, &self.key)
    }

    /// The answer to a ping.
    pub fn pong(&self, nonce: Nonce, now: Wall) -> Vec<u8> {
        Pong { nonce, now }.to_bytes(&self.site, &self.key)
    }

    /// A directive with this number among those of orders and money.
    pub fn directive(&self, n: u64, directive: &Directive) -> Vec<u8> {
        let no = DirectiveNo {
            hq_epoch: HQ_EPOCH,
            row: DirectiveRow::Orders,
            n,
        };
        SignedDirective::to_bytes(&SignedDirective::json(no, directive), &self.site, &self.key)
    }

    /// A voucher of this number for a run of the station's journal, as a driver shows it.
    pub fn voucher(&self, id: &str, member: &MemberId, amount: Fen, epoch: &str) -> String {
        let voucher = Voucher {
            site: self.site.clone(),
            hq_epoch: HQ_EPOCH,
            epoch: epoch.to_owned(),
            id: id.to_owned(),
            member: member.clone(),
            name: member.to_string(),
            amount,
            expires_at: Wall::RANGE.end.after_ms(-1),
        };
        protocol::voucher::to_text(&voucher, &self.key)
    }

    /// The entries after `after`, up to `last`, handed back under this key.
    ///
    /// # Panics
    /// If there are none.
    pub fn tail_by(&self, key: &SigningKey, after: u64, last: u64) -> Vec<u8> {
        self.tail_of(key, self.place(after), &self.bytes(after, last))
    }

    /// The same with other entries.
    ///
    /// # Panics
    /// If there are none.
    pub fn tail_of(&self, key: &SigningKey, before: Head, entries: &[Vec<u8>]) -> Vec<u8> {
        // The station's own signature in it proves nothing: its key may be another one by now.
        let signature = Batch::sign(&self.site, before, key);
        let batch = Batch::pack(before, entries, signature, &mut Packer::new());
        Tail(batch.expect("a test hands back what it has")).to_bytes(&self.site, key)
    }

    /// The entries after `after`, up to `last`, handed back.
    ///
    /// # Panics
    /// If there are none.
    pub fn tail(&self, after: u64, last: u64) -> Vec<u8> {
        self.tail_by(&self.key, after, last)
    }
}
