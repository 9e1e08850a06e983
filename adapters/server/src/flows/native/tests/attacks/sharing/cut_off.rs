//! A registry that is lost: for all gateways, or for one.

use handfast_core::registry::lifecycle::Decision;
use handfast_core::wire::native::link::Policy;

use super::*;
use crate::Contact;

async fn websocket(served: &Served) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(crate::serve(served.gateway.clone(), listener, None, std::future::pending()));
    address
}

async fn linked_over(address: SocketAddr, served: &Served, node: &Paired) -> Client {
    let key = *served.gateway.keys().channel.public();
    let mut client = Client::link(Wire::websocket(address).await, &node.keys, &key).await.unwrap();
    client.greet(None).await;
    served.is_live(node.node_id).await;
    client
}

/// Tries to link, and returns the close code of a link that is not admitted.
async fn is_refused(address: SocketAddr, served: &Served, node: &Paired) -> u16 {
    let key = *served.gateway.keys().channel.public();
    match Client::call(Wire::websocket(address).await, &node.keys, &key).await {
        Err(code) => code,
        Ok((mut client, admission)) => {
            if admission == Admission::Welcome {
                client.greet(None).await;
            }
            let code = ends(&mut client).await;
            assert!(!served.gateway.inner.hub.is_live(node.node_id));
            code
        }
    }
}

async fn ready(address: SocketAddr) -> (u16, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_gateway_that_is_cut_off_admits_nobody_and_closes_its_links_and_the_newer_one_elsewhere_stands()
 {
    let registry = Registry::new();
    let mut way = Way::to(&registry);
    let here = registry.gateway_at(&way.url(&registry), "here", grace(3000)).await;
    let there = registry.gateway("there").await;
    let (near, far) = (here.paired("lamp").await, here.paired("fan").await);
    let address = websocket(&here).await;
    assert_eq!(ready(address).await.0, 200);
    let mut lamp = linked_over(address, &here, &near).await;
    let mut fan = linked_over(address, &here, &far).await;
    // Both links have read all that they rest on.
    tokio::time::sleep(Duration::from_millis(500)).await;

    way.cut();
    let begun = std::time::Instant::now();
    until(|| contact(&here) == Contact::CutOff).await;
    println!("cut off after {:?}", begun.elapsed());
    assert!(begun.elapsed() < handfast_store::LEASE, "{:?}", begun.elapsed());
    let (status, text) = ready(address).await;
    assert!(status == 503 && text.contains("cut off from its registry"), "{text}");
    // What is decided meanwhile is not known here, so nobody comes in by what was known before.
    there.gateway.decide(far.node_id, &Decision::Unpair).await.unwrap();
    let newcomer = there.paired("third").await;
    assert_eq!(is_refused(address, &here, &newcomer).await, 1013);
    assert!(here.gateway.inner.hub.is_live(near.node_id), "a link that stands is kept for a while");
    let newer = there.link(&near).await;

    assert_eq!((ends(&mut lamp).await, ends(&mut fan).await), (1013, 1013));
    until(|| here.gateway.inner.hub.count() == 0).await;
    way.mend();
    until(|| contact(&here) == Contact::InTouch).await;
    println!("in touch again {:?} after the cut", begun.elapsed());
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(there.gateway.inner.hub.is_live(near.node_id), "the newer link stands");
    assert_eq!(ready(address).await.0, 200);
    let key = *here.gateway.keys().channel.public();
    let (_, admission) =
        Client::call(Wire::websocket(address).await, &far.keys, &key).await.unwrap();
    assert_ne!(admission, Admission::Welcome, "it was revoked meanwhile");
    drop(newer);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_link_that_stands_through_a_short_cut_hears_what_was_decided_meanwhile() {
    let registry = Registry::new();
    let mut way = Way::to(&registry);
    let here = registry.gateway_at(&way.url(&registry), "here", grace(60_000)).await;
    let there = registry.gateway("there").await;
    let (muted, moved) = (here.paired("lamp").await, here.paired("fan").await);
    let (mut lamp, mut fan) = (here.link(&muted).await, here.link(&moved).await);
    // Both links have read all that they rest on.
    tokio::time::sleep(Duration::from_millis(500)).await;
    way.cut();
    until(|| contact(&here) == Contact::CutOff).await;
    there.gateway.decide(muted.node_id, &Decision::Mute).await.unwrap();
    let newer = there.link(&moved).await;
    // The lease of the other gateway counts while its claim is looked for.
    tokio::time::sleep(Duration::from_millis(100)).await;
    way.mend();
    let begun = std::time::Instant::now();
    let took = hears(&mut lamp, begun, |message| message == FromGateway::Policy(Policy::Mute));
    println!("heard {:?} after the way was mended", took.await);
    ends(&mut fan).await;
    assert!(there.gateway.inner.hub.is_live(moved.node_id), "the newer link stands");
    drop(newer);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_database_that_crashes_and_comes_back_under_load_leaves_both_gateways_as_the_registry_says()
 {
    let registry = Registry::alone();
    let here = registry.gateway_of("here", grace(60_000)).await;
    let there = registry.gateway_of("there", grace(60_000)).await;
    let mut nodes = Vec::new();
    for number in 0..8 {
        let node = here.paired(&format!("lamp {number}")).await;
        let client = there.link(&node).await;
        nodes.push((node, client));
    }
    let gateway = here.gateway.clone();
    let ids: Vec<_> = nodes.iter().map(|(node, _)| node.node_id).collect();
    let load = tokio::spawn(async move {
        let mut decided = 0_u32;
        loop {
            for node_id in &ids {
                let decision =
                    if decided.is_multiple_of(2) { Decision::Mute } else { Decision::Unmute };
                // What fails is tried again by the gateway, or by whoever asked.
                let _ = gateway.decide(*node_id, &decision).await;
            }
            decided = decided.wrapping_add(1);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    registry.server().crash();
    for served in [&here, &there] {
        until(|| !contact(served).admits()).await;
    }
    registry.server().start_again();
    for served in [&here, &there] {
        until(|| contact(served) == Contact::InTouch).await;
    }
    load.abort();
    let _ = load.await;
    assert!(here.gateway.store_the_rest(Duration::from_secs(10)).await.is_empty());
    for (node, client) in &mut nodes {
        // Whatever it was before, it is out now, and its link at the other gateway hears so.
        let begun = std::time::Instant::now();
        here.gateway.decide(node.node_id, &Decision::Unpair).await.unwrap();
        hears(client, begun, |message| message == FromGateway::Policy(Policy::Unpair)).await;
    }
}
