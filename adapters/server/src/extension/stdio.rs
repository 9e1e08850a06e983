//! The transport to a program's standard streams: pending calls, and restarts.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::child::Program;
use super::connection;
use super::handle::Problem;
use super::host::ExtensionHost;
use super::rules::{ExtensionTimes, MOST_CALLS, MOST_REQUESTS, MOST_UNSENT, RestartBackoff};
use super::wire::Answer;

/// Maximum number of abandoned calls that are remembered.
const MOST_ABANDONED: usize = 1024;

/// The program, its supervisor, and its pending calls. Dropping it ends the program.
pub(super) struct Stdio {
    link: Arc<ProgramLink>,
    stop: watch::Sender<bool>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

/// State that the supervisor and callers share.
pub(super) struct ProgramLink {
    pub(super) name: String,
    pub(super) command: Vec<String>,
    pub(super) rules: ExtensionTimes,
    /// Limit for the gateway's answers to the extension.
    pub(super) answer_within: Duration,
    pub(super) host: Arc<dyn ExtensionHost>,
    /// Number of ignored lines: unsolicited answers, empty lines, requests beyond the limit.
    pub(super) ignored: AtomicU64,
    restarts: AtomicU64,
    state: Mutex<CallState>,
}

struct CallState {
    waiting: HashMap<u64, oneshot::Sender<Result<Answer, Problem>>>,
    /// Calls whose callers have given up. A late answer to one of them is no violation.
    abandoned: BTreeSet<u64>,
    /// The queue to the running program, or the reason for which there is none.
    outlet: Result<Outlet, String>,
}

/// The queue to a program's standard input.
#[derive(Clone)]
pub(super) struct Outlet {
    queue: mpsc::Sender<Outgoing>,
    room: Arc<Semaphore>,
}

/// A line that waits to be written.
pub(super) struct Outgoing {
    /// Id of the call; `None` for an answer. A call that nobody waits for any more is not sent.
    pub(super) call: Option<u64>,
    /// The line with its end.
    pub(super) line: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl Stdio {
    pub(super) fn new(
        name: &str,
        command: &[String],
        answer_within: Duration,
        rules: ExtensionTimes,
        host: Arc<dyn ExtensionHost>,
    ) -> Self {
        let state = CallState {
            waiting: HashMap::new(),
            abandoned: BTreeSet::new(),
            outlet: Err("it is not started".to_owned()),
        };
        let link = ProgramLink {
            name: name.to_owned(),
            command: command.to_vec(),
            rules,
            answer_within,
            host,
            ignored: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            state: Mutex::new(state),
        };
        Self { link: Arc::new(link), stop: watch::Sender::new(false), supervisor: Mutex::new(None) }
    }

    /// Starts the program and its supervision. A second start does nothing.
    pub(super) fn start(&self) {
        let mut supervisor =
            self.supervisor.lock().expect("no thread panics while it holds the supervisor");
        if supervisor.is_none() && !*self.stop.borrow() {
            // The first start happens here, so that a call right after it finds a running program.
            let first = self.link.open();
            *supervisor =
                Some(tokio::spawn(supervise(self.link.clone(), first, self.stop.subscribe())));
        }
    }

    /// Ends the program and everything it started in its process group.
    pub(super) async fn shut_down(&self) {
        self.stop.send_replace(true);
        let supervisor =
            self.supervisor.lock().expect("no thread panics while it holds the supervisor").take();
        if let Some(supervisor) = supervisor {
            // If the supervisor panicked, its program was killed with it.
            let _ = supervisor.await;
        }
    }

    /// Sends a request and waits for the answer. The caller sets the time limit.
    pub(super) async fn call(&self, id: u64, mut line: Vec<u8>) -> Result<Answer, Problem> {
        line.push(b'\n');
        let (sender, receiver) = oneshot::channel();
        let _waiting = {
            let mut state = self.link.state();
            match &state.outlet {
                Ok(outlet) => outlet.try_send(Some(id), line)?,
                Err(why) => return Err(Problem::Down(why.clone())),
            }
            // Under the same lock as the send, so that no answer arrives before its caller waits.
            state.waiting.insert(id, sender);
            PendingCall { link: &self.link, id }
        };
        receiver.await.unwrap_or_else(|_| Err(Problem::Down("it ended".to_owned())))
    }

    pub(super) fn alive(&self) -> bool {
        self.link.state().outlet.is_ok()
    }

    pub(super) fn restarts(&self) -> u64 {
        self.link.restarts.load(Ordering::Relaxed)
    }

    pub(super) fn ignored(&self) -> u64 {
        self.link.ignored.load(Ordering::Relaxed)
    }
}

/// A pending call. Dropping it marks the call as abandoned.
struct PendingCall<'a> {
    link: &'a ProgramLink,
    id: u64,
}

impl Drop for PendingCall<'_> {
    fn drop(&mut self) {
        let mut state = self.link.state();
        if state.waiting.remove(&self.id).is_some() {
            // A late answer to this call is no violation of the protocol, so its id is remembered.
            state.abandoned.insert(self.id);
            if state.abandoned.len() > MOST_ABANDONED {
                state.abandoned.pop_first();
            }
        }
    }
}

