//! A bare MQTT 3.1.1 connection for load: bytes out, packets in, nothing remembered but packet ids.
//! It speaks the same to the station and to mosquitto, and costs little beside them.

use anyhow::{Context, bail, ensure};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// How long anything may take before the run has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Read at once, at most.
const READ_BYTES: usize = 4 * 1024;

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Packet {
    /// A publish of ours is acknowledged.
    PubAck(u16),
    /// Somebody published to us; acknowledged already if it asked for that.
    Publish { topic: String, payload: Vec<u8> },
    /// Anything else.
    Other,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    input: Vec<u8>,
    /// Where in `input` the next packet begins.
    at: usize,
    output: Vec<u8>,
    last_id: u16,
}

impl Link {
    /// Connects with a clean session and without keep-alive, and waits for CONNACK.
    pub(crate) async fn open(address: SocketAddr, client_id: &str, user: &str, password: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut link = Self {
            stream,
            input: Vec::new(),
            at: 0,
            output: Vec::new(),
            last_id: 0,
        };
        let mut body = Vec::with_capacity(64);
        text(&mut body, "MQTT");
        // Level 4; user name, password, clean session; no keep-alive.
        body.extend([4, 0b1100_0010, 0, 0]);
        for field in [client_id, user, password] {
            text(&mut body, field);
        }
        link.packet(0x10, &[&body]);
        link.flush().await?;
        let code = link.raw(0x20).await?.get(1).copied();
        ensure!(code == Some(0), "CONNECT as {user} was answered with {code:?}");
        Ok(link)
    }

    /// Subscribes at QoS 1 and waits for SUBACK.
    pub(crate) async fn subscribe(&mut self, filter: &str) -> anyhow::Result<()> {
        let id = self.next_id();
        let mut body = id.to_be_bytes().to_vec();
        text(&mut body, filter);
        body.push(1);
        self.packet(0x82, &[&body]);
        self.flush().await?;
        let code = self.raw(0x90).await?.get(2).copied();
        ensure!(
            code == Some(1),
            "the subscription to {filter} was answered with {code:?}"
        );
        Ok(())
    }

    /// Puts a QoS 1 publish in line; [`Link::flush`] sends it. Returns its packet id.
    pub(crate) fn publish(&mut self, topic: &str, payload: &[u8]) -> u16 {
        let id = self.next_id();
        let mut head = Vec::with_capacity(topic.len() + 4);
        text(&mut head, topic);
        head.extend(id.to_be_bytes());
        self.packet(0x32, &[&head, payload]);
        id
    }

    /// Sends what is in line.
    pub(crate) async fn flush(&mut self) -> anyhow::Result<()> {
        if !self.output.is_empty() {
            self.stream.write_all(&self.output).await?;
            self.output.clear();
        }
        Ok(())
    }

    /// The next packet. What has to be acknowledged is, with whatever is sent next or before waiting.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Packet> {
        loop {
            if let Some(packet) = self.try_next()? {
                return Ok(packet);
            }
            self.flush().await?;
            self.fill().await?;
        }
    }

    /// The next packet of those that have come.
    pub(crate) fn try_next(&mut self) -> anyhow::Result<Option<Packet>> {
        let Some((first, body)) = self.take()? else {
            return Ok(None);
        };
        let rest = &self.input[body.clone()];
        Ok(Some(match first >> 4 {
            4 => Packet::PubAck(number(rest)?),
            3 => {
                let topic_bytes = usize::from(number(rest)?);
                let topic = rest.get(2..2 + topic_bytes).context("a topic is cut off")?;
                let topic = String::from_utf8_lossy(topic).into_owned();
                let mut payload = &rest[2 + topic_bytes..];
                if first & 0b110 != 0 {
                    let id = number(payload)?;
                    payload = &payload[2..];
                    let payload = payload.to_vec();
                    self.packet(0x40, &[&id.to_be_bytes()]);
                    return Ok(Some(Packet::Publish { topic, payload }));
                }
                Packet::Publish {
                    topic,
                    payload: payload.to_vec(),
                }
            }
            _ => Packet::Other,
        }))
    }

    /// The body of the next packet, which must have this first byte; publishes that come before it are let go.
    async fn raw(&mut self, wanted: u8) -> anyhow::Result<Vec<u8>> {
        loop {
            if let Some((first, body)) = self.take()? {
                if first == wanted {
                    return Ok(self.input[body].to_vec());
                }
                ensure!(first >> 4 == 3, "packet {first:#x} and not {wanted:#x}");
                continue;
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        self.input.drain(..self.at);
        self.at = 0;
        self.input.reserve(READ_BYTES);
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.input)).await;
        if read.context("nothing came for a minute")?? == 0 {
            bail!("the connection was closed");
        }
        Ok(())
    }

    /// First byte and place of the body of the packet at the front, if it is there whole.
    fn take(&mut self) -> anyhow::Result<Option<(u8, std::ops::Range<usize>)>> {
        let unread = &self.input[self.at..];
        let (mut len, mut head) = (0_usize, 1);
        loop {
            let Some(byte) = unread.get(head) else {
                return Ok(None);
            };
            len |= usize::from(byte & 0x7f) << (7 * (head - 1));
            head += 1;
            if byte & 0x80 == 0 {
                break;
            }
            ensure!(head <= 4, "a packet's length is malformed");
        }
        if unread.len() < head + len {
            return Ok(None);
        }
        let body = self.at + head..self.at + head + len;
        let first = unread[0];
        self.at = body.end;
        Ok(Some((first, body)))
    }

    fn packet(&mut self, first: u8, parts: &[&[u8]]) {
        let mut len: usize = parts.iter().map(|part| part.len()).sum();
        self.output.push(first);
        loop {
            let byte = (len % 128) as u8;
            len /= 128;
            self.output.push(if len > 0 { byte | 0x80 } else { byte });
            if len == 0 {
                break;
            }
        }
        for part in parts {
            self.output.extend_from_slice(part);
        }
    }

    fn next_id(&mut self) -> u16 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    let len = u16::try_from(text.len()).expect("what the load generator names is short");
    out.extend(len.to_be_bytes());
    out.extend(text.as_bytes());
}

fn number(bytes: &[u8]) -> anyhow::Result<u16> {
    let bytes = bytes.first_chunk().context("a packet is cut off")?;
    Ok(u16::from_be_bytes(*bytes))
}
