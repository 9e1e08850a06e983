//! Approval policies: what they approve, and what nobody gets by them.

use std::time::Duration;

use handfast_core::registry::authority::Authority;
use handfast_core::registry::policies::{NotInForce, PolicyId};
use handfast_store::MemoryStore;

use super::super::client::Wire;
use super::super::later;
use super::*;
use crate::operator::policies::NewPolicy;
use crate::proxies::ProxySettings;

async fn allows(gateway: &Gateway, from: &str, most: u64) -> PolicyId {
    let new = NewPolicy {
        from: from.parse().unwrap(),
        lasts: Duration::from_secs(600),
        most,
        permissions: None,
        grant_for: None,
    };
    gateway.make_policy_by(&Authority::OWNER, new).await.unwrap().policy.id
}

/// Asks over this wire. Returns `true` if the node is approved at once, and `false` if it waits.
async fn is_approved(wire: Wire, own: &OwnKeys) -> bool {
    let mut client = Client::stranger(Intent::Pair, wire, own).await;
    let (method, wants) = (Method::Approval, AskedScopes::NONE);
    client.ask_for(own, "sensor", method, wants, Features::NONE, None).await;
    loop {
        let heard = client.hear_to_pair(|message| match message {
            PairFromGateway::Grant(_) => Some(true),
            PairFromGateway::Waiting { .. } | PairFromGateway::Refused(_) => Some(false),
            _ => None,
        });
        if let Some(approved) = heard.await.unwrap() {
            return approved;
        }
    }
}

#[tokio::test]
async fn a_policy_approves_its_number_of_nodes_and_the_next_one_waits() {
    let world = World::new().await;
    let id = allows(&world.gateway, "127.0.0.0/8", 2).await;
    for approved in [true, true, false] {
        assert_eq!(is_approved(world.tcp().await, &fresh()).await, approved);
    }
    let status = world.gateway.policies().await.unwrap().pop().unwrap();
    assert_eq!((status.policy.id, status.policy.used), (id, 2));
    assert_eq!(status.state, Err(NotInForce::UsedUp));
}

#[tokio::test]
async fn a_node_that_waits_already_is_approved_when_a_policy_is_made_for_it() {
    let world = World::new().await;
    let own = fresh();
    let mut client = asks(&world, &own, Features::NONE, None).await;
    let waits = |message: PairFromGateway<'_>| matches!(message, PairFromGateway::Waiting { .. });
    assert!(client.hear_to_pair(waits).await.unwrap());
    allows(&world.gateway, "127.0.0.1", 1).await;
    is_given(&mut client).await;
}

#[tokio::test]
async fn a_policy_lets_in_nobody_from_another_network_whatever_they_say_of_themselves() {
    let world = World::new().await;
    allows(&world.gateway, "10.0.0.0/8", 9).await;
    let http = world.http().await;
    assert!(!is_approved(world.tcp().await, &fresh()).await);
    // Nobody is a trusted proxy, so nobody is believed.
    for whom in [&["10.0.0.7"][..], &["10.0.0.7, 10.0.0.8"], &["10.0.0.7", "10.0.0.7"]] {
        assert!(!is_approved(Wire::websocket_for(http, whom).await, &fresh()).await, "{whom:?}");
    }
}

#[tokio::test]
async fn a_page_of_a_foreign_origin_is_approved_by_no_network_in_whoevers_browser_it_is() {
    let world = World::new().await;
    allows(&world.gateway, "127.0.0.0/8", 9).await;
    let http = world.http().await;
    for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
        let wire = Wire::websocket_with(http, "Origin", &[origin]).await;
        assert!(!is_approved(wire, &fresh()).await, "{origin}");
    }
    // A node that waited for a page gets nothing by a policy that is made later, either.
    let own = fresh();
    let wire = Wire::websocket_with(http, "Origin", &["http://evil.example"]).await;
    assert!(!is_approved(wire, &own).await);
    allows(&world.gateway, "127.0.0.1", 9).await;
    let policies = world.gateway.policies().await.unwrap();
    assert!(policies.iter().all(|status| status.policy.used == 0), "{policies:?}");
    let own_page = format!("http://{http}");
    assert!(is_approved(Wire::websocket_with(http, "Origin", &[&own_page]).await, &fresh()).await);
    let policies = world.gateway.policies().await.unwrap();
    // Both are for it, and one of them approves it.
    assert_eq!(policies.iter().map(|status| u32::from(status.policy.used)).sum::<u32>(), 1);
}

#[tokio::test]
async fn behind_a_proxy_a_policy_sees_who_the_proxy_says_and_not_what_its_client_says() {
    let proxies =
        ProxySettings { trusted: vec!["127.0.0.1".parse().unwrap()], ..ProxySettings::default() };
    let builder = Gateway::builder(MemoryStore::default()).proxies(proxies);
    let world = World::of(builder, later()).await;
    allows(&world.gateway, "10.0.0.0/8", 1).await;
    let http = world.http().await;
    // The client wrote its own header, and the proxy put the truth behind it.
    for whom in [&["10.0.0.7, 203.0.113.9"][..], &["10.0.0.7", "203.0.113.9"], &["nobody"], &[]] {
        assert!(!is_approved(Wire::websocket_for(http, whom).await, &fresh()).await, "{whom:?}");
    }
    let whom = ["203.0.113.9, 10.0.0.7"];
    assert!(is_approved(Wire::websocket_for(http, &whom).await, &fresh()).await);
}

#[tokio::test]
async fn a_policy_lets_in_nobody_whom_the_operator_turned_down_and_nobody_after_its_end() {
    let world = World::new().await;
    let own = fresh();
    let mut client = asks(&world, &own, Features::NONE, None).await;
    let waits = |message: PairFromGateway<'_>| matches!(message, PairFromGateway::Waiting { .. });
    assert!(client.hear_to_pair(waits).await.unwrap());
    let found = world.gateway.inner.store.by_key(own.channel.public()).await.unwrap().unwrap();
    world.gateway.reject(found.record.node_id, None).await.unwrap();
    let id = allows(&world.gateway, "127.0.0.0/8", 9).await;
    assert!(!is_approved(world.tcp().await, &own).await);
    world.gateway.end_policy(id).await.unwrap();
    assert!(!is_approved(world.tcp().await, &fresh()).await);
    assert!(world.gateway.end_policy(id).await.is_err());
}

#[tokio::test]
async fn a_policy_for_everybody_or_for_too_long_is_not_made() {
    let world = World::new().await;
    let new = |from: &str, hours: u64, most| NewPolicy {
        from: from.parse().unwrap(),
        lasts: Duration::from_secs(hours * 3600),
        most,
        permissions: None,
        grant_for: None,
    };
    for new in [
        new("0.0.0.0/0", 1, 1),
        new("::/0", 1, 1),
        new("10.0.0.0/8", 25, 1),
        new("10.0.0.0/8", 0, 1),
        new("10.0.0.0/8", 1, 0),
        new("10.0.0.0/8", 1, 1_001),
    ] {
        assert!(world.gateway.make_policy_by(&Authority::OWNER, new).await.is_err());
    }
    assert_eq!(world.gateway.policies().await.unwrap(), []);
}
