//! A board whose flash was copied.

use handfast_core::{NodeId, Span};

use super::Bench;
use super::tasks::result;
use crate::conformance::eventually;

/// More than the time between two marks.
const LATER: Span = Span::from_secs(2 * 3600);

/// Gives the board two tasks, one after the other. The gateway's mark comes before the second one at
/// the latest, and the board goes on only when it is stored.
async fn serves(bench: &Bench, node_id: NodeId) {
    for input in ["1", "2"] {
        assert_eq!(result(bench, node_id, "echo", input).await, input);
    }
}

#[tokio::test]
#[ignore = "needs QEMU"]
async fn a_copied_flash_image_raises_the_alarm_and_a_release_lets_the_board_go_on() {
    let mut bench = Bench::new().await;
    let (machine, node_id) = bench.paired().await;
    bench.announced(node_id).await;
    serves(&bench, node_id).await;
    machine.kill().await;
    let copy = std::fs::read(bench.flash()).unwrap();

    // The original goes on, and is given the next mark.
    bench.passes(LATER);
    let mut machine = bench.power_on().await;
    machine.expect(&format!("linked as {node_id}")).await.unwrap();
    serves(&bench, node_id).await;
    assert_eq!(bench.gateway.quarantined().await.unwrap().len(), 0);
    machine.kill().await;
    let original = std::fs::read(bench.flash()).unwrap();

    std::fs::write(bench.flash(), copy).unwrap();
    let mut machine = bench.power_on().await;
    machine.expect("muted by the operator").await.unwrap();
    let quarantined = bench.gateway.quarantined().await.unwrap();
    assert_eq!(quarantined.len(), 1);
    assert_eq!(quarantined[0].0, node_id);
    let why = bench.gateway.takes_no_tasks(node_id).await.unwrap().unwrap();
    assert!(why.contains("quarantine"), "{why}");
    machine.kill().await;

    // The original was the owner's, so it goes on.
    std::fs::write(bench.flash(), original).unwrap();
    let mut machine = bench.power_on().await;
    machine.expect("muted by the operator").await.unwrap();
    bench.gateway.release_node(node_id).await.unwrap();
    machine.expect("unmuted by the operator").await.unwrap();
    assert!(bench.gateway.quarantined().await.unwrap().is_empty());
    eventually(async || bench.gateway.takes_no_tasks(node_id).await.unwrap().is_none()).await;
    serves(&bench, node_id).await;
}
