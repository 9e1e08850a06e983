//! Migration of files of older versions.

use std::sync::atomic::AtomicBool;

use handfast_core::limits::Limits;
use handfast_core::registry::codes::Kind;
use rusqlite::{Connection, params};

mod copies;
mod eleventh;
mod fifth;
mod fourth;
mod ninth;
mod seventh;
mod sixth;
mod tenth;
mod third;

use super::*;
use crate::conformance::{START, asking, at, keyed};
use crate::ops::{GrantRows as _, Tx as _};
use crate::rows::integer;
use crate::sqlite::generation::{self, DatabaseId, Generation};
use crate::sqlite::schema::APPLICATION_ID;
use crate::sqlite::tx::SqliteTx;
use crate::{Counts, Filter, Listed, SqliteStore, Store, Version, node_id};

/// Writes a registry of the first version: one node of each standing, the third damaged, the fourth
/// observed.
fn of_the_first_version(
    path: &std::path::Path,
    waiting: &handfast_core::registry::admission::PendingRequest,
) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(&format!("PRAGMA journal_mode = WAL; BEGIN; {V1}")).unwrap();
    connection
        .execute(
            "INSERT INTO node VALUES (4, ?1, 'lamp', 'kitchen', '192.0.2.1', ?2, 'pending', ?3, NULL, NULL, NULL, 1, ?2, ?4, ?5, '{}')",
            params![
                waiting.record.node_id.as_bytes(),
                integer(START),
                integer(at(3600)),
                waiting.source.as_bytes(),
                waiting.key.as_bytes()
            ],
        )
        .unwrap();
    for (seq, standing, token, mode, cause) in [
        (7, "unapproved", "x'01'", "NULL", "NULL"),
        (8, "paired", "x'02'", "'full'", "NULL"),
        (9, "muted", "x'03'", "'safe-chat'", "NULL"),
        (11, "revoked", "NULL", "NULL", "'rejected'"),
    ] {
        let token = token.replace("x'", &format!("x'{}", "00".repeat(31)));
        let row = format!(
            "INSERT INTO node VALUES ({seq}, x'000000000000000000000000000000{seq:02}', 'n{seq}', 'hall', '::1', 5, '{standing}', NULL,
                 {token}, {mode}, {cause}, {seq}, 6, zeroblob(16), NULL, '{{\"a\":{seq}}}')"
        );
        connection.execute_batch(&row).unwrap();
    }
    connection
        .execute_batch(&format!(
            "INSERT INTO observation VALUES (x'00000000000000000000000000000009', 7, 1, 0.5, NULL);
             COMMIT; PRAGMA ignore_check_constraints = ON; UPDATE node SET mode = NULL WHERE seq = 8;
             PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;"
        ))
        .unwrap();
}

/// Returns the rows as the first version would have read them.
fn rows(path: &std::path::Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection
        .prepare(
            "SELECT concat_ws('|', seq, hex(node_id), name, room, address, asked_at, standing, expires, hex(token_hash), mode, cause,
                    version, changed_at, hex(source), hex(request_key), profile) FROM node ORDER BY seq",
        )
        .unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn a_registry_of_the_first_version_keeps_everything() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    let limits = Limits::DEFAULT;
    let waiting = asking("lamp", "192.0.2.1", &limits);
    of_the_first_version(&path, &waiting);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let before = rows(&path);
    assert_eq!(before.len(), 5);

    for _ in 0..2 {
        drop(SqliteStore::open(&path).unwrap());
        assert_eq!(rows(&path), before);
    }
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(
        store.counts(START).await.unwrap(),
        Counts { pending: 2, paired: 1, muted: 1, revoked: 1, forgotten: 0 }
    );
    let listed = store.list(Filter::All, None, 9, START).await.unwrap();
    let spoiled: Vec<_> = listed.iter().filter_map(|listed| listed.as_ref().err()).collect();
    assert!(spoiled.len() == 1 && spoiled[0].problem.starts_with("mode"), "{spoiled:?}");
    assert!(
        listed
            .iter()
            .filter_map(|listed| listed.as_ref().ok())
            .all(|entry| entry.record.keys.is_none())
    );
    let muted =
        listed.iter().find(|listed| node_id(listed).as_bytes()[15] == 9).unwrap().as_ref().unwrap();
    assert_eq!(muted.observed.unwrap().noise_level, Some(0.5));
    // The tallies continue, and a waiting request is found again.
    let again = store
        .admit(asking("lamp", "192.0.2.1", &limits), "{}".to_owned(), limits, START)
        .await
        .unwrap();
    assert_eq!(again, Ok(waiting.record.node_id));
    store
        .save(waiting.record.node_id, Version(1), muted.record.standing.clone(), START)
        .await
        .unwrap();
    store.insert(keyed(), "{}".to_owned(), START).await.unwrap();
    assert_eq!(
        store.counts(START).await.unwrap(),
        Counts { pending: 1, paired: 2, muted: 2, revoked: 1, forgotten: 0 }
    );
    let waiting: Vec<Listed> = store.list(Filter::Pending, None, 9, START).await.unwrap();
    assert_eq!(waiting.len(), 1);
}

