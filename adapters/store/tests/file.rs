//! Files that are not as they should be, and files that are.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use handfast_core::grant::token::TokenHash;
use handfast_core::limits::Limits;
use handfast_core::registry::record::{Mode, Standing};
use handfast_store::conformance::{START, asking, at, record};
use handfast_store::{Filter, Listed, Observation, SqliteStore, Store, StoreError, Version, node_id};
use rusqlite::Connection;

fn paired() -> Standing {
    Standing::Paired { token: TokenHash::from_bytes([7; 32]), mode: Mode::SafeChat }
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

/// Why the file is not opened; that this changed nothing in it is checked as well.
fn refused(path: &Path) -> String {
    let before = std::fs::read(path).unwrap();
    let problem = match SqliteStore::open(path).unwrap_err() {
        StoreError::File { path: named, problem } => {
            assert_eq!(named, path);
            problem
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(std::fs::read(path).unwrap(), before);
    problem
}

#[tokio::test]
async fn reopening_keeps_everything() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    let store = SqliteStore::open(&path).unwrap();
    let limits = Limits::DEFAULT;
    let waiting =
        store.admit(asking("lamp", "192.0.2.1", &limits), r#"{"a":[1]}"#.to_owned(), limits, START).await.unwrap().unwrap();
    let imported = record(paired());
    store.insert(imported.clone(), "{}".to_owned(), at(1)).await.unwrap();
    let told = Observation { last_seen: at(3), occupancy: Some(true), noise_level: Some(0.25), wake_word_fp: None };
    store.observe(imported.node_id, told).await.unwrap();
    store.save(imported.node_id, Version(1), paired(), at(2)).await.unwrap();
    let (before, counts) = (everything(&store).await, store.counts(START).await.unwrap());
    drop(store);

    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(everything(&store).await, before);
    assert_eq!(store.counts(START).await.unwrap(), counts);
    // And the caps and the keys go on where they were.
    let again = store.admit(asking("lamp", "192.0.2.1", &limits), r#"{"a":[1]}"#.to_owned(), limits, START).await.unwrap();
    assert_eq!(again, Ok(waiting));
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
        assert!(problem.node_id == ids[1] && problem.problem.starts_with(what), "{spoil}: {problem}");
        // Pages go on after it, and it can be found by its id.
        let page = store.list(Filter::All, Some(node_id(&after[1])), 9, START).await.unwrap();
        assert_eq!(page, after[2..]);
        assert_eq!(store.find(ids[1].text().as_str(), 9).await.unwrap(), after[1..2]);

        assert!(matches!(store.load(ids[1]).await, Err(StoreError::BadRecord(bad)) if bad == *problem), "{spoil}");
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
async fn a_file_that_others_may_read_is_refused_with_what_mends_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    drop(SqliteStore::open(&path).unwrap());
    for mode in [0o640, 0o604, 0o660, 0o610] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let problem = refused(&path);
        assert!(problem.contains(&format!("chmod 600 {}", path.display())), "{problem}");
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    SqliteStore::open(&path).unwrap();
}

#[test]
fn a_registry_of_a_newer_version_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    drop(SqliteStore::open(&path).unwrap());
    tamper(&path, "PRAGMA user_version = 99");
    let problem = refused(&path);
    assert!(problem.contains("newer") && problem.contains("99"), "{problem}");
}

#[test]
fn what_is_no_registry_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, contents: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, contents).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let text = file("text", &b"these are no tables ".repeat(500));
    assert!(refused(&text).contains("not a registry"));

    let others = file("others.db", b"");
    tamper(&others, "CREATE TABLE t (n); INSERT INTO t VALUES (1)");
    assert!(refused(&others).contains("another program"));

    // An empty file is one that was cut short when it was made.
    SqliteStore::open(&file("empty.db", b"")).unwrap();

    let nowhere = SqliteStore::open(&directory.path().join("no/such/directory.db")).unwrap_err().to_string();
    assert!(nowhere.contains("no/such/directory.db"), "{nowhere}");
}

#[test]
fn a_second_store_in_the_same_process_is_refused_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    let first = SqliteStore::open(&path).unwrap();
    assert!(refused(&path).contains("another process"));
    drop(first);
    SqliteStore::open(&path).unwrap();
}
