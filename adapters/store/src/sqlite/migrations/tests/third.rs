//! Files of the third version.

use super::*;

#[tokio::test]
async fn senders_of_the_third_version_are_spelled_with_their_plus_from_then_on() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    {
        let connection = Connection::open(&path).unwrap();
        let versions = format!("PRAGMA journal_mode = WAL; {V1} {V2} {}", v3::V3);
        connection.execute_batch(&versions).unwrap();
        connection
            .execute_batch(&format!(
                "INSERT INTO sender_pending VALUES (1, 'whatsapp', 'shop', '57300', 'ABCDEFGH', 5, 5, '{{}}'),
                    (2, 'telegram', 'shop', '57300', 'BCDEFGHJ', 5, 5, '{{}}');
                 INSERT INTO sender_allowed VALUES ('whatsapp', 'shop', '57301', 5, 'cli', NULL, NULL),
                    ('whatsapp', 'shop', '57302', 5, 'cli', NULL, 6), ('whatsapp', 'shop', '+57302', 5, 'cli', NULL, NULL),
                    ('whatsapp', 'shop', 'odd one', 5, 'cli', NULL, NULL), ('sms', 'shop', '57301', 5, 'cli', NULL, NULL);
                 INSERT INTO sender_blocked VALUES ('whatsapp', '', '57303', 5), ('whatsapp', 'shop', '+57303', 5);
                 PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 3;"
            ))
            .unwrap();
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let expected = [
        "allowed|sms|shop|57301|",
        "allowed|whatsapp|shop|+57301|",
        "allowed|whatsapp|shop|+57302|6",
        "allowed|whatsapp|shop|odd one|",
        "blocked|whatsapp|shop|+57303|",
        "blocked|whatsapp||+57303|",
        "pending|telegram|shop|57300|BCDEFGHJ",
        "pending|whatsapp|shop|+57300|ABCDEFGH",
    ];
    for _ in 0..2 {
        drop(SqliteStore::open(&path).unwrap());
        let connection = Connection::open(&path).unwrap();
        let mut statement = connection
            .prepare(
                "SELECT 'pending|' || channel || '|' || account || '|' || sender || '|' || code FROM sender_pending
                 UNION ALL SELECT 'allowed|' || channel || '|' || account || '|' || sender || '|' || coalesce(revoked_at, '') FROM sender_allowed
                 UNION ALL SELECT 'blocked|' || channel || '|' || account || '|' || sender || '|' FROM sender_blocked ORDER BY 1",
            )
            .unwrap();
        let rows: Vec<String> =
            statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(rows, expected);
    }
}

/// The node of this file was offered less than it holds.
#[tokio::test]
async fn what_an_older_version_offered_last_is_the_ceiling() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    let (node, revoked) = (keyed(), keyed());
    let scopes = |text| handfast_core::grant::scope::ScopesBuf::parse(text).unwrap();
    {
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(&format!("PRAGMA journal_mode = WAL; {V1} {V2} {}", v3::V3))
            .unwrap();
        let version = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 3;");
        connection.execute_batch(&version).unwrap();
        paired_of_an_older_version(&connection, &node);
        paired_of_an_older_version(&connection, &revoked);
        for (number, of, state, scopes) in [
            (1_u8, &node, "active", "write:/**\n"),
            (2, &node, "offered", "read:/only/**\n"),
            (3, &revoked, "ended", "write:/**\n"),
        ] {
            let (until, ended) = (
                (state == "offered").then(|| integer(START)),
                (state == "ended").then(|| integer(START)),
            );
            connection
                .execute(
                    "INSERT INTO granted (grant_id, node_id, state, until, ended_at, not_before, scopes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    params![[number; 16], of.node_id.as_bytes(), state, until, ended, integer(START), scopes],
                )
                .unwrap();
        }
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    for _ in 0..2 {
        let store = SqliteStore::open(&path).unwrap();
        let ceiling = store.load(node.node_id).await.unwrap().unwrap().ceiling.unwrap();
        assert_eq!(
            (ceiling.scopes, ceiling.expires, ceiling.named),
            (scopes("read:/only/**\n"), None, false)
        );
        assert_eq!(store.load(revoked.node_id).await.unwrap().unwrap().ceiling, None);
    }
}
