//! Pings, and answers that nobody asked for.

use handfast_core::wire::native::Features;
use handfast_core::wire::native::link::Hello;

use super::*;
use crate::operator::PingError;

#[tokio::test]
async fn a_ping_tells_how_long_a_linked_node_takes_or_why_there_is_no_answer() {
    let served = Served::open().await;
    let lamp = served.paired("lamp").await;
    let (gateway, node_id) = (served.gateway.clone(), lamp.node_id);
    assert_eq!(gateway.ping(node_id).await, Err(PingError::NotLinked(node_id)));
    let mut link = served.link(&lamp).await;
    let pinged = tokio::spawn({
        let gateway = gateway.clone();
        async move { gateway.ping(node_id).await }
    });
    let number = loop {
        let heard = link.hear(|message| match message {
            FromGateway::Ping { number } => Some(number),
            _ => None,
        });
        if let Some(number) = heard.await.unwrap() {
            break number;
        }
    };
    // Neither another number nor a second answer counts.
    link.say(&FromNode::Pong { number: number.wrapping_add(1) }).await;
    link.say(&FromNode::Pong { number }).await;
    link.say(&FromNode::Pong { number }).await;
    assert!(pinged.await.unwrap().is_ok());

    let mut plain = served.called(&lamp).await.unwrap();
    let hello = Hello { features: Features::NONE, counter: None, holds: None };
    plain.say(&FromNode::Hello(hello)).await;
    loop {
        match gateway.ping(node_id).await {
            Err(PingError::NotSupported(_)) => break,
            // The older link ends when the newer one is proven.
            Err(PingError::NotLinked(_) | PingError::NoAnswer(_)) => {}
            Ok(time) => panic!("a node that takes no pings answered in {time:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
