//! Nodes that register by provisioning tokens.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;

use handfast_core::grant::keyed_secret::KeyedHash;
use handfast_core::grant::token::TokenHash;
use handfast_core::limits::Limits;
use handfast_core::registry::admission::PendingRequest;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::codes::{Counted, Kind};
use handfast_core::registry::provisioning::{NodeKeyId, NotRegistered};
use handfast_core::registry::record::{Cause, Credential, Mode, Record, Standing};
use handfast_core::registry::sessions::Maker;
use handfast_core::{Label, Name, NodeId, UnixTime};
use tokio::task::JoinSet;

use super::{ASKED, START, asking, at, code, fresh, grant, keyed, load, paired, record, session};
use crate::{NewProvisioned, ProvisionedNode, ProvisionedRights, SaveError, Store, StoredCode};

const HASH: [u8; 32] = [7; 32];

fn name(text: &str) -> Name {
    Label::parse(text).expect("a name").into()
}

/// Returns a token for the node of this name.
fn token(external: &str) -> StoredCode {
    let code = code(Kind::Provisioning);
    StoredCode {
        counted: Counted { uses_left: 1, guesses: 0, ..code.counted },
        sealed: HASH.to_vec(),
        provisions: Some(name(external)),
        ..code
    }
}

async fn minted(store: &dyn Store, external: &str) -> StoredCode {
    let token = token(external);
    store.mint(token.clone(), START).await.unwrap().unwrap();
    token
}

/// Returns a node with a native key that registers by this token.
fn new(token: &StoredCode) -> NewProvisioned {
    of_record(token, keyed())
}

fn of_record(token: &StoredCode, record: Record) -> NewProvisioned {
    let node_id = record.node_id;
    let grant = grant(node_id);
    let scopes = grant.scopes.clone();
    let ceiling = Ceiling { scopes, expires: None, named: false, maker: Maker::Operator };
    NewProvisioned {
        token: token.id,
        shown: KeyedHash::from_bytes(HASH),
        node: ProvisionedNode {
            node_id,
            external: token.provisions.clone().expect("a token"),
            key: NodeKeyId::from_bytes(fresh()),
            hash: KeyedHash::from_bytes([9; 32]),
        },
        record,
        profile: "{}".to_owned(),
        read_at: None,
        rights: ProvisionedRights::Offer(Box::new((grant, ceiling))),
    }
}

async fn register(
    store: &dyn Store,
    node: NewProvisioned,
    now: UnixTime,
) -> Result<(), NotRegistered> {
    store.register(node, now.into()).await.unwrap()
}

async fn is_entered(store: &dyn Store, node: &NewProvisioned) -> bool {
    let found = store.by_node_key(node.node.key).await.unwrap();
    assert_eq!(found.is_some(), store.load(node.node.node_id).await.unwrap().is_some());
    found.is_some()
}

async fn revoke(store: &dyn Store, id: NodeId) {
    let version = load(store, id).await.unwrap().1;
    let revoked = Standing::Revoked { cause: Cause::Unpaired };
    store.save(id, version, revoked, START).await.unwrap();
}

pub async fn a_token_reads_back_and_is_listed_among_the_codes(store: Arc<dyn Store>) {
    let made = minted(&*store, "jarvis-1").await;
    assert_eq!(store.code(made.id).await.unwrap(), Some(made.clone()));
    let listed = StoredCode { sealed: Vec::new(), ..made.clone() };
    assert_eq!(store.codes(START).await.unwrap(), [listed]);
    assert_eq!(store.codes(made.counted.expires).await.unwrap(), []);
}

pub async fn a_node_registers_once_by_its_token(store: Arc<dyn Store>) {
    let made = minted(&*store, "jarvis-1").await;
    let node = new(&made);
    assert_eq!(register(&*store, node.clone(), START).await, Ok(()));
    let (kept, stored) = store.by_node_key(node.node.key).await.unwrap().unwrap();
    assert_eq!((&kept, &stored.record), (&node.node, &node.record));
    assert_eq!(store.provisioned(node.node.node_id).await.unwrap(), Some(kept));
    let ProvisionedRights::Offer(rights) = &node.rights else { unreachable!() };
    assert_eq!(store.grants(node.node.node_id).await.unwrap(), std::slice::from_ref(&rights.0));
    assert_eq!(stored.ceiling.as_deref(), Some(&rights.1));
    assert_eq!(register(&*store, new(&made), START).await, Err(NotRegistered::Token));
    let spent = store.code(made.id).await.unwrap().unwrap();
    assert_eq!((spent.counted.uses_left, spent.sealed), (0, Vec::new()), "its hash is erased");

    // A node without a native key has no grant.
    let made = minted(&*store, "jarvis-2").await;
    let credential = Credential::Token(TokenHash::from_bytes([3; 32]));
    let standing = Standing::Paired { credential, mode: Mode::Full };
    let rights = ProvisionedRights::ApprovedBy(Maker::Operator);
    let bare = NewProvisioned { rights, ..of_record(&made, record(standing)) };
    assert_eq!(register(&*store, bare.clone(), START).await, Ok(()));
    assert!(is_entered(&*store, &bare).await);
    assert_eq!(store.grants(bare.node.node_id).await.unwrap(), []);
}

pub async fn of_registrations_at_once_exactly_one_enters(store: Arc<dyn Store>) {
    let made = minted(&*store, "jarvis-1").await;
    let mut all = JoinSet::new();
    for _ in 0..32 {
        let (store, node) = (Arc::clone(&store), new(&made));
        all.spawn(async move { store.register(node, START.into()).await.unwrap() });
    }
    let outcomes = all.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes.iter().all(|it| matches!(it, Ok(()) | Err(NotRegistered::Token))));
    assert_eq!(store.counts(START).await.unwrap().paired, 1);
}

