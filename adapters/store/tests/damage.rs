//! Damaged records in a registry.

use std::path::Path;

use handfast_core::grant::token::TokenHash;
use handfast_core::registry::record::{Credential, Mode, Standing};
use handfast_store::conformance::{START, grant, keyed, record};
use handfast_store::{Filter, Listed, SqliteStore, Store, StoreError, Version, node_id};
use rusqlite::Connection;

fn paired() -> Standing {
    Standing::Paired {
        credential: Credential::Token(TokenHash::from_bytes([7; 32])),
        mode: Mode::SafeChat,
    }
}

async fn everything(store: &SqliteStore) -> Vec<Listed> {
    store.list(Filter::All, None, usize::MAX, START).await.unwrap()
}

/// Changes the file behind the store's back.
fn tamper(path: &Path, sql: &str) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("PRAGMA ignore_check_constraints = ON").unwrap();
    connection.execute_batch(sql).unwrap();
}

#[tokio::test]
async fn a_spoiled_record_is_reported_and_hides_no_other() {
    for (spoil, what) in [
        ("name = 'a' || char(27) || '[2J'", "name"),
        ("name = ''", "name"),
        ("room = CAST(x'ff' AS TEXT)", "room"),
        ("address = 'somewhere'", "address"),
        ("asked_at = -1", "asked_at"),
        ("standing = 'blessed'", "standing"),
        ("mode = 'everything'", "mode"),
        ("mode = NULL", "mode"),
        ("token_hash = x'00'", "token_hash"),
        ("version = -1", "version"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("handfast.db");
        let store = SqliteStore::open(&path).unwrap();
        for _ in 0..3 {
            store.insert(record(paired()), "{}".to_owned(), START).await.unwrap();
        }
        let before = everything(&store).await;
        let ids: Vec<_> = before.iter().map(node_id).collect();
        let hex: String = ids[1].to_string().replace('-', "");
        tamper(&path, &format!("UPDATE node SET {spoil} WHERE node_id = x'{hex}'"));

        let after = everything(&store).await;
        assert_eq!((&after[0], &after[2]), (&before[0], &before[2]), "{spoil}");
        let problem = after[1].as_ref().unwrap_err();
        assert!(
            problem.node_id == ids[1] && problem.problem.starts_with(what),
            "{spoil}: {problem}"
        );
        // Pages continue after it, and it can be found by its id.
        let page = store.list(Filter::All, Some(node_id(&after[1])), 9, START).await.unwrap();
        assert_eq!(page, after[2..]);
        assert_eq!(store.find(ids[1].text().as_str(), 9).await.unwrap(), after[1..2]);

        assert!(
            matches!(store.load(ids[1]).await, Err(StoreError::BadRecord(bad)) if bad == *problem),
            "{spoil}"
        );
        assert!(store.load(ids[0]).await.unwrap().is_some(), "{spoil}");
        store.save(ids[2], Version(1), paired(), START).await.unwrap();
        store.insert(record(paired()), "{}".to_owned(), START).await.unwrap();
        drop(store);
        assert_eq!(everything(&SqliteStore::open(&path).unwrap()).await.len(), 4, "{spoil}");
    }
}

#[tokio::test]
async fn a_spoiled_profile_or_observation_leaves_the_record_usable() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    let store = SqliteStore::open(&path).unwrap();
    let record = record(paired());
    let id = record.node_id;
    store.insert(record, "{}".to_owned(), START).await.unwrap();
    tamper(&path, "UPDATE node SET profile = '{'");
    assert!(store.load(id).await.unwrap().is_some());
    assert!(everything(&store).await[0].as_ref().unwrap_err().problem.starts_with("profile"));
}

#[tokio::test]
async fn spoiled_keys_are_reported_and_never_used() {
    let too_great = "ff".repeat(32);
    for (spoil, what) in [
        (format!("static_key = x'{too_great}'"), "static_key"),
        ("static_key = x'01'".to_owned(), "static_key"),
        (format!("signing_key = x'{too_great}'"), "signing_key"),
        ("signing_key = NULL".to_owned(), "signing_key"),
        ("static_key = NULL".to_owned(), "static_key"),
        ("static_key = NULL, signing_key = NULL".to_owned(), "token_hash"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("handfast.db");
        let store = SqliteStore::open(&path).unwrap();
        let node = keyed();
        store.insert(node.clone(), "{}".to_owned(), START).await.unwrap();
        tamper(&path, &format!("UPDATE node SET {spoil}"));
        match store.load(node.node_id).await {
            Err(StoreError::BadRecord(bad)) => {
                assert!(bad.problem.starts_with(what), "{spoil}: {bad}");
            }
            other => panic!("{spoil}: {other:?}"),
        }
        assert!(!matches!(store.by_key(&node.keys.unwrap().channel).await, Ok(Some(_))), "{spoil}");
    }
}

#[tokio::test]
async fn a_spoiled_grant_is_reported_and_hides_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    let store = SqliteStore::open(&path).unwrap();
    let nodes = [keyed(), keyed()];
    for node in &nodes {
        store
            .offer(node.clone(), "{}".to_owned(), None, grant(node.node_id), None, START)
            .await
            .unwrap();
    }
    let hex = nodes[0].node_id.to_string().replace('-', "");
    tamper(
        &path,
        &format!(
            "UPDATE granted SET scopes = 'own:/everything' || char(10) WHERE node_id = x'{hex}'"
        ),
    );
    for (node, is_good) in nodes.iter().zip([false, true]) {
        assert_eq!(store.grants(node.node_id).await.is_ok(), is_good);
        let listed = store.list_granted(None, 9, START).await.unwrap();
        let (entry, _) = listed.iter().find(|(listed, _)| node_id(listed) == node.node_id).unwrap();
        assert_eq!(entry.is_ok(), is_good);
    }
    let problem = store.grants(nodes[0].node_id).await.unwrap_err().to_string();
    assert!(problem.contains("scopes"), "{problem}");
}
