//! A station without displays has none of the router's threads: they come with the first shared subscription.
//! A binary of its own, as threads belong to the process.

#![allow(clippy::unwrap_used, reason = "a test fails where it panics")]

#[path = "broker/bench.rs"]
#[allow(dead_code, reason = "another test binary uses the rest")]
mod bench;

use bench::{Bench, publish};

/// The names of this process's threads that belong to the router.
fn router_threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|name| name.starts_with("mqtt-")).collect()
}

#[tokio::test]
async fn the_router_starts_with_the_first_shared_subscription() {
    let mut bench = Bench::new().await;
    let mut pile = bench.client(4, "P1").await;
    pile.subscribe(4, "down/P1/#", 1).await;
    pile.send(&publish(4, 1, 1, "open/x", "nobody hears it")).await;
    assert_eq!(pile.packet().await, b"\x40\x02\x00\x01");
    bench.delivered().await;
    assert_eq!(router_threads(), [] as [&str; 0]);
    let mut display = bench.client(4, "P2").await;
    display.subscribe(4, "open/#", 0).await;
    let said = publish(4, 0, 0, "open/x", "now");
    pile.send(&said).await;
    assert_eq!(display.packet().await, said);
    assert!(!router_threads().is_empty());
}