/// Writes a node that is paired by keys, in the form of the second and the third version.
fn paired_of_an_older_version(
    connection: &Connection,
    node: &handfast_core::registry::record::Record,
) {
    let keys = node.keys.as_ref().unwrap();
    connection
        .execute(
            "INSERT INTO node (node_id, name, room, address, asked_at, standing, mode, version, changed_at, source, static_key, signing_key, profile)
             VALUES (?1, ?2, ?3, ?4, ?5, 'paired', 'full', 1, ?5, ?6, ?7, ?8, '{}')",
            params![
                node.node_id.as_bytes(),
                node.name.as_str(),
                node.room.as_str(),
                node.address.to_string(),
                integer(START),
                handfast_core::Source::of(node.address).as_bytes(),
                keys.channel.as_bytes(),
                keys.signing.unwrap().as_bytes()
            ],
        )
        .unwrap();
}

/// Returns all rows of the second version's tables, as text.
fn contents(path: &std::path::Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let mut rows = Vec::new();
    for (table, columns) in [
        (
            "node",
            "seq, hex(node_id), name, standing, hex(token_hash), mode, hex(static_key), hex(signing_key), version, profile",
        ),
        (
            "granted",
            "seq, hex(grant_id), hex(node_id), state, until, ended_at, hex(capability), not_before, expires, scopes",
        ),
        (
            "code",
            "seq, hex(code_id), hex(pin_for), selector, expires, dead_since, guesses, uses_left, label, scopes, hex(sealed)",
        ),
        ("revocation", "what, hex(id), revoked_at"),
        ("pairing_window", "opened_at, closes, guesses, strays"),
        ("vault", "name, hex(sealed)"),
        ("tally", "standing, nodes"),
    ] {
        let mut statement =
            connection.prepare(&format!("SELECT concat_ws('|', {columns}) FROM {table}")).unwrap();
        let read: Vec<String> =
            statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        assert!(!read.is_empty(), "{table}");
        rows.extend(read);
    }
    rows
}

#[tokio::test]
async fn a_registry_of_the_second_version_keeps_everything() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    let (node, pin) = (keyed(), crate::conformance::pin());
    {
        let connection = Connection::open(&path).unwrap();
        let versions = format!("PRAGMA journal_mode = WAL; {V1} {V2}");
        connection.execute_batch(&versions).unwrap();
        let version = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 2;");
        connection.execute_batch(&version).unwrap();
        paired_of_an_older_version(&connection, &node);
        let grant = crate::conformance::grant(node.node_id);
        let capability = grant.capability.as_ref().map(|id| id.as_bytes());
        connection
            .execute(
                "INSERT INTO granted (grant_id, node_id, state, until, capability, not_before, expires, scopes)
                 VALUES (?1, ?2, 'offered', ?3, ?4, ?5, ?6, ?7)",
                params![
                    grant.id.as_bytes(),
                    node.node_id.as_bytes(),
                    integer(at(3600)),
                    capability,
                    integer(START),
                    integer(at(86_400)),
                    grant.scopes.as_str()
                ],
            )
            .unwrap();
        connection.execute("UPDATE pairing_window SET opened_at = ?1", [integer(START)]).unwrap();
        let Kind::Pin(pin_for) = pin.counted.kind else { panic!("it is a PIN") };
        connection
            .execute(
                "INSERT INTO code (code_id, pin_for, expires, dead_since, guesses, uses_left, created_at, label, scopes, sealed)
                 VALUES (?1, ?2, ?3, ?3, 0, 1, ?4, ?5, ?6, ?7)",
                params![
                    pin.id.as_bytes(),
                    pin_for.as_bytes(),
                    integer(pin.counted.expires),
                    integer(START),
                    pin.label,
                    pin.scopes.as_str(),
                    pin.sealed
                ],
            )
            .unwrap();
        let key = crate::Revoked::Key(crate::conformance::keys().channel);
        let erased = AtomicBool::default();
        let mut tx = SqliteTx::new(&connection, &erased);
        tx.revoke(&key, START).unwrap();
        tx.vault("key", &[7; 9]).unwrap();
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut kept = contents(&path);
    // The key that was revoked has no record, so it counts as one that was forgotten.
    let counts = kept.iter().position(|row| row == "muted|0").unwrap();
    kept.insert(counts, "forgotten|1".to_owned());
    for _ in 0..2 {
        drop(SqliteStore::open(&path).unwrap());
        assert_eq!(contents(&path), kept);
    }
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.load(node.node_id).await.unwrap().unwrap().record, node);
    assert_eq!(store.code(pin.id).await.unwrap(), Some(pin), "an operator made it");
    assert_eq!(store.grants(node.node_id).await.unwrap().len(), 1);
    // The migrated registry accepts the new kinds of entries.
    let session = crate::conformance::session();
    let code = crate::conformance::setup_code(60);
    assert_eq!(
        crate::Sessions::redeem(&store, code, crate::Yield::Session(session), START).await.unwrap(),
        Ok(())
    );
    assert_eq!(crate::Sessions::live_sessions(&store, START).await.unwrap(), 1);
}
