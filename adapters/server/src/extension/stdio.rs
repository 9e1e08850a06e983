//! An extension that is a program of its own: who waits for its answers, and when it is started
//! again.

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
use super::host::Host;
use super::rules::{Backoff, MOST_CALLS, MOST_REQUESTS, MOST_UNSENT, Rules};
use super::wire::Answer;

/// Most calls that are remembered after their callers have gone.
const MOST_ABANDONED: usize = 1024;

/// The program, its supervisor, and who waits for it. The program ends with this.
pub(super) struct Stdio {
    link: Arc<Link>,
    stop: watch::Sender<bool>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

/// What the supervisor shares with callers.
pub(super) struct Link {
    pub(super) name: String,
    pub(super) command: Vec<String>,
    pub(super) rules: Rules,
    /// How long the gateway may take to answer the extension.
    pub(super) answer_within: Duration,
    pub(super) host: Arc<dyn Host>,
    /// What came for nothing: answers that nobody waits for, empty lines, requests beyond the
    /// bound.
    pub(super) ignored: AtomicU64,
    restarts: AtomicU64,
    state: Mutex<State>,
}

struct State {
    waiting: HashMap<u64, oneshot::Sender<Result<Answer, Problem>>>,
    /// Calls whose callers have gone. Their answers are late, but were asked for.
    abandoned: BTreeSet<u64>,
    /// Where lines go, or why there is nowhere.
    outlet: Result<Outlet, String>,
}

/// The way to a program's standard input.
#[derive(Clone)]
pub(super) struct Outlet {
    queue: mpsc::Sender<Outgoing>,
    room: Arc<Semaphore>,
}

/// A line on its way.
pub(super) struct Outgoing {
    /// The call whose it is, if it is none's answer. If nobody waits for that any longer, it is not
    /// sent at all.
    pub(super) call: Option<u64>,
    /// With its end.
    pub(super) line: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl Stdio {
    pub(super) fn new(
        name: &str,
        command: &[String],
        answer_within: Duration,
        rules: Rules,
        host: Arc<dyn Host>,
    ) -> Self {
        let state = State {
            waiting: HashMap::new(),
            abandoned: BTreeSet::new(),
            outlet: Err("it is not started".to_owned()),
        };
        let link = Link {
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

    /// Starts the program, and sees to it from now on. A second start does nothing.
    pub(super) fn start(&self) {
        let mut supervisor =
            self.supervisor.lock().expect("no thread panics while it holds the supervisor");
        if supervisor.is_none() && !*self.stop.borrow() {
            // The first start is made here, so that who calls next finds a program that can be
            // written to.
            let first = self.link.open();
            *supervisor =
                Some(tokio::spawn(supervise(self.link.clone(), first, self.stop.subscribe())));
        }
    }

    /// Ends the program, and whatever it started in its process group.
    pub(super) async fn shut_down(&self) {
        self.stop.send_replace(true);
        let supervisor =
            self.supervisor.lock().expect("no thread panics while it holds the supervisor").take();
        if let Some(supervisor) = supervisor {
            let _ = supervisor.await;
        }
    }

    /// Sends a request, and waits for as long as the caller does.
    pub(super) async fn call(&self, id: u64, mut line: Vec<u8>) -> Result<Answer, Problem> {
        line.push(b'\n');
        let (sender, receiver) = oneshot::channel();
        let _waiting = {
            let mut state = self.link.state();
            match &state.outlet {
                Ok(outlet) => outlet.try_send(Some(id), line)?,
                Err(why) => return Err(Problem::Down(why.clone())),
            }
            state.waiting.insert(id, sender);
            Waiting { link: &self.link, id }
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

/// Somebody who waits for an answer, until they have it or go away.
struct Waiting<'a> {
    link: &'a Link,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.link.state();
        if state.waiting.remove(&self.id).is_some() {
            state.abandoned.insert(self.id);
            if state.abandoned.len() > MOST_ABANDONED {
                state.abandoned.pop_first();
            }
        }
    }
}

impl Link {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the state")
    }

    /// Whether somebody waits for the answer to this call.
    pub(super) fn waits_for(&self, id: u64) -> bool {
        self.state().waiting.contains_key(&id)
    }

    /// Hands an answer to whoever waits for it. `false` if nobody has asked, or it is answered
    /// already.
    pub(super) fn answered(&self, id: u64, answer: Answer) -> bool {
        let mut state = self.state();
        let late = match state.waiting.remove(&id) {
            Some(waiting) => waiting.send(Ok(answer)).is_err(),
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

    /// There is no program any more: whoever waits hears why.
    fn close(&self, why: &str) {
        let waiting = {
            let mut state = self.state();
            state.outlet = Err(why.to_owned());
            state.abandoned.clear();
            std::mem::take(&mut state.waiting)
        };
        for sender in waiting.into_values() {
            let _ = sender.send(Err(Problem::Down(why.to_owned())));
        }
    }

    /// The way to the program that runs now.
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
        // Who asks for more than it reads does not get it.
        let _ = self.try_send(None, line);
    }

    /// Sends an answer as soon as there is room for it.
    pub(super) async fn answer(&self, mut line: Vec<u8>) {
        line.push(b'\n');
        let Ok(bytes) = u32::try_from(line.len()) else { return };
        if let Ok(room) = self.room.clone().acquire_many_owned(bytes).await {
            let _ = self.queue.send(Outgoing { call: None, line, _room: room }).await;
        }
    }
}

/// Runs the program, and starts it again when it ends: never sooner than the back-off says.
async fn supervise(
    link: Arc<Link>,
    mut attempt: Result<(Program, mpsc::Receiver<Outgoing>), String>,
    mut stop: watch::Receiver<bool>,
) {
    let Rules { restart, restart_most, lived, .. } = link.rules;
    let mut backoff = Backoff::new(restart, restart_most, lived);
    loop {
        let began = Instant::now();
        let why = match attempt {
            Ok((program, lines)) => connection::run(&link, program, lines, &mut stop).await,
            Err(why) => why,
        };
        link.close(&why);
        // An error says that the handle is gone, which is as good as being told to stop.
        if *stop.borrow() || stop.has_changed().is_err() {
            return;
        }
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
