//! The firmware image under QEMU against a real gateway: a Cortex-M4F with Ethernet asks, is
//! approved and links, and its power is cut at every step. Inside QEMU, the host's loopback is
//! 10.0.2.2.

mod native;
mod setup;

use std::path::PathBuf;

use handfast_cli::qemu::{FLASH_FILE, Image, RunningBoard};
use handfast_core::NodeId;
use handfast_core::flow::registration::operator::Purpose;
use handfast_core::registry::lifecycle::Decision;
use handfast_core::secret::Secret;
use handfast_server::{Gateway, GatewayBuilder};
use handfast_store::SqliteStore;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::conformance::{Served, eventually};

/// A token of the right form that no node has.
const WRONG_TOKEN: &str = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";

/// Limit on the image's use of its 16 KiB of stack, in bytes.
const STACK_BUDGET: u32 = 12 * 1024;

async fn image() -> &'static Image {
    static IMAGE: OnceCell<Image> = OnceCell::const_new();
    IMAGE.get_or_init(async || Image::build().await.unwrap_or_else(|error| panic!("{error}"))).await
}

/// Returns a gateway with its registry in a file, and a fixed store key.
fn gateway(registry: &TempDir) -> GatewayBuilder {
    let store = SqliteStore::open(&registry.path().join("handfast.db")).unwrap();
    Gateway::builder(store).store_key(Secret::new([7; 32]))
}

/// A gateway, and a board whose power can be cut.
struct Bench {
    served: Served,
    board: TempDir,
    _registry: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let registry = tempfile::tempdir().unwrap();
        let served = Served::over(gateway(&registry).start().await.unwrap()).await;
        Self { served, board: tempfile::tempdir().unwrap(), _registry: registry }
    }

    async fn power_on(&self) -> RunningBoard {
        let mut machine = RunningBoard::start(image().await, self.board.path()).await.unwrap();
        machine.expect("Handfast node").await.unwrap();
        machine
    }

    /// Starts a new board, configures it and makes it ask.
    async fn asked(&self) -> (RunningBoard, NodeId) {
        let mut machine = self.power_on().await;
        let gateway = format!("gateway 10.0.2.2 {}", self.served.address.port());
        for line in
            [&gateway, "name Lamp", "room Küche", "heartbeat occupancy on noise 0.25", "pair"]
        {
            machine.line(line).await.unwrap();
        }
        let waits = machine.expect("waits for approval as ").await.unwrap();
        let node_id = NodeId::parse(waits.rsplit(' ').next().unwrap()).unwrap();
        (machine, node_id)
    }

    async fn approve(&self, node_id: NodeId) -> String {
        let issued = self.served.gateway.pair(node_id, Purpose::Approve).await.unwrap();
        issued.credential.token().unwrap().expose().to_owned()
    }

    async fn linked(&self) -> (RunningBoard, NodeId) {
        let (mut machine, node_id) = self.asked().await;
        let token = self.approve(node_id).await;
        machine.line(&format!("token {token}")).await.unwrap();
        machine.expect(&format!("linked as {node_id} in room Küche")).await.unwrap();
        (machine, node_id)
    }

    fn flash(&self) -> PathBuf {
        self.board.path().join(FLASH_FILE)
    }

    async fn online(&self, node_id: NodeId) -> bool {
        self.served.online(node_id).await
    }
}

/// Waits until the console reports the link of this node.
async fn expect_linked(machine: &mut RunningBoard, node_id: NodeId) {
    machine.expect(&format!("linked as {node_id}")).await.unwrap();
}

async fn expect_waiting(machine: &mut RunningBoard, node_id: NodeId) {
    machine.expect(&format!("waits for approval as {node_id}")).await.unwrap();
}

#[tokio::test]
#[ignore = "needs QEMU"]
async fn a_board_asks_is_approved_links_and_tells_how_it_is() {
    let bench = Bench::new().await;
    let (mut machine, node_id) = bench.asked().await;
    let device = bench.served.gateway.device_by_prefix(&node_id.to_string()).await.unwrap();
    assert_eq!(
        (device.entry.record.name.as_str(), device.entry.record.room.as_str()),
        ("Lamp", "Küche")
    );

    let token = bench.approve(node_id).await;
    machine.line("token").await.unwrap();
    machine.line(&token).await.unwrap();
    machine.expect("token kept").await.unwrap();
    expect_linked(&mut machine, node_id).await;
    eventually(async || {
        let observed = bench
            .served
            .gateway
            .device_by_prefix(&node_id.to_string())
            .await
            .unwrap()
            .entry
            .observed;
        observed.is_some_and(|o| o.occupancy == Some(true) && o.noise_level == Some(0.25))
    })
    .await;

    machine.line("exit 7").await.unwrap();
    assert_eq!(machine.exit().await.unwrap().code(), Some(7));
    bench.served.until_offline(node_id).await;
    assert!(
        !machine.transcript().contains(&token),
        "the token was echoed:\n{}",
        machine.transcript()
    );
    let last_words = machine.last_words().await;
    let peak: u32 = last_words
        .split_ascii_whitespace()
        .find_map(|word| word.parse().ok())
        .expect("the peak of stack");
    assert!(peak <= STACK_BUDGET, "{last_words}");
}