pub async fn whoever_shows_no_valid_token_enters_nothing_and_spends_nothing(store: Arc<dyn Store>) {
    let made = minted(&*store, "jarvis-1").await;
    let unknown = token("jarvis-1");
    let mut other_name = new(&made);
    other_name.node.external = name("jarvis-2");
    let wrong = KeyedHash::from_bytes([8; 32]);
    let of_a_code = StoredCode { sealed: HASH.to_vec(), ..super::selected("K7QF") };
    store.mint(of_a_code.clone(), START).await.unwrap().unwrap();
    for node in [
        NewProvisioned { shown: wrong, ..new(&made) },
        NewProvisioned { token: of_a_code.id, ..new(&made) },
        new(&unknown),
        other_name,
    ] {
        assert_eq!(register(&*store, node.clone(), START).await, Err(NotRegistered::Token));
        assert!(!is_entered(&*store, &node).await);
    }
    assert_eq!(register(&*store, new(&made), START).await, Ok(()), "it is not spent");
}

pub async fn a_token_ends_by_its_time_its_withdrawal_and_its_maker(store: Arc<dyn Store>) {
    let made = minted(&*store, "jarvis-1").await;
    let late = register(&*store, new(&made), made.counted.expires).await;
    assert_eq!(late, Err(NotRegistered::Token));
    assert!(store.withdraw(made.id, START).await.unwrap());
    assert_eq!(register(&*store, new(&made), START).await, Err(NotRegistered::Token));

    let session = session();
    store.insert_session(session.clone()).await.unwrap();
    let own = StoredCode { maker: Maker::Session(session.id), ..token("jarvis-2") };
    store.mint(own.clone(), START).await.unwrap().unwrap();
    store.end_session(session.id, at(1)).await.unwrap();
    assert_eq!(register(&*store, new(&own), at(2)).await, Err(NotRegistered::Token));
}

pub async fn a_name_registers_again_only_once_its_node_is_revoked(store: Arc<dyn Store>) {
    let (first, second) = (minted(&*store, "jarvis-1").await, minted(&*store, "jarvis-1").await);
    let node = new(&first);
    assert_eq!(register(&*store, node.clone(), START).await, Ok(()));
    let again = new(&second);
    assert_eq!(register(&*store, again.clone(), START).await, Err(NotRegistered::Already));
    assert!(!is_entered(&*store, &again).await);
    revoke(&*store, node.node.node_id).await;
    assert_eq!(register(&*store, again.clone(), START).await, Ok(()), "the token was kept");
    let (_, older) = store.by_node_key(node.node.key).await.unwrap().unwrap();
    assert!(matches!(older.record.standing, Standing::Revoked { .. }), "its key counts no more");
}

pub async fn a_native_key_that_is_paired_or_revoked_registers_no_more(store: Arc<dyn Store>) {
    let node = keyed();
    let (id, keys) = (node.node_id, node.keys);
    store.insert(node, "{}".to_owned(), START).await.unwrap();
    let made = minted(&*store, "jarvis-1").await;
    let same = |token| of_record(token, Record { keys, ..keyed() });
    assert_eq!(register(&*store, same(&made), START).await, Err(NotRegistered::Already));
    revoke(&*store, id).await;
    assert_eq!(register(&*store, same(&made), START).await, Err(NotRegistered::Revoked));
    let (_, version) = load(&*store, id).await.unwrap();
    store.forget(id, version, START).await.unwrap();
    let forgotten = register(&*store, same(&made), START).await;
    assert_eq!(forgotten, Err(NotRegistered::Revoked), "the revocation outlives the record");
}

pub async fn a_request_that_waits_is_paired_by_its_token(store: Arc<dyn Store>) {
    let limits = Limits::DEFAULT;
    let keys = keyed().keys.expect("keys");
    let asks: PendingRequest = asking("lamp", "192.0.2.1", &limits).with_keys(keys, ASKED);
    let id = store.admit(asks.clone(), "{}".to_owned(), limits, START).await.unwrap().unwrap();
    let made = minted(&*store, "jarvis-1").await;
    let (_, version) = load(&*store, id).await.unwrap();
    let standing = Standing::Paired { credential: Credential::Keys, mode: Mode::Full };
    let node = of_record(&made, Record { standing, ..asks.record });
    let blind = store.register(node.clone(), START.into()).await;
    assert!(matches!(blind, Err(SaveError::Conflict)), "{blind:?}");
    let seen = NewProvisioned { read_at: Some(version), ..node };
    assert_eq!(register(&*store, seen, START).await, Ok(()));
    assert_eq!(store.counts(START).await.unwrap().paired, 1);
}

pub async fn a_node_key_goes_with_its_node(store: Arc<dyn Store>) {
    let made = minted(&*store, "jarvis-1").await;
    let node = new(&made);
    register(&*store, node.clone(), START).await.unwrap();
    revoke(&*store, node.node.node_id).await;
    let (_, version) = load(&*store, node.node.node_id).await.unwrap();
    store.forget(node.node.node_id, version, START).await.unwrap();
    assert_eq!(store.by_node_key(node.node.key).await.unwrap(), None);
    assert_eq!(store.provisioned(node.node.node_id).await.unwrap(), None);
    store.insert(record(paired()), "{}".to_owned(), START).await.unwrap();
}
