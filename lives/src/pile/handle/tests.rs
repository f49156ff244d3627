//! Piles on real sockets, against the smallest broker that can be one: it answers, it refuses, it keeps silent as told.
//! What is decided is tested without sockets elsewhere; here it is only that nothing is lost or invented on the way.

use super::*;
use crate::pile::tls;
use bytes::BytesMut;
use domain::{
    ids::{CommandId, OrderId},
    messages::{Ack, AckResult, CommandKind, CommandMessage, Down, Up, UpMessage, read_up},
    time::Wall,
    topics::{self, UpKind},
    units::{Energy, Fen},
};
use rumqttc::{ConnAck, ConnectReturnCode, Packet, PubAck, Publish as MqttPublish, QoS, SubAck, SubscribeReasonCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::broadcast,
};

const SOON: Duration = Duration::from_secs(20);
/// Fast enough for a test, and still forty heartbeats a second.
const SPEED: u32 = 600;

/// What the broker saw.
#[derive(Debug, PartialEq)]
enum Seen {
    Connected { clean_session: bool },
    Subscribed(String),
    Said(Box<UpMessage>),
    Raw(String),
    Disconnected,
    Eof,
}

#[derive(Debug, Clone, Copy, Default)]
struct Manners {
    refuses_login: bool,
    refuses_subscription: bool,
    /// Withholds the PUBACK of replies.
    no_puback_for_replies: bool,
}

struct Broker {
    port: u16,
    seen: mpsc::Receiver<Seen>,
    say: broadcast::Sender<Down>,
    task: JoinHandle<()>,
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Broker {
    async fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen_in, seen) = mpsc::channel(10_000);
        let (say, _) = broadcast::channel(64);
        let said = say.clone();
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, manners, seen_in.clone(), said.subscribe()));
            }
        });
        Self { port, seen, say, task }
    }

    fn station(&self) -> Station {
        Station {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            secret: Some("s".to_owned()),
            tls: None,
        }
    }

    async fn until(&mut self, is: impl Fn(&Seen) -> bool) -> Vec<Seen> {
        let mut all = Vec::new();
        loop {
            let seen = tokio::time::timeout(SOON, self.seen.recv()).await;
            all.push(seen.unwrap_or_else(|_| panic!("not seen; seen were {all:?}")).unwrap());
            if all.last().is_some_and(&is) {
                return all;
            }
        }
    }
}

async fn serve(mut socket: TcpStream, manners: Manners, seen: mpsc::Sender<Seen>, mut say: broadcast::Receiver<Down>) {
    let pile = PileId::new("P1").unwrap();
    let mut incoming = BytesMut::new();
    let mut packet_id = 0;
    loop {
        let mut answers = Vec::new();
        tokio::select! {
            down = say.recv() => {
                let down = down.unwrap();
                let mut publish = MqttPublish::new(topics::down(&pile, down.kind()), QoS::AtLeastOnce, down.to_json());
                packet_id += 1;
                publish.pkid = packet_id;
                answers.push(Packet::Publish(publish));
            }
            read = socket.read_buf(&mut incoming) => {
                if !read.is_ok_and(|n| n > 0) {
                    seen.send(Seen::Eof).await.unwrap();
                    return;
                }
                while let Ok(packet) = Packet::read(&mut incoming, 1_000_000) {
                    let (answer, what) = answer(packet, manners);
                    answers.extend(answer);
                    let end = what == Some(Seen::Disconnected);
                    if let Some(what) = what {
                        if let Seen::Said(message) = &what && let Up::Record(record) = &message.body {
                            let ack = Ack {
                                msg_id: message.common.msg_id.clone(),
                                result: AckResult::Ok,
                                order_id: Some(record.order_id.clone()),
                                fee: Some(Fen(321)),
                                detail: String::new(),
                            };
                            let mut publish = MqttPublish::new("hf/v1/pile/P1/down/ack", QoS::AtLeastOnce, Down::Ack(ack).to_json());
                            packet_id += 1;
                            publish.pkid = packet_id;
                            answers.push(Packet::Publish(publish));
                        }
                        seen.send(what).await.unwrap();
                    }
                    if end {
                        return;
                    }
                }
            }
        }
        let mut bytes = BytesMut::new();
        for answer in answers {
            answer.write(&mut bytes, 1_000_000).unwrap();
        }
        if socket.write_all(&bytes).await.is_err() {
            seen.send(Seen::Eof).await.unwrap();
            return;
        }
    }
}

