//! First messages of links: recorded, forged, or never sent, in floods, from the address of the
//! node that they mean to keep out and from another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use handfast_core::crypto::noise::ik;
use handfast_core::limits::{Limits, MESSAGE_BYTES};
use handfast_core::wire::native::open::Open;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

use super::*;

/// A gateway that also listens for WebSockets.
async fn both(builder: GatewayBuilder) -> (Served, SocketAddr) {
    let served = Served::of(builder.pairing(lets_in("read:/**\n"))).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = listener.local_addr().unwrap();
    tokio::spawn(crate::serve(served.gateway.clone(), listener, None, std::future::pending()));
    (served, http)
}

fn builder() -> GatewayBuilder {
    Gateway::builder(MemoryStore::default())
}

/// A connection from this address of ours.
async fn from(source: [u8; 4], to: SocketAddr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind((source, 0).into()).ok()?;
    let stream = socket.connect(to).await.ok()?;
    stream.set_nodelay(true).ok()?;
    Some(stream)
}

/// What a node sends first, as somebody on the way records it.
fn first_message(served: &Served, node: &Paired) -> Vec<u8> {
    let mut room = [0; MESSAGE_BYTES];
    let prologue = Open::new(Intent::Link);
    let gateway = *served.gateway.keys().channel.public();
    let started = ik::Initiator::start(
        prologue.prologue(),
        &node.keys.channel,
        &gateway,
        &entropy::draw(),
        &[],
        &mut room,
    );
    started.unwrap().1.to_vec()
}

/// Says what begins a handshake, and perhaps a first message, over a connection that is closed
/// then.
async fn says(wire: &mut Wire, intent: Intent, first: Option<&[u8]>) {
    wire.send(Open::new(intent).as_bytes()).await;
    if let Some(first) = first {
        wire.send(first).await;
        let _ = wire.recv().await;
    }
}

