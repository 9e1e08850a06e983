//! What was given for a while, narrowed, ended or muted is not kept by asking cleverly.

use handfast_core::flow::registration::operator::Purpose;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::lifecycle::Decision;
use handfast_core::registry::sessions::Maker;
use handfast_core::wire::native::link::{Policy, Renew};

use super::*;

#[tokio::test]
async fn a_chain_ends_in_time_though_the_node_confirms_its_own_grant_meanwhile() {
    let mut served =
        Served::of(Gateway::builder(MemoryStore::default()).pairing(lets_in("write:/lights/**\n")))
            .await;
    let (lamp, other) = (served.paired("lamp").await, served.paired("other").await);
    let mut client = served.link(&other).await;
    let chain =
        handed_on(&lamp.chain, &lamp.keys, &other.keys, &["write:/lights/room1"], in_seconds(2));
    assert!(presents(&mut client, &chain).await);
    assert!(served.lets_through(&mut client, "/lights/room1").await);
    assert!(
        !served.lets_through(&mut client, "/lights/room2").await,
        "the chain is narrower than its own grant"
    );
    client.say(&FromNode::Stored(other.grant)).await;
    assert!(client.hear(|message| message == FromGateway::Active(other.grant)).await.unwrap());
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert!(!served.lets_through(&mut client, "/lights/room1").await);
}

#[tokio::test]
async fn presenting_another_chain_of_the_same_holder_leaves_the_link_revocable_by_it() {
    let served = Served::open().await;
    let (lamp, between, delegate) =
        (served.paired("lamp").await, served.paired("between").await, keys());
    let mut client = served.stranger(Intent::Delegate, &delegate).await;
    for scope in ["read:/a", "read:/b"] {
        let chain = handed_on(&lamp.chain, &lamp.keys, &between.keys, &[scope], in_seconds(600));
        let chain = handed_on(&chain, &between.keys, &delegate, &[scope], in_seconds(600));
        assert!(presents(&mut client, &chain).await);
    }
    served.gateway.decide(between.node_id, &Decision::Unpair).await.unwrap();
    assert!(ended(&mut client).await);
}

#[tokio::test]
async fn a_chain_that_does_not_count_leaves_the_one_before_it_revocable() {
    let served = Served::open().await;
    let (lamp, delegate) = (served.paired("lamp").await, keys());
    let mut client = served.stranger(Intent::Delegate, &delegate).await;
    let [good, bad] = ["read:/a", "read:/b"]
        .map(|scope| handed_on(&lamp.chain, &lamp.keys, &delegate, &[scope], in_seconds(600)));
    assert!(presents(&mut client, &good).await);
    let block = *capability::Chain::from_bytes(&bad).unwrap().leaf().id();
    served.gateway.revoke_paired(&block.to_string()).await.unwrap();
    assert!(!presents(&mut client, &bad).await);
    served.gateway.decide(lamp.node_id, &Decision::Unpair).await.unwrap();
    assert!(ended(&mut client).await);
}

/// Whether the gateway says that nothing counts any more.
async fn ended(client: &mut Client) -> bool {
    let heard = client.hear(|message| message == FromGateway::Admission(Admission::NotPaired));
    tokio::time::timeout(Duration::from_secs(1), heard).await.is_ok_and(|heard| heard == Ok(true))
}

#[tokio::test]
async fn a_muted_node_does_not_speak_as_the_holder_of_its_own_chain() {
    let mut served = Served::open().await;
    let lamp = served.paired("lamp").await;
    served.gateway.decide(lamp.node_id, &Decision::Mute).await.unwrap();
    let mut client = served.stranger(Intent::Delegate, &lamp.keys).await;
    assert!(!presents(&mut client, &lamp.chain).await);
    assert!(served.heard.try_recv().is_err());
}

#[tokio::test]
async fn a_muted_node_does_not_speak_through_its_delegates_until_it_is_unmuted() {
    let mut served = Served::open().await;
    let (lamp, delegate) = (served.paired("lamp").await, keys());
    let chain = handed_on(&lamp.chain, &lamp.keys, &delegate, &["write:/a"], in_seconds(600));
    let mut live = served.stranger(Intent::Delegate, &delegate).await;
    assert!(presents(&mut live, &chain).await);
    assert!(served.lets_through(&mut live, "/a").await);
    served.gateway.decide(lamp.node_id, &Decision::Mute).await.unwrap();
    assert!(!served.lets_through(&mut live, "/a").await);
    let mut again = served.stranger(Intent::Delegate, &delegate).await;
    assert!(!presents(&mut again, &chain).await);
    served.gateway.decide(lamp.node_id, &Decision::Unmute).await.unwrap();
    let mut unmuted = served.stranger(Intent::Delegate, &delegate).await;
    assert!(presents(&mut unmuted, &chain).await);
}