#[tokio::test]
#[ignore = "needs QEMU"]
async fn a_muted_board_hears_of_it_at_once_and_comes_back_when_unmuted() {
    let bench = Bench::new().await;
    let (mut machine, node_id) = bench.linked().await;
    bench.served.gateway.decide(node_id, &Decision::Mute).await.unwrap();
    machine.expect("muted by the operator").await.unwrap();
    machine.expect("retry in ").await.unwrap();
    bench.served.until_offline(node_id).await;

    machine.line("retry").await.unwrap();
    machine.expect("muted by the operator").await.unwrap();
    bench.served.gateway.decide(node_id, &Decision::Unmute).await.unwrap();
    machine.line("retry").await.unwrap();
    expect_linked(&mut machine, node_id).await;
    assert!(bench.online(node_id).await);
}

#[tokio::test]
#[ignore = "needs QEMU"]
async fn an_unpaired_board_hears_of_it_at_once_and_may_ask_again() {
    let bench = Bench::new().await;
    let (mut machine, node_id) = bench.linked().await;
    bench.served.gateway.decide(node_id, &Decision::Unpair).await.unwrap();
    machine.expect("refused: invalid credentials").await.unwrap();
    machine.line("again").await.unwrap();
    let waits = machine.expect("waits for approval as ").await.unwrap();
    let again = NodeId::parse(waits.rsplit(' ').next().unwrap()).unwrap();
    assert_ne!(again, node_id);
    let token = bench.approve(again).await;
    machine.line(&format!("token {token}")).await.unwrap();
    expect_linked(&mut machine, again).await;
}

#[tokio::test]
#[ignore = "needs QEMU"]
async fn a_power_cut_at_any_stage_ends_in_the_same_link() {
    let bench = Bench::new().await;
    let (machine, node_id) = bench.asked().await;
    machine.kill().await;

    let mut machine = bench.power_on().await;
    expect_waiting(&mut machine, node_id).await;
    let token = bench.approve(node_id).await;
    machine.line(&format!("token {token}")).await.unwrap();
    machine.expect("token kept").await.unwrap();
    machine.kill().await;

    let mut machine = bench.power_on().await;
    expect_linked(&mut machine, node_id).await;
    machine.kill().await;

    // The gateway may still hold the old link; the new one replaces it.
    let mut machine = bench.power_on().await;
    expect_linked(&mut machine, node_id).await;
    assert!(bench.online(node_id).await);
}

#[tokio::test]
#[ignore = "needs QEMU"]
async fn a_cut_after_any_word_of_the_token_leaves_the_board_waiting_until_the_last_one() {
    let bench = Bench::new().await;
    let (mut machine, node_id) = bench.asked().await;
    let token = bench.approve(node_id).await;
    let before = std::fs::read(bench.flash()).unwrap();
    machine.line(&format!("token {token}")).await.unwrap();
    machine.expect("token kept").await.unwrap();
    machine.kill().await;
    let after = std::fs::read(bench.flash()).unwrap();

    let words: Vec<usize> = (0..before.len())
        .step_by(4)
        .filter(|&at| before[at..at + 4] != after[at..at + 4])
        .collect();
    assert!(words.len() > 10, "a token is longer than {} words", words.len());
    for written in [0, 1, 2, words.len() / 2, words.len() - 1, words.len()] {
        let mut cut = before.clone();
        for &at in &words[..written] {
            cut[at..at + 4].copy_from_slice(&after[at..at + 4]);
        }
        std::fs::write(bench.flash(), cut).unwrap();
        let mut machine = bench.power_on().await;
        match written == words.len() {
            true => expect_linked(&mut machine, node_id).await,
            false => expect_waiting(&mut machine, node_id).await,
        }
        machine.kill().await;
    }
}

