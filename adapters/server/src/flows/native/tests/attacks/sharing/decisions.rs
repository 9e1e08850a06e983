//! Decisions at one gateway, and what they mean at another.

use std::time::Instant;

use handfast_core::flow::registration::operator::Purpose;
use handfast_core::registry::authority::Authority;
use handfast_core::registry::codes::CodeId;
use handfast_core::registry::lifecycle::Decision;
use handfast_core::registry::record::Standing;
use handfast_core::wire::native::Features;
use handfast_core::wire::native::link::{FromNode, Hello, Policy};
use handfast_core::wire::native::pair;
use handfast_core::{Source, Span};
use handfast_store::RevokedCertificates;

use super::*;
use crate::clock::{LocalClock, SystemClock};
use crate::gateway::changes::Since;
use crate::operator::codes::NewCode;
use crate::operator::policies::NewPolicy;
use crate::operator::sessions::Redeemable;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_mute_and_a_revocation_at_one_gateway_bite_at_once_at_another() {
    let registry = Registry::new();
    let (here, there) = (registry.gateway("here").await, registry.gateway("there").await);
    let node = here.paired("lamp").await;
    let mut client = there.link(&node).await;
    let mut slowest = Duration::ZERO;
    for (decision, policy) in [
        (Decision::Mute, Policy::Mute),
        (Decision::Unmute, Policy::Unmute),
        (Decision::Mute, Policy::Mute),
        (Decision::Unpair, Policy::Unpair),
    ] {
        let begun = Instant::now();
        here.gateway.decide(node.node_id, &decision).await.unwrap();
        let took = hears(&mut client, begun, |message| message == FromGateway::Policy(policy));
        slowest = slowest.max(took.await);
    }
    println!("the slowest decision took {slowest:?} until the node heard it");
    assert!(slowest < EVERYWHERE, "{slowest:?}");
    let (_, admission) =
        Client::call(there.wire().await, &node.keys, there.gateway.keys().channel.public())
            .await
            .unwrap();
    assert_ne!(admission, Admission::Welcome, "it is out at both");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_narrowed_ceiling_bounds_a_link_at_another_gateway() {
    let registry = Registry::new();
    let (here, mut there) = (registry.gateway("here").await, registry.gateway("there").await);
    let node = here.paired("lamp").await;
    let mut client = there.link(&node).await;
    assert!(there.lets_through(&mut client, "/lights/hall").await);
    here.gateway.permit(node.node_id, Some(scopes("write:/audio/**\n")), None).await.unwrap();
    tokio::time::sleep(EVERYWHERE).await;
    assert!(!there.lets_through(&mut client, "/lights/hall").await);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn addresses_that_are_told_at_one_gateway_reach_a_node_that_is_linked_at_another() {
    const NEW: &str = "tcp://10.0.0.2:7331";
    let registry = Registry::new();
    let (here, there) = (registry.gateway("here").await, registry.gateway("there").await);
    let node = here.paired("lamp").await;
    let gateway = *there.gateway.keys().channel.public();
    let mut client = Client::link(there.wire().await, &node.keys, &gateway).await.unwrap();
    let features = Features::PING.with(Features::ADDRESSES);
    client.say(&FromNode::Hello(Hello { features, mark: None, holds: None })).await;
    while !there.gateway.moved_node(node.node_id).await.unwrap().online {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    here.gateway.move_nodes(Some(node.node_id), &[NEW.to_owned()]).await.unwrap();
    let told = hears(&mut client, Instant::now(), |message| match message {
        FromGateway::Policy(Policy::GatewayAddress(list)) => list.as_str() == NEW,
        _ => false,
    });
    assert!(told.await < EVERYWHERE);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn an_eviction_ends_a_link_at_another_gateway_and_its_node_comes_back() {
    let registry = Registry::new();
    let (here, there) = (registry.gateway("here").await, registry.gateway("there").await);
    let node = here.paired("lamp").await;
    let mut client = there.link(&node).await;
    here.gateway.evict(node.node_id).await.unwrap();
    ends(&mut client).await;
    drop(there.link(&node).await);
    let revoked = RevokedCertificates::Node(node.node_id);
    assert!(here.gateway.revoke_certificates(revoked).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn an_approval_in_advance_at_one_gateway_is_for_who_waits_at_another_and_both_see_what_waits()
{
    let registry = Registry::new();
    let waits = |builder: GatewayBuilder| builder.pairing(PairingSettings::default());
    let here = registry.gateway_of("here", waits).await;
    let there = registry.gateway_of("there", waits).await;
    let changes = &there.gateway.inner.pairing.changes;
    let mut latest = changes.latest();
    let own = keys();
    let mut client = here.stranger(Intent::Pair, &own).await;
    client.ask(&own, "lamp").await;
    let is_waiting = |message: pair::PairFromGateway<'_>| {
        matches!(message, pair::PairFromGateway::Waiting { .. })
    };
    assert!(client.hear_to_pair(is_waiting).await.unwrap());
    let told = async |latest: &mut tokio::sync::watch::Receiver<u64>, kind: &str| {
        let told = async {
            loop {
                let Since::Changes(all) = changes.since(0) else { panic!("none is forgotten") };
                if all.iter().any(|change| change.kind == kind) {
                    break;
                }
                latest.changed().await.unwrap();
            }
        };
        tokio::time::timeout(EVERYWHERE, told).await.expect(kind);
    };
    told(&mut latest, "request").await;
    let new = NewPolicy {
        from: "127.0.0.0/8".parse().unwrap(),
        lasts: Duration::from_secs(600),
        most: 1,
        permissions: None,
        grant_for: None,
    };
    there.gateway.make_policy_by(&Authority::OWNER, new).await.unwrap();
    let granted =
        |message: pair::PairFromGateway<'_>| matches!(message, pair::PairFromGateway::Grant(_));
    let given = async { while !client.hear_to_pair(granted).await.unwrap() {} };
    tokio::time::timeout(EVERYWHERE, given).await.expect("it is approved");
    told(&mut latest, "policy").await;
    here.gateway.mint_code(NewCode::default()).await.unwrap();
    told(&mut latest, "code").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn of_two_operators_who_approve_and_reject_one_entry_on_two_gateways_one_prevails() {
    let registry = Registry::new();
    let waits = |builder: GatewayBuilder| builder.pairing(PairingSettings::default());
    let here = registry.gateway_of("here", waits).await;
    let there = registry.gateway_of("there", waits).await;
    for round in 0..6 {
        let own = keys();
        let mut client = here.stranger(Intent::Pair, &own).await;
        client.ask(&own, &format!("lamp {round}")).await;
        let waits = |message: pair::PairFromGateway<'_>| {
            matches!(message, pair::PairFromGateway::Waiting { .. })
        };
        assert!(client.hear_to_pair(waits).await.unwrap());
        let found = here.gateway.inner.store.by_key(own.channel.public()).await.unwrap().unwrap();
        let node_id = found.record.node_id;
        let approves = there.gateway.pair(node_id, Purpose::Approve);
        let (approved, rejected) =
            tokio::join!(approves, here.gateway.decide(node_id, &Decision::Reject));
        assert!(approved.is_ok() != rejected.is_ok(), "{approved:?} {rejected:?}");
        // A rejection is in force before it is stored, so one that does not prevail may be seen at
        // its gateway for a moment. Then both say the same.
        for served in [&here, &there] {
            let settled = async || {
                let found = served.gateway.inner.store.load(node_id).await.unwrap().unwrap();
                matches!(found.record.standing, Standing::Paired { .. }) == approved.is_ok()
            };
            let waits = async {
                while !settled().await {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(10), waits).await.expect("one prevails");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_code_that_is_spent_on_two_gateways_at_once_counts_once() {
    let registry = Registry::new();
    let (here, there) = (registry.gateway("here").await, registry.gateway("there").await);
    for _ in 0..8 {
        let code = Redeemable {
            nonce: handfast_core::wire::setup::Nonce::new(&entropy::draw()),
            expires_at: here.gateway.now().after(Span::from_secs(300)),
            profile: Label::parse("phone").unwrap().into(),
            device_label: None,
            maker: handfast_core::registry::sessions::Maker::Operator,
        };
        let (one, other) =
            tokio::join!(here.gateway.redeem(code.clone()), there.gateway.redeem(code.clone()));
        let opened = [one.unwrap().is_ok(), other.unwrap().is_ok()];
        assert_eq!(opened.iter().filter(|opened| **opened).count(), 1, "{opened:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn guesses_that_are_spread_over_gateways_count_once() {
    let registry = Registry::new();
    let (here, there) = (registry.gateway("here").await, registry.gateway("there").await);
    here.gateway.open_pairing(None).await.unwrap();
    let own = keys();
    let mut client = here.stranger(Intent::Pair, &own).await;
    client.ask_by(&own, "lamp", Method::Pin).await;
    until(|| here.gateway.inner.hub.shows_pins()).await;
    let pins = here.gateway.inner.store.codes(here.gateway.now()).await.unwrap();
    let pin: CodeId = pins[0].id;
    let source = Source::of([192, 0, 2, 1].into());
    let mut guesses = 0;
    for round in 0.. {
        let gateway = if round % 2 == 0 { &here.gateway } else { &there.gateway };
        let reserved = gateway.inner.store.reserve(Some(pin), source, gateway.now()).await.unwrap();
        if reserved.is_err() {
            break;
        }
        guesses += 1;
    }
    let alone = registry.gateway("alone").await;
    let own = keys();
    let mut client = alone.stranger(Intent::Pair, &own).await;
    client.ask_by(&own, "other", Method::Pin).await;
    let others = async || {
        let pins = alone.gateway.inner.store.codes(alone.gateway.now()).await.unwrap();
        pins.into_iter().map(|pin| pin.id).find(|id| *id != pin)
    };
    let second = loop {
        if let Some(second) = others().await {
            break second;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let source = Source::of([198, 51, 100, 1].into());
    let mut at_one = 0;
    let now = alone.gateway.now();
    while alone.gateway.inner.store.reserve(Some(second), source, now).await.unwrap().is_ok() {
        at_one += 1;
    }
    assert_eq!(guesses, at_one, "as many as at one gateway");
}

/// Clocks of this system whose time of day is an hour ahead.
struct Ahead(LocalClock);

impl SystemClock for Ahead {
    fn wall(&self) -> Duration {
        self.0.wall() + Duration::from_secs(3600)
    }

    fn elapsed(&self) -> handfast_core::Instant {
        self.0.elapsed()
    }

    fn is_synchronised(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn gateways_whose_clocks_are_an_hour_apart_go_by_the_time_of_the_registry() {
    let registry = Registry::new();
    let here = registry.gateway("here").await;
    let ahead = |builder: GatewayBuilder| builder.clock(Ahead(LocalClock::default()));
    let there = registry.gateway_of("there", ahead).await;
    let apart = here.gateway.now().until(there.gateway.now());
    assert!(apart.abs() <= 2, "{apart} s");
    for served in [&here, &there] {
        assert_eq!(served.gateway.clock().mend(), None);
        assert!(served.gateway.clock().synchronised);
    }
    // What lives for a minute lives for a minute at both.
    let node = here.paired("lamp").await;
    drop(there.link(&node).await);
    let opened = there.gateway.open_pairing(Some(Duration::from_secs(60))).await.unwrap();
    assert!(opened.open && here.gateway.pairing_status().await.unwrap().open);
}
