//! A file of the version before the history of nodes.

use super::*;

#[tokio::test]
async fn the_log_of_an_older_registry_is_found_by_node_even_beside_a_damaged_line() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    let before = MIGRATIONS.iter().position(|version| *version == v11::V11).unwrap();
    let node = keyed();
    let about = |number: u64| format!("{{\"entry\":{number},\"node\":\"{}\"}}", node.node_id);
    {
        let connection = Connection::open(&path).unwrap();
        let versions = format!("PRAGMA journal_mode = WAL; {}", MIGRATIONS[..before].concat());
        connection.execute_batch(&versions).unwrap();
        let numbered =
            "INSERT INTO generation VALUES (1, 7, 0, x'000102030405060708090a0b0c0d0e0f')";
        connection.execute(numbered, []).unwrap();
        let lines = [about(0), "{\"entry\":1,".to_owned(), "{\"entry\":2}".to_owned(), about(3)];
        for (number, line) in lines.iter().enumerate() {
            connection
                .execute(
                    "INSERT INTO audit (number, leaf, line) VALUES (?1, zeroblob(32), ?2)",
                    params![number as i64, line],
                )
                .unwrap();
        }
        let version =
            format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {before};");
        connection.execute_batch(&version).unwrap();
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let database = DatabaseId(std::array::from_fn(|at| at as u8));
    generation::write_mark(&path, Generation { number: 7, database }).unwrap();
    let store: std::sync::Arc<dyn Store> = std::sync::Arc::new(SqliteStore::open(&path).unwrap());
    let found = store.audit_lines_of(node.node_id, None, 9).await.unwrap();
    assert_eq!(found, [about(3), about(0)]);
    assert_eq!(store.audit_lines_of(node.node_id, Some(3), 9).await.unwrap(), [about(0)]);
}
