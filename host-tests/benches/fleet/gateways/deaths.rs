//! The time until nodes are linked again after their gateway was killed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handfast_core::NodeId;
use handfast_core::budget::Backoff;
use handfast_core::crypto::x25519::PublicKey;
use tokio::task::JoinSet;

use super::{Link, Trio};
use crate::nodes::chance;
use crate::process::Server;
use crate::{peer, quantile};

/// Kills two gateways, one after the other. The first time nodes wait as nodes do before they call
/// again, the second time they do not.
pub(super) async fn measure(trio: Trio) {
    let Trio { mut servers, mut addresses, key, mut links } = trio;
    for (waits, what) in [(true, "nodes wait about a second"), (false, "nodes call at once")] {
        let (gone, rest): (Vec<_>, Vec<_>) = links.into_iter().partition(|link| link.at == 0);
        let known: Arc<[SocketAddr]> = addresses.clone().into();
        let count = gone.len();
        let mut calling = JoinSet::new();
        for link in gone {
            calling.spawn(link_again(link, Arc::clone(&known), key, waits));
        }
        // Every node has to read before its gateway dies.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let begun = Instant::now();
        drop(servers.remove(0));
        let again = calling.join_all().await;
        all_are_linked(&mut servers, count + rest.len()).await;
        let all = begun.elapsed();
        let mut times: Vec<_> = again.iter().map(|(_, at)| at.duration_since(begun)).collect();
        times.sort_unstable();
        println!(
            "  a gateway with {count} links dies, {what}: linked again after p50 {:.2?}, \
             p99 {:.2?}, all {all:.2?}",
            quantile(&times, 50),
            quantile(&times, 99)
        );
        links = again.into_iter().map(|(link, _)| link).chain(rest).collect();
        links.iter_mut().for_each(|link| link.at -= 1);
        addresses.remove(0);
    }
}

/// Waits until the gateways that are left have this many links.
async fn all_are_linked(servers: &mut [Server], links: usize) {
    loop {
        let mut linked = 0;
        for server in servers.iter_mut() {
            linked += server.ask("count 0").await.parse::<usize>().unwrap();
        }
        if linked == links {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits for the end of a link, and links again with the first of all gateways in a random order
/// that lets the node in. Returns the link and its time.
async fn link_again(
    link: Link,
    known: Arc<[SocketAddr]>,
    key: PublicKey,
    waits: bool,
) -> (Link, Instant) {
    let Link { number, wire, .. } = link;
    wire.until_cut().await;
    let mut backoff = Backoff::new();
    let mut is_first = true;
    loop {
        let (wait, next) = backoff.wait(&chance());
        backoff = next;
        if waits || !is_first {
            tokio::time::sleep(Duration::from_millis(wait.as_millis())).await;
        }
        is_first = false;
        let mut order: Vec<usize> = (0..known.len()).collect();
        order.sort_by_cached_key(|_| *NodeId::new(&chance()).as_bytes());
        for at in order {
            if let Some((wire, channel)) = peer::try_link(known[at], key, number).await {
                return (Link { number, at, wire, _channel: channel }, Instant::now());
            }
        }
    }
}
