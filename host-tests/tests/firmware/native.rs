//! The firmware image on the native wire: paired by PIN over Ethernet and over its serial line.

mod certificates;
mod copies;
mod light;
mod tasks;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use handfast_cli::qemu::{FLASH_FILE, RunningBoard};
use handfast_core::grant::scope::Action;
use handfast_core::{Instant, NodeId, Span};
use handfast_server::{Application, Event, Gateway, Observer, PeerInfo, SystemClock};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{gateway, image};
use crate::conformance::eventually;

/// Limit on the stack that a link may use, in bytes. The aim is 12 KiB, as for the other wire.
const STACK_BUDGET: u32 = 16 * 1024;

/// The display that only trusted people see.
struct Display(mpsc::UnboundedSender<String>);

impl Observer for Display {
    fn event(&self, event: &Event) {
        if let Event::PairingRequest { pin, .. } = event {
            let _ = self.0.send(pin.expose().to_owned());
        }
    }
}

/// The application, which hears what boards send.
struct Hears(mpsc::UnboundedSender<(Action, String, Vec<u8>)>);

#[async_trait]
impl Application for Hears {
    async fn app(&self, _: &PeerInfo, action: Action, address: &str, bytes: &[u8]) {
        let _ = self.0.send((action, address.to_owned(), bytes.to_vec()));
    }
}

/// The gateway's clocks, which can be moved on together: what passes for the gateway does not pass
/// for the board.
#[derive(Clone)]
struct Clocks {
    start: std::time::Instant,
    /// Seconds by which the clocks are ahead.
    ahead: Arc<AtomicU64>,
}

impl Clocks {
    fn ahead(&self) -> Duration {
        Duration::from_secs(self.ahead.load(Ordering::Relaxed))
    }
}

impl SystemClock for Clocks {
    fn wall(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + self.ahead()
    }

    fn elapsed(&self) -> Instant {
        Instant::from_millis((self.start.elapsed() + self.ahead()).as_millis() as u64)
    }

    fn is_synchronised(&self) -> bool {
        true
    }
}

