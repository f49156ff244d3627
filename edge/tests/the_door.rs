//! The door for piles: what is taken back counts no more, whenever it is, and a PUBACK never means nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use broker::{
    Admitted, Client, ConnectRefusal, ConnectRequest, Gatekeeper, Outcome, Protocol, Publish, QoS, Receipt, Route,
};
use domain::{
    ids::{PileId, SiteId},
    messages::{Ack, AckResult, Down},
    policy::Policy,
    site::Input,
    time::Wall,
};
use edge::{
    clock::{Mark, SiteClock},
    credentials::{CredentialChange, IssuedCertificate, Secret},
    gate::Gate,
    station::{Outbound, Reply, Request, Station},
    store::{QuarantineFilter, Store},
};
use rcgen::{CertificateParams, DnType, KeyPair};
use redb::backends::InMemoryBackend;
use std::sync::mpsc;

/// A pile that hears acknowledgements.
struct Ears(mpsc::Sender<Ack>);

impl Outbound for Ears {
    fn send(&self, _pile: &PileId, message: &Down) -> bool {
        if let Down::Ack(ack) = message {
            self.0.send(ack.clone()).unwrap();
        }
        true
    }
    fn disconnect(&self, _pile: &PileId) {}
}

/// Clocks that nobody moves: no deadline and no midnight comes in between.
fn standing(mark: &Mark) -> SiteClock {
    SiteClock::resume(mark).standing(Wall::parse("2026-03-01T10:00:00+08:00").unwrap())
}

fn station() -> (Station, edge::station::Loop) {
    let store = Store::on(InMemoryBackend::new(), &SiteId::new("test").unwrap()).unwrap();
    Station::recover(store, Policy::default(), standing).unwrap()
}

fn pile() -> PileId {
    PileId::new("P1").unwrap()
}

fn connect(secret: Option<&str>, certificate: Option<&[u8]>) -> ConnectRequest {
    ConnectRequest {
        client_id: "P1".to_owned(),
        user_name: Some("P1".to_owned()),
        password: secret.map(|secret| secret.as_bytes().to_vec()),
        peer: "127.0.0.1:1".parse().unwrap(),
        tls: true,
        certificate_der: certificate.map(<[u8]>::to_vec),
        protocol: Protocol::V5,
    }
}

fn client(admitted: Admitted) -> Client {
    Client {
        identity: admitted.identity,
        credential: admitted.credential,
        client_id: "P1".into(),
        peer: "127.0.0.1:1".parse().unwrap(),
        protocol: Protocol::V5,
        connection: 1,
    }
}

/// A certificate that names the pile; each has a key of its own.
fn certificate() -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "P1");
    params
        .self_signed(&KeyPair::generate().unwrap())
        .unwrap()
        .der()
        .to_vec()
}

fn issue(certificate: &[u8], revoke: bool) -> CredentialChange {
    CredentialChange::IssueCertificate {
        pile: pile(),
        issued: IssuedCertificate {
            fingerprint: service::tls::fingerprint(certificate),
            expires: Wall(1),
        },
        revoke,
    }
}

fn request(change: CredentialChange) -> Request {
    Request {
        input: None,
        key: None,
        credentials: vec![change],
        respond: Box::new(|_, _, _| Reply::default()),
    }
}

#[tokio::test]
async fn what_a_pile_came_in_by_counts_until_it_is_taken_back() {
    let [first, second, third] = [(); 3].map(|()| certificate());
    let (station, _brain) = station();
    let credentials = station.credentials.clone();
    let gate = Gate::new(station);
    let (old, new) = (Secret::generate().unwrap(), Secret::generate().unwrap());
    credentials.apply(CredentialChange::SetPile(pile(), old.hash()));
    credentials.apply(issue(&first, false));
    let come = async |request: ConnectRequest| client(gate.authenticate(&request).await.unwrap());
    let by_secret = come(connect(Some(old.reveal()), None)).await;
    let by_certificate = come(connect(None, Some(&first))).await;
    let counts = || [&by_secret, &by_certificate].map(|client| gate.is_admitted(client));
    assert_eq!(counts(), [true, true]);
    credentials.apply(CredentialChange::SetPile(pile(), new.hash()));
    assert_eq!(counts(), [false, true], "a rotated secret");
    credentials.apply(issue(&second, false));
    assert_eq!(counts(), [false, true], "until the next one is used");
    let fingerprint = service::tls::fingerprint(&second);
    credentials.apply(CredentialChange::UseCertificate {
        pile: pile(),
        fingerprint,
    });
    assert_eq!(counts(), [false, false], "a superseded certificate");
    let later = come(connect(None, Some(&second))).await;
    assert!(gate.is_admitted(&later));
    credentials.apply(issue(&third, true));
    assert!(!gate.is_admitted(&later), "revoked");
    let last = come(connect(None, Some(&third))).await;
    credentials.apply(CredentialChange::RemovePile(pile()));
    assert!(!gate.is_admitted(&last), "removed");
}

