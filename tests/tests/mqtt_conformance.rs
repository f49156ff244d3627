//! What MQTT promises, against the real daemon, byte by byte: what survives a SIGKILL, what does not, and what the station
//! refuses and says so. `broker/tests/conformance/` has everything that needs no disk.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use serde_json::json;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use world::station::{Setup, StationProcess};

const PATIENCE: Duration = Duration::from_secs(20);
const PILE: &str = "P01";
const PRICE: &str = "hf/v1/pile/P01/down/price";
const BOTH: [u8; 2] = [4, 5];

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

fn packet(first_byte: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first_byte];
    let mut len = body.len();
    loop {
        let byte = u8::try_from(len % 128).unwrap();
        len /= 128;
        if len == 0 {
            bytes.push(byte);
            break;
        }
        bytes.push(byte | 0x80);
    }
    [bytes, body.to_vec()].concat()
}

/// CONNECT; `flags` beside user name and password, `properties` in MQTT 5.
fn connect(version: u8, client_id: &str, secret: &str, flags: u8, properties: &[u8], will: &[u8]) -> Vec<u8> {
    let mut body = text("MQTT");
    body.extend([version, 0xC0 | flags, 0, 0]);
    if version == 5 {
        body.push(u8::try_from(properties.len()).unwrap());
        body.extend(properties);
    }
    body.extend(text(client_id));
    body.extend(will);
    body.extend(text(PILE));
    body.extend(text(secret));
    packet(0x10, &body)
}

const CLEAN: u8 = 0x02;

fn subscribe(version: u8, filters: &[&str]) -> Vec<u8> {
    let mut body = vec![0, 1];
    if version == 5 {
        body.push(0);
    }
    for filter in filters {
        body.extend(text(filter));
        body.push(1);
    }
    packet(0x82, &body)
}

fn publish(version: u8, flags: u8, topic: &str, payload: &str) -> Vec<u8> {
    let mut body = text(topic);
    body.extend([0, 9]);
    if version == 5 {
        body.push(0);
    }
    body.extend(payload.as_bytes());
    packet(0x32 | flags, &body)
}

struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Peer {
    async fn new(station: &StationProcess, bytes: &[u8]) -> Self {
        let stream = TcpStream::connect(station.mqtt).await.unwrap();
        let mut peer = Self {
            stream,
            buffer: Vec::new(),
        };
        peer.send(bytes).await;
        peer
    }

    /// Logged in with a clean session.
    async fn logged_in(station: &StationProcess, version: u8, client_id: &str, secret: &str) -> Self {
        let mut peer = Self::new(station, &connect(version, client_id, secret, CLEAN, b"", b"")).await;
        let connack = peer.packet().await;
        assert_eq!((connack[0], connack[3]), (0x20, 0), "{connack:02x?}");
        peer
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next packet; `None` at the end.
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(len) = packet_len(&self.buffer).filter(|len| self.buffer.len() >= *len) {
                return Some(self.buffer.drain(..len).collect());
            }
            let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
            if read.expect("the station answers").unwrap_or_default() == 0 {
                return None;
            }
        }
    }

    async fn packet(&mut self) -> Vec<u8> {
        self.next().await.expect("a packet, not the end")
    }

    /// Subscribes and returns the codes.
    async fn subscribe(&mut self, version: u8, filters: &[&str]) -> Vec<u8> {
        self.send(&subscribe(version, filters)).await;
        let suback = self.packet().await;
        assert_eq!(suback[0], 0x90, "{suback:02x?}");
        suback[suback.len() - filters.len()..].to_vec()
    }

    /// Whether a PINGREQ is answered by PINGRESP and nothing came before.
    async fn nothing_more(&mut self) {
        self.send(b"\xC0\x00").await;
        let packet = self.packet().await;
        assert_eq!(packet, b"\xD0\x00", "{}", String::from_utf8_lossy(&packet));
    }

    /// MQTT 5: DISCONNECT with this code. Both: the end.
    async fn ended(&mut self, version: u8, code: u8) {
        if version == 5 {
            assert_eq!(self.packet().await, [0xE0, 1, code]);
        }
        assert_eq!(self.next().await, None);
    }
}

