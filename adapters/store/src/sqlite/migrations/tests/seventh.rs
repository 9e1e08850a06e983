//! A file of the seventh version.

use std::sync::Arc;

use super::*;
use crate::audit::{Origin, Who};
use crate::conformance::load;

#[tokio::test]
async fn a_registry_of_the_seventh_version_begins_its_audit_log_empty() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    let node = keyed();
    {
        let connection = Connection::open(&path).unwrap();
        let versions = format!("PRAGMA journal_mode = WAL; {}", MIGRATIONS[..7].concat());
        connection.execute_batch(&versions).unwrap();
        let numbered =
            "INSERT INTO generation VALUES (1, 7, 0, x'000102030405060708090a0b0c0d0e0f')";
        connection.execute(numbered, []).unwrap();
        paired_of_an_older_version(&connection, &node);
        let asked = "UPDATE node SET asked_method = 'approval'";
        connection.execute(asked, []).unwrap();
        let version = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 7;");
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
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path).unwrap());
    assert_eq!(store.audit_head(None).await.unwrap().unwrap().size, 0);
    let (_, version) = load(&*store, node.node_id).await.unwrap();
    let name = handfast_core::Label::parse("lamp").unwrap().into();
    let by = Arc::clone(&store).by(Origin::new(Who::Operator, START));
    by.relabel(node.node_id, version, Some(name), None, START).await.unwrap();
    let lines = store.audit_lines(0, 9).await.unwrap();
    assert!(lines.len() == 1 && lines[0].contains("\"what\":\"rename\""), "{lines:?}");
}