#[tokio::test]
#[ignore = "needs QEMU"]
async fn a_power_cut_while_the_token_is_written_leaves_the_old_memory_or_the_new_one() {
    let bench = Bench::new().await;
    let (mut machine, node_id) = bench.asked().await;
    let token = bench.approve(node_id).await;
    let (flash, before) = (bench.flash(), std::fs::read(bench.flash()).unwrap());
    machine.line(&format!("token {token}")).await.unwrap();
    let watch =
        tokio::task::spawn_blocking(move || while std::fs::read(&flash).unwrap() == before {});
    watch.await.unwrap();
    machine.kill().await;

    let mut machine = bench.power_on().await;
    let known = machine.expect(&format!(" as {node_id}")).await.unwrap();
    if known.contains("waits for approval") {
        machine.line(&format!("token {token}")).await.unwrap();
    }
    machine.expect(&format!("linked as {node_id}")).await.unwrap();
}

#[tokio::test]
#[ignore = "needs QEMU"]
async fn a_wrong_token_is_refused_and_the_right_one_is_still_taken() {
    let bench = Bench::new().await;
    let (mut machine, node_id) = bench.asked().await;
    let token = bench.approve(node_id).await;
    machine.line("token nonsense").await.unwrap();
    machine.expect("a token has 43 characters").await.unwrap();
    machine.line(&format!("token {WRONG_TOKEN}")).await.unwrap();
    machine.expect("token kept").await.unwrap();
    machine.expect("refused: invalid credentials").await.unwrap();
    machine.expect("retry in ").await.unwrap();
    machine.line(&format!("token {token}")).await.unwrap();
    expect_linked(&mut machine, node_id).await;
}

#[tokio::test]
#[ignore = "needs QEMU"]
async fn a_board_that_must_forget_stays_silent_even_after_a_power_cut() {
    let bench = Bench::new().await;
    let (mut machine, node_id) = bench.linked().await;
    machine.line("forget").await.unwrap();
    machine.line("no").await.unwrap();
    machine.expect("nothing is forgotten").await.unwrap();
    assert!(bench.online(node_id).await);
    machine.line("forget").await.unwrap();
    machine.line("yes").await.unwrap();
    machine.expect("forgotten").await.unwrap();
    bench.served.until_offline(node_id).await;
    machine.kill().await;

    let mut machine = bench.power_on().await;
    machine.expect("not paired: `pair` asks").await.unwrap();
    machine.line("status").await.unwrap();
    machine.expect("room Küche").await.unwrap();
}

#[tokio::test]
#[ignore = "needs QEMU"]
async fn nonsense_on_the_console_does_no_harm() {
    let bench = Bench::new().await;
    let (mut machine, node_id) = bench.linked().await;
    machine.bytes(&[b'x'; 10_000]).await.unwrap();
    machine.bytes(b"\r\n").await.unwrap();
    machine.expect("this line is too long").await.unwrap();
    machine.bytes(b"name \xff\xfe\n").await.unwrap();
    machine.expect("this line is not UTF-8").await.unwrap();
    machine.bytes(b"\0\x1b[2J\x7f\x7f\x08\x15name \xe2\x80\xae\n").await.unwrap();
    machine.expect("no control characters").await.unwrap();
    machine
        .bytes(b"\r\n\n\r\r heartbeat noise 1e\ngateway\ngateway : 1\nexit\nsta\x7fatus\n")
        .await
        .unwrap();
    machine.expect(&format!("linked as {node_id}")).await.unwrap();
    assert!(bench.online(node_id).await);
}

#[tokio::test]
#[ignore = "needs QEMU"]
async fn a_board_without_its_gateway_says_so_and_tries_again() {
    let bench = Bench::new().await;
    let mut machine = bench.power_on().await;
    machine.line("pair").await.unwrap();
    machine.expect("no gateway yet").await.unwrap();
    // Nothing listens on port 1 of the host's loopback.
    machine.line("gateway 10.0.2.2 1").await.unwrap();
    machine.line("pair").await.unwrap();
    machine.expect("no connection: ").await.unwrap();
    machine.expect("retry in ").await.unwrap();
    machine.expect("no connection: ").await.unwrap();
}

#[tokio::test]
#[ignore = "needs QEMU"]
async fn a_stack_that_overflows_ends_the_image_and_harms_nothing() {
    let bench = Bench::new().await;
    let (mut machine, node_id) = bench.linked().await;
    machine.line("overflow").await.unwrap();
    assert_eq!(machine.exit().await.unwrap().code(), Some(102));
    assert!(machine.last_words().await.contains("stack overflow"));
    let mut machine = bench.power_on().await;
    expect_linked(&mut machine, node_id).await;
}