fn answer(packet: Packet, manners: Manners) -> (Option<Packet>, Option<Seen>) {
    match packet {
        Packet::Connect(connect) => {
            let login = connect.login.unwrap();
            assert_eq!(
                (
                    login.username.as_str(),
                    login.password.as_str(),
                    connect.client_id.as_str()
                ),
                ("P1", "s", "P1")
            );
            let code = if manners.refuses_login {
                ConnectReturnCode::BadUserNamePassword
            } else {
                ConnectReturnCode::Success
            };
            let seen = Seen::Connected {
                clean_session: connect.clean_session,
            };
            (Some(Packet::ConnAck(ConnAck::new(code, false))), Some(seen))
        }
        Packet::Subscribe(subscribe) => {
            let code = if manners.refuses_subscription {
                SubscribeReasonCode::Failure
            } else {
                SubscribeReasonCode::Success(QoS::AtLeastOnce)
            };
            let seen = Seen::Subscribed(subscribe.filters[0].path.clone());
            (
                Some(Packet::SubAck(SubAck::new(subscribe.pkid, vec![code]))),
                Some(seen),
            )
        }
        Packet::Publish(publish) => {
            let kind = topics::parse_up(&publish.topic).map(|(_, kind)| kind);
            let seen = match kind.and_then(|kind| read_up(kind, &publish.payload).ok()) {
                Some(message) => Seen::Said(Box::new(message)),
                None => Seen::Raw(publish.topic.clone()),
            };
            let silent = manners.no_puback_for_replies && kind == Some(UpKind::Reply);
            let puback = (publish.qos != QoS::AtMostOnce && !silent).then(|| Packet::PubAck(PubAck::new(publish.pkid)));
            (puback, Some(seen))
        }
        Packet::PingReq => (Some(Packet::PingResp), None),
        Packet::Disconnect => (None, Some(Seen::Disconnected)),
        _ => (None, None),
    }
}

fn pile(broker: &Broker) -> PileHandle {
    let spec = PileSpec::new(
        PileId::new("P1").unwrap(),
        Wall::parse("2026-03-01T07:00:00+08:00").unwrap(),
    );
    spawn(spec, Flash::default(), broker.station(), SimTime::begin(SPEED))
}

/// The default leaves a busy machine six real seconds to carry the PUBACK of the reply.
const TTL_MS: u64 = 3_600_000;

fn start(limit: Option<Energy>, ttl_ms: u64) -> Down {
    Down::Command(CommandMessage {
        command_id: CommandId::new("c1").unwrap(),
        kind: CommandKind::Start,
        ttl_ms,
        order_id: OrderId::new("o1").unwrap(),
        connector: ConnectorNo(1),
        limit_fee: None,
        limit_kwh: limit,
        prices: Vec::new(),
    })
}

fn kind(seen: &Seen) -> Option<UpKind> {
    match seen {
        Seen::Said(message) => Some(wire::kind_of(&message.body)),
        _ => None,
    }
}

fn is_plugged(seen: &Seen) -> bool {
    kind(seen) == Some(UpKind::Event)
}

fn stopped(event: &PileEvent) -> Option<(u16, Energy)> {
    match &event.what {
        What::Stopped { reason, energy_kwh, .. } => Some((*reason, *energy_kwh)),
        _ => None,
    }
}

#[tokio::test]
async fn a_session_over_a_socket_is_exact_and_ends_with_a_proper_goodbye() {
    let mut broker = Broker::start(Manners::default()).await;
    let mut pile = pile(&broker);
    pile.plug(1).await;
    let seen = broker.until(is_plugged).await;
    assert_eq!(seen[0], Seen::Connected { clean_session: true });
    assert_eq!(seen[1], Seen::Subscribed("hf/v1/pile/P1/down/#".to_owned()));
    assert_eq!(kind(&seen[2]), Some(UpKind::Boot));
    broker.say.send(start(Some("0.7".parse().unwrap()), TTL_MS)).unwrap();
    assert_eq!(pile.wait_for(SOON, stopped).await.unwrap(), (8, "0.7".parse().unwrap()));
    let fee = pile.wait_for(SOON, |event| match &event.what {
        What::RecordAcked { fee, .. } => *fee,
        _ => None,
    });
    assert_eq!(fee.await.unwrap(), Fen(321));
    assert!(pile.wait_until(SOON, |status| status.unacked_records == 0).await);
    let (status, flash) = pile.shut_down().await;
    assert_eq!(
        (status.sessions, status.unexpected, flash.meters[0]),
        (1, 0, "1000.7".parse().unwrap())
    );
    let seen = broker.until(|seen| *seen == Seen::Disconnected).await;
    assert!(!seen.contains(&Seen::Eof));
}

