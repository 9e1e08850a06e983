//! A program that is run when something begins to wait for a person: a node for its approval or its
//! PIN, a sender for being let in.
//!
//! ```text
//! event ─▶ queue (bounded) ─▶ one run at a time: a line of JSON on its standard input
//! ```
//! Pairing never waits for it: what the queue has no room for is left out, and the next line says how
//! many were. A line has no PIN, no code and no token, and the arguments are those of the settings
//! alone.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::child::{self, ProcessGroup};
use crate::events::{Event, Observer};

/// Number of lines that wait at most.
const QUEUE: usize = 64;
/// The time within which a thing that goes on asking is told of once.
const TOLD_EVERY: Duration = Duration::from_secs(3600);
/// Number of things that are remembered as told. Beyond it, all are forgotten, and told once more.
const MOST_TOLD: usize = 4096;
const MINUTE: Duration = Duration::from_secs(60);

/// The program that is told what waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingProgram {
    /// The program with its arguments; no shell reads them. Empty for none.
    pub command: Vec<String>,
    /// Limit for one run; what still runs then is killed.
    pub within: Duration,
    /// Runs a minute; the others are left out.
    pub per_minute: u32,
}

impl Default for PendingProgram {
    fn default() -> Self {
        Self { command: Vec::new(), within: Duration::from_secs(10), per_minute: 30 }
    }
}

/// An observer that passes events on, and queues what the program is told.
struct PendingObserver {
    observer: Arc<dyn Observer>,
    queue: mpsc::Sender<Value>,
    left_out: Arc<AtomicU64>,
    told: Mutex<HashMap<String, Instant>>,
}

/// Starts the task that runs the program, and returns the observer that feeds it; without a program
/// the given one. The task ends with the observer.
pub(crate) fn observed(
    program: PendingProgram,
    observer: Arc<dyn Observer>,
    gateway: Option<String>,
) -> Arc<dyn Observer> {
    if program.command.is_empty() {
        return observer;
    }
    let (queue, waiting) = mpsc::channel(QUEUE);
    let left_out = Arc::new(AtomicU64::new(0));
    let worker = PendingWorker {
        program,
        gateway,
        left_out: Arc::clone(&left_out),
        begun: Instant::now(),
        runs: 0,
    };
    tokio::spawn(worker.run(waiting));
    Arc::new(PendingObserver { observer, queue, left_out, told: Mutex::default() })
}

