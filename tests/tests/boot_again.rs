//! A boot that is said again, word for word, on a new connection is heard like the first: the pile is told the time and
//! gets the commands that are still valid. A pile whose firmware numbers its messages anew must not be left in the dark.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use domain::topics::{self, DownKind, UpKind};
use serde_json::json;
use world::{
    hand::Hand,
    station::{Setup, StationProcess},
};

#[tokio::test]
async fn a_boot_said_again_gets_the_time_and_the_start_that_is_still_valid() {
    let station = StationProcess::start("boot-again", &Setup::new()).await.unwrap();
    let secret = station.add_pile("P1").await.unwrap();
    station.add_member("m-1", "100.00").await.unwrap();
    let boot = json!({
        "vendor": "By hand", "model": "H1", "firmware": "1",
        "connectors": [{ "no": 1, "max_kw": "7.0", "meter_kwh": "1000.0000", "order_id": null }],
    });

    let mut pile = Hand::connect(station.mqtt, "P1", &secret).await.unwrap();
    let text = pile.message(&boot).to_string().into_bytes();
    let topic = topics::up(pile.pile(), UpKind::Boot);
    pile.publish(&topic, text.clone()).await.unwrap();
    pile.hear(DownKind::Time).await.unwrap();
    let order = station.place("m-1", "P1", "50.00").await.unwrap();
    let start = pile.hear(DownKind::Command).await.unwrap();
    assert_eq!((&start["kind"], &start["order_id"]), (&json!("start"), &json!(order)));
    pile.leave().await;

    let mut pile = Hand::connect(station.mqtt, "P1", &secret).await.unwrap();
    pile.publish(&topic, text).await.unwrap();
    pile.hear(DownKind::Time).await.unwrap();
    let again = pile.hear(DownKind::Command).await.unwrap();
    assert_eq!(
        again["command_id"], start["command_id"],
        "the same command, which a pile does once"
    );
    let left = |command: &serde_json::Value| command["ttl_ms"].as_u64().unwrap();
    assert!(left(&again) <= left(&start), "{} of {}", left(&again), left(&start));
}
