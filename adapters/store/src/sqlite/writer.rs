//! Group commit: one thread owns the writing connection, and puts all changes that arrived while it
//! waited for the disk into its next transaction.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::generation;
use super::keeper::Keeper;
use super::schema::BUSY;
use crate::StoreError;

/// Maximum number of changes in one transaction; it bounds the wait of the first of them.
const GROUP: usize = 256;
/// Maximum number of changes that wait for the thread; further callers wait for a place.
const QUEUE: usize = 1024;
/// Maximum time that a group waits for more changes; a quarter of the last commit's time is the
/// other limit.
const GATHER_AT_MOST: Duration = Duration::from_millis(2);
/// Interval between checks for more changes.
const GATHER: Duration = Duration::from_micros(50);

/// Length of the log from which it is copied into the file.
const LOG_BYTES: u64 = 16 << 20;
/// Minimum time between two attempts to cut a long log.
const CUT_EVERY: Duration = Duration::from_millis(500);
/// Maximum time that cutting the log waits for readers.
const CUT: Duration = Duration::from_millis(20);

/// Set when a change has erased a secret that the log still holds.
pub(super) type Erased = Arc<AtomicBool>;

/// A task for the thread.
pub(super) enum Work {
    /// Makes a change durable.
    Change(Change),
    /// Empties the log, because nothing is written at the moment.
    Rest,
}

/// A change that runs inside the open transaction.
pub(super) type Change = Box<dyn FnOnce(&Connection) -> Answer + Send>;
/// A function that answers the caller once the commit has succeeded or failed.
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// The handle of the writing thread.
#[derive(Debug)]
pub(super) struct WriterHandle {
    queue: Option<mpsc::Sender<Work>>,
    thread: Option<JoinHandle<()>>,
    erased: Erased,
}

impl WriterHandle {
    /// Starts the thread. It keeps the lock until the connection is closed. A registry in memory has
    /// no file, so nothing to lock and nothing to mark.
    pub(super) fn start(
        connection: Connection,
        file: Option<(File, Arc<Keeper>)>,
    ) -> Result<Self, StoreError> {
        let (queue, arriving) = mpsc::channel(QUEUE);
        // A process that was killed may have erased secrets, so the log is cut soon after the start
        // as well.
        let erased = Erased::new(AtomicBool::new(true));
        let erasures = Arc::clone(&erased);
        let file = match file {
            Some((lock, keeper)) => {
                let marking = keeper.start(queue.downgrade())?;
                Some((lock, keeper, marking))
            }
            None => None,
        };
        let run = move || {
            let keeper = file.as_ref().map(|(_, keeper, _)| &**keeper);
            serve(&connection, arriving, &erasures, keeper);
            // The readers are closed by now, so this is the last connection, which removes the log.
            drop(connection);
            if let Some((lock, keeper, marking)) = file {
                keeper.stop();
                // The thread has panicked, or has marked the last commit.
                let _ = marking.join();
                drop(lock);
            }
        };
        let thread = std::thread::Builder::new().name("handfast-store".to_owned()).spawn(run);
        let thread = thread.map_err(|problem| {
            StoreError::Database(format!("no thread to write with: {problem}"))
        })?;
        Ok(Self { queue: Some(queue), thread: Some(thread), erased })
    }

    /// Returns the flag for a change that erases a secret.
    pub(super) fn erased(&self) -> Erased {
        Arc::clone(&self.erased)
    }

    /// Makes a change durable.
    #[cfg(test)]
    pub(super) async fn change<T, E>(
        &self,
        make: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.change_then(make, |_| ()).await
    }