fn packet_len(buffer: &[u8]) -> Option<usize> {
    let mut len = 0;
    for (at, byte) in buffer.iter().skip(1).enumerate() {
        len |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Some(2 + at + len);
        }
    }
    None
}

fn boot(boot_id: &str) -> String {
    json!({
        "boot_id": boot_id, "seq": 1, "mono_ms": 1, "ts": null, "msg_id": format!("{boot_id}-1"),
        "vendor": "v", "model": "m", "firmware": "1",
        "connectors": [{"no": 1, "max_kw": "7.0", "meter_kwh": "1.0000", "order_id": null}],
    })
    .to_string()
}

/// Boots as the pile, and returns the payload of `price` that the station sends for it.
async fn price_after_boot(station: &StationProcess, version: u8, secret: &str, boot_id: &str) -> Vec<u8> {
    let mut pile = Peer::logged_in(station, version, PILE, secret).await;
    assert_eq!(pile.subscribe(version, &["hf/v1/pile/P01/down/#"]).await, [1]);
    pile.send(&publish(version, 0, "hf/v1/pile/P01/up/boot", &boot(boot_id)))
        .await;
    loop {
        let packet = pile.packet().await;
        if let Some((flags, payload)) = price_of(version, &packet)
            && flags & 0x01 == 0
        {
            return payload;
        }
    }
}

/// Flags and payload of a `price`.
fn price_of(version: u8, packet: &[u8]) -> Option<(u8, Vec<u8>)> {
    let header = packet_len(packet).map(|len| 1 + usize::from(len > 129) + 1)?;
    let body = packet.get(header..).filter(|_| packet[0] & 0xF0 == 0x30)?;
    let payload = body.strip_prefix(text(PRICE).as_slice())?;
    // Packet id, and the empty properties of MQTT 5.
    let payload = &payload[2..];
    let payload = if version == 5 { &payload[1..] } else { payload };
    Some((packet[0] & 0x0F, payload.to_vec()))
}

/// 3.1.1: MQTT-3.3.1-5, -6, -8, 4.1. 5: MQTT-3.3.1-5, -9. What the station retains is on disk before it is sent.
#[tokio::test]
async fn a_retained_message_survives_sigkill() {
    let mut station = StationProcess::start("mqtt-retained", &Setup::new()).await.unwrap();
    let secret = station.add_pile(PILE).await.unwrap();
    let price = price_after_boot(&station, 4, &secret, "boot-1").await;
    assert!(price.starts_with(b"{"), "{}", String::from_utf8_lossy(&price));
    for version in BOTH {
        station.kill().unwrap();
        station.start_again().await.unwrap();
        // A display beside the pile, before the pile has come back.
        let mut display = Peer::logged_in(&station, version, "P01~display", &secret).await;
        assert_eq!(display.subscribe(version, &[PRICE]).await, [1]);
        let retained = display.packet().await;
        assert_eq!(
            price_of(version, &retained),
            Some((0x03, price.clone())),
            "QoS 1, retained: {}",
            String::from_utf8_lossy(&retained)
        );
        display.nothing_more().await;
    }
    // It is taken back with the pile, also after a restart.
    station.cli(&["pile", "remove", PILE]).unwrap();
    station.kill().unwrap();
    station.start_again().await.unwrap();
    let secret = station.add_pile(PILE).await.unwrap();
    let mut display = Peer::logged_in(&station, 5, "P01~display", &secret).await;
    assert_eq!(display.subscribe(5, &[PRICE]).await, [1]);
    display.nothing_more().await;
}

