//! The threads that read, and others that need no write lock.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use super::PostgresAddress;
use super::session::{Session, ThisRun, Use};
use super::tx::PostgresTx;
use crate::StoreError;

/// Maximum number of reads that wait for a thread; further callers wait for a place.
const QUEUE: usize = 256;

/// A read that waits for a thread.
struct Read {
    since: Instant,
    run: Run,
}

/// Reads over a connection, or learns why there is none, and answers the caller.
type Run = Box<dyn FnOnce(Result<&mut Session, StoreError>) + Send>;

/// Threads that each own a connection, and share a queue.
#[derive(Debug)]
pub(super) struct Readers {
    queue: Option<mpsc::Sender<Read>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(super) fn start(
        address: &PostgresAddress,
        number: usize,
        usage: Use,
    ) -> Result<Self, StoreError> {
        let (queue, arriving) = mpsc::channel(QUEUE);
        let arriving = Arc::new(Mutex::new(arriving));
        let patience = address.patience();
        let mut readers = Self { queue: Some(queue), threads: Vec::with_capacity(number) };
        for _ in 0..number {
            let (address, arriving) = (address.clone(), Arc::clone(&arriving));
            readers.threads.push(spawn(move || {
                // Its failure was reported by the writing thread, which starts first.
                let Ok(mut session) = Session::new(address, usage, ThisRun::default()) else {
                    return;
                };
                while let Some(read) = next(&arriving) {
                    let session = match read.since.elapsed() > patience {
                        true => Err(StoreError::Timeout),
                        false => session.ready().map(|()| &mut session),
                    };
                    (read.run)(session);
                }
            })?);
        }
        Ok(readers)
    }

    /// Runs a read by keys. Each statement sees the state at its own beginning.
    pub(super) async fn point<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut PostgresTx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.with(|session| read(&mut PostgresTx::new(session))).await
    }

    /// Runs a read that sees one state of the registry.
    pub(super) async fn page<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut PostgresTx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.with(|session| {
            session.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
            let found = read(&mut PostgresTx::new(session));
            // There is nothing to keep; a connection that cannot even do this is given up.
            if session.is_open() && session.batch("ROLLBACK").is_err() {
                session.close();
            }
            found
        })
        .await
    }

    async fn with<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Session) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (tell, answer) = oneshot::channel();
        let run: Run = Box::new(move |session| {
            // A caller that has dropped its future gets no answer.
            let _ = tell.send(session.and_then(run));
        });
        let stopped = || StoreError::Database("the reading threads have stopped".to_owned());
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        let place = queue.reserve().await.map_err(|_| stopped())?;
        place.send(Read { since: Instant::now(), run });
        answer.await.map_err(|_| stopped())?
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        // Dropping the sender ends the threads once the queue is empty.
        self.queue = None;
        for thread in self.threads.drain(..) {
            // It has panicked, or is done; either way it is gone.
            let _ = thread.join();
        }
    }
}

/// Waits for the next read. `None` if there can be no more.
fn next(arriving: &Mutex<mpsc::Receiver<Read>>) -> Option<Read> {
    // A thread that panicked while it waited has taken nothing.
    arriving.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv()
}

/// Starts a thread of the store.
pub(super) fn spawn(run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    let thread = std::thread::Builder::new().name("handfast-store".to_owned()).spawn(run);
    thread.map_err(|problem| StoreError::Database(format!("no thread to wait with: {problem}")))
}
