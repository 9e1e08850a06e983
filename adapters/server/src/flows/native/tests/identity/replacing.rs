//! Nodes that take the place of others.

use handfast_core::grant::scope::ScopesBuf;
use handfast_core::registry::authority::Authority;
use handfast_core::registry::lifecycle::Decision;
use handfast_core::registry::record::{Cause, Standing};
use handfast_core::registry::replacing::CannotReplace;
use handfast_core::wire::native::link::{Admission, Policy};
use handfast_core::wire::native::pair::PairRefusal;
use handfast_store::{Entry, Version};

use super::*;
use crate::gateway::operator_types::OperatorError;
use crate::pairing::ReplacedNode;
use crate::policy::rules::ApprovalTerms;

/// Pairs a node with this name that may read /a.
async fn pairs(world: &World, own: &OwnKeys, name: &str) -> NodeId {
    let mut client = Client::stranger(Intent::Pair, world.tcp().await, own).await;
    let wants = AskedScopes::parse("read:/a").unwrap();
    client.ask_for(own, name, Method::Approval, wants, Features::NONE, None).await;
    let node_id = approves(&world.gateway).await;
    let given = is_given(&mut client).await;
    stores(&mut client, &given).await;
    node_id
}

async fn waiting(world: &World) -> Entry {
    loop {
        let mut waiting = world.gateway.devices(Filter::Pending, None, 9).await.unwrap();
        if let Some(Ok(device)) = waiting.pop() {
            return device.entry;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

async fn replaces(
    world: &World,
    new: NodeId,
    old: NodeId,
    version: Option<Version>,
    permissions: Option<ScopesBuf>,
) -> Result<(), OperatorError> {
    let (place, owner) = (ReplacedNode { node_id: old, version }, &Authority::OWNER);
    let terms = ApprovalTerms { permissions, ..ApprovalTerms::default() };
    world.gateway.replace_by(owner, new, place, terms).await.map(drop)
}

fn why(refused: Result<(), OperatorError>) -> CannotReplace {
    match refused.unwrap_err() {
        OperatorError::CannotReplace { why, .. } => why,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn the_key_of_a_replaced_node_is_refused_and_its_link_is_cut() {
    let (world, old, new) = (World::new().await, fresh(), fresh());
    let old_id = pairs(&world, &old, "kitchen").await;
    let mut link = links(&world, &old, None).await;
    while !world.gateway.inner.hub.is_live(old_id) {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let mut client = asks(&world, &new, Features::NONE, None).await;
    let new_id = waiting(&world).await.record.node_id;
    replaces(&world, new_id, old_id, None, None).await.unwrap();
    let is_out =
        |message: FromGateway<'_>| (message == FromGateway::Policy(Policy::Unpair)).then_some(());
    hears(&mut link, is_out).await;
    let given = is_given(&mut client).await;
    stores(&mut client, &given).await;
    // The place is the new one's, with what the old one might do.
    let node = world.gateway.paired_node(new_id).await.unwrap();
    let record = &node.device.entry.record;
    assert_eq!((record.name.as_str(), node.grants.len()), ("kitchen", 1));
    let scopes = node.device.entry.ceiling.as_ref().unwrap().scopes.as_str();
    assert_eq!((scopes, given.node_id), ("read:/a\n", new_id));
    let (before, after) = world.gateway.places_of(new_id).await.unwrap();
    assert_eq!((before[0].node_id, after), (old_id, None));
    assert_eq!(world.gateway.places_of(old_id).await.unwrap().1.unwrap().node_id, new_id);
    // The old key neither links nor asks any more.
    let record = world.gateway.entry(old_id).await.unwrap().record;
    assert_eq!(record.standing, Standing::Revoked { cause: Cause::Unpaired });
    let (_, admission) = Client::call(world.tcp().await, &old, &world.key()).await.unwrap();
    assert_eq!(admission, Admission::NotPaired);
    let mut again = asks(&world, &old, Features::NONE, None).await;
    let revoked = |message: PairFromGateway<'_>| match message {
        PairFromGateway::Refused(refusal) => refusal == PairRefusal::Revoked,
        _ => false,
    };
    assert_eq!(again.hear_to_pair(revoked).await, Ok(true));
}

#[tokio::test]
async fn each_pair_of_nodes_that_cannot_change_places_is_refused_and_nothing_is_decided() {
    let (world, old, new) = (World::new().await, fresh(), fresh());
    let old_id = pairs(&world, &old, "kitchen").await;
    let mut client = asks(&world, &new, Features::NONE, None).await;
    let seen = waiting(&world).await;
    let new_id = seen.record.node_id;
    assert_eq!(why(replaces(&world, new_id, new_id, None, None).await), CannotReplace::Itself);
    assert_eq!(
        why(replaces(&world, old_id, world.node_id, None, None).await),
        CannotReplace::NotWaiting
    );
    // The world's node has no ceiling, so nobody can say what would move.
    assert_eq!(
        why(replaces(&world, new_id, world.node_id, None, None).await),
        CannotReplace::OldHasNothing
    );
    let gone = NodeId::new(&entropy::draw());
    let missing = replaces(&world, new_id, gone, None, None).await.unwrap_err();
    assert!(matches!(missing, OperatorError::NotFound(_)), "{missing}");
    // What was shown of the old one is not what it is any more.
    let shown = world.gateway.entry(old_id).await.unwrap().version;
    world.gateway.decide(old_id, &Decision::Mute).await.unwrap();
    assert_eq!(why(replaces(&world, new_id, old_id, None, None).await), CannotReplace::OldMuted);
    world.gateway.decide(old_id, &Decision::Unmute).await.unwrap();
    let changed = replaces(&world, new_id, old_id, Some(shown), None).await.unwrap_err();
    assert!(matches!(changed, OperatorError::Changed { node_id, .. } if node_id == old_id));
    assert_eq!(waiting(&world).await.record, seen.record);
    let named = ScopesBuf::parse("read:/b\n").unwrap();
    replaces(&world, new_id, world.node_id, None, Some(named)).await.unwrap();
    is_given(&mut client).await;
    assert_eq!(
        why(replaces(&world, new_id, world.node_id, None, None).await),
        CannotReplace::NotWaiting
    );
}
