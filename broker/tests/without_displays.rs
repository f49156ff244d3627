//! A station without displays has none of the router's threads: they come with the first shared subscription.
//! A binary of its own, as threads belong to the process.

#![allow(clippy::unwrap_used, reason = "a test fails where it panics")]

#[path = "broker/bench.rs"]
#[allow(dead_code, reason = "another test binary uses the rest")]
mod bench;

use bench::{Bench, publish};

/// How many threads this process has. They are counted and not known by name: one that has just been made has its maker's
/// name until it runs.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[tokio::test]
async fn the_router_starts_with_the_first_shared_subscription() {
    let before = threads();
    let mut bench = Bench::new().await;
    let mut pile = bench.client(4, "P1").await;
    pile.subscribe(4, "down/P1/#", 1).await;
    pile.send(&publish(4, 1, 1, "open/x", "nobody hears it")).await;
    assert_eq!(pile.packet().await, b"\x40\x02\x00\x01");
    bench.delivered().await;
    assert_eq!(threads(), before);
    let mut display = bench.client(4, "P2").await;
    display.subscribe(4, "open/#", 0).await;
    let said = publish(4, 0, 0, "open/x", "now");
    pile.send(&said).await;
    assert_eq!(display.packet().await, said);
    assert!(threads() > before);
}