    /// Makes a change durable, and calls `then` between the commit and the answer, even if the
    /// caller no longer waits. If `make` fails, its work is undone without touching the other
    /// changes of its group. It is not called if the change was not made, but it is if the commit
    /// failed.
    pub(super) async fn change_then<T, E>(
        &self,
        make: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        then: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (tell, answer) = oneshot::channel();
        let change: Change = Box::new(move |connection| {
            let made = alone(connection, make);
            Box::new(move |committed| {
                let outcome = match made {
                    Some(Err(own)) => Err(own),
                    Some(Ok(made)) => {
                        // Called even if the commit failed, because nobody knows then what the disk
                        // holds.
                        then(&made);
                        committed.map(|()| made).map_err(E::from)
                    }
                    None => Err(committed
                        .err()
                        .unwrap_or_else(|| {
                            StoreError::Database("the change was not made".to_owned())
                        })
                        .into()),
                };
                // A caller that has dropped its future gets no answer.
                let _ = tell.send(outcome);
            })
        });
        let stopped = || E::from(StoreError::Database("the writing thread has stopped".to_owned()));
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(Work::Change(change)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Drop for WriterHandle {
    fn drop(&mut self) {
        // Dropping the sender ends the thread once the queue is empty.
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // The thread has panicked, or is done; either way it is gone.
            let _ = thread.join();
        }
    }
}

fn serve(
    connection: &Connection,
    mut arriving: mpsc::Receiver<Work>,
    erased: &AtomicBool,
    keeper: Option<&Keeper>,
) {
    let mut arrived = Vec::with_capacity(GROUP);
    let mut group = Vec::with_capacity(GROUP);
    let mut answers = Vec::with_capacity(GROUP);
    let mut last = Last { changes: 1, took: Duration::ZERO };
    // Number up to which the file is known to have everything.
    let mut base = 0;
    let mut tried = Instant::now();
    let mut number =
        generation::read(connection).ok().flatten().map_or(0, |(generation, _)| generation.number);
    while arriving.blocking_recv_many(&mut arrived, GROUP) > 0 {
        for work in arrived.drain(..) {
            match work {
                Work::Change(change) => group.push(change),
                Work::Rest => erased.store(true, Ordering::Relaxed),
            }
        }
        if !group.is_empty() {
            last.gather(&mut group, &mut arriving);
            let begun = Instant::now();
            let committed = commit(connection, &mut group, &mut answers, base);
            last = Last { changes: answers.len(), took: begun.elapsed() };
            if let Ok(Some(raised)) = &committed {
                number = *raised;
                if let Some(keeper) = keeper {
                    keeper.committed(number);
                }
            }
            // Answers go out only now, because nobody may hear of a change that is not durable.
            let committed = committed.map(drop);
            for answer in answers.drain(..) {
                answer(committed.clone());
            }
        }
        // Only while nobody waits, or if the log has grown long. If a long read blocks it, the next
        // round tries again.
        let is_due = match erased.load(Ordering::Relaxed) && arriving.is_empty() {
            true => true,
            false => {
                tried.elapsed() > CUT_EVERY
                    && keeper.is_some_and(|keeper| keeper.log_bytes() > LOG_BYTES)
            }
        };
        if is_due {
            tried = Instant::now();
            if cut_log(connection).unwrap_or(false) {
                erased.store(false, Ordering::Relaxed);
                base = number;
            }
        }
    }
}

/// Copies the log into the file and empties it, so that overwritten data is nowhere. `false` if a
/// reader still needs an older state.
fn cut_log(connection: &Connection) -> rusqlite::Result<bool> {
    connection.busy_timeout(CUT)?;
    let is_cut = connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| Ok(row.get::<_, i64>(0)? == 0));
    connection.busy_timeout(BUSY)?;
    is_cut
}

/// The size and the duration of the last group.
struct Last {
    changes: usize,
    took: Duration,
}

impl Last {
    /// Waits a moment for the callers that have just got their answer and send their next change.
    /// Without it, the first of them would start a commit of its own, the others would wait for it,
    /// and everybody would wait for the disk twice. A single writer never waits.
    fn gather(&self, group: &mut Vec<Change>, arriving: &mut mpsc::Receiver<Work>) {
        let until = Instant::now() + (self.took / 4).min(GATHER_AT_MOST);
        while group.len() + arriving.len() < self.changes && Instant::now() < until {
            std::thread::sleep(GATHER);
        }
        while group.len() < GROUP
            && let Ok(work) = arriving.try_recv()
        {
            match work {
                Work::Change(change) => group.push(change),
                // A change has arrived, so the log is not emptied now.
                Work::Rest => {}
            }
        }
    }
}

/// Commits one transaction for the whole group. Returns its number, if it has changed anything. No
/// transaction is left open, whatever the result.
fn commit(
    connection: &Connection,
    group: &mut Vec<Change>,
    answers: &mut Vec<Answer>,
    base: u64,
) -> Result<Option<u64>, StoreError> {
    let begun = run(connection, "BEGIN IMMEDIATE");
    let before = connection.total_changes();
    // If it could not begin, or SQLite gave it up half way, the remaining changes are not made:
    // outside a transaction each would commit by itself.
    answers.extend(group.drain(..).map(|change| change(connection)));
    begun?;
    if connection.is_autocommit() {
        return Err(StoreError::Database(
            "a change of the same group found the disk full or failing; nothing of the group was kept".to_owned(),
        ));
    }
    let committed = || {
        // A group of refused changes has written nothing, so it needs no number.
        let number = if connection.total_changes() == before {
            None
        } else {
            Some(generation::raise(connection, base)?)
        };
        run(connection, "COMMIT")?;
        Ok(number)
    };
    Ok(committed().inspect_err(|_: &rusqlite::Error| {
        if !connection.is_autocommit() {
            // It fails only where there is nothing to undo.
            let _ = run(connection, "ROLLBACK");
        }
    })?)
}

/// Makes one change of a group so that its failure affects no other. `None` if there is no
/// transaction to make it in.
fn alone<T, E: From<StoreError>>(
    connection: &Connection,
    make: impl FnOnce(&Connection) -> Result<T, E>,
) -> Option<Result<T, E>> {
    if connection.is_autocommit() {
        return None;
    }
    let run = |sql| run(connection, sql).map_err(StoreError::from);
    let attempt = || {
        run("SAVEPOINT change")?;
        let made = make(connection);
        // If SQLite gave up the whole transaction, the savepoint is gone too.
        if made.is_err() && !connection.is_autocommit() {
            run("ROLLBACK TO change")?;
        }
        if !connection.is_autocommit() {
            run("RELEASE change")?;
        }
        made
    };
    Some(attempt())
}

fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}
