//! A file of the version before nodes took the place of others.

use std::sync::Arc;

use super::*;

#[tokio::test]
async fn a_registry_of_the_ninth_version_takes_replacements() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    {
        let connection = Connection::open(&path).unwrap();
        let versions = format!("PRAGMA journal_mode = WAL; {}", MIGRATIONS[..9].concat());
        connection.execute_batch(&versions).unwrap();
        let numbered =
            "INSERT INTO generation VALUES (1, 7, 0, x'000102030405060708090a0b0c0d0e0f')";
        connection.execute(numbered, []).unwrap();
        let version = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 9;");
        connection.execute_batch(&version).unwrap();
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let database = DatabaseId(std::array::from_fn(|at| at as u8));
    generation::write_mark(&path, Generation { number: 7, database }).unwrap();
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path).unwrap());
    crate::conformance::replacements::the_nodes_that_had_a_place_are_listed_one_after_the_other(
        store,
    )
    .await;
}
