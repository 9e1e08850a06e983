//! The thread that marks commits, and has the log emptied while nothing is written.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::file::beside;
use super::generation::{self, Generation};
use super::writer::Work;
use crate::StoreError;

/// Minimum time between two marks.
const MARK_EVERY: Duration = Duration::from_secs(1);
/// Time without a commit after which the log is emptied.
const QUIET: Duration = Duration::from_secs(2);

/// The state of the commits that are to be marked.
#[derive(Debug)]
pub(super) struct Keeper {
    path: PathBuf,
    log: PathBuf,
    generation: Generation,
    state: Mutex<KeeperState>,
    changed: Condvar,
}

#[derive(Debug)]
struct KeeperState {
    committed: u64,
    committed_at: Instant,
    marked: u64,
    /// The commit at which the log was last asked to be emptied.
    emptied: u64,
    stop: bool,
}

impl Keeper {
    /// Creates a keeper for a database that is open at this number.
    pub(super) fn new(path: &Path, generation: Generation) -> Arc<Self> {
        let state = KeeperState {
            committed: generation.number,
            committed_at: Instant::now(),
            marked: 0,
            emptied: 0,
            stop: false,
        };
        let log = beside(path, "-wal");
        Arc::new(Self {
            path: path.to_owned(),
            log,
            generation,
            state: Mutex::new(state),
            changed: Condvar::new(),
        })
    }

    /// Records a durable commit.
    pub(super) fn committed(&self, number: u64) {
        let mut state = self.state();
        state.committed = number;
        state.committed_at = Instant::now();
        drop(state);
        self.changed.notify_one();
    }

    /// Returns the length of the log in bytes.
    pub(super) fn log_bytes(&self) -> u64 {
        std::fs::metadata(&self.log).map_or(0, |found| found.len())
    }

    /// Starts the thread, which runs until [`stop`](Self::stop).
    pub(super) fn start(
        self: &Arc<Self>,
        writer: mpsc::WeakSender<Work>,
    ) -> Result<JoinHandle<()>, StoreError> {
        let keeper = Arc::clone(self);
        let thread = std::thread::Builder::new()
            .name("handfast-mark".to_owned())
            .spawn(move || keeper.run(&writer));
        thread.map_err(|problem| {
            StoreError::Database(format!("no thread to mark commits with: {problem}"))
        })
    }

    /// Has the last commit marked and ends the thread.
    pub(super) fn stop(&self) {
        self.state().stop = true;
        self.changed.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, KeeperState> {
        self.state.lock().expect("no thread panics while it holds the keeper")
    }

    fn run(&self, writer: &mpsc::WeakSender<Work>) {
        // The log is emptied at the start too, because a killed process may have left a long one.
        ask_to_rest(writer);
        let mut next_mark = Instant::now();
        loop {
            let mut state = self.state();
            // The wait ends at the next deadline, or at an event.
            let (number, stop) = loop {
                let now = Instant::now();
                let mark_due = (state.committed > state.marked).then_some(next_mark);
                let rest_due =
                    (state.committed > state.emptied).then_some(state.committed_at + QUIET);
                if state.stop || mark_due.is_some_and(|due| due <= now) {
                    break (Some(state.committed), state.stop);
                }
                if rest_due.is_some_and(|due| due <= now) {
                    state.emptied = state.committed;
                    break (None, false);
                }
                let wait = [mark_due, rest_due].into_iter().flatten().min().map(|due| due - now);
                state = match wait {
                    Some(wait) => {
                        self.changed
                            .wait_timeout(state, wait)
                            .expect("no thread panics while it holds the keeper")
                            .0
                    }
                    None => self
                        .changed
                        .wait(state)
                        .expect("no thread panics while it holds the keeper"),
                };
            };
            let needs_mark = number.is_some_and(|number| number > state.marked);
            drop(state);
            match number {
                Some(number) if needs_mark => {
                    // After a failed write the older mark stays, which demands less.
                    if generation::write_mark(&self.path, Generation { number, ..self.generation })
                        .is_ok()
                    {
                        self.state().marked = number;
                    }
                    next_mark = Instant::now() + MARK_EVERY;
                }
                Some(_) => {}
                None => ask_to_rest(writer),
            }
            if stop {
                return;
            }
        }
    }
}

/// Asks the writer to empty the log. A full queue means that it is busy, so the request is dropped.
fn ask_to_rest(writer: &mpsc::WeakSender<Work>) {
    if let Some(writer) = writer.upgrade() {
        let _ = writer.try_send(Work::Rest);
    }
}
