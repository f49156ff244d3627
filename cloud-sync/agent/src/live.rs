//! Live frames of orders that somebody at head office watches, from the station's WebSockets.

use crate::station::Station;
use domain::ids::OrderId;
use futures_util::StreamExt;
use std::collections::BTreeMap;
use tokio::{net::UnixStream, sync::mpsc, task::AbortHandle};
use tokio_tungstenite::{client_async, tungstenite::Message};

/// Frames that wait: the courier sends one in five seconds of each order, so older ones are of no use.
const WAITING_MAX: usize = 64;

/// The orders that are watched.
pub(crate) struct Watches {
    station: Station,
    tasks: BTreeMap<OrderId, AbortHandle>,
    frames: mpsc::Receiver<(OrderId, Vec<u8>)>,
    to_frames: mpsc::Sender<(OrderId, Vec<u8>)>,
}

impl Watches {
    pub(crate) fn of(station: &Station) -> Self {
        let (to_frames, frames) = mpsc::channel(WAITING_MAX);
        Self {
            station: station.clone(),
            tasks: BTreeMap::new(),
            frames,
            to_frames,
        }
    }

    pub(crate) fn begin(&mut self, order: OrderId) {
        let (station, to_frames, of) = (self.station.clone(), self.to_frames.clone(), order.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = follow(&station, &of, &to_frames).await {
                tracing::warn!("order {of} cannot be watched: {error}");
            }
        });
        if let Some(before) = self.tasks.insert(order, task.abort_handle()) {
            before.abort();
        }
    }

    pub(crate) fn end(&mut self, order: &OrderId) {
        if let Some(task) = self.tasks.remove(order) {
            task.abort();
        }
    }

    pub(crate) async fn next(&mut self) -> Option<(OrderId, Vec<u8>)> {
        self.frames.recv().await
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        self.tasks.values().for_each(AbortHandle::abort);
    }
}

async fn follow(station: &Station, order: &OrderId, frames: &mpsc::Sender<(OrderId, Vec<u8>)>) -> anyhow::Result<()> {
    let socket = UnixStream::connect(station.socket()).await?;
    let (mut socket, _) = client_async(format!("ws://localhost{}", Station::live_path(order)), socket).await?;
    while let Some(message) = socket.next().await {
        if let Message::Text(text) = message? {
            frames.send((order.clone(), text.as_bytes().to_vec())).await?;
        }
    }
    Ok(())
}
