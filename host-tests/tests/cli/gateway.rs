//! A gateway process, its output, and nodes that pair with it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::binaries::{Running, program, run, text};

/// Limit for every step; only a defect takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A gateway process with its own data directory and a free port.
pub(crate) struct Gateway {
    pub(crate) running: Running,
    pub(crate) data: TempDir,
    pub(crate) address: String,
    pub(crate) log: PathBuf,
    /// Log level of the process.
    level: &'static str,
    shown: Arc<Mutex<String>>,
}

/// Creates a directory with mode 0700, as a data directory must have.
pub(crate) fn private_dir() -> TempDir {
    tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o700)).tempdir().unwrap()
}

impl Gateway {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(more: &[&str]) -> Self {
        Self::start_in(private_dir(), "127.0.0.1:0", more)
    }

    pub(crate) fn start_in(data: TempDir, listen: &str, more: &[&str]) -> Self {
        Self::logging("trace", data, listen, more)
    }

    /// Starts a gateway that logs only warnings, so that a flood measures the gateway and not its
    /// log.
    pub(crate) fn start_quietly(more: &[&str]) -> Self {
        Self::logging("warn", private_dir(), "127.0.0.1:0", more)
    }

    fn logging(level: &'static str, data: TempDir, listen: &str, more: &[&str]) -> Self {
        let log = data.path().with_extension("log");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut command = program("handfast");
        command.args(["serve", "--listen", listen, "--data"]).arg(data.path()).args(more);
        command.env("RUST_LOG", level).stdout(Stdio::piped()).stderr(file);
        Self { level, ..Self::of(command.spawn().unwrap(), data, log) }
    }

