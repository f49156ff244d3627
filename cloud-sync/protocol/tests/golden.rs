//! The bytes of each message are those of `docs/sync-protocol.md`, to the bit: whoever speaks the line in another language
//! goes by that document. And whatever is changed, cut or put behind a message on its way is refused.

#![allow(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

use domain::{
    head_office::{Directive, DirectiveNo, DirectiveRow, Voucher},
    ids::SiteId,
    journal::{Hash, Head, hex},
    time::Wall,
    units::Fen,
};
use protocol::{
    frame::{Ack, Batch, HqEpoch, Malformed, Nonce, Pong, SignedDirective, State, Tail},
    key::{PublicKeys, SigningKey},
    pack::Packer,
    status::{DirectivesTaken, Hello, Status},
    voucher,
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
        directives: DirectivesTaken { orders: 5, others: 2 },
        waiting_since: Some(Wall(1_772_323_200_000)),
        time_zone: "Asia/Shanghai".to_owned(),
        key: Some(of_station.public()),
        nonce: Nonce([0x22; 16]),
    }))
}

fn lease() -> (DirectiveNo, Directive) {
    let no = DirectiveNo {
        hq_epoch: HqEpoch([0x11; 16]),
        row: DirectiveRow::Orders,
        n: 6,
    };
    let lease = Directive::Lease {
        member: "m1".parse().unwrap(),
        name: "Wang".to_owned(),
        amount: Fen(5_000),
        voucher: None,
    };
    (no, lease)
}

fn directive() -> Vec<u8> {
    let ([_, of_head_office], (no, lease)) = (keys(), lease());
    SignedDirective::to_bytes(&SignedDirective::json(no, &lease), &site(), &of_head_office)
}

fn a_voucher() -> Voucher {
    Voucher {
        site: site(),
        hq_epoch: HqEpoch([0x11; 16]),
        epoch: "e0".to_owned(),
        id: "v1".to_owned(),
        member: "m1".parse().unwrap(),
        name: "Wang".to_owned(),
        amount: Fen(5_000),
        expires_at: Wall(1_772_323_200_000),
    }
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
        ("directive", directive()),
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
    let is = voucher::to_text(&a_voucher(), &of_head_office);
    assert_eq!(golden("voucher"), is, "voucher is now\n{}", folded(&is));
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
    let read = SignedDirective::from_bytes(&directive(), &site(), &keys_of_head_office).unwrap();
    let (no, lease) = lease();
    assert_eq!((read.no, read.content), (no, Ok(lease)));
    let text = voucher::to_text(&a_voucher(), &of_head_office);
    assert_eq!(voucher::from_text(&text, &keys_of_head_office).unwrap(), a_voucher());
}

#[test]
fn a_directive_of_a_kind_that_is_not_known_has_its_number_all_the_same() {
    let [_, of_head_office] = keys();
    let json =
        br#"{"hq_epoch":"11111111111111111111111111111111","row":"others","n":3,"do":{"teleport":{"pile":"P1"}}}"#;
    let bytes = SignedDirective::to_bytes(json, &site(), &of_head_office);
    let read = SignedDirective::from_bytes(&bytes, &site(), &of_head_office.public().into()).unwrap();
    assert_eq!((read.no.row, read.no.n), (DirectiveRow::Others, 3));
    assert!(read.content.unwrap_err().contains("teleport"));
    // Without its number it is none, whoever signed it.
    let bytes = SignedDirective::to_bytes(b"{}", &site(), &of_head_office);
    assert!(SignedDirective::from_bytes(&bytes, &site(), &of_head_office.public().into()).is_err());
}

#[test]
fn every_kind_of_directive_is_read_as_it_is_written_and_passes_over_what_it_does_not_know() {
    let lines = include_str!("directives.jsonl");
    let mut kinds = std::collections::BTreeSet::new();
    for line in lines.lines() {
        let read: Directive = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(serde_json::to_string(&read).unwrap(), line);
        let kind = read.kind();
        kinds.insert(kind);
        let newer = line.replacen(
            &format!("{{\"{kind}\":{{"),
            &format!("{{\"{kind}\":{{\"from_a_newer\":1,"),
            1,
        );
        assert_ne!(newer, line);
        assert_eq!(serde_json::from_str::<Directive>(&newer).unwrap(), read, "{newer}");
    }
    assert_eq!(kinds.len(), 16, "{kinds:?}");
}

#[test]
fn a_voucher_that_was_changed_by_one_character_is_nobodys() {
    let [_, of_head_office] = keys();
    let text = voucher::to_text(&a_voucher(), &of_head_office);
    for at in 0..text.len() {
        let mut changed = text.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        let read = voucher::from_text(&changed, &of_head_office.public().into());
        assert!(read.is_err(), "at {at}");
    }
    assert!(voucher::from_text(&text, &SigningKey::from_seed([9; 32]).public().into()).is_err());
}

#[test]
fn a_voucher_has_at_most_300_bytes_however_long_its_names_are() {
    let [_, of_head_office] = keys();
    let longest = Voucher {
        site: "S".repeat(32).parse().unwrap(),
        epoch: "e".repeat(32),
        id: format!("v{}", "a".repeat(24)),
        member: "m".repeat(32).parse().unwrap(),
        name: "\"欧阳".repeat(20),
        amount: Fen(100_000_000),
        ..a_voucher()
    };
    let usual = Voucher {
        site: "hangzhou-01".parse().unwrap(),
        member: "13800138000".parse().unwrap(),
        name: "充".repeat(20),
        ..longest.clone()
    };
    for (voucher, chars) in [(longest, 1), (usual, 11)] {
        let text = voucher::to_text(&voucher, &of_head_office);
        assert!(text.len() <= voucher::VOUCHER_TEXT_MAX, "{} characters", text.len());
        let read = voucher::from_text(&text, &of_head_office.public().into()).unwrap();
        assert!(voucher.name.starts_with(&read.name));
        assert!(read.name.chars().count() >= chars, "{:?}", read.name);
        assert_eq!(
            Voucher {
                name: voucher.name.clone(),
                ..read
            },
            voucher
        );
    }
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
