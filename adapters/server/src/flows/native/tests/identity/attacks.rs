//! Attacks on pairing with certificates, over real sockets.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use handfast_core::flow::registration::operator::Purpose;
use handfast_core::registry::lifecycle::Decision;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::connection::framed::FramedTransport;
use crate::flows::native::tests::client::Wire;
use crate::gateway::operator_types::OperatorError;

/// Listens in front of the gateway, and records all that one client sends.
async fn recorder(gateway: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let tape = Arc::clone(&recorded);
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_gateway, mut to_gateway) =
            TcpStream::connect(gateway).await.unwrap().into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_gateway, &mut to_client).await });
        let mut chunk = [0; 2048];
        while let Ok(length @ 1..) = from_client.read(&mut chunk).await {
            tape.lock().unwrap().extend_from_slice(&chunk[..length]);
            if to_gateway.write_all(&chunk[..length]).await.is_err() {
                return;
            }
        }
    });
    (address, recorded)
}

/// Serves a gateway over TCP.
async fn served(world: &World) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(crate::serve_tcp(world.gateway.clone(), listener, std::future::pending()));
    address
}

#[tokio::test]
async fn a_finished_pairing_that_is_replayed_gets_no_grant_and_no_certificate() {
    let (world, own, tls) = (World::new().await, fresh(), TlsKey::new());
    let gateway = served(&world).await;
    let (address, recorded) = recorder(gateway).await;
    let wire = Wire::Tcp(FramedTransport::new(TcpStream::connect(address).await.unwrap()));
    let mut client = Client::stranger(Intent::Pair, wire, &own).await;
    let (method, wants) = (Method::Approval, AskedScopes::NONE);
    client.ask_for(&own, "sensor", method, wants, Features::NONE, Some(&tls.csr)).await;
    let node_id = approves(&world.gateway).await;
    let given = is_given(&mut client).await;
    stores(&mut client, &given).await;
    drop(client);

    let store = &world.gateway.inner.store;
    let kept = async || {
        let (grants, certificates) =
            (store.grants(node_id).await.unwrap(), store.certificates_of(node_id, 99).await);
        (grants, certificates.unwrap(), store.counts(super::super::unix()).await.unwrap())
    };
    let (before, frames) = (kept().await, recorded.lock().unwrap().clone());
    let mut replay = TcpStream::connect(gateway).await.unwrap();
    replay.write_all(&frames).await.unwrap();
    let mut answer = Vec::new();
    // The gateway's ephemeral key is another one, so the third message does not open.
    let _ = replay.read_to_end(&mut answer).await;
    assert!(answer.len() < 1024, "it says no more than its own key: {} bytes", answer.len());
    assert_eq!(kept().await, before);
    assert!(!world.gateway.inner.hub.is_live(node_id));
}

#[tokio::test]
async fn a_rejected_request_is_approved_by_nobody_and_a_finished_one_is_rejected_by_nobody() {
    let (world, own, tls) = (World::new().await, fresh(), TlsKey::new());
    let mut client = asks(&world, &own, Features::NONE, Some(&tls.csr)).await;
    let waiting = async || loop {
        let mut waiting = world.gateway.devices(Filter::Pending, None, 9).await.unwrap();
        if let Some(Ok(device)) = waiting.pop() {
            return device.entry.record.node_id;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    };
    let rejected = waiting().await;
    world.gateway.reject(rejected, None).await.unwrap();
    let approved = world.gateway.pair(rejected, Purpose::Approve).await;
    assert!(approved.is_err(), "{approved:?}");
    let is_refused = |said: PairFromGateway<'_>| match said {
        PairFromGateway::Waiting { .. } => None,
        other => Some(matches!(other, PairFromGateway::Refused(_))),
    };
    let refused = loop {
        if let Some(refused) = client.hear_to_pair(is_refused).await.unwrap() {
            break refused;
        }
    };
    assert!(refused, "nothing is granted");
    assert!(world.gateway.inner.store.certificates_of(rejected, 9).await.unwrap().is_empty());

    let other = fresh();
    let mut client = asks(&world, &other, Features::NONE, Some(&tls.csr)).await;
    let paired = approves(&world.gateway).await;
    let given = is_given(&mut client).await;
    stores(&mut client, &given).await;
    for decision in [Decision::Reject, Decision::Bar] {
        let outcome = world.gateway.decide(paired, &decision).await;
        assert!(matches!(outcome, Err(OperatorError::Refused { .. })), "{outcome:?}");
    }
    let certificates = world.gateway.inner.store.certificates_of(paired, 9).await.unwrap();
    assert!(certificates[0].certificate.state.is_live());
    links(&world, &other, None).await;
}

#[tokio::test]
async fn a_certificate_request_that_is_none_pairs_nobody_and_names_nothing_of_its_own() {
    let (world, own) = (World::new().await, fresh());
    // The signature of the request is not that of its key.
    let mut forged = TlsKey::new().csr;
    *forged.last_mut().unwrap() ^= 1;
    for csr in [&forged[..], &[0x30; 300], &forged[..forged.len() - 1]] {
        let mut client = asks(&world, &own, Features::NONE, Some(csr)).await;
        let waits = tokio::time::timeout(
            std::time::Duration::from_secs(10),
            client.hear_to_pair(|said| match said {
                PairFromGateway::Part(_) | PairFromGateway::Grant(_) => panic!("{said:?}"),
                PairFromGateway::Waiting { .. } => true,
                _ => false,
            }),
        );
        if waits.await.unwrap().unwrap_or(false) {
            let node_id = approves(&world.gateway).await;
            assert!(is_given(&mut client).await.certificate.is_empty(), "there is no such key");
            let certificates = world.gateway.inner.store.certificates_of(node_id, 9).await;
            assert!(certificates.unwrap().is_empty());
            return;
        }
    }
}
