//! Faults brought in from outside, as they come about on a real box: a thread that stands still, a thread that is gone.

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

/// Ends a thread of another process, and nothing else of it: without a word, and without what Rust does when a thread ends.
///
/// # Errors
/// If there is no such thread, if it may not be stopped, or if it never waits for the kernel.
#[cfg(target_arch = "x86_64")]
pub fn end_thread(thread: u32) -> anyhow::Result<()> {
    /// How often it is tried to find it waiting.
    const TRIES: u32 = 500;
    /// The instruction that enters the kernel.
    const SYSCALL: [u8; 2] = [0x0f, 0x05];
    /// The number of `exit(2)`, which ends one thread.
    const EXIT: u64 = 60;
    let thread = Pid::from_raw(i32::try_from(thread)?);
    for _ in 0..TRIES {
        stop(thread)?;
        let mut registers = ptrace::getregs(thread)?;
        let before = registers.rip - SYSCALL.len() as u64;
        let found = ptrace::read(thread, before as ptrace::AddressType)?;
        if found.to_le_bytes().starts_with(&SYSCALL) {
            // It makes another call than the one it waits in, and that one is not made again.
            (registers.rip, registers.rax, registers.rdi, registers.orig_rax) = (before, EXIT, 0, u64::MAX);
            ptrace::setregs(thread, registers)?;
            ptrace::detach(thread, None)?;
            return Ok(());
        }
        ptrace::detach(thread, None)?;
        std::thread::sleep(LOOK_EVERY);
    }
    bail!("the thread never waits for the kernel");
}

impl Drop for StandingStill {
    fn drop(&mut self) {
        drop(self.let_go.take());
        if let Some(holder) = self.holder.take() {
            let _panicked = holder.join();
        }
    }
}
