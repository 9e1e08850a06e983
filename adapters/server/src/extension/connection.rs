//! One run of a program: its output is read and its input is written concurrently.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::child::Program;
use super::lines::{Flood, LineSplitter, NoLine};
use super::rules::{
    MOST_REQUESTED, MOST_REQUESTED_OR_WAITING, MOST_REQUESTS, MOST_REQUESTS_WAITING,
    REQUESTS_PER_SECOND, UNASKED_BYTES, UNASKED_PER_SECOND,
};
use super::stdio::{Outgoing, ProgramLink};
use super::wire::{self, LINE_BYTES, ProgramLine};

/// Time in which the output of a program is still read after its input broke.
const LAST_WORDS: Duration = Duration::from_millis(250);
/// Maximum number of bytes of a standard error line that are logged.
const LOGGED_BYTES: usize = 1024;
/// Maximum number of standard error lines that are logged per second.
const LOGGED_PER_SECOND: u64 = 100;

/// Serves a program until it ends, violates a rule, or is to stop. Returns the reason of the end.
pub(super) async fn run(
    link: &Arc<ProgramLink>,
    program: Program,
    mut queue: mpsc::Receiver<Outgoing>,
    stop: &mut watch::Receiver<bool>,
) -> String {
    let Program { group, stdin, stdout, stderr } = program;
    let why = {
        let mut reader = std::pin::pin!(read(link, stdout));
        let mut errors = std::pin::pin!(log(&link.name, stderr));
        // The writer is dropped with this block, which closes the program's input.
        let outcome = {
            let mut writer = std::pin::pin!(write(link, stdin, &mut queue));
            tokio::select! {
                why = &mut reader => Some(why),
                why = &mut writer => Some(why),
                _ = stop.wait_for(|stop| *stop) => None,
                () = &mut errors => None,
            }
        };
        match outcome {
            Some(why) => why,
            None => {
                // The program's input has ended with the writer, which should make the program end
                // by itself.
                tokio::select! {
                    _ = &mut reader => {}
                    () = &mut errors => {}
                    () = tokio::time::sleep(link.rules.farewell) => {}
                }
                "it was shut down".to_owned()
            }
        }
    };
    group.end().await;
    why
}

/// Reads the program's output. Returns the reason of the end.
async fn read(link: &Arc<ProgramLink>, stdout: ChildStdout) -> String {
    let mut lines = LineSplitter::new(stdout, LINE_BYTES);
    let mut desk = Dispatcher {
        link: link.clone(),
        requests: JoinSet::new(),
        slots: Arc::new(Semaphore::new(MOST_REQUESTS)),
        bytes: Arc::new(Semaphore::new(MOST_REQUESTED)),
        places: Arc::new(Semaphore::new(MOST_REQUESTS + MOST_REQUESTS_WAITING)),
        room: Arc::new(Semaphore::new(MOST_REQUESTED_OR_WAITING)),
        asked: Flood::new(REQUESTS_PER_SECOND),
        unasked: Flood::new(UNASKED_PER_SECOND),
    };
    loop {
        let line = tokio::select! {
            line = lines.next() => line,
            Some(_) = desk.requests.join_next() => continue,
        };
        let taken = match line {
            Ok(line) => desk.take(line),
            Err(NoLine::Ended) => return "it ended, or closed its standard output".to_owned(),
            Err(NoLine::TooLong) => Err("a line longer than 1 MiB"),
            Err(NoLine::Broken(error)) => return format!("its standard output broke: {error}"),
        };
        if let Err(problem) = taken {
            return format!("it was ended, because it wrote {problem}");
        }
    }
}

/// The dispatcher of a program's lines.
struct Dispatcher {
    link: Arc<ProgramLink>,
    requests: JoinSet<()>,
    /// Permits for requests that are being answered.
    slots: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    /// Permits for these and for waiting requests, so that a burst of an honest program is no
    /// violation.
    places: Arc<Semaphore>,
    room: Arc<Semaphore>,
    asked: Flood,
    unasked: Flood,
}