#[tokio::test]
async fn a_chain_whose_grant_the_registry_does_not_have_counts_nothing() {
    let served = Served::open().await;
    let (stranger, delegate) = (keys(), keys());
    let scopes = Scopes::parse(["read:/**"]).unwrap();
    let terms = BlockTerms { scopes, not_before: unix(), expires: in_seconds(600), audience: None };
    let mut room = [0; CAPABILITY_BYTES];
    let root = capability::issue(
        &served.gateway.keys().signing,
        &Holder::of(&stranger),
        &terms,
        &mut room,
    )
    .unwrap();
    let chain = handed_on(root.as_bytes(), &stranger, &delegate, &["read:/a"], in_seconds(600));
    let mut client = served.stranger(Intent::Delegate, &delegate).await;
    assert!(!presents(&mut client, &chain).await);
}

#[tokio::test]
async fn a_live_link_has_what_the_newest_confirmed_grant_allows_wherever_it_was_confirmed() {
    let mut served = Served::open().await;
    let (lamp, delegate) = (served.paired("lamp").await, keys());
    let mut link = served.link(&lamp).await;
    assert!(served.lets_through(&mut link, "/b").await);
    let narrower = crate::policy::ApprovalTerms {
        permissions: Some(scopes("write:/a\n")),
        ..crate::policy::ApprovalTerms::default()
    };
    served.gateway.pair_on(lamp.node_id, Purpose::Reissue, narrower).await.unwrap();
    let second = served.offer(&lamp.keys, "lamp").await;
    // The first use of what is newer confirms it, here by a delegate's hand.
    let chain =
        handed_on(&second.chain.unwrap(), &lamp.keys, &delegate, &["write:/a"], in_seconds(600));
    let mut client = served.stranger(Intent::Delegate, &delegate).await;
    assert!(presents(&mut client, &chain).await);
    assert!(!served.lets_through(&mut link, "/b").await);
    assert!(served.lets_through(&mut link, "/a").await);
}

#[tokio::test]
async fn a_link_on_an_offer_that_was_never_confirmed_ends_with_the_offer() {
    let mut served = Served::open().await;
    let lamp = served.offered("lamp").await;
    let store = &served.gateway.inner.store;
    let entry = served.gateway.entry(lamp.node_id).await.unwrap();
    let mut grant = store.grants(lamp.node_id).await.unwrap().pop().unwrap();
    grant.id = GrantId::new(&entropy::draw());
    grant.state = handfast_core::registry::grants::State::Offered { until: in_seconds(2) };
    store
        .offer(entry.record, entry.profile, Some(entry.version), grant, None, unix())
        .await
        .unwrap();
    let mut link = served.link(&lamp).await;
    assert!(served.lets_through(&mut link, "/a").await);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert!(!served.lets_through(&mut link, "/a").await);
}

#[tokio::test]
async fn renewing_all_day_makes_a_bounded_number_of_grants() {
    let served = Served::open().await;
    let lamp = served.paired("lamp").await;
    let mut client = served.link(&lamp).await;
    let mut got = 0;
    for _ in 0..100 {
        client.say(&FromNode::Renew(Renew::Chain)).await;
        let answer = client.hear(|message| match message {
            FromGateway::Grant(grant) => Some(grant.id),
            _ => None,
        });
        let Some(grant) = answer.await.unwrap() else { continue };
        got += 1;
        client.say(&FromNode::Stored(grant)).await;
        assert!(client.hear(|message| message == FromGateway::Active(grant)).await.unwrap());
    }
    assert!((4..=24).contains(&got), "{got}");
    assert!(served.gateway.inner.store.grants(lamp.node_id).await.unwrap().len() <= 25);
    // The operator is not bound by it.
    served.gateway.pair(lamp.node_id, Purpose::Reissue).await.unwrap();
}