impl Observer for PendingObserver {
    fn event(&self, event: &Event) {
        self.observer.event(event);
        let Some((key, line)) = line(event) else { return };
        if self.is_new(key) && self.queue.try_send(line).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl PendingObserver {
    /// Returns `true` if this was not told of lately.
    fn is_new(&self, key: String) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if told.get(&key).is_some_and(|at| now.duration_since(*at) < TOLD_EVERY) {
            return false;
        }
        if told.len() >= MOST_TOLD {
            told.clear();
        }
        told.insert(key, now);
        true
    }
}

/// Returns what the program is told of an event, with the key of what it is about; `None` if nothing
/// begins to wait with it.
fn line(event: &Event) -> Option<(String, Value)> {
    if let Event::Asked { node_id, name, room, address } = event {
        let what = json!({
            "kind": "node", "node_id": node_id.to_string(), "name": name, "room": room,
            "address": address,
        });
        return Some((format!("node {node_id}"), what));
    }
    // The PIN itself is for displays that only trusted people see.
    if let Event::PairingRequest { name, room, fingerprint, address, expires_in, .. } = event {
        let what = json!({
            "kind": "pin", "name": name, "room": room, "fingerprint": fingerprint.to_string(),
            "address": address, "expires_in": expires_in,
        });
        return Some((format!("pin {fingerprint}"), what));
    }
    if let Event::SenderAsked { channel, account, sender } = event {
        let what = json!({
            "kind": "sender", "channel": channel, "account": account, "sender": sender,
        });
        return Some((format!("sender {channel} {account} {sender}"), what));
    }
    None
}

/// The task that runs the program, once at a time.
struct PendingWorker {
    program: PendingProgram,
    gateway: Option<String>,
    /// Number of lines that were left out since the last one.
    left_out: Arc<AtomicU64>,
    /// Beginning of the minute that is counted.
    begun: Instant,
    runs: u32,
}

impl PendingWorker {
    async fn run(mut self, mut waiting: mpsc::Receiver<Value>) {
        while let Some(mut line) = waiting.recv().await {
            if !self.may_run() {
                self.left_out.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            line["gateway"] = json!(self.gateway);
            line["left_out"] = json!(self.left_out.swap(0, Ordering::Relaxed));
            if let Err(problem) = told(&self.program, &line).await {
                tracing::warn!(problem, "the program for what waits has not been told");
            }
        }
    }

    fn may_run(&mut self) -> bool {
        if self.begun.elapsed() >= MINUTE {
            (self.begun, self.runs) = (Instant::now(), 0);
        }
        let may = self.runs < self.program.per_minute;
        self.runs += u32::from(may);
        may
    }
}

/// Runs the program with a line, and waits for its end. Dropping this kills it, with all that it
/// started.
async fn told(program: &PendingProgram, line: &Value) -> Result<(), String> {
    let Some((name, arguments)) = program.command.split_first() else { return Ok(()) };
    let mut child = tokio::process::Command::new(name)
        .args(arguments)
        .env_clear()
        .envs(child::environment())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{name:?} cannot be run: {error}"))?;
    let input = child.stdin.take();
    let mut group = ProcessGroup::of(child);
    let runs = async {
        if let Some(mut input) = input {
            // A program that does not read its input may succeed all the same.
            let _unread = input.write_all(format!("{line}\n").as_bytes()).await;
        }
        group.wait().await
    };
    let ended = tokio::time::timeout(program.within, runs).await;
    match ended {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("{name:?} ended with {status}")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("{name:?} took longer than {:?}, and is killed", program.within)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    use handfast_core::NodeId;

    struct Deaf;

    impl Observer for Deaf {
        fn event(&self, _: &Event) {}
    }

    fn asked(byte: u8, name: &str) -> Event {
        Event::Asked {
            node_id: NodeId::from_bytes([byte; 16]),
            name: name.to_owned(),
            room: "Study".to_owned(),
            address: [192, 0, 2, byte].into(),
        }
    }

    /// A program that appends its input to a file, after this command of its own.
    fn program(directory: &Path, first: &str) -> (PendingProgram, PathBuf) {
        let (script, heard) = (directory.join("tell"), directory.join("heard"));
        std::fs::write(&script, format!("#!/bin/sh\n{first}\ncat >> \"$1\"\n")).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
        let command = [&script, &heard].map(|path| path.to_str().unwrap().to_owned()).to_vec();
        (PendingProgram { command, ..PendingProgram::default() }, heard)
    }

    async fn lines(heard: &Path, count: usize) -> Vec<Value> {
        for _ in 0..1000 {
            let text = std::fs::read_to_string(heard).unwrap_or_default();
            if text.lines().count() >= count {
                return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?}", std::fs::read_to_string(heard));
    }

    #[tokio::test]
    async fn a_program_is_told_once_what_waits_and_no_shell_reads_a_strangers_name() {
        let directory = tempfile::tempdir().unwrap();
        let (program, heard) = program(directory.path(), "");
        let observer = observed(program, Arc::new(Deaf), Some("Hall".to_owned()));
        let evil = "\"; rm -rf $HOME #\n{}";
        for _ in 0..3 {
            observer.event(&asked(1, evil));
        }
        observer.event(&Event::Paired(NodeId::from_bytes([1; 16])));
        observer.event(&asked(2, "Lamp"));
        let told = lines(&heard, 2).await;
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!((&told[0]["kind"], &told[0]["name"]), (&json!("node"), &json!(evil)));
        assert_eq!((&told[1]["name"], &told[1]["gateway"]), (&json!("Lamp"), &json!("Hall")));
        assert_eq!(told[1]["left_out"], 0);
    }

    #[tokio::test]
    async fn above_the_rate_lines_are_left_out_and_counted() {
        let directory = tempfile::tempdir().unwrap();
        let (program, heard) = program(directory.path(), "");
        let mut worker = PendingWorker {
            program: PendingProgram { per_minute: 2, ..program },
            gateway: None,
            left_out: Arc::default(),
            begun: Instant::now(),
            runs: 0,
        };
        assert!(worker.may_run() && worker.may_run() && !worker.may_run());
        worker.left_out.fetch_add(1, Ordering::Relaxed);
        worker.begun = Instant::now().checked_sub(MINUTE).unwrap();
        let (queue, waiting) = mpsc::channel(1);
        queue.send(json!({"kind": "node"})).await.unwrap();
        drop(queue);
        worker.run(waiting).await;
        assert_eq!(lines(&heard, 1).await[0]["left_out"], 1);
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_killed_with_what_it_started() {
        let directory = tempfile::tempdir().unwrap();
        let alive = directory.path().join("alive");
        let script = format!("(sleep 2; touch {}) &\nsleep 60", alive.display());
        let (program, heard) = program(directory.path(), &script);
        let program = PendingProgram { within: Duration::from_millis(300), ..program };
        let error = told(&program, &json!({})).await.unwrap_err();
        assert!(error.contains("is killed"), "{error}");
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        assert!(!alive.exists() && !heard.exists());
    }

    #[tokio::test]
    async fn a_program_has_nothing_of_the_gateways_environment_but_the_usual() {
        let directory = tempfile::tempdir().unwrap();
        let (program, heard) = program(directory.path(), "env > \"$1.env\"");
        told(&program, &json!({})).await.unwrap();
        let environment = std::fs::read_to_string(heard.with_extension("env")).unwrap();
        assert!(!environment.contains("CARGO"), "{environment}");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let program = PendingProgram {
            command: vec!["/nowhere/tell".to_owned()],
            ..PendingProgram::default()
        };
        let error = told(&program, &json!({})).await.unwrap_err();
        assert!(error.contains("/nowhere/tell"), "{error}");
    }
}
