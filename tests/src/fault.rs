//! Faults brought in from outside, as they come about on a real box: a thread that stands still.

use anyhow::{Context, bail};
use nix::{
    sys::{
        ptrace,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use std::{
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::JoinHandle,
    time::Duration,
};

/// How often it is looked whether the process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A thread of another process that stands still while this lives, as if the scheduler had forgotten it. All others go on.
///
/// It is held by `ptrace`, which root may do, and the parent of the process where the system allows that much.
#[derive(Debug)]
pub struct StandingStill {
    let_go: Option<Sender<()>>,
    holder: Option<JoinHandle<()>>,
}

impl StandingStill {
    /// Stops the thread with this number; it stands still when this returns.
    ///
    /// # Errors
    /// If there is no such thread, or it may not be stopped.
    pub fn hold(thread: u32) -> anyhow::Result<Self> {
        let thread = Pid::from_raw(i32::try_from(thread)?);
        let (tell, told) = mpsc::channel();
        let (let_go, released) = mpsc::channel::<()>();
        // Who stops a thread is a thread too, and must stay.
        let holder = std::thread::spawn(move || {
            let stopped = stop(thread);
            let is_stopped = stopped.is_ok();
            let _gone = tell.send(stopped);
            if !is_stopped {
                return;
            }
            loop {
                match waitpid(thread, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
                    // The process was killed: until somebody looks at this thread, nobody sees that.
                    Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(_) => return,
                    Ok(_) => {}
                }
                if released.recv_timeout(LOOK_EVERY) != Err(RecvTimeoutError::Timeout) {
                    let _ended = ptrace::detach(thread, None);
                    return;
                }
            }
        });
        told.recv().context("the holder ended")??;
        Ok(Self {
            let_go: Some(let_go),
            holder: Some(holder),
        })
    }
}

fn stop(thread: Pid) -> anyhow::Result<()> {
    ptrace::seize(thread, ptrace::Options::empty())
        .context("this test stops a thread of the daemon with ptrace(2), which is not allowed here; run it as root")?;
    ptrace::interrupt(thread)?;
    match waitpid(thread, Some(WaitPidFlag::__WALL))? {
        WaitStatus::PtraceEvent(..) | WaitStatus::Stopped(..) => Ok(()),
        other => bail!("it did not stop: {other:?}"),
    }
}

impl Drop for StandingStill {
    fn drop(&mut self) {
        drop(self.let_go.take());
        if let Some(holder) = self.holder.take() {
            let _panicked = holder.join();
        }
    }
}
