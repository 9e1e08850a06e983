//! A peer that sends more than it may is slowed down, and nobody else is.

use std::time::Instant;

use handfast_core::limits::{MESSAGES_A_MINUTE, MESSAGES_AT_ONCE};
use handfast_core::registry::lifecycle::Decision;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Sends numbered messages as fast as the carrier takes them.
async fn floods(mut link: Client) {
    for number in 0_u32.. {
        link.app("/loud", &number.to_be_bytes()).await;
    }
}

/// What an operator's probe hears.
async fn health(http: SocketAddr) -> String {
    let mut stream = TcpStream::connect(http).await.unwrap();
    stream
        .write_all(b"GET /health HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Most messages of one peer that are read from `begun` until now.
fn most(begun: Instant) -> u32 {
    let gained = begun.elapsed().as_secs_f64() * f64::from(MESSAGES_A_MINUTE) / 60.0;
    MESSAGES_AT_ONCE + 1 + gained.ceil() as u32
}

/// A neighbour of the flood sends a hundred messages a second, each of which is heard before it
/// sends the next, and an operator asks and decides.
async fn hurts_nobody(served: &mut Served, loud: Client, ends: impl AsyncFnOnce(&Served)) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = listener.local_addr().unwrap();
    tokio::spawn(crate::serve(served.gateway.clone(), listener, None, std::future::pending()));
    let neighbour = served.paired("neighbour").await;
    let mut calm = served.link(&neighbour).await;
    let (begun, flood) = (Instant::now(), tokio::spawn(floods(loud)));
    let mut loud_heard = 0_u32;
    for number in 0..300_u32 {
        calm.app("/calm", &number.to_be_bytes()).await;
        loop {
            let (_, address, bytes) = served.heard.recv().await.unwrap();
            if address == "/calm" {
                assert_eq!(bytes, number.to_be_bytes());
                break;
            }
            assert_eq!(bytes, loud_heard.to_be_bytes(), "nothing of the flood is lost");
            loud_heard += 1;
        }
        if number % 100 == 0 {
            assert!(health(http).await.starts_with("HTTP/1.1 200"));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let most = most(begun);
    println!("{loud_heard} messages of the flood were heard in {:?}", begun.elapsed());
    assert!(
        (MESSAGES_AT_ONCE..=most).contains(&loud_heard),
        "{loud_heard} were heard, and {most} may be"
    );
    // What is decided does not wait behind the flood.
    ends(served).await;
    flood.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_floods_is_read_at_its_rate_and_neither_its_neighbour_nor_the_operator_waits_for_it()
 {
    let mut served = Served::open().await;
    let lamp = served.paired("lamp").await;
    let loud = served.link(&lamp).await;
    hurts_nobody(&mut served, loud, async |served| {
        served.gateway.decide(lamp.node_id, &Decision::Unpair).await.unwrap();
        until(|| !served.gateway.inner.hub.is_live(lamp.node_id)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delegate_that_floods_is_read_at_its_rate_and_ends_with_what_it_rests_on() {
    let mut served = Served::open().await;
    let (lamp, holder) = (served.paired("lamp").await, keys());
    let chain = handed_on(&lamp.chain, &lamp.keys, &holder, &["write:/**"], in_seconds(600));
    let mut loud = served.stranger(Intent::Delegate, &holder).await;
    assert!(presents(&mut loud, &chain).await);
    hurts_nobody(&mut served, loud, async |served| {
        let linked = served.gateway.inner.hub.count();
        served.gateway.decide(lamp.node_id, &Decision::Unpair).await.unwrap();
        until(|| served.gateway.inner.hub.count() < linked).await;
    })
    .await;
}
