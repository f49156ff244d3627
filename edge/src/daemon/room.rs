//! How much room there is on the disk while the station runs, and what a full disk does to it.

use crate::{
    disk::{Disk, DiskFull},
    station::Station,
    store::StoreError,
};
use anyhow::Context;
use domain::site::Input;
use std::time::Duration;
use tokio::sync::oneshot;

/// How often it is looked how much room is left on the disk.
const ROOM_EVERY: Duration = Duration::from_secs(2);

/// Why the loop has ended by itself.
pub(super) fn why_ended(
    disk: &Disk,
    ended: Result<Result<(), StoreError>, oneshot::error::RecvError>,
) -> anyhow::Error {
    match ended {
        Ok(Err(error)) => match unless_full(disk, error) {
            full if full.is::<DiskFull>() => full,
            error => error.context("a commit failed; start again from disk"),
        },
        Ok(Ok(())) | Err(_) => anyhow::anyhow!("the station's loop ended by itself; start again from disk"),
    }
}

/// A disk that is full costs the reserve, so that the next start has room; any other error is told as it is.
pub(super) fn unless_full(disk: &Disk, error: StoreError) -> anyhow::Error {
    match error {
        StoreError::Full(cause) => disk.give_up(cause).into(),
        // After the first failure redb tells of nothing but that.
        StoreError::Io(cause) if disk.is_full() => disk.give_up(cause).into(),
        other => other.into(),
    }
}

/// Tells the site how much room there is on the disk, and keeps the reserve set aside.
pub(super) struct Room {
    disk: Disk,
    /// How much must be left besides the reserve.
    enough: u64,
    /// What the log said last: whether telemetry is written, and whether orders are refused.
    said: (bool, bool),
}

impl Room {
    pub(super) fn of(disk: &Disk, enough: u64) -> Self {
        Self {
            disk: disk.clone(),
            enough,
            said: (true, false),
        }
    }

    pub(super) async fn look(&mut self, station: &Station) -> anyhow::Result<()> {
        let (disk, enough) = (self.disk.clone(), self.enough);
        let space = tokio::task::spawn_blocking(move || {
            if let Err(error) = disk.set_aside(enough) {
                tracing::warn!(%error, "the reserve on the disk cannot be set aside");
            }
            disk.space()
        });
        let space = space
            .await?
            .context("cannot tell how much room is left on the disk of data_dir")?;
        station.tell(Input::Space(space));
        let stands = station.look(|site, _| (site.keeps_telemetry(), site.takes_no_orders()));
        let Ok((keeps_telemetry, no_orders)) = stands.await else {
            // The loop has ended; somebody else tells why.
            return Ok(());
        };
        let stands = (keeps_telemetry, no_orders.is_some());
        match &no_orders {
            _ if stands == self.said => {}
            Some(why) => tracing::error!("new orders are refused: {why}"),
            None if !keeps_telemetry => tracing::warn!(
                free_mib = space.free_bytes >> 20,
                "the disk is filling up: telemetry is not written any more; soon new orders will be refused"
            ),
            None => tracing::info!(free_mib = space.free_bytes >> 20, "there is room on the disk again"),
        }
        self.said = stands;
        Ok(())
    }

    /// Goes on until something is wrong with the disk.
    pub(super) async fn follow(&mut self, station: &Station) -> anyhow::Error {
        loop {
            tokio::time::sleep(ROOM_EVERY).await;
            if let Err(error) = self.look(station).await {
                return error;
            }
        }
    }
}