    /// Wraps a gateway that was just started with a piped standard output.
    pub(crate) fn of(mut child: Child, data: TempDir, log: PathBuf) -> Self {
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut out, into) = (BufReader::new(child.stdout.take().unwrap()), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut line = String::new();
            while out.read_line(&mut line).is_ok_and(|read| read > 0) {
                into.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        let mut gateway = Self {
            running: Running(child),
            data,
            address: String::new(),
            log,
            level: "trace",
            shown,
        };
        let first = gateway.shows("approve nodes with");
        let address = first.split("://").nth(1).and_then(|rest| rest.split(' ').next());
        gateway.address = address.unwrap_or_else(|| panic!("{first:?}")).to_owned();
        gateway
    }

    /// Kills the process as a crash would, and starts it again on the same data and port.
    pub(crate) fn crash_and_restart(self) -> Self {
        self.crash_and_restart_with(&[])
    }

    pub(crate) fn crash_and_restart_with(mut self, more: &[&str]) -> Self {
        self.running.kill();
        let Self { data, address, level, .. } = self;
        Self::logging(level, data, &address, more)
    }

    pub(crate) fn data(&self) -> &str {
        self.data.path().to_str().unwrap()
    }

    /// Returns the output so far.
    pub(crate) fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    /// Waits for this text in the output, and returns the whole output.
    pub(crate) fn shows(&self, words: &str) -> String {
        let begun = Instant::now();
        loop {
            let shown = self.shown();
            if shown.contains(words) {
                return shown;
            }
            assert!(begun.elapsed() < PATIENCE, "{words:?} was not printed, only {shown}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for this number of PINs, and returns the last one.
    pub(crate) fn pin(&self, number: usize) -> String {
        let begun = Instant::now();
        loop {
            let shown = self.shown();
            let pins: Vec<&str> =
                shown.lines().filter_map(|line| line.strip_prefix("PIN: ")).collect();
            if pins.len() >= number {
                return pins[number - 1].to_owned();
            }
            assert!(begun.elapsed() < PATIENCE, "{} PINs were shown: {shown}", pins.len());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Runs any verb.
    pub(crate) fn verb(&self, args: &[&str]) -> (i32, String, String) {
        let mut all = args.to_vec();
        all.extend(["--data", self.data()]);
        text(&run("handfast", &all))
    }

    /// Runs a verb that must succeed, and returns its answer.
    pub(crate) fn answer(&self, args: &[&str]) -> Value {
        let mut all = args.to_vec();
        all.push("--json");
        let (code, out, err) = self.verb(&all);
        assert_eq!(code, 0, "{args:?}: {err}");
        serde_json::from_str(&out).unwrap()
    }

    pub(crate) fn devices(&self, args: &[&str]) -> (i32, String, String) {
        let mut all = vec!["devices"];
        all.extend(args);
        self.verb(&all)
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let mut all = vec!["devices"];
        all.extend(args);
        self.answer(&all)
    }

    /// Sends a pairing request over a raw socket, and returns the node id.
    pub(crate) async fn ask(&self, name: &str) -> String {
        use futures_util::{SinkExt, StreamExt};
        let (mut socket, _) =
            tokio_tungstenite::connect_async(format!("ws://{}", self.address)).await.unwrap();
        let request =
            json!({"type": "pair_request", "friendly_name": name, "room": "Kitchen"}).to_string();
        socket.send(request.into()).await.unwrap();
        let answer = socket.next().await.unwrap().unwrap().into_text().unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["node_id"].as_str().unwrap().to_owned()
    }

    /// Sends a message over a raw socket, and returns the answer.
    pub(crate) async fn says(&self, message: Value) -> Value {
        use futures_util::{SinkExt, StreamExt};
        let (mut socket, _) =
            tokio_tungstenite::connect_async(format!("ws://{}", self.address)).await.unwrap();
        socket.send(message.to_string().into()).await.unwrap();
        let answer = socket.next().await.unwrap().unwrap().into_text().unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    /// Authenticates over a raw socket, and returns the type of the answer.
    pub(crate) async fn auth(&self, node_id: &str, token: &str) -> String {
        use futures_util::{SinkExt, StreamExt};
        let (mut socket, _) =
            tokio_tungstenite::connect_async(format!("ws://{}", self.address)).await.unwrap();
        let request = json!({"type": "auth", "node_id": node_id, "token": token}).to_string();
        socket.send(request.into()).await.unwrap();
        let answer = socket.next().await.unwrap().unwrap().into_text().unwrap();
        serde_json::from_str::<Value>(&answer).unwrap()["type"].as_str().unwrap().to_owned()
    }

    /// Starts a node that pairs by this method.
    pub(crate) fn node(&self, name: &str, way: &[&str]) -> Node {
        let state = private_dir();
        let node = self.node_in(&state, name, way);
        Node { state: Some(state), ..node }
    }

    /// Starts a paired node that links and stays linked.
    pub(crate) fn run_node(&self, state: &TempDir) -> Running {
        let mut command = program("handfast-node");
        command
            .args(["run", "--gateway", &format!("ws://{}", self.address), "--state"])
            .arg(state.path());
        Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Starts a node that pairs by this method with its state in this directory.
    pub(crate) fn node_in(&self, state: &TempDir, name: &str, way: &[&str]) -> Node {
        let mut command = program("handfast-node");
        command
            .arg("pair")
            .args(way)
            .arg("--state")
            .arg(state.path())
            .args(["--name", name, "--room", "Study"]);
        if !way.contains(&"--qr") && !way.contains(&"--gateway") {
            command.args(["--gateway", &format!("ws://{}", self.address)]);
        }
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Node { child, state: None }
    }
}

/// A running `handfast-node pair`.
pub(crate) struct Node {
    child: Child,
    state: Option<TempDir>,
}

impl Node {
    /// Types a line.
    pub(crate) fn types(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        // The process may have ended already.
        let _ = stdin.write_all(format!("{line}\n").as_bytes()).and_then(|()| stdin.flush());
    }

    /// Waits for the end, and returns the exit code and the output.
    pub(crate) fn ends(self) -> (i32, String) {
        let (code, said, _) = self.ends_and_keeps();
        (code, said)
    }

    /// Waits for the end of a node that ends although its owner types nothing.
    pub(crate) fn ends_by_itself(mut self) -> (i32, String) {
        // An open pipe is a person who has not typed yet; its end is one who never will.
        let _typing = self.child.stdin.take();
        let (code, out, err) = text(&self.child.wait_with_output().unwrap());
        (code, out + &err)
    }

    /// Waits for the end, and also returns the state directory.
    pub(crate) fn ends_with_its_state(self) -> (i32, String, TempDir) {
        let (code, said, state) = self.ends_and_keeps();
        (code, said, state.expect("a directory of its own"))
    }

    /// Kills the process, as a node does that is switched off while it waits.
    pub(crate) fn switch_off(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn ends_and_keeps(mut self) -> (i32, String, Option<TempDir>) {
        drop(self.child.stdin.take());
        let (code, out, err) = text(&self.child.wait_with_output().unwrap());
        (code, out + &err, self.state)
    }
}

/// Returns a PIN that differs from this one.
pub(crate) fn other(pin: &str) -> String {
    let first = if pin.starts_with('0') { '1' } else { '0' };
    std::iter::once(first).chain(pin.chars().skip(1)).collect()
}