impl Dispatcher {
    fn take(&mut self, line: &[u8]) -> Result<(), &'static str> {
        // An empty line asks for nothing, and a flood of them costs time all the same.
        if line.trim_ascii().is_empty() {
            return self.unasked(line);
        }
        match wire::incoming(line)? {
            ProgramLine::Answer { id, answer } => match self.link.answered(id, answer) {
                true => Ok(()),
                false => self.unasked(line),
            },
            ProgramLine::Request { id, method, params } => {
                let place = self.places.clone().try_acquire_owned();
                let length = u32::try_from(line.len()).unwrap_or(u32::MAX);
                let room = self.room.clone().try_acquire_many_owned(length);
                // Without a program nobody reads an answer.
                let Some(outlet) = self.link.outlet() else { return Ok(()) };
                let (true, Ok(place), Ok(room)) = (self.asked.count(1), place, room) else {
                    // Waiting for room would hold up all other lines.
                    outlet.try_answer(wire::reply(
                        id,
                        &Err("too many requests at once; try again later".to_owned()),
                    ));
                    return self.unasked(line);
                };
                let (link, slots, bytes) =
                    (self.link.clone(), self.slots.clone(), self.bytes.clone());
                self.requests.spawn(async move {
                    let _held = (place, room);
                    let work = async {
                        // Neither semaphore is ever closed. A request that times out releases both
                        // permits before its answer is written, and keeps its place.
                        let turn = (
                            slots.acquire_owned().await.ok(),
                            bytes.acquire_many_owned(length).await.ok(),
                        );
                        let params = params.as_ref().map_or("null", |params| params.get());
                        let answer = match serde_json::from_str(params) {
                            Ok(params) => link.host.call(&link.name, &method, params).await,
                            Err(_) => {
                                Err("the params are nested too deeply, or hold what is no Unicode"
                                    .to_owned())
                            }
                        };
                        (wire::reply(id, &answer), turn)
                    };
                    let late = || {
                        (
                            wire::reply(id, &Err("the gateway took too long to answer".to_owned())),
                            (None, None),
                        )
                    };
                    let (line, _turn) = tokio::time::timeout(link.answer_within, work)
                        .await
                        .unwrap_or_else(|_| late());
                    // A program that does not read its answers must not make them accumulate here.
                    let _ = tokio::time::timeout(link.rules.write, outlet.answer(line)).await;
                });
                Ok(())
            }
        }
    }

    fn unasked(&mut self, line: &[u8]) -> Result<(), &'static str> {
        self.link.ignored.fetch_add(1, Ordering::Relaxed);
        // A long line costs more, because reading it does, too.
        let cost = 1 + line.len() / UNASKED_BYTES;
        match self.unasked.count(cost as u64) {
            true => Ok(()),
            false => Err("more that nobody had asked for than it may in a second"),
        }
    }
}

/// Writes queued lines. Returns the reason of the end.
async fn write(
    link: &ProgramLink,
    mut stdin: ChildStdin,
    queue: &mut mpsc::Receiver<Outgoing>,
) -> String {
    while let Some(outgoing) = queue.recv().await {
        // The caller has given up, so the call must not be carried out any more.
        if outgoing.call.is_some_and(|id| !link.waits_for(id)) {
            continue;
        }
        let write = async {
            stdin.write_all(&outgoing.line).await?;
            stdin.flush().await
        };
        match tokio::time::timeout(link.rules.write, write).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => {
                // The reader gets a moment for what the program wrote before it ended.
                tokio::time::sleep(LAST_WORDS).await;
                return "it ended, or closed its standard input".to_owned();
            }
            Err(_) => {
                return format!(
                    "it was ended, because it did not read its standard input for {:?}",
                    link.rules.write
                );
            }
        }
    }
    std::future::pending().await
}

/// Logs the program's standard error. Never returns.
async fn log(name: &str, mut stderr: ChildStderr) {
    let mut chunk = [0; 4096];
    let mut line = Vec::with_capacity(LOGGED_BYTES);
    let mut flood = Flood::new(LOGGED_PER_SECOND);
    loop {
        let read = match stderr.read(&mut chunk).await {
            // A closed error stream does not end the program.
            Ok(0) | Err(_) => std::future::pending().await,
            Ok(read) => read,
        };
        for byte in &chunk[..read] {
            if *byte == b'\n' {
                if flood.count(1) {
                    tracing::debug!(
                        extension = name,
                        line = wire::shown(&String::from_utf8_lossy(&line)),
                        "an extension says"
                    );
                }
                line.clear();
            } else if line.len() < LOGGED_BYTES {
                // The rest of a longer line is dropped, so that a program without line ends fills
                // no memory.
                line.push(*byte);
            }
        }
    }
}