#[tokio::test]
async fn a_cut_network_closes_the_socket_without_a_word_and_the_record_comes_later() {
    let mut broker = Broker::start(Manners::default()).await;
    let pile = pile(&broker);
    pile.plug(1).await;
    broker.until(is_plugged).await;
    broker.say.send(start(None, TTL_MS)).unwrap();
    broker.until(|seen| kind(seen) == Some(UpKind::Reply)).await;
    pile.cut_network().await;
    let seen = broker.until(|seen| *seen == Seen::Eof).await;
    assert!(!seen.contains(&Seen::Disconnected));
    pile.stop_at_pile(1).await;
    assert_eq!(pile.status().unacked_records, 1);
    pile.restore_network().await;
    let seen = broker.until(|seen| kind(seen) == Some(UpKind::Record)).await;
    let kinds: Vec<_> = seen.iter().filter_map(kind).collect();
    assert_eq!((kinds[0], kinds.last()), (UpKind::Boot, Some(&UpKind::Record)));
    assert!(pile.wait_until(SOON, |status| status.unacked_records == 0).await);
}

#[tokio::test]
async fn a_reply_without_its_puback_ends_the_session() {
    let mut broker = Broker::start(Manners {
        no_puback_for_replies: true,
        ..Manners::default()
    })
    .await;
    let mut pile = pile(&broker);
    pile.plug(1).await;
    broker.until(is_plugged).await;
    broker.say.send(start(None, 60_000)).unwrap();
    let (reason, energy) = pile.wait_for(SOON, stopped).await.unwrap();
    assert_eq!(
        (reason, energy),
        (10, "0.1166".parse().unwrap()),
        "7 kW for the 60 s of its ttl"
    );
}

#[tokio::test]
async fn refusals_are_told_and_tried_again() {
    let subscription = Manners {
        refuses_subscription: true,
        ..Manners::default()
    };
    let login = Manners {
        refuses_login: true,
        ..Manners::default()
    };
    for (manners, words) in [(subscription, "SUBSCRIBE"), (login, "refuses this user name")] {
        let broker = Broker::start(manners).await;
        let mut pile = pile(&broker);
        for _ in 0..2 {
            let reason = pile.wait_for(SOON, |event| match &event.what {
                What::Disconnected { reason } => Some(reason.clone()),
                _ => None,
            });
            let reason = reason.await.unwrap();
            assert!(reason.contains(words), "{reason}");
        }
        assert!(!pile.status().linked);
    }
}

#[tokio::test]
async fn a_dropped_handle_is_a_dropped_pile() {
    let mut broker = Broker::start(Manners::default()).await;
    let pile = pile(&broker);
    let mut events = pile.events();
    broker.until(|seen| kind(seen) == Some(UpKind::Boot)).await;
    drop(pile);
    let seen = broker.until(|seen| *seen == Seen::Eof).await;
    assert!(!seen.contains(&Seen::Disconnected));
    let ended = async { while events.next().await.is_some() {} };
    assert!(
        tokio::time::timeout(SOON, ended).await.is_ok(),
        "its events end with it"
    );
}

#[tokio::test]
async fn many_messages_at_once_are_all_acknowledged() {
    let mut broker = Broker::start(Manners::default()).await;
    let pile = pile(&broker);
    broker.until(|seen| kind(seen) == Some(UpKind::Boot)).await;
    pile.cut_network().await;
    for n in 0..400_u32 {
        let json = format!(
            r#"{{"boot_id":"b","seq":1,"mono_ms":1,"ts":null,"msg_id":"m","order_id":"o-{n}","connector":1,"start_ts":null,"stop_ts":null,"start_mono_ms":0,"stop_mono_ms":1,"meter_start_kwh":"1","meter_stop_kwh":"2","reason":{{"code":0}}}}"#
        );
        let Up::Record(record) = read_up(UpKind::Record, json.as_bytes()).unwrap().body else {
            panic!("a record")
        };
        pile.send_record(*record).await;
    }
    assert_eq!(pile.status().unacked_records, 400);
    pile.restore_network().await;
    assert!(pile.wait_until(SOON, |status| status.unacked_records == 0).await);
}

#[tokio::test]
async fn what_does_not_happen_is_reported_with_what_did() {
    let broker = Broker::start(Manners::default()).await;
    let mut pile = pile(&broker);
    let error = pile.wait_for(Duration::from_millis(300), stopped).await.unwrap_err();
    assert!(error.to_string().contains("connected"), "{error}");
}

#[test]
fn tls_needs_an_authority() {
    assert!(
        tls(b"", None)
            .unwrap_err()
            .to_string()
            .contains("no certificate in the CA file")
    );
    let broken = b"-----BEGIN CERTIFICATE-----\n%%\n-----END CERTIFICATE-----\n";
    assert!(tls(broken, None).unwrap_err().to_string().contains("PEM"));
}
