//! What a client was admitted by is taken back: before it has its session, at that very moment, and after.

use broker::{Credential, DisconnectCause, Identity};

use crate::bench::{Bench, Connect, Heard, SLOW};

fn slow(protocol: u8, client_id: &str) -> Connect<'_> {
    Connect {
        protocol,
        client_id,
        password: "slow",
        ..Connect::default()
    }
}

#[tokio::test]
async fn who_logs_in_while_the_credential_is_taken_back_is_refused() {
    for (protocol, code) in [(4, 5), (5, 0x87)] {
        let mut bench = Bench::new().await;
        let mut owner = bench.client(protocol, "P1").await;
        assert_eq!(bench.heard().await, Heard::Connected("P1".into()));
        let mut late = bench.raw().await;
        late.send(&slow(protocol, "P1").bytes()).await;
        assert_eq!(bench.heard().await, Heard::Asked);
        bench.taken_back.lock().unwrap().insert(SLOW);
        assert_eq!(bench.handle.check_again(&Identity::new("P1")), 0);
        bench.answer.notify_one();
        assert_eq!(late.packet().await[3], code);
        late.expect_closed().await;
        owner.ping().await;
        let stats = bench.handle.stats();
        assert_eq!((stats.connected, stats.sessions, stats.taken_over), (1, 1, 0));
    }
}

#[tokio::test]
async fn nothing_stays_of_a_session_that_was_made_for_a_credential_taken_back() {
    let mut bench = Bench::new().await;
    let mut late = bench.raw().await;
    late.send(&slow(5, "P1").bytes()).await;
    assert_eq!(bench.heard().await, Heard::Asked);
    bench.taken_back.lock().unwrap().insert(SLOW);
    bench.answer.notify_one();
    assert_eq!(late.packet().await[3], 0x87);
    assert_eq!(bench.handle.stats().sessions, 0);
}

#[tokio::test]
async fn a_credential_that_is_taken_back_as_the_session_is_given_ends_it() {
    let mut bench = Bench::new().await;
    let mut raw = bench.raw().await;
    let connect = Connect {
        properties: b"\x11\x00\x00\x0E\x10",
        clean: false,
        ..slow(5, "P1~undone")
    };
    raw.send(&connect.bytes()).await;
    assert_eq!(bench.heard().await, Heard::Asked);
    bench.answer.notify_one();
    assert_eq!(raw.packet().await[3], 0x87);
    raw.expect_closed().await;
    assert_eq!(bench.heard().await, Heard::Connected("P1~undone".into()));
    assert_eq!(
        bench.cause_for("P1~undone").await,
        DisconnectCause::AdministrativeAction
    );
    let stats = bench.handle.stats();
    assert_eq!((stats.connected, stats.sessions), (0, 0));
}

#[tokio::test]
async fn connections_by_what_is_taken_back_end_and_others_of_the_same_identity_stay() {
    let mut bench = Bench::new().await;
    let mut other = bench.client(5, "P1").await;
    let mut raw = bench.raw().await;
    raw.send(&slow(5, "P1~tool").bytes()).await;
    bench.answer.notify_one();
    assert_eq!(raw.packet().await[3], 0);
    bench.taken_back.lock().unwrap().insert(SLOW);
    assert_eq!(bench.handle.check_again(&Identity::new("P2")), 0);
    assert_eq!(bench.handle.check_again(&Identity::new("P1")), 1);
    raw.expect_disconnect(5, 0x98).await;
    assert_eq!(bench.cause_for("P1~tool").await, DisconnectCause::AdministrativeAction);
    other.ping().await;
    bench.taken_back.lock().unwrap().insert(Credential::default());
    assert_eq!(bench.handle.check_again(&Identity::new("P1")), 1);
    other.expect_disconnect(5, 0x98).await;
}
