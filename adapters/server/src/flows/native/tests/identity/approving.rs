//! Approvals of what was seen, and permissions that nodes ask for.

use handfast_core::flow::identity::seen::SeenHash;
use handfast_core::registry::authority::Authority;
use handfast_core::registry::lifecycle::Decision;
use handfast_core::wire::native::pair::PairRefusal;
use handfast_store::Entry;

use super::*;
use crate::gateway::operator_types::OperatorError;
use crate::policy::rules::ApprovalTerms;

async fn waiting(gateway: &Gateway) -> Entry {
    loop {
        let mut waiting = gateway.devices(Filter::Pending, None, 9).await.unwrap();
        if let Some(Ok(device)) = waiting.pop() {
            return device.entry;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

async fn asks_for(world: &World, own: &OwnKeys, name: &str, wants: &str) -> Client {
    let mut client = Client::stranger(Intent::Pair, world.tcp().await, own).await;
    let wants = AskedScopes::parse(wants).unwrap();
    client.ask_for(own, name, Method::Approval, wants, Features::NONE, None).await;
    client
}

async fn waits(client: &mut Client) {
    let waits = |message: PairFromGateway<'_>| matches!(message, PairFromGateway::Waiting { .. });
    assert!(client.hear_to_pair(waits).await.unwrap());
}

async fn approves_seen(
    world: &World,
    node_id: NodeId,
    seen: Option<SeenHash>,
) -> Result<(), OperatorError> {
    let (purpose, terms) = (Purpose::Approve, ApprovalTerms::default());
    let owner = &Authority::OWNER;
    world.gateway.pair_seen_by(owner, node_id, purpose, terms, seen).await.map(drop)
}

#[tokio::test]
async fn an_approval_of_what_was_seen_is_refused_once_the_request_has_changed() {
    let (world, own) = (World::new().await, fresh());
    let mut client = asks_for(&world, &own, "sensor", "read:/a").await;
    waits(&mut client).await;
    let before = waiting(&world.gateway).await;
    let mut client = asks_for(&world, &own, "sensor", "read:/a\nwrite:/**").await;
    waits(&mut client).await;
    let node_id = waiting(&world.gateway).await.record.node_id;
    let old = SeenHash::of(&before.record);
    let refused = approves_seen(&world, node_id, Some(old)).await.unwrap_err();
    assert!(matches!(&refused, OperatorError::Changed { now, .. } if now.contains("write:/**")));
    // Nothing was granted by it.
    let entry = waiting(&world.gateway).await;
    approves_seen(&world, node_id, Some(SeenHash::of(&entry.record))).await.unwrap();
    is_given(&mut client).await;
}

#[tokio::test]
async fn an_operator_who_was_shown_another_request_is_told_once_what_has_changed() {
    let (world, own) = (World::new().await, fresh());
    let mut client = asks_for(&world, &own, "sensor", "read:/a").await;
    waits(&mut client).await;
    world.gateway.inner.shown.see(&waiting(&world.gateway).await);
    let mut client = asks_for(&world, &own, "sensor", "write:/**").await;
    waits(&mut client).await;
    let node_id = waiting(&world.gateway).await.record.node_id;
    let refused = approves_seen(&world, node_id, None).await.unwrap_err();
    let OperatorError::Changed { shown, now, .. } = refused else { panic!("{refused}") };
    assert!(shown.contains("read:/a") && now.contains("write:/**"), "{shown}, {now}");
    approves_seen(&world, node_id, None).await.unwrap();
}

#[tokio::test]
async fn what_a_node_asks_for_bounds_what_it_gets_and_asking_for_more_changes_nothing() {
    let (world, own) = (World::new().await, fresh());
    let mut client = asks_for(&world, &own, "sensor", "read:/a").await;
    let node_id = approves(&world.gateway).await;
    let given = is_given(&mut client).await;
    stores(&mut client, &given).await;
    let permits = async || {
        let node = world.gateway.paired_node(node_id).await.unwrap();
        let ceiling = node.device.entry.ceiling.unwrap().scopes.as_str().to_owned();
        (ceiling, node.device.entry.asks_more.as_str().to_owned())
    };
    assert_eq!(permits().await, ("read:/a\n".to_owned(), String::new()));
    let mut client = asks_for(&world, &own, "sensor", "read:/a\nwrite:/**").await;
    is_given(&mut client).await;
    assert_eq!(permits().await, ("read:/a\n".to_owned(), "write:/**".to_owned()));
    // It is listed until it is decided, whatever the decision is.
    let asking = async || world.gateway.devices(Filter::AskingMore, None, 9).await.unwrap().len();
    assert_eq!(asking().await, 1);
    let narrow = handfast_core::grant::scope::ScopesBuf::parse("read:/a\n").unwrap();
    world.gateway.permit(node_id, Some(narrow), None).await.unwrap();
    assert_eq!(asking().await, 0);
}

#[tokio::test]
async fn a_revoked_key_is_refused_in_every_way_after_its_record_was_removed() {
    let (world, own) = (World::new().await, fresh());
    let mut client = asks_for(&world, &own, "sensor", "read:/a").await;
    let node_id = approves(&world.gateway).await;
    is_given(&mut client).await;
    world.gateway.decide(node_id, &Decision::Unpair).await.unwrap();
    world.gateway.forget(node_id).await.unwrap();
    assert!(world.gateway.device_by_prefix(&node_id.to_string()).await.is_err());
    assert_eq!(world.gateway.summary().await.unwrap().nodes.forgotten, 1);
    for method in [Method::Approval, Method::Pin, Method::Setup] {
        let mut client = Client::stranger(Intent::Pair, world.tcp().await, &own).await;
        client.ask_for(&own, "sensor", method, AskedScopes::NONE, Features::NONE, None).await;
        let revoked = |message: PairFromGateway<'_>| match message {
            PairFromGateway::Refused(refusal) => refusal == PairRefusal::Revoked,
            _ => false,
        };
        assert_eq!(client.hear_to_pair(revoked).await, Ok(true), "{method:?}");
    }
    // A gateway that starts anew on the same registry knows it, too.
    let key = own.channel.public();
    assert!(world.gateway.inner.store.is_key_revoked(key).await.unwrap());
}
