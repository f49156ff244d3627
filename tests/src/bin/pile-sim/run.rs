//! The simulation from the first pile's start to the last one's goodbye.
//! It ends by itself, by a signal or by running out of patience, and in every case says what is left open.

use crate::{
    plan::{Plan, Planned, Until},
    report::{self, Summary},
    state::{self, Flashes},
};
use anyhow::Result;
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tokio::{sync::mpsc, task::JoinHandle};
use world::pile::{self, Act, PileHandle, SimTime, What};

/// How often to look whether it is over, and whether there is something to write down.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// How long to wait for acknowledgements after Ctrl-C.
const PATIENCE: Duration = Duration::from_secs(10);

struct Running {
    handle: PileHandle,
    /// Prints the pile's events; ends with it, and tells whether it was ever connected.
    printer: JoinHandle<bool>,
}

/// Runs all of it; `true` if the contract was kept.
pub(crate) async fn run(plan: Plan) -> Result<bool> {
    let time = SimTime::begin(plan.speed);
    let json = plan.json;
    let mut flashes = plan.state.as_deref().map(state::read).transpose()?.unwrap_or_default();
    let mut stop = stop_signals()?;
    let running: Vec<Running> = plan
        .piles
        .into_iter()
        .map(|planned| switch_on(planned, time, json))
        .collect();
    let end = wait(&running, plan.until, plan.state.as_deref(), &mut flashes, &mut stop).await?;
    if end == End::Interrupted {
        retire(&running, &mut stop).await;
    }
    let mut summary = Summary {
        gave_up: end == End::GaveUp,
        ..Summary::default()
    };
    for Running { handle, printer } in running {
        let id = handle.id().clone();
        let (status, flash) = handle.shut_down().await;
        flashes.insert(id, flash);
        summary.add(&status, printer.await?);
    }
    if let Some(path) = &plan.state {
        state::write(path, &flashes)?;
    }
    report::summary(&summary, json);
    Ok(summary.is_good())
}

fn switch_on(planned: Planned, time: SimTime, json: bool) -> Running {
    let handle = pile::spawn(planned.spec, planned.flash, planned.station, time);
    let mut events = handle.events();
    let printer = tokio::spawn(async move {
        let mut was_connected = false;
        while let Some(event) = events.next().await {
            was_connected |= event.what == What::Connected;
            report::event(&event, json);
        }
        was_connected
    });
    Running { handle, printer }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Done,
    Interrupted,
    GaveUp,
}

/// Waits for the end, and writes the state down on the way.
async fn wait(
    running: &[Running],
    until: Option<Until>,
    state: Option<&Path>,
    flashes: &mut Flashes,
    stop: &mut mpsc::Receiver<()>,
) -> Result<End> {
    let began = Instant::now();
    let mut written = began;
    loop {
        tokio::select! {
            Some(()) = stop.recv() => return Ok(End::Interrupted),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if let Some(until) = until {
            if running.iter().all(|pile| is_done(pile, until.visits)) {
                return Ok(End::Done);
            }
            if began.elapsed() >= until.give_up_after {
                return Ok(End::GaveUp);
            }
        }
        if let Some(path) = state.filter(|_| written.elapsed() >= WRITE_EVERY) {
            written = Instant::now();
            if note(running, flashes) {
                state::write(path, flashes)?;
            }
        }
    }
}

fn is_done(pile: &Running, visits: u32) -> bool {
    let status = pile.handle.status();
    status.visits >= visits && status.charging == 0 && status.unacked_records == 0
}

/// Takes over what has changed; `true` if anything has.
fn note(running: &[Running], flashes: &mut Flashes) -> bool {
    let mut changed = false;
    for pile in running {
        let flash = pile.handle.flash();
        if flashes.get(pile.handle.id()) != Some(&flash) {
            flashes.insert(pile.handle.id().clone(), flash);
            changed = true;
        }
    }
    changed
}

/// Says when somebody wants the program to end: Ctrl-C, and SIGTERM where there is such a thing.
fn stop_signals() -> Result<mpsc::Receiver<()>> {
    let (wanted, stop) = mpsc::channel(4);
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            let (mut signals, wanted) = (signal(kind)?, wanted.clone());
            tokio::spawn(async move { while signals.recv().await.is_some() && wanted.send(()).await.is_ok() {} });
        }
    }
    #[cfg(not(unix))]
    tokio::spawn(async move { while tokio::signal::ctrl_c().await.is_ok() && wanted.send(()).await.is_ok() {} });
    Ok(stop)
}

/// Ends all sessions and waits for their acknowledgements, but not for ever.
async fn retire(running: &[Running], stop: &mut mpsc::Receiver<()>) {
    for pile in running {
        pile.handle.act(Act::Retire).await;
    }
    let all_acknowledged = async {
        for pile in running {
            pile.handle
                .wait_until(PATIENCE, |status| status.unacked_records == 0)
                .await;
        }
    };
    tokio::select! {
        // Either way the summary says what is left.
        _ = tokio::time::timeout(PATIENCE, all_acknowledged) => {}
        Some(()) = stop.recv() => {}
    }
}
