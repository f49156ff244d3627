//! Live frames of an order at a real station, shown by a real head office to whoever watches there.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

#[allow(dead_code, reason = "other tests use more of it")]
#[path = "office/books.rs"]
mod books;

use books::{PATIENCE, books_are_equal, database};
use central::store::Place;
use domain::topics::{DownKind, UpKind};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::path::PathBuf;
use tokio::net::UnixStream;
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};
use world::{
    head_office::HeadOfficeProcess,
    history,
    station::{SITE, StationProcess},
};

/// What is shown of an order on a Unix socket.
struct Frames(WebSocketStream<UnixStream>);

impl Frames {
    async fn of(socket: PathBuf, path: &str) -> Self {
        let stream = UnixStream::connect(socket).await.unwrap();
        let opened = tokio_tungstenite::client_async(format!("ws://localhost{path}"), stream).await;
        Self(opened.unwrap().0)
    }

    /// The first frame from now on that has this.
    async fn with(&mut self, field: &str, value: &Value) -> Value {
        let mut seen = Vec::new();
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                let message = self.0.next().await.expect("the order is not shown any more").unwrap();
                // Whoever serves it asks from time to time whether anybody is there.
                let Message::Text(text) = message else { continue };
                let mut frame: Value = serde_json::from_str(&text).unwrap();
                if frame[field] == *value {
                    // Frames of other orders are counted too, and what comes too fast for the line is left out.
                    frame["seq"].take();
                    return frame;
                }
                seen.push(frame);
            }
        });
        let found = found.await;
        found.unwrap_or_else(|_| panic!("no frame has {field} {value}: {seen:?}"))
    }
}

/// A driver looks at the order by phone: what the pile says is shown at head office as the station shows it, over the line, to its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_somebody_watches_at_head_office_is_shown_there_as_at_the_station() {
    let mut head_office = HeadOfficeProcess::start("live-office").await.unwrap();
    let mut station = StationProcess::start("live", &history::setup()).await.unwrap();
    let mut agent = head_office.join(&mut station, SITE).await.unwrap();
    let db = database(Place::File(head_office.database())).await;
    station.add_member("anna", "100.00").await.unwrap();
    let secret = station.add_pile("P1").await.unwrap();
    let mut pile = history::boot(&station, "P1", &secret).await.unwrap();
    let begins = history::REGISTER;
    history::report(&mut pile, "plugged", None, begins).await.unwrap();
    let order = station.place("anna", "P1", "20.00").await.unwrap();
    let start = pile.hear(DownKind::Command).await.unwrap();
    let reply = json!({ "command_id": start["command_id"], "ok": true });
    pile.say(UpKind::Reply, &reply).await.unwrap();
    history::report(&mut pile, "charging", Some(&order), begins)
        .await
        .unwrap();
    // Until head office has the order there is none to watch.
    books_are_equal(&station, &db).await;

    let mut here = Frames::of(station.socket(), &format!("/v1/orders/{order}/live")).await;
    let path = format!("/v1/sites/{SITE}/orders/{order}/live");
    let mut there = Frames::of(head_office.socket(), &path).await;
    let charging = json!("CHARGING");
    there.with("state", &charging).await;
    history::report(&mut pile, "charging", Some(&order), "1002.5000")
        .await
        .unwrap();
    let energy = json!("2.5000");
    let shown = here.with("energy_kwh", &energy).await;
    assert_eq!(shown["state"], charging, "{shown}");
    assert_eq!(there.with("energy_kwh", &energy).await, shown);

    history::record(&mut pile, &order, begins, "1003.0000").await.unwrap();
    let payed = json!("PAYED");
    let shown = here.with("state", &payed).await;
    assert_eq!(shown["energy_kwh"], json!("3.0000"), "{shown}");
    assert_eq!(there.with("state", &payed).await, shown);
    agent.terminate().await.unwrap();
    head_office.terminate().await.unwrap();
}
