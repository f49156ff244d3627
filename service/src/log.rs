//! The log's lines wait in a bounded queue and are written by a thread of their own: whoever says something waits for nobody.
//! A line for which there is no room is counted, and the log says how many there were.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
    thread,
    time::Duration,
};
use tracing_subscriber::{
    EnvFilter,
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// Lines that may wait.
const LINES_MAX: usize = 4_096;
/// The longest line, in bytes; what is longer is cut.
const LINE_BYTES_MAX: usize = 8_192;
/// How long the end of the process waits for the log.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Lines for which there was no room, since the process started. It has one log.
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// How many lines there was no room for, since the process started.
pub fn left_out() -> u64 {
    LEFT_OUT.load(Ordering::Relaxed)
}

enum Entry {
    Line(Box<[u8]>),
    /// Everything before it has been written.
    Flush(SyncSender<()>),
}

/// Where lines go.
#[derive(Clone)]
pub struct LogQueue {
    entries: SyncSender<Entry>,
    left_out: Arc<AtomicU64>,
}

impl LogQueue {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (entries, waiting) = mpsc::sync_channel(LINES_MAX);
        let queue = Self {
            entries,
            left_out: Arc::default(),
        };
        let left_out = Arc::clone(&queue.left_out);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_all(&waiting, out, &left_out))?;
        Ok(queue)
    }

    /// Waits until what was said so far has been written, but not for ever.
    pub fn flush(&self) {
        let (done, written) = mpsc::sync_channel(1);
        let mut entry = Entry::Flush(done);
        let tries = 100;
        for _ in 0..tries {
            match self.entries.try_send(entry) {
                Ok(()) => {
                    let _too_slow = written.recv_timeout(LAST_LINES);
                    return;
                }
                Err(TrySendError::Full(back)) => entry = back,
                Err(TrySendError::Disconnected(_)) => return,
            }
            thread::sleep(LAST_LINES / tries);
        }
    }
}

fn write_all(waiting: &Receiver<Entry>, mut out: impl Write, left_out: &AtomicU64) {
    for entry in waiting {
        // Nobody can be told that the log cannot be written.
        let _lost = match entry {
            Entry::Line(line) => out.write_all(&line),
            Entry::Flush(done) => {
                let _gone = done.send(());
                Ok(())
            }
        };
        let left_out = left_out.swap(0, Ordering::Relaxed);
        if left_out > 0 {
            let _lost = writeln!(
                out,
                "{left_out} lines are left out here: the log is not taken as fast as it comes"
            );
        }
    }
}

impl Write for LogQueue {
    /// One line, as `tracing_subscriber` writes it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let entry = match line.get(..LINE_BYTES_MAX) {
            Some(cut) if line.len() > LINE_BYTES_MAX => Entry::Line([cut, "…\n".as_bytes()].concat().into()),
            _ => Entry::Line(line.into()),
        };
        if self.entries.try_send(entry).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            LEFT_OUT.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogQueue {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Starts the log of a daemon on standard error, with what this filter lets through.
///
/// # Errors
/// The filter is none, the system has no thread for it, or there is a log already.
pub fn start(filter: &str) -> anyhow::Result<LogQueue> {
    let filter = EnvFilter::try_new(filter)?;
    let log = LogQueue::start(io::stderr())?;
    let plain = fmt::layer().with_writer(log.clone()).with_ansi(false);
    tracing_subscriber::registry().with(filter).with(plain).try_init()?;
    Ok(log)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A log that takes nothing before it may.
    struct Stuck {
        may: Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _open_from_now_on = self.may.recv();
            self.written.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_that_is_stuck_stops_nobody_and_says_what_was_left_out() {
        let (open, may) = mpsc::channel();
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let stuck = Stuck {
            may,
            written: Arc::clone(&written),
        };
        let mut queue = LogQueue::start(stuck).unwrap();
        let said = LINES_MAX + 1_000;
        for _ in 0..said {
            assert_eq!(queue.write(b"a line\n").unwrap(), 7);
        }
        drop(open);
        queue.flush();
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        let lines = text.lines().filter(|line| *line == "a line").count();
        let told: usize = text
            .lines()
            .filter_map(|line| line.split_once(" lines are left out here"))
            .map(|(count, _)| count.parse::<usize>().unwrap())
            .sum();
        assert_eq!(lines + told, said);
        assert!(told >= 999, "one may have been on its way: {told}");
        assert_eq!(left_out(), told as u64, "no other test leaves lines out");
    }

    #[test]
    fn a_line_that_is_too_long_is_cut() {
        let (open, may) = mpsc::channel();
        drop(open);
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let out = Stuck {
            may,
            written: Arc::clone(&written),
        };
        let mut queue = LogQueue::start(out).unwrap();
        queue.write_all(&vec![b'x'; 100_000]).unwrap();
        queue.flush();
        assert_eq!(written.lock().unwrap().len(), LINE_BYTES_MAX + "…\n".len());
    }
}
