//! The bytes of each message are those of `docs/sync-protocol.md`, to the bit: whoever speaks the line in another language
//! goes by that document. And whatever is changed, cut or put behind a message on its way is refused.

#![allow(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

use domain::{
    ids::SiteId,
    journal::{Hash, Head, hex},
    time::Wall,
};
use protocol::{
    frame::{Ack, Batch, HqEpoch, Malformed, Nonce, Pong, State, Tail},
    key::{PublicKeys, SigningKey},
    pack::Packer,
    status::{Hello, Status},
};

const DOCUMENT: &str = include_str!("../../../docs/sync-protocol.md");

/// Entries of the document.
const ENTRIES: [&str; 2] = [
    r#"{"site":"s01","epoch":"e0","stamp":{"seq":8,"at":"2026-03-01T00:00:00Z","mono":1000},"fact":{"DayBegan":{"day":"2026-03-01"}}}"#,
    r#"{"site":"s01","epoch":"e0","stamp":{"seq":9,"at":"2026-03-01T00:00:01Z","mono":2000},"fact":{"ClockStepped":{"by_ms":-5000}}}"#,
];

fn site() -> SiteId {
    "s01".parse().unwrap()
}

/// The station's key, and head office's.
fn keys() -> [SigningKey; 2] {
    [1, 2].map(|n| SigningKey::from_seed([n; 32]))
}

fn before() -> Head {
    Head {
        seq: 7,
        hash: Hash([0xab; 32]),
    }
}

fn batch() -> Batch {
    let [of_station, _] = keys();
    let hash = ENTRIES
        .iter()
        .fold(before().hash, |hash, entry| Hash::seal(&hash, entry.as_bytes()));
    let signature = Batch::sign(&site(), Head { seq: 9, hash }, &of_station);
    Batch::pack(before(), &ENTRIES, signature, &mut Packer::with(0)).unwrap()
}

fn ack() -> Ack {
    Ack {
        hq_epoch: HqEpoch([0x11; 16]),
        state: State::Following,
        head: before(),
        nonce: Nonce([0x22; 16]),
    }
}

fn pong() -> Pong {
    Pong {
        nonce: Nonce([0x33; 16]),
        now: Wall(1_772_323_200_000),
    }
}

fn status() -> Status {
    let [of_station, _] = keys();
    Status::Online(Box::new(Hello {
        site: site(),
        protocol: protocol::VERSION,
        station: "0.1.0".to_owned(),
        agent: "0.1.0".to_owned(),
        epoch: "e0".to_owned(),
        begins_after: Head::START,
        head: before(),
        acknowledged: None,
        recovering: false,
        hq_epoch: None,
        waiting_since: Some(Wall(1_772_323_200_000)),
        time_zone: "Asia/Shanghai".to_owned(),
        key: Some(of_station.public()),
        nonce: Nonce([0x22; 16]),
    }))
}

