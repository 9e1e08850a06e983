//! Tasks that an operator gives to the board.

use std::time::Duration;

use handfast_core::link::dispatch::DispatchState;
use handfast_core::registry::sessions::Maker;
use handfast_core::{NodeId, Span};
use handfast_server::operator::{DispatchStatus, NewDispatch};
use handfast_store::DispatchReport;

use super::Bench;

/// Limit for a task; only a hang takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Gives the board a task.
pub(super) async fn asks_for(
    bench: &Bench,
    node_id: NodeId,
    capability: &str,
    input: &str,
) -> DispatchStatus {
    let new = NewDispatch {
        id: None,
        capability: capability.to_owned(),
        input: input.as_bytes().to_vec(),
        within: Span::from_secs(60),
        max_payload: 500,
    };
    bench.gateway.invoke(node_id, new, Maker::Operator).await.unwrap()
}

/// Waits until the task is over.
pub(super) async fn ends(bench: &Bench, mut task: DispatchStatus) -> DispatchStatus {
    let all = async {
        while !task.stored.life.state.is_over() {
            task = bench.gateway.await_dispatch(&task, PATIENCE).await.unwrap();
        }
        task
    };
    tokio::time::timeout(PATIENCE, all).await.expect("the task is over")
}

/// Runs a task that succeeds and returns its result.
pub(super) async fn result(
    bench: &Bench,
    node_id: NodeId,
    capability: &str,
    input: &str,
) -> String {
    let task = ends(bench, asks_for(bench, node_id, capability, input).await).await;
    assert_eq!(task.stored.life.state, DispatchState::Succeeded, "{capability}: {task:?}");
    match task.stored.report {
        Some(DispatchReport::Result(result)) => String::from_utf8(result).unwrap(),
        other => panic!("{capability}: {other:?}"),
    }
}

#[tokio::test]
#[ignore = "needs QEMU"]
async fn a_board_does_what_it_announces_and_its_results_reach_the_gateway() {
    let mut bench = Bench::new().await;
    let (mut machine, node_id) = bench.paired().await;
    bench.announced(node_id).await;
    let names: Vec<_> = bench.gateway.capabilities(node_id).await.unwrap();
    let names: Vec<_> = names.iter().map(|capability| capability.name.as_str()).collect();
    assert_eq!(names, ["echo", "pin", "pin.pulse", "system.identity"]);

    assert_eq!(result(&bench, node_id, "echo", r#"{"a":"ü"}"#).await, r#"{"a":"ü"}"#);
    machine.expect("dispatched: echo").await.unwrap();
    machine.expect("dispatch done").await.unwrap();
    let identity = result(&bench, node_id, "system.identity", "null").await;
    for part in [&node_id.to_string(), "Lamp", "fingerprint", env!("CARGO_PKG_VERSION")] {
        assert!(identity.contains(part), "{identity}");
    }
    assert_eq!(result(&bench, node_id, "pin", "true").await, "true");
    assert_eq!(result(&bench, node_id, "pin", "null").await, "true");
    assert_eq!(result(&bench, node_id, "pin", "false").await, "false");
    assert_eq!(result(&bench, node_id, "pin.pulse", "50").await, "false");

    let refused = ends(&bench, asks_for(&bench, node_id, "pin", "7").await).await;
    assert_eq!(refused.stored.life.state, DispatchState::Rejected);
}

#[tokio::test]
#[ignore = "needs QEMU"]
async fn a_pulse_that_a_power_cut_ends_is_told_as_failed_and_never_begun_again() {
    let mut bench = Bench::new().await;
    let (mut machine, node_id) = bench.paired().await;
    bench.announced(node_id).await;
    let task = asks_for(&bench, node_id, "pin.pulse", "50000").await;
    machine.expect("dispatched: pin.pulse").await.unwrap();
    assert_eq!(result(&bench, node_id, "pin", "null").await, "true", "the pulse is on");
    machine.kill().await;

    let mut machine = bench.power_on().await;
    machine.expect(&format!("linked as {node_id}")).await.unwrap();
    let over = ends(&bench, task).await;
    assert_eq!(over.stored.life.state, DispatchState::Failed);
    let Some(DispatchReport::Reason(reason)) = &over.stored.report else { panic!("{over:?}") };
    assert!(reason.contains("switched off"), "{reason}");
    assert_eq!(result(&bench, node_id, "pin", "null").await, "false", "it is not begun again");
    assert!(!machine.transcript().contains("dispatched: pin.pulse"));
}
