//! The processes that serve, as the one that measures sees them.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use tokio::sync::mpsc;

use crate::nodes::Fleet;

/// A server in a process of its own, which ends with this.
pub(crate) struct Process {
    child: Child,
    orders: Option<ChildStdin>,
    answers: mpsc::UnboundedReceiver<String>,
}

impl Process {
    fn start(words: &[&str]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (tell, answers) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
        });
        let orders = child.stdin.take();
        Self { child, orders, answers }
    }

    fn first_line(&mut self) -> String {
        tokio::task::block_in_place(|| self.answers.blocking_recv()).expect("the server starts")
    }

    pub(crate) fn cpu(&self) -> f64 {
        cpu(&self.child.id().to_string())
    }

    pub(crate) fn resident(&self) -> f64 {
        resident(self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the CPU time of a process in seconds, user and system.
pub(crate) fn cpu(pid: &str) -> f64 {
    Times::of(pid).expect("the process runs").own
}

/// Returns the CPU time in seconds of a process, of its children, and of those that have ended.
pub(crate) fn cpu_with_children(pid: &str) -> f64 {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let all = all.filter_map(|entry| Times::of(entry.file_name().to_str()?));
    let children: f64 = all.filter(|times| times.parent == pid).map(|times| times.own).sum();
    let Times { own, ended, .. } = Times::of(pid).expect("the process runs");
    own + ended + children
}

/// The CPU times of a process in seconds, user and system.
struct Times {
    parent: String,
    own: f64,
    /// That of its children that have ended.
    ended: f64,
}

impl Times {
    fn of(pid: &str) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        let seconds = |at: usize| fields.get(at)?.parse::<f64>().ok().map(|ticks| ticks / 100.0);
        Some(Self {
            parent: (*fields.get(1)?).to_owned(),
            own: seconds(11)? + seconds(12)?,
            ended: seconds(13)? + seconds(14)?,
        })
    }
}

/// Returns the resident memory of a process in KiB.
pub(crate) fn resident(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A gateway with its fleet.
pub(crate) struct Server {
    process: Process,
    pub(crate) tcp: SocketAddr,
    pub(crate) mtls: SocketAddr,
    pub(crate) web: SocketAddr,
}

impl Server {
    /// Starts a gateway with this many nodes, of which the first ones have certificates.
    pub(crate) fn gateway(fleet: &Fleet, nodes: u32, linking: u32) -> Self {
        Self::with_waiting(fleet, nodes, linking, 0)
    }

    /// Starts one in whose registry this many requests wait besides.
    pub(crate) fn with_waiting(fleet: &Fleet, nodes: u32, linking: u32, waiting: u32) -> Self {
        let [nodes, linking, waiting] = [nodes, linking, waiting].map(|number| number.to_string());
        Self::start(&["gateway", &home(fleet), &nodes, &linking, &waiting])
    }

    /// Starts a gateway with this name over the registry in PostgreSQL.
    pub(crate) fn sharing(url: &str, name: &str) -> Self {
        Self::start(&["sharing", url, name])
    }

    fn start(words: &[&str]) -> Self {
        let mut process = Process::start(words);
        let line = process.first_line();
        let mut addresses = line.split(' ').map(|address| address.parse().expect("an address"));
        let [tcp, mtls, web] = std::array::from_fn(|_| addresses.next().expect("three addresses"));
        Self { process, tcp, mtls, web }
    }

    pub(crate) fn tell(&mut self, order: &str) {
        let orders = self.process.orders.as_mut().unwrap();
        writeln!(orders, "{order}").unwrap();
        orders.flush().unwrap();
    }

    pub(crate) async fn answer(&mut self) -> String {
        self.process.answers.recv().await.expect("the gateway runs")
    }

    pub(crate) async fn ask(&mut self, order: &str) -> String {
        self.tell(order);
        self.answer().await
    }

    pub(crate) fn cpu(&self) -> f64 {
        self.process.cpu()
    }

    pub(crate) fn resident(&self) -> f64 {
        self.process.resident()
    }
}

/// Starts rustls alone.
pub(crate) fn bare(fleet: &Fleet) -> (Process, SocketAddr) {
    let mut process = Process::start(&["rustls", &home(fleet)]);
    let address = process.first_line().parse().unwrap();
    (process, address)
}

fn home(fleet: &Fleet) -> String {
    fleet.file("").to_str().map(|path| path.trim_end_matches('/').to_owned()).unwrap()
}

/// Returns `true` if this program is found.
pub(crate) fn is_program(name: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths)
        .chain([Path::new("/usr/sbin").to_owned()])
        .any(|path| path.join(name).is_file())
}
