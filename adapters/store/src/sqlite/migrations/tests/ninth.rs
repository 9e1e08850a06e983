//! A file of the version before operators' sessions.

use super::*;
use handfast_core::registry::codes::Opened;
use handfast_core::registry::sessions::{Maker, SessionId};

#[tokio::test]
async fn a_registry_without_operators_sessions_keeps_its_window_and_takes_them() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    let before = MIGRATIONS.iter().position(|version| *version == v9::V9).unwrap();
    {
        let connection = Connection::open(&path).unwrap();
        let versions = format!("PRAGMA journal_mode = WAL; {}", MIGRATIONS[..before].concat());
        connection.execute_batch(&versions).unwrap();
        let numbered =
            "INSERT INTO generation VALUES (1, 7, 0, x'000102030405060708090a0b0c0d0e0f')";
        connection.execute(numbered, []).unwrap();
        connection
            .execute(
                "UPDATE pairing_window SET opened_at = ?1, closes = ?2, opened_by = ?3, guesses = 3",
                params![integer(START), integer(at(300)), [7_u8; 16]],
            )
            .unwrap();
        let version =
            format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {before};");
        connection.execute_batch(&version).unwrap();
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let database = DatabaseId(std::array::from_fn(|at| at as u8));
    generation::write_mark(&path, Generation { number: 7, database }).unwrap();
    let store: std::sync::Arc<dyn Store> = std::sync::Arc::new(SqliteStore::open(&path).unwrap());
    let window = store.window().await.unwrap();
    let by = Maker::Session(SessionId::from_bytes([7; 16]));
    assert_eq!(window.opened, Some(Opened { at: START, closes: Some(at(300)), by }));
    assert_eq!(window.guesses, 3);
    crate::conformance::logins::codes_and_the_window_end_with_the_login_that_made_them(store).await;
}
