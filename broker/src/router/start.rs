//! Starts rumqttd's router and what belongs to it: the port, the canary, and those who watch both.
//! All of it on the port's own thread, as making links blocks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rumqttd::local::{LinkBuilder, LinkError};
use tokio::sync::{mpsc, watch};

use super::declare_dead;
use super::numbers::Numbers;
use super::port::{BusySince, Command, Port, spawn_canary, spawn_watchdog};
use crate::stats::Counters;

/// Segment of a filter's log; there are [`SEGMENTS`] of them.
const SEGMENT_BYTES: usize = 64 * 1024;
const SEGMENTS: usize = 4;

/// What it takes to start.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) links_max: usize,
    pub(super) timeout: Duration,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) commands_for_readers: mpsc::WeakSender<Command>,
    pub(super) numbers: Arc<Mutex<Numbers>>,
    pub(super) dead: watch::Sender<bool>,
    pub(super) counters: Arc<Counters>,
    pub(super) epoch: Instant,
    pub(super) runtime: tokio::runtime::Handle,
}

impl Start {
    /// Starts the router, the port and the canary, each on its thread. They run until the process ends, as rumqttd's
    /// router cannot be stopped. What cannot be started counts as dead.
    pub(super) fn spawn(self) {
        let dead = self.dead.clone();
        let spawned = thread::Builder::new().name("mqtt-port".into()).spawn(move || {
            let dead = self.dead.clone();
            if let Err(error) = self.run() {
                tracing::error!(%error, "the router cannot be started");
                declare_dead(&dead, "it cannot be started");
            }
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "no thread for the router");
            declare_dead(&dead, "it has no thread");
        }
    }

    fn run(self) -> std::io::Result<()> {
        let watchdogs = self.runtime.enter();
        let busy = BusySince::new();
        let stuck = "the port is stuck in the router";
        spawn_watchdog(&busy, self.dead.clone(), self.timeout, stuck);
        busy.begin();
        let config = rumqttd::RouterConfig {
            // The port's and the canary's own links come on top.
            max_connections: self.links_max + 2,
            max_outgoing_packet_count: 100,
            max_segment_size: SEGMENT_BYTES,
            max_segment_count: SEGMENTS,
            ..rumqttd::RouterConfig::default()
        };
        // The type of the sender cannot be named outside rumqttd, so a closure holds it.
        let sender = rumqttd::Router::new(0, config).spawn();
        let build = move |name: &str| LinkBuilder::new(name, sender.clone()).build().map_err(Box::new);
        let failed = |error: Box<LinkError>| std::io::Error::other(error);
        let (ingress, ingress_rx, _) = build("ingress").map_err(failed)?;
        let (canary, canary_rx, _) = build("canary").map_err(failed)?;
        let singing = BusySince::new();
        let silent = "it does not pass a message on";
        spawn_watchdog(&singing, self.dead.clone(), self.timeout, silent);
        spawn_canary(canary, canary_rx, singing, self.dead.clone())?;
        busy.end();
        drop(watchdogs);
        let port = Port {
            build,
            ingress,
            _ingress_rx: ingress_rx,
            links: HashMap::new(),
            numbers: self.numbers,
            commands_for_readers: self.commands_for_readers,
            dead: self.dead,
            busy,
            counters: self.counters,
            epoch: self.epoch,
            runtime: self.runtime.clone(),
        };
        port.run(self.commands);
        Ok(())
    }
}