/// The block of the document under the heading `### Golden {name}`, without white space.
fn golden(name: &str) -> String {
    let (_, after) = DOCUMENT
        .split_once(&format!("### Golden {name}\n"))
        .unwrap_or_else(|| panic!("docs/sync-protocol.md has no `### Golden {name}`"));
    let (_, block) = after.split_once("```\n").expect("a block follows the heading");
    let (block, _) = block.split_once("```").expect("the block ends");
    block.chars().filter(|c| !c.is_whitespace()).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().map(|c| c.to_digit(16).expect("hexadecimal")).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

/// What a station's batch tells, if the station signed it.
fn entries_of(batch: &Batch) -> Vec<String> {
    let [of_station, _] = keys();
    let unpacked = batch.unpack().unwrap();
    batch.verify(&site(), &unpacked, &of_station.public().into()).unwrap();
    let text = |(_, _, bytes): (u64, Hash, &[u8])| String::from_utf8(bytes.to_vec()).unwrap();
    unpacked.entries().map(text).collect()
}

fn folded(text: &str) -> String {
    text.as_bytes()
        .chunks(96)
        .map(|line| String::from_utf8_lossy(line).into_owned() + "\n")
        .collect()
}

#[test]
fn the_bytes_of_every_message_are_those_of_the_document() {
    let [_, of_head_office] = keys();
    let messages = [
        ("ack", ack().to_bytes(&site(), &of_head_office)),
        ("pong", pong().to_bytes(&site(), &of_head_office)),
    ];
    for (name, bytes) in messages {
        let is = hex(&bytes);
        assert_eq!(golden(name), is, "{name} is now\n{}", folded(&is));
    }
    // How well something is packed may change; that what was packed once is read may not.
    for (name, now) in [
        ("batch", batch().to_bytes()),
        ("tail", Tail(batch()).to_bytes(&site(), &of_head_office)),
    ] {
        let bytes = from_hex(&golden(name));
        let read = match name {
            "batch" => Batch::from_bytes(&bytes),
            _ => Tail::from_bytes(&bytes, &site(), &of_head_office.public().into()).map(|Tail(batch)| batch),
        };
        let entries = read.map(|batch| entries_of(&batch));
        let is = folded(&hex(&now));
        let entries = entries.unwrap_or_else(|error| panic!("the document's {name}: {error}; it is now\n{is}"));
        assert_eq!(entries, ENTRIES, "{name} is now\n{is}");
    }
    let is = String::from_utf8(status().to_bytes()).unwrap();
    assert_eq!(golden("status"), is, "status is now\n{is}");
}

#[test]
fn what_is_sent_is_read_again() {
    let [of_station, of_head_office] = keys();
    let keys_of_station = PublicKeys::from(of_station.public());
    let keys_of_head_office = PublicKeys::from(of_head_office.public());
    let read = Batch::from_bytes(&batch().to_bytes()).unwrap();
    assert_eq!(read, batch());
    let unpacked = read.unpack().unwrap();
    let entries: Vec<&[u8]> = unpacked.entries().map(|(_, _, bytes)| bytes).collect();
    assert_eq!(entries, ENTRIES.map(str::as_bytes));
    assert_eq!(unpacked.follow(), Ok(unpacked.head()));
    assert_eq!(
        read.verify(&site(), &unpacked, &keys_of_station).unwrap(),
        of_station.public()
    );

    let bytes = ack().to_bytes(&site(), &of_head_office);
    assert_eq!(Ack::from_bytes(&bytes, &site(), &keys_of_head_office).unwrap(), ack());
    let bytes = pong().to_bytes(&site(), &of_head_office);
    assert_eq!(Pong::from_bytes(&bytes, &site(), &keys_of_head_office).unwrap(), pong());
    let bytes = Tail(batch()).to_bytes(&site(), &of_head_office);
    let tail = Tail::from_bytes(&bytes, &site(), &keys_of_head_office).unwrap();
    assert_eq!(tail, Tail(batch()));
    assert_eq!(Status::from_bytes(&status().to_bytes()).unwrap(), status());
}

/// Reads a message as its receiver does; whether it was taken.
type Read = fn(&[u8], &SiteId, &PublicKeys) -> bool;

fn takes_batch(bytes: &[u8], site: &SiteId, keys: &PublicKeys) -> bool {
    let read = || -> Result<(), Malformed> {
        let batch = Batch::from_bytes(bytes)?;
        let unpacked = batch.unpack()?;
        batch.verify(site, &unpacked, keys)?;
        Ok(())
    };
    read().is_ok()
}

#[test]
fn a_changed_bit_a_cut_and_an_appended_byte_are_refused_and_nothing_counts_for_another_site_or_key() {
    let [of_station, of_head_office] = keys();
    let messages: [(Vec<u8>, &SigningKey, Read); 4] = [
        (batch().to_bytes(), &of_station, takes_batch),
        (
            ack().to_bytes(&site(), &of_head_office),
            &of_head_office,
            |bytes, site, keys| Ack::from_bytes(bytes, site, keys).is_ok(),
        ),
        (
            Tail(batch()).to_bytes(&site(), &of_head_office),
            &of_head_office,
            |bytes, site, keys| Tail::from_bytes(bytes, site, keys).is_ok(),
        ),
        (
            pong().to_bytes(&site(), &of_head_office),
            &of_head_office,
            |bytes, site, keys| Pong::from_bytes(bytes, site, keys).is_ok(),
        ),
    ];
    for (bytes, key, takes) in messages {
        let keys = PublicKeys::from(key.public());
        assert!(takes(&bytes, &site(), &keys));
        assert!(!takes(&bytes, &"s02".parse().unwrap(), &keys));
        let other = PublicKeys::from(SigningKey::from_seed([9; 32]).public());
        assert!(!takes(&bytes, &site(), &other));
        for len in 0..bytes.len() {
            assert!(!takes(&bytes[..len], &site(), &keys), "cut after {len}");
        }
        assert!(!takes(&[bytes.as_slice(), b"\0"].concat(), &site(), &keys));
        for bit in 0..8 * bytes.len() {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            // What a batch's signature proves is what is unpacked: another packing of the same entries is the same to it.
            let is_repacked =
                || changed.starts_with(b"HFJ1") && entries_of(&Batch::from_bytes(&changed).unwrap()) == ENTRIES;
            assert!(!takes(&changed, &site(), &keys) || is_repacked(), "bit {bit}");
        }
    }
}

#[test]
fn a_batch_that_says_too_much_makes_no_room_for_it() {
    let mut batch = batch();
    batch.raw = u32::MAX;
    assert!(matches!(
        Batch::from_bytes(&batch.to_bytes()),
        Err(Malformed::TooLarge(_))
    ));
    batch.raw = 1 << 20;
    assert!(batch.unpack().is_err());
    batch.count = 0;
    assert!(matches!(Batch::from_bytes(&batch.to_bytes()), Err(Malformed::Value(_))));
    batch.first = u64::MAX;
    batch.count = 2;
    assert!(Batch::from_bytes(&batch.to_bytes()).is_err());
}

#[test]
fn an_entry_under_another_number_than_that_of_its_place_is_found() {
    let [of_station, _] = keys();
    let before = Head { seq: 8, ..before() };
    let signature = Batch::sign(&site(), before, &of_station);
    let batch = Batch::pack(before, &ENTRIES, signature, &mut Packer::new()).unwrap();
    assert!(batch.unpack().unwrap().follow().is_err());
}

#[test]
fn a_hello_is_read_without_what_the_copy_does_not_need_and_not_without_what_it_needs() {
    let read = |change: &dyn Fn(&mut serde_json::Map<String, serde_json::Value>)| {
        let mut said: serde_json::Map<_, _> = serde_json::from_slice(&status().to_bytes()).unwrap();
        change(&mut said);
        Status::from_bytes(&serde_json::to_vec(&said).unwrap())
    };
    let optional = [
        "station",
        "agent",
        "epoch",
        "acknowledged",
        "hq_epoch",
        "waiting_since",
        "time_zone",
        "key",
    ];
    let Status::Online(whole) = status() else {
        panic!("it is online")
    };
    for name in optional.iter().copied().chain(["recovering"]) {
        let Ok(Status::Online(hello)) = read(&|said| drop(said.remove(name))) else {
            panic!("without {name} it is not read")
        };
        let needed = |hello: &Hello| {
            (
                hello.site.clone(),
                hello.head,
                hello.begins_after,
                hello.nonce,
                hello.recovering,
            )
        };
        assert_eq!(needed(&hello), needed(&whole), "{name}");
    }
    for name in optional {
        let otherwise =
            read(&|said| drop(said.insert(name.to_owned(), serde_json::json!({"of": ["another version"]}))));
        assert!(otherwise.is_ok(), "{name}: {otherwise:?}");
    }
    for name in ["site", "protocol", "begins_after", "head", "nonce"] {
        assert!(read(&|said| drop(said.remove(name))).is_err(), "{name}");
    }
    let otherwise = read(&|said| drop(said.insert("recovering".to_owned(), "perhaps".into())));
    assert!(otherwise.is_err(), "whether it lost anything is not guessed");
}
