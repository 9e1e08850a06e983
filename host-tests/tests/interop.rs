//! Interoperability of this gateway with a Python client (`websockets`) written from the
//! description of the dialect alone.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use handfast_core::NodeId;
use handfast_core::flow::registration::operator::Purpose;
use handfast_core::registry::lifecycle::Decision;

use crate::conformance::Served;

/// Runs the Python client to its end.
async fn client(verb: &str, url: &str, more: &[&str], token: &str) -> (i32, String) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/interop/reference_client.py");
    let mut command = Command::new("python3");
    command
        .args([script, verb, "--url", url])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let token = token.to_owned();
    let ended: Output = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().expect("python3 starts");
        child.stdin.take().unwrap().write_all(format!("{token}\n").as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    })
    .await
    .unwrap();
    (ended.status.code().unwrap_or(-1), String::from_utf8_lossy(&ended.stdout).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python and host-tests/interop/requirements.txt"]
async fn a_client_that_is_not_ours_pairs_links_is_muted_and_refused() {
    let served = Served::start().await;
    let url = format!("ws://{}/pair", served.address);
    let (code, said) = client("pair", &url, &["--name", "Küche", "--room", "Kitchen"], "").await;
    assert_eq!(code, 0, "{said}");
    let id = said.lines().find_map(|line| line.strip_prefix("pair_pending ")).unwrap().to_owned();
    assert!(said.contains("close 1000 Pairing pending"), "{said}");
    let node_id = NodeId::parse(&id).unwrap();
    let token = served
        .gateway
        .pair(node_id, Purpose::Approve)
        .await
        .unwrap()
        .credential
        .token()
        .unwrap()
        .expose()
        .to_owned();

    let run = ["--node-id", &id, "--heartbeats", "3", "--every", "0.01"];
    let (code, said) = client("run", &url, &run, &token).await;
    assert!(code == 0 && said.contains(&format!("auth_ok {id} Kitchen")), "{said}");
    assert!(served.gateway.device_by_prefix(&id).await.unwrap().entry.observed.is_some());

    served.gateway.decide(node_id, &Decision::Mute).await.unwrap();
    let (code, said) = client("run", &url, &run, &token).await;
    assert!(
        code == 1 && said.contains("muted") && said.contains("close 1008 Node is muted"),
        "{said}"
    );
    served.gateway.decide(node_id, &Decision::Unpair).await.unwrap();
    let (code, said) = client("run", &url, &run, &token).await;
    assert!(
        code == 1
            && said.contains("auth_fail invalid credentials")
            && said.contains("close 1008 Authentication failed"),
        "{said}"
    );
}
