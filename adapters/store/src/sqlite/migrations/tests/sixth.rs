//! A file of the sixth version.

use handfast_core::registry::codes::Counted;

use super::*;
use crate::StoredCode;

#[tokio::test]
async fn a_registry_of_the_sixth_version_keeps_its_codes_and_takes_provisioning_tokens() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    let selector = handfast_core::wire::native::pair::Selector::parse("K7QF").unwrap();
    let code = crate::conformance::code(Kind::Code(selector));
    let code = StoredCode { counted: Counted { guesses: 2, ..code.counted }, ..code };
    {
        let connection = Connection::open(&path).unwrap();
        let versions = format!("PRAGMA journal_mode = WAL; {}", MIGRATIONS[..6].concat());
        connection.execute_batch(&versions).unwrap();
        let numbered =
            "INSERT INTO generation VALUES (1, 7, 0, x'000102030405060708090a0b0c0d0e0f')";
        connection.execute(numbered, []).unwrap();
        connection
            .execute(
                "INSERT INTO code (code_id, selector, expires, dead_since, guesses, uses_left, created_at, label, scopes, sealed)
                 VALUES (?1, ?2, ?3, ?3, 2, 1, ?4, ?5, ?6, ?7)",
                params![
                    code.id.as_bytes(),
                    selector.as_str(),
                    integer(code.counted.expires),
                    integer(START),
                    code.label,
                    code.scopes.as_str(),
                    code.sealed
                ],
            )
            .unwrap();
        let version = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 6;");
        connection.execute_batch(&version).unwrap();
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let database = DatabaseId(std::array::from_fn(|at| at as u8));
    generation::write_mark(&path, Generation { number: 7, database }).unwrap();
    for _ in 0..2 {
        let store = SqliteStore::open(&path).unwrap();
        assert_eq!(store.code(code.id).await.unwrap(), Some(code.clone()));
    }
    let store: std::sync::Arc<dyn Store> = std::sync::Arc::new(SqliteStore::open(&path).unwrap());
    assert_eq!(store.code_by_selector(selector, START).await.unwrap(), Some(code));
    crate::conformance::provisioning::a_node_registers_once_by_its_token(store).await;
}