/// A gateway whose pairing is open, and a board whose power can be cut.
struct Bench {
    gateway: Gateway,
    clocks: Clocks,
    shown: mpsc::UnboundedReceiver<String>,
    heard: mpsc::UnboundedReceiver<(Action, String, Vec<u8>)>,
    port: u16,
    /// Task that serves the gateway's end of the board's serial line.
    line: Option<JoinHandle<()>>,
    board: TempDir,
    _registry: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let registry = tempfile::tempdir().unwrap();
        let (show, shown) = mpsc::unbounded_channel();
        let (hear, heard) = mpsc::unbounded_channel();
        let clocks = Clocks { start: std::time::Instant::now(), ahead: Arc::default() };
        let gateway = gateway(&registry).clock(clocks.clone()).observer(Display(show));
        let gateway = gateway.application(Hears(hear)).start().await.unwrap();
        gateway.open_pairing(None).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(handfast_server::serve_tcp(gateway.clone(), listener, std::future::pending()));
        Self {
            gateway,
            clocks,
            shown,
            heard,
            port,
            line: None,
            board: tempfile::tempdir().unwrap(),
            _registry: registry,
        }
    }

    async fn power_on(&self) -> RunningBoard {
        let mut machine = RunningBoard::start(image().await, self.board.path()).await.unwrap();
        machine.expect("Handfast node").await.unwrap();
        machine
    }

    /// Starts the board with its serial line connected to the gateway.
    async fn power_on_at_the_line(&mut self) -> RunningBoard {
        // The new terminal may get the old one's name, and then two tasks would read from it.
        if let Some(old) = self.line.take() {
            old.abort();
            let _ = old.await;
        }
        let mut machine =
            RunningBoard::start_with_serial(image().await, self.board.path()).await.unwrap();
        machine.expect("Handfast node").await.unwrap();
        let line = machine.serial().unwrap().to_owned();
        let serving = handfast_server::serve_serial(
            self.gateway.clone(),
            line,
            115_200,
            std::future::pending(),
        );
        self.line = Some(tokio::spawn(serving));
        machine
    }

    async fn pin(&mut self) -> String {
        self.shown.recv().await.unwrap()
    }

    /// Pairs a board that knows its gateway, with a wrong PIN first.
    async fn pair(&mut self, machine: &mut RunningBoard) -> NodeId {
        machine.line("pair pin").await.unwrap();
        machine.expect("the gateway shows a PIN").await.unwrap();
        let pin = self.pin().await;
        machine.line(if pin == "000000" { "pin 111111" } else { "pin 000000" }).await.unwrap();
        machine.expect("that was not it; 4 more").await.unwrap();
        machine.line("pin").await.unwrap();
        machine.line(&pin).await.unwrap();
        machine.expect("the gateway knows it, too").await.unwrap();
        let linked = machine.expect("linked as ").await.unwrap();
        assert!(
            !machine.transcript().contains(&pin),
            "the PIN was echoed:\n{}",
            machine.transcript()
        );
        NodeId::parse(linked.rsplit(' ').next().unwrap()).unwrap()
    }

    /// Starts a new board over Ethernet and pairs it.
    async fn paired(&mut self) -> (RunningBoard, NodeId) {
        let mut machine = self.power_on().await;
        for line in ["name Lamp", &format!("gateway tcp 10.0.2.2 {}", self.port)] {
            machine.line(line).await.unwrap();
        }
        let node_id = self.pair(&mut machine).await;
        self.online(node_id).await;
        (machine, node_id)
    }

    /// Lets time pass at the gateway.
    fn passes(&self, span: Span) {
        self.clocks.ahead.fetch_add(span.as_secs(), Ordering::Relaxed);
    }

    fn flash(&self) -> PathBuf {
        self.board.path().join(FLASH_FILE)
    }

    /// Waits until the board has announced its four capabilities.
    async fn announced(&self, node_id: NodeId) {
        eventually(async || self.gateway.capabilities(node_id).await.unwrap().len() == 4).await;
    }

    async fn online(&self, node_id: NodeId) {
        eventually(async || {
            self.gateway
                .device_by_prefix(&node_id.to_string())
                .await
                .is_ok_and(|device| device.online)
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "needs QEMU"]
async fn a_board_pairs_by_pin_over_ethernet_and_links_again_after_a_power_cut() {
    let mut bench = Bench::new().await;
    let mut machine = bench.power_on().await;
    for line in ["name Lamp", "room Küche", &format!("gateway tcp 10.0.2.2 {}", bench.port)] {
        machine.line(line).await.unwrap();
    }
    let node_id = bench.pair(&mut machine).await;
    bench.online(node_id).await;
    let device = bench.gateway.device_by_prefix(&node_id.to_string()).await.unwrap();
    assert_eq!(device.entry.record.name.as_str(), "Lamp");
    machine.line("fingerprint").await.unwrap();
    machine.expect(&format!("its gateway {}", bench.gateway.fingerprint())).await.unwrap();
    machine.kill().await;

    let mut machine = bench.power_on().await;
    machine.expect(&format!("linked as {node_id}")).await.unwrap();
    machine.line("exit 7").await.unwrap();
    assert_eq!(machine.exit().await.unwrap().code(), Some(7));
    let last_words = machine.last_words().await;
    let peak: u32 = last_words
        .split_ascii_whitespace()
        .find_map(|word| word.parse().ok())
        .expect("the peak of stack");
    assert!(peak <= STACK_BUDGET, "{last_words}");
}

#[tokio::test]
#[ignore = "needs QEMU"]
async fn a_board_pairs_by_pin_over_its_serial_line_and_links_again_after_a_power_cut() {
    let mut bench = Bench::new().await;
    let mut machine = bench.power_on_at_the_line().await;
    machine.line("gateway uart").await.unwrap();
    let node_id = bench.pair(&mut machine).await;
    bench.online(node_id).await;
    machine.kill().await;

    let mut machine = bench.power_on_at_the_line().await;
    machine.expect(&format!("linked as {node_id}")).await.unwrap();
    bench.online(node_id).await;
    machine.line("forget").await.unwrap();
    machine.line("yes").await.unwrap();
    machine.expect("forgotten").await.unwrap();
}
