//! A file of the fifth version.

use handfast_core::grant::scope::AskedScopesBuf;
use handfast_core::registry::record::{AskMethod, Asked, Cause, Standing};

use super::*;
use crate::Revoked;

#[tokio::test]
async fn a_registry_of_the_fifth_version_keeps_everything_and_counts_its_revoked_keys() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    let (node, revoked) = (keyed(), crate::conformance::keys().channel);
    {
        let connection = Connection::open(&path).unwrap();
        let versions = format!("PRAGMA journal_mode = WAL; {}", MIGRATIONS[..5].concat());
        connection.execute_batch(&versions).unwrap();
        let numbered =
            "INSERT INTO generation VALUES (1, 7, 0, x'000102030405060708090a0b0c0d0e0f')";
        connection.execute(numbered, []).unwrap();
        paired_of_an_older_version(&connection, &node);
        let asked = "UPDATE node SET asked_permissions = 'read:/a', asked_method = 'approval'";
        connection.execute(asked, []).unwrap();
        let erased = AtomicBool::default();
        SqliteTx::new(&connection, &erased).revoke(&Revoked::Key(revoked), START).unwrap();
        let version = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 5;");
        connection.execute_batch(&version).unwrap();
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let database = DatabaseId(std::array::from_fn(|at| at as u8));
    generation::write_mark(&path, Generation { number: 7, database }).unwrap();
    let before = rows(&path);
    for _ in 0..2 {
        drop(SqliteStore::open(&path).unwrap());
        assert_eq!(rows(&path), before);
    }
    let store = SqliteStore::open(&path).unwrap();
    let permissions = AskedScopesBuf::parse("read:/a").unwrap();
    let asked = Asked { permissions, ..Asked::by(AskMethod::Approval) };
    let record = store.load(node.node_id).await.unwrap().unwrap().record;
    assert_eq!(record.asked, asked);
    assert!(store.is_key_revoked(&revoked).await.unwrap());
    let counts = Counts { pending: 0, paired: 1, muted: 0, revoked: 0, forgotten: 1 };
    assert_eq!(store.counts(START).await.unwrap(), counts);
    // The migrated registry takes what is new.
    let more = AskedScopesBuf::parse("write:/a").unwrap();
    assert!(store.set_asks_more(node.node_id, more.clone()).await.unwrap());
    let listed = store.list(Filter::AskingMore, None, 9, START).await.unwrap();
    assert_eq!(listed[0].as_ref().unwrap().asks_more, more);
    let out = Standing::Revoked { cause: Cause::Unpaired };
    let version = store.save(node.node_id, Version(1), out, START).await.unwrap();
    store.forget(node.node_id, version, START).await.unwrap();
    assert_eq!(store.counts(START).await.unwrap().forgotten, 2);
}