impl ProgramLink {
    fn state(&self) -> MutexGuard<'_, CallState> {
        self.state.lock().expect("no thread panics while it holds the state")
    }

    /// Returns `true` if this call is still pending.
    pub(super) fn waits_for(&self, id: u64) -> bool {
        self.state().waiting.contains_key(&id)
    }

    /// Delivers an answer to its caller. Returns `false` if the call never existed, or was answered
    /// already.
    pub(super) fn answered(&self, id: u64, answer: Answer) -> bool {
        let mut state = self.state();
        let late = match state.waiting.remove(&id) {
            Some(waiting) => waiting.send(Ok(answer)).is_err(),
            // The caller gave up before the answer came.
            None if state.abandoned.remove(&id) => true,
            None => return false,
        };
        self.ignored.fetch_add(u64::from(late), Ordering::Relaxed);
        true
    }

    fn open(&self) -> Result<(Program, mpsc::Receiver<Outgoing>), String> {
        let outcome = Program::start(&self.name, &self.command);
        match outcome {
            Ok(program) => {
                let (queue, lines) = mpsc::channel(2 * (MOST_CALLS + MOST_REQUESTS));
                let room = Arc::new(Semaphore::new(MOST_UNSENT));
                self.state().outlet = Ok(Outlet { queue, room });
                Ok((program, lines))
            }
            Err(why) => {
                self.state().outlet = Err(why.clone());
                Err(why)
            }
        }
    }

    /// Records that the program has ended, and fails all pending calls with the reason.
    fn close(&self, why: &str) {
        let waiting = {
            let mut state = self.state();
            state.outlet = Err(why.to_owned());
            // The next run of the program knows none of these calls.
            state.abandoned.clear();
            std::mem::take(&mut state.waiting)
        };
        // The callers are told without the lock, which they take next.
        for sender in waiting.into_values() {
            let _ = sender.send(Err(Problem::Down(why.to_owned())));
        }
    }

    /// Returns the queue to the running program; `None` if there is none.
    pub(super) fn outlet(&self) -> Option<Outlet> {
        self.state().outlet.as_ref().ok().cloned()
    }
}

impl Outlet {
    fn try_send(&self, call: Option<u64>, line: Vec<u8>) -> Result<(), Problem> {
        let bytes = u32::try_from(line.len()).map_err(|_| Problem::TooLarge)?;
        let room = self.room.clone().try_acquire_many_owned(bytes).map_err(|_| Problem::Busy)?;
        self.queue.try_send(Outgoing { call, line, _room: room }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Problem::Busy,
            mpsc::error::TrySendError::Closed(_) => Problem::Down("it ended".to_owned()),
        })
    }

    /// Sends an answer if there is room for it now.
    pub(super) fn try_answer(&self, mut line: Vec<u8>) {
        line.push(b'\n');
        // A program that does not read its answers loses some of them.
        let _ = self.try_send(None, line);
    }

    /// Waits for room and sends an answer.
    pub(super) async fn answer(&self, mut line: Vec<u8>) {
        line.push(b'\n');
        let Ok(bytes) = u32::try_from(line.len()) else { return };
        if let Ok(room) = self.room.clone().acquire_many_owned(bytes).await {
            // A program that has ended reads no answer.
            let _ = self.queue.send(Outgoing { call: None, line, _room: room }).await;
        }
    }
}

/// Runs the program, and restarts it when it ends, with the back-off in between.
async fn supervise(
    link: Arc<ProgramLink>,
    mut attempt: Result<(Program, mpsc::Receiver<Outgoing>), String>,
    mut stop: watch::Receiver<bool>,
) {
    let ExtensionTimes { restart, restart_most, lived, .. } = link.rules;
    let mut backoff = RestartBackoff::new(restart, restart_most, lived);
    loop {
        let began = Instant::now();
        let why = match attempt {
            Ok((program, lines)) => connection::run(&link, program, lines, &mut stop).await,
            Err(why) => why,
        };
        link.close(&why);
        // An error means that the handle was dropped, which also ends the program.
        if *stop.borrow() || stop.has_changed().is_err() {
            return;
        }
        // A program that ran for long starts again sooner than one that keeps failing.
        let wait = backoff.after(began.elapsed());
        tracing::warn!(
            extension = link.name,
            why,
            ?wait,
            "an extension ended; it is started again after a while"
        );
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        link.restarts.fetch_add(1, Ordering::Relaxed);
        attempt = link.open();
    }
}