/// 3.1.1: MQTT-3.2.2-3, 3.1.2.4. 5: MQTT-3.2.2-2, 4.1. Sessions live as long as the process, and the client is told.
#[tokio::test]
async fn a_session_from_before_a_restart_is_said_not_to_be_there() {
    let mut station = StationProcess::start("mqtt-session", &Setup::new()).await.unwrap();
    let secret = station.add_pile(PILE).await.unwrap();
    for version in BOTH {
        let hour = b"\x11\x00\x00\x0E\x10";
        let persistent = connect(version, PILE, &secret, 0, hour, b"");
        for (restarted, present) in [(false, 0), (false, 1), (true, 0)] {
            if restarted {
                station.kill().unwrap();
                station.start_again().await.unwrap();
            }
            let mut pile = Peer::new(&station, &persistent).await;
            let connack = pile.packet().await;
            assert_eq!((connack[2], connack[3]), (present, 0), "{connack:02x?}");
            pile.subscribe(version, &["hf/v1/pile/P01/down/#"]).await;
        }
        // The next version begins without one.
        let mut pile = Peer::logged_in(&station, version, PILE, &secret).await;
        pile.send(b"\xE0\x00").await;
        assert_eq!(pile.next().await, None);
    }
}

/// 5: 3.2.2.3. Both: MQTT-3.3.5-2, MQTT-3.8.4-5. What a pile may not is said in CONNACK and refused with its code.
#[tokio::test]
async fn what_the_station_refuses_is_said() {
    let station = StationProcess::start("mqtt-refused", &Setup::new()).await.unwrap();
    let secret = station.add_pile(PILE).await.unwrap();
    let mut pile = Peer::new(&station, &connect(5, PILE, &secret, CLEAN, b"", b"")).await;
    let connack = pile.packet().await;
    // Receive Maximum, Maximum Packet Size, Topic Alias Maximum, Server Keep Alive, Retain and Shared not available.
    assert_eq!(
        connack,
        b"\x20\x15\x00\x00\x12\x21\x00\x40\x27\x00\x04\x10\x00\x22\x00\x10\x13\x09\x60\x25\x00\x2A\x00"
    );
    drop(pile);
    for version in BOTH {
        let filters = [
            "#",
            "$SYS/#",
            "hf/v1/pile/+/down/#",
            "$share/g/hf/v1/pile/P01/down/#",
            "hf/v1/pile/P01/down/#",
        ];
        let codes = if version == 5 {
            [0x87, 0x87, 0x87, 0x9E, 1]
        } else {
            [0x80, 0x80, 0x80, 0x80, 1]
        };
        let mut pile = Peer::logged_in(&station, version, PILE, &secret).await;
        assert_eq!(pile.subscribe(version, &filters).await, codes);
        pile.send(&publish(version, 0x01, "hf/v1/pile/P01/up/boot", &boot("boot-1")))
            .await;
        pile.ended(version, 0x9A).await;
        for topic in ["$SYS/x", "hf/v1/pile/P02/up/boot", "hf/v1/pile/P01/down/price"] {
            let mut pile = Peer::logged_in(&station, version, PILE, &secret).await;
            pile.send(&publish(version, 0, topic, "x")).await;
            pile.ended(version, 0x87).await;
        }
        // A will that is retained: flags will, retain, QoS 0.
        let mut will = if version == 5 { vec![0] } else { Vec::new() };
        will.extend([text("hf/v1/pile/P01/up/event"), text("{}")].concat());
        let mut pile = Peer::new(&station, &connect(version, PILE, &secret, CLEAN | 0x24, b"", &will)).await;
        let refused: &[u8] = if version == 5 {
            b"\x20\x03\x00\x9A\x00"
        } else {
            b"\x20\x02\x00\x05"
        };
        assert_eq!(pile.packet().await, refused);
    }
    let metrics = station.get("/metrics").await.unwrap().body;
    let metrics = metrics.as_str().unwrap();
    assert!(
        metrics.contains("holdfast_mqtt_connects_refused_total{reason=\"RetainNotSupported\"} 2"),
        "{metrics}"
    );
    assert!(
        metrics.contains("holdfast_mqtt_subscriptions_refused_total 8"),
        "{metrics}"
    );
}
