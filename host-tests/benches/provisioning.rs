//! Costs of a node that a phone sets up: its start, its memory, its answers, and how long a phone
//! waits after a wrong password. The node is a process of its own, with the simulated radio.
//!
//! ```text
//! cargo build --release -p handfast-node --bin handfast-node
//! cargo bench -p handfast-host-tests --bench provisioning [-- PROGRAM]
//! ```

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Starts whose times are taken, each with an empty state directory and with one that is there.
const STARTS: usize = 20;
/// Requests whose times are taken.
const READS: usize = 2_000;
const WRITES: usize = 200;
/// Wrong passwords.
const FAILURES: usize = 5;
const WRONG: &str = "wrong password";
const WITHIN: Duration = Duration::from_secs(20);

fn main() {
    let named = std::env::args().skip(1).find(|arg| arg != "--bench");
    let program = named.map_or_else(beside, PathBuf::from);
    assert!(
        program.is_file(),
        "{} is missing; build it: see the top of this file",
        program.display()
    );
    let size = std::fs::metadata(&program).expect("a program").len();
    println!("{} ({:.1} MB)", program.display(), megabytes(size));

    let (mut first, mut again) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let state = tempfile::tempdir().expect("a directory");
        first.push(Node::start(&program, state.path()).1);
        again.push(Node::start(&program, state.path()).1);
    }
    print("first start to the first answer (keys and label are made)", &mut first);
    print("later start to the first answer", &mut again);

    let state = tempfile::tempdir().expect("a directory");
    let (node, _) = Node::start(&program, state.path());
    println!("resident after the first answer: {:.1} MB", megabytes(node.resident()));
    let mut status = times(READS, |_| {
        assert_eq!(node.ask("GET", "/api/v1/status", "").1["state"], "AP_MODE");
    });
    print("status, a connection each", &mut status);
    let mut k2 = times(WRITES, |number| {
        let answer = node.ask("POST", "/api/v1/provision/k2", &k2_body(number)).1;
        assert_eq!(answer["success"], true, "{answer}");
    });
    print("k2, durable before its answer", &mut k2);
    println!(
        "resident after {READS} reads and {WRITES} writes: {:.1} MB",
        megabytes(node.resident())
    );

    let (mut told, mut usable) = (Vec::new(), Vec::new());
    for _ in 0..FAILURES {
        let begun = Instant::now();
        let answer = node.ask("POST", "/api/v1/provision", &provision_body()).1;
        assert_eq!(answer["success"], true, "{answer}");
        node.until(|status| status["error_code"] == "wrong_password");
        told.push(begun.elapsed());
        node.until(|status| status["hotspot_restored"] == true);
        assert_eq!(node.ask("GET", "/", "").0, 200);
        usable.push(begun.elapsed());
    }
    print("wrong password to its code (1.5 s of it before the node leaves)", &mut told);
    print("wrong password to the access point and the page", &mut usable);
    println!("resident at the end: {:.1} MB", megabytes(node.resident()));
}

/// Returns the node of this build, which lies above the programs that measure.
fn beside() -> PathBuf {
    let own = std::env::current_exe().expect("a path");
    own.parent().and_then(Path::parent).expect("a directory").join("handfast-node")
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn times(count: usize, mut each: impl FnMut(usize)) -> Vec<Duration> {
    let one = |number| {
        let begun = Instant::now();
        each(number);
        begun.elapsed()
    };
    (0..count).map(one).collect()
}

/// Prints the median, the 99th of a hundred, and the longest.
fn print(what: &str, times: &mut [Duration]) {
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3;
    println!("{what}: median {:.2} ms, p99 {:.2} ms, longest {:.2} ms", at(50), at(99), at(100));
}

fn k2_body(number: usize) -> String {
    json!({
        "node_id": "jarvis-1a2b3c4d", "kid": number.to_string(), "created_at": 1_767_225_600,
        "k2": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc",
    })
    .to_string()
}

fn provision_body() -> String {
    json!({
        "wifi_ssid": "HomeNetwork", "wifi_password": WRONG, "room": "Kitchen",
        "command_center_url": "http://127.0.0.1:9", "household_id": "", "node_id": "jarvis-1a2b3c4d",
        "provisioning_token": "prov_none",
    })
    .to_string()
}

/// A node, which ends with this value.
struct Node {
    child: Child,
    address: SocketAddr,
}

impl Node {
    /// Starts a node, and returns it with the time to its first answer.
    fn start(program: &Path, state: &Path) -> (Self, Duration) {
        // Free a moment ago, and nothing else here takes ports.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let address = free.expect("a free port");
        let begun = Instant::now();
        let child = Command::new(program)
            .args(["provision", "--wifi", "simulated", "--plain", "--listen", "127.0.0.1"])
            .args(["--simulated-wrong-password", WRONG, "--captive-port", "0"])
            .args(["--port", &address.port().to_string(), "--state"])
            .arg(state.join("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the node starts");
        let node = Self { child, address };
        while begun.elapsed() < WITHIN {
            if TcpStream::connect(address).is_ok() {
                assert_eq!(node.ask("GET", "/api/v1/info", "").0, 200);
                return (node, begun.elapsed());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        panic!("the node does not answer");
    }

    /// Sends one request over a connection of its own. Returns the status, and the JSON or null.
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n");
        let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        let mut stream = TcpStream::connect(self.address).expect("the port is open");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers");
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.get(9..12).and_then(|text| text.parse().ok()).expect("a status");
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    fn until(&self, fits: impl Fn(&Value) -> bool) {
        let begun = Instant::now();
        while !fits(&self.ask("GET", "/api/v1/status", "").1) {
            assert!(begun.elapsed() < WITHIN, "the state does not come");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Returns the resident memory in bytes.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kilobytes * 1024
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
