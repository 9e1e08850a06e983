//! A file of the fourth version.

use super::*;

/// The file holds a paired node and a request that waits.
#[tokio::test]
async fn a_registry_of_the_fourth_version_keeps_everything_and_takes_certificates_and_tasks() {
    use handfast_core::registry::record::{AskMethod, Asked};
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    let node = keyed();
    let waiting = asking("lamp", "192.0.2.1", &Limits::DEFAULT);
    {
        let connection = Connection::open(&path).unwrap();
        let versions = format!("PRAGMA journal_mode = WAL; {}", MIGRATIONS[..4].concat());
        connection.execute_batch(&versions).unwrap();
        let numbered =
            "INSERT INTO generation VALUES (1, 7, 0, x'000102030405060708090a0b0c0d0e0f')";
        connection.execute(numbered, []).unwrap();
        paired_of_an_older_version(&connection, &node);
        connection
            .execute(
                "INSERT INTO node (node_id, name, room, address, asked_at, standing, expires, version, changed_at, source, request_key, profile)
                 VALUES (?1, 'lamp', 'kitchen', '192.0.2.1', ?2, 'pending', ?3, 1, ?2, ?4, ?5, '{}')",
                params![
                    waiting.record.node_id.as_bytes(),
                    integer(START),
                    integer(at(3600)),
                    waiting.source.as_bytes(),
                    waiting.key.as_bytes()
                ],
            )
            .unwrap();
        let version = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 4;");
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
    let store: std::sync::Arc<dyn Store> = std::sync::Arc::new(SqliteStore::open(&path).unwrap());
    let record = store.load(node.node_id).await.unwrap().unwrap().record;
    assert_eq!(record.asked, Asked::by(AskMethod::Approval));
    assert_eq!(record, node, "its request is told as that of a node with keys");
    let lamp = store.load(waiting.record.node_id).await.unwrap().unwrap().record;
    assert_eq!(lamp.asked, Asked::by(AskMethod::Token));
    let again = asking("lamp", "192.0.2.1", &Limits::DEFAULT);
    let found = store.admit(again, "{}".to_owned(), Limits::DEFAULT, at(1)).await.unwrap();
    assert_eq!(found, Ok(waiting.record.node_id));
    let version = store.load(waiting.record.node_id).await.unwrap().unwrap().version;
    assert_eq!(version, Version(1), "the same request is no news");
    // The new kinds of rows are taken; the suite shows the rest.
    assert_eq!(store.node_standing(node.node_id).await.unwrap().unwrap().epoch, 0);
    crate::conformance::certificates::a_certificate_reads_back_as_it_was_issued(store.clone())
        .await;
    crate::conformance::dispatches::a_dispatch_reads_back_as_it_was_queued(store).await;
}
