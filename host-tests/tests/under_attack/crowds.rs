//! Floods from hundreds of addresses at once.

use std::net::IpAddr;

use tokio::task::JoinSet;

use super::address;
use super::operator::paired_by_token;
use crate::cli::gateway::Gateway;
use crate::conformance::floods::{all_link, flood};

#[tokio::test(flavor = "multi_thread")]
async fn forty_nodes_come_back_after_a_restart_while_450_addresses_fill_the_strangers_queue() {
    let gateway = Gateway::start_quietly(&[]);
    let nodes = paired_by_token(&gateway, 40).await;
    let gateway = gateway.crash_and_restart();
    let (told, mut refused) = tokio::sync::mpsc::channel(1);
    let mut strangers = JoinSet::new();
    for number in 0..450_u16 {
        let [high, low] = (number + 256).to_be_bytes();
        strangers.spawn(flood(
            address(&gateway),
            IpAddr::from([127, 7, high, low]),
            1,
            None,
            told.clone(),
        ));
    }
    // From then on the strangers' queue is full.
    refused.recv().await.unwrap();
    let took = all_link(address(&gateway), nodes, super::HOME).await;
    println!("450 addresses with a wrong token a second each: 40 of 40 in {took:?}");
    strangers.shutdown().await;
}
