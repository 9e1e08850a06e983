//! The board's light, which messages switch.

use std::time::Duration;

use handfast_core::NodeId;
use handfast_core::flow::native::gateway::Peer;
use handfast_core::grant::scope::{Action, Address, ScopesBuf};
use handfast_core::wire::native::Payload;
use tokio::time::timeout;

use super::Bench;

fn send(bench: &Bench, node_id: NodeId, action: Action, text: &str) {
    let address = Address::parse("/light").unwrap();
    let bytes = Payload::new(text.as_bytes()).unwrap();
    assert!(bench.gateway.send_app(Peer::Node(node_id), action, &address, &bytes));
}

#[tokio::test]
#[ignore = "needs QEMU"]
async fn a_message_switches_a_boards_light_and_its_level_is_told_where_the_board_may_write() {
    let mut bench = Bench::new().await;
    let (mut machine, node_id) = bench.paired().await;
    send(&bench, node_id, Action::Write, "on");
    machine.expect("the light is on").await.unwrap();
    let level = timeout(Duration::from_secs(60), bench.heard.recv()).await.unwrap().unwrap();
    assert_eq!(level, (Action::Write, "/light".to_owned(), b"on".to_vec()));
    let narrower = ScopesBuf::parse("read:/light\n").unwrap();
    bench.gateway.permit(node_id, Some(narrower), None).await.unwrap();
    send(&bench, node_id, Action::Write, "off");
    machine.expect("the light is off").await.unwrap();
    machine.expect("not allowed: /light").await.unwrap();
}