#[tokio::test]
async fn a_certificate_that_is_revoked_while_it_is_first_used_lets_nobody_in() {
    let [first, second, third] = [(); 3].map(|()| certificate());
    let (station, brain) = station();
    let secret = Secret::generate().unwrap();
    for change in [
        CredentialChange::SetPile(pile(), secret.hash()),
        issue(&first, false),
        issue(&second, false),
    ] {
        station.credentials.apply(change);
    }
    let gate = Gate::new(station.clone());
    // The loop does not turn yet: what is asked for waits, in its order.
    let revoked = tokio::spawn({
        let station = station.clone();
        async move { station.ask(request(issue(&third, true))).await }
    });
    while station.waiting() < 1 {
        tokio::task::yield_now().await;
    }
    let asked = connect(None, Some(&second));
    let mut coming = gate.authenticate(&asked);
    assert!(futures_util::FutureExt::now_or_never(&mut coming).is_none());
    assert_eq!(station.waiting(), 2);
    let (ears, _heard) = mpsc::channel();
    let brain = std::thread::spawn(move || brain.run(Ears(ears)));
    assert_eq!(coming.await.unwrap_err(), ConnectRefusal::NotAuthorized);
    revoked.await.unwrap().unwrap();
    station.stop().await;
    brain.join().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_under_a_topic_of_no_kind_is_kept() {
    let (station, brain) = station();
    let secret = Secret::generate().unwrap();
    station
        .credentials
        .apply(CredentialChange::SetPile(pile(), secret.hash()));
    station.tell(Input::ProvisionPile {
        pile: pile(),
        by: "setup".to_owned(),
    });
    let gate = Gate::new(station.clone());
    let pile = client(gate.authenticate(&connect(Some(secret.reveal()), None)).await.unwrap());
    let (ears, heard) = mpsc::channel();
    let brain = std::thread::spawn(move || brain.run(Ears(ears)));
    let record = r#"{"boot_id":"b1","seq":1,"mono_ms":1,"ts":null,"msg_id":"m1","order_id":"o1","connector":1,
        "meter_start_kwh":"1","meter_stop_kwh":"2"}"#;
    let say = |word: &str, qos| {
        let topic = format!("hf/v1/pile/P1/up/{word}");
        assert!(gate.authorize_publish(&pile, &topic, qos, false));
        let publish = Publish {
            topic: topic.as_str().into(),
            payload: record.replace("o1", word.trim_end_matches('/')).into_bytes().into(),
            qos,
            retain: false,
            dup: false,
            properties: None,
        };
        let (receipt, outcome) = Receipt::to_channel();
        assert_eq!(gate.deliver(&pile, &publish, receipt), Route::Consume);
        outcome
    };
    let kept = || {
        let reader = station.store.reader().unwrap();
        reader.quarantine(QuarantineFilter::default(), None, 10).unwrap().items
    };
    assert_eq!(say("records", QoS::AtMostOnce).await, Ok(Outcome::Acknowledged));
    assert_eq!(kept().len(), 0, "nothing was promised");
    for (n, word) in ["record/", "Record", "records"].into_iter().enumerate() {
        assert_eq!(say(word, QoS::AtLeastOnce).await, Ok(Outcome::Acknowledged));
        assert_eq!(kept().len(), n + 1, "{word}");
        let ack = heard.recv().unwrap();
        assert_eq!((ack.result, ack.msg_id.unwrap().as_str()), (AckResult::Malformed, "m1"));
        assert!(ack.detail.contains(&format!("`up/{word}`")), "{}", ack.detail);
    }
    let items = kept();
    assert_eq!(items[0].pile, PileId::new("P1").unwrap());
    station.stop().await;
    brain.join().unwrap().unwrap();
}