/// The node links over and over, and its link carries what it says, until this has happened so
/// often.
async fn links_meanwhile(
    served: &mut Served,
    http: SocketAddr,
    node: &Paired,
    enough: impl Fn() -> bool,
) -> usize {
    let mut links = 0;
    while links < 10 || !enough() {
        let wire = if links % 2 == 0 { served.wire().await } else { Wire::websocket(http).await };
        let mut link = Client::link(wire, &node.keys, served.gateway.keys().channel.public())
            .await
            .expect("it is let in");
        link.greet(None).await;
        assert!(!served.lets_through(&mut link, "/not/its/own").await);
        links += 1;
    }
    links
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_repeated_in_a_flood_from_the_nodes_own_address_and_from_another_keeps_its_node_in_touch()
 {
    let (mut served, http) = both(builder()).await;
    let lamp = served.paired("lamp").await;
    // One that the gateway has read, and one that was kept from it.
    let (read, kept) = (first_message(&served, &lamp), first_message(&served, &lamp));
    says(&mut served.wire().await, Intent::Link, Some(&read)).await;
    let (stop, repeated) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut flood = JoinSet::new();
    for task in 0..8_u8 {
        let (stop, repeated, tcp) = (Arc::clone(&stop), Arc::clone(&repeated), served.tcp);
        let recording = if task < 4 { read.clone() } else { kept.clone() };
        flood.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let Some(stream) = from([127, 0, 0, 1 + task % 2], tcp).await else { continue };
                says(&mut Wire::Tcp(FramedTransport::new(stream)), Intent::Link, Some(&recording))
                    .await;
                repeated.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    links_meanwhile(&mut served, http, &lamp, || repeated.load(Ordering::Relaxed) >= 2000).await;
    stop.store(true, Ordering::Relaxed);
    flood.join_all().await;
    until(|| served.gateway.inner.native.is_at_rest()).await;
}

#[tokio::test]
async fn a_first_message_with_a_foreign_key_and_a_wrong_tag_touches_no_share_of_that_key() {
    let (mut served, http) = both(builder()).await;
    let lamp = served.paired("lamp").await;
    for _ in 0..20 {
        let mut forged = first_message(&served, &lamp);
        // The key opens; what proves that its holder wrote it does not.
        *forged.last_mut().unwrap() ^= 1;
        let mut wire = served.wire().await;
        says(&mut wire, Intent::Link, Some(&forged)).await;
        assert!(served.gateway.inner.native.is_at_rest(), "it gets no place of the key's");
        assert!(
            !served.gateway.inner.native.knows(forged.first_chunk().unwrap()),
            "and is not remembered"
        );
    }
    links_meanwhile(&mut served, http, &lamp, || true).await;
}

#[tokio::test]
async fn whoever_only_begins_handshakes_and_leaves_is_charged_for_nothing() {
    let limits = Limits { failures_per_minute: 3, ..Limits::DEFAULT };
    let (mut served, http) = both(builder().limits(limits)).await;
    let lamp = served.paired("lamp").await;
    for begun in 0..60 {
        let intent = if begun % 2 == 0 { Intent::Link } else { Intent::Pair };
        let mut wire =
            if begun % 3 == 0 { Wire::websocket(http).await } else { served.wire().await };
        says(&mut wire, intent, None).await;
    }
    assert!(
        served
            .gateway
            .inner
            .native
            .links
            .goes_first(handfast_core::Source::of([127, 0, 0, 1].into()))
    );
    links_meanwhile(&mut served, http, &lamp, || true).await;
    for honest in 0..10 {
        let own = keys();
        let mut stranger = if honest % 2 == 0 {
            served.stranger(Intent::Pair, &own).await
        } else {
            Client::stranger(Intent::Pair, Wire::websocket(http).await, &own).await
        };
        stranger.ask(&own, "sensor").await;
        let granted = |message: handfast_core::wire::native::pair::PairFromGateway<'_>| {
            matches!(message, handfast_core::wire::native::pair::PairFromGateway::Grant(_))
        };
        assert!(stranger.hear_to_pair(granted).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_address_has_failed_too_often_waits_behind_others_and_is_never_refused() {
    let limits =
        Limits { failures_per_minute: 1, first_messages_per_second: 20, ..Limits::DEFAULT };
    let (mut served, http) = both(builder().limits(limits)).await;
    let lamp = served.paired("lamp").await;
    let stop = Arc::new(AtomicBool::new(false));
    let refused = Arc::new(AtomicUsize::new(0));
    let mut flood = JoinSet::new();
    for task in 0..4_u8 {
        let (stop, refused, tcp) = (Arc::clone(&stop), Arc::clone(&refused), served.tcp);
        flood.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let Some(stream) = from([127, 0, 0, 1 + task % 2], tcp).await else { continue };
                // Nobody's: it does not open.
                says(&mut Wire::Tcp(FramedTransport::new(stream)), Intent::Link, Some(&[9; 96]))
                    .await;
                refused.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    links_meanwhile(&mut served, http, &lamp, || refused.load(Ordering::Relaxed) >= 20).await;
    stop.store(true, Ordering::Relaxed);
    flood.join_all().await;
}

#[tokio::test]
async fn handshakes_of_one_key_displace_each_other_after_a_second_and_nobody_elses() {
    let (mut served, http) = both(builder()).await;
    let (lamp, other) = (served.paired("lamp").await, served.paired("other").await);
    let mut proving = Vec::new();
    for _ in 0..4 {
        proving.push(served.called(&lamp).await.unwrap());
    }
    assert!(served.called(&lamp).await.is_err(), "all places of the key were taken just now");
    links_meanwhile(&mut served, http, &other, || true).await;
    // After a second the oldest makes room, without being told to hurry.
    let late = async {
        loop {
            if let Ok(link) = served.called(&lamp).await {
                return link;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let mut late =
        tokio::time::timeout(Duration::from_secs(10), late).await.expect("it gets a place");
    late.greet(None).await;
    served.is_live(lamp.node_id).await;
    let displaced = proving.remove(0).hear(|message| matches!(message, FromGateway::Bye(_))).await;
    assert_eq!(displaced, Ok(true));
}

#[tokio::test]
async fn delegates_of_one_node_leave_room_for_nodes_and_are_told_when_they_make_it() {
    let limits = Limits { linked_total: 10, ..Limits::DEFAULT };
    let (served, _) = both(builder().limits(limits)).await;
    let (a, b) = (served.paired("a").await, served.paired("b").await);
    let mut delegates = Vec::new();
    for _ in 0..10 {
        let own = keys();
        let mut holder = served.stranger(Intent::Delegate, &own).await;
        let chain = handed_on(&a.chain, &a.keys, &own, &["read:/a"], in_seconds(600));
        if presents_here(&mut holder, &chain).await {
            delegates.push(holder);
        }
    }
    assert_eq!(delegates.len(), 4, "the share of one subject");
    let mut nodes = vec![served.link(&a).await, served.link(&b).await];
    for name in ["c", "d", "e", "f", "g"] {
        let node = served.paired(name).await;
        nodes.push(served.link(&node).await);
    }
    // The tenth link was free; the eleventh is that of the oldest delegate.
    let displaced =
        delegates.remove(0).hear(|message| matches!(message, FromGateway::Bye(_))).await;
    assert_eq!(displaced, Ok(true));
    assert_eq!(served.gateway.inner.hub.count(), 10);
}

/// As [`presents`], where the answer may be that there is no room.
async fn presents_here(client: &mut Client, chain: &[u8]) -> bool {
    for part in Part::cut(Object::Chain, chain).unwrap() {
        client.say(&FromNode::Part(part)).await;
    }
    client.say(&FromNode::Present { chain: ChainBytes::InParts }).await;
    client.hear(|message| message == FromGateway::Admission(Admission::Welcome)).await == Ok(true)
}