#[tokio::test]
async fn a_node_that_ignores_a_narrower_grant_until_it_runs_out_gets_no_wider_one_by_renewing() {
    let served = Served::open().await;
    let lamp = served.paired("lamp").await;
    let store = &served.gateway.inner.store;
    let entry = served.gateway.entry(lamp.node_id).await.unwrap();
    let mut grant = store.grants(lamp.node_id).await.unwrap().pop().unwrap();
    grant.id = GrantId::new(&entropy::draw());
    (grant.scopes, grant.capability) = (scopes("read:/a\n"), None);
    grant.state = handfast_core::registry::grants::State::Offered { until: unix() };
    let ceiling = Ceiling {
        scopes: grant.scopes.clone(),
        expires: None,
        named: true,
        maker: Maker::Operator,
    };
    store
        .offer(entry.record, entry.profile, Some(entry.version), grant, Some(ceiling), unix())
        .await
        .unwrap();
    let mut client = served.link(&lamp).await;
    client.say(&FromNode::Renew(Renew::Chain)).await;
    assert!(client.hear(|message| matches!(message, FromGateway::Grant(_))).await.unwrap());
    let newest = store.grants(lamp.node_id).await.unwrap().pop().unwrap();
    assert_eq!(newest.scopes.as_str(), "read:/a\n");
}

#[tokio::test]
async fn what_is_replayed_of_a_handshake_neither_ends_the_live_link_nor_looks_like_a_sign_of_life()
{
    use handfast_core::crypto::noise::ik;
    use handfast_core::limits::MESSAGE_BYTES;
    use handfast_core::wire::native::open::Open;
    let mut served = Served::open().await;
    let lamp = served.paired("lamp").await;
    let open = Open::new(Intent::Link);
    let mut room = [0; MESSAGE_BYTES];
    let gateway = *served.gateway.keys().channel.public();
    let (_, first) = ik::Initiator::start(
        open.prologue(),
        &lamp.keys.channel,
        &gateway,
        &entropy::draw(),
        &[],
        &mut room,
    )
    .unwrap();
    let mut link = served.link(&lamp).await;
    assert!(served.lets_through(&mut link, "/a").await);
    let seen = async || served.gateway.entry(lamp.node_id).await.unwrap().observed;
    let before = seen().await;
    for _ in 0..20 {
        let mut replay = served.wire().await;
        replay.send(open.as_bytes()).await;
        replay.send(first).await;
        assert!(replay.recv().await.is_ok());
        replay.send(&[7; 40]).await;
        assert_eq!(replay.recv().await, Err(0));
    }
    assert_eq!(seen().await, before);
    assert!(served.lets_through(&mut link, "/a").await);
    served.gateway.decide(lamp.node_id, &Decision::Mute).await.unwrap();
    assert!(link.hear(|message| message == FromGateway::Policy(Policy::Mute)).await.unwrap());
}

#[tokio::test]
async fn a_delegate_whose_delegator_renewed_goes_on_by_presenting_what_is_newer() {
    let mut served = Served::open().await;
    let (lamp, delegate) = (served.paired("lamp").await, keys());
    let mut client = served.stranger(Intent::Delegate, &delegate).await;
    assert!(
        presents(
            &mut client,
            &handed_on(&lamp.chain, &lamp.keys, &delegate, &["write:/a"], in_seconds(600))
        )
        .await
    );
    served.gateway.pair(lamp.node_id, Purpose::Reissue).await.unwrap();
    let second = served.offer(&lamp.keys, "lamp").await.chain.unwrap();
    assert!(
        presents(
            &mut client,
            &handed_on(&second, &lamp.keys, &delegate, &["write:/a"], in_seconds(600))
        )
        .await
    );
    assert!(served.lets_through(&mut client, "/a").await);
    served.gateway.decide(lamp.node_id, &Decision::Unpair).await.unwrap();
    assert!(ended(&mut client).await);
}

#[tokio::test]
async fn a_chain_for_an_audience_counts_at_the_gateway_of_that_fingerprint_alone() {
    let served = Served::open().await;
    let lamp = served.paired("lamp").await;
    let own = served.gateway.fingerprint().to_string();
    for (audience, counts) in [(own.as_str(), true), ("another service", false)] {
        let (delegate, mut room) = (keys(), [0; CAPABILITY_BYTES]);
        let chain = capability::Chain::from_bytes(&lamp.chain).unwrap();
        let terms = BlockTerms {
            scopes: Scopes::parse(["write:/a"]).unwrap(),
            not_before: chain.leaf().terms().not_before,
            expires: in_seconds(600),
            audience: handfast_core::Label::parse(audience),
        };
        let to = Holder::of(&delegate);
        let chain = chain.attenuate(&lamp.keys.signing, &to, &terms, &mut room).unwrap();
        let mut client = served.stranger(Intent::Delegate, &delegate).await;
        assert_eq!(presents(&mut client, chain.as_bytes()).await, counts, "{audience}");
    }
}
