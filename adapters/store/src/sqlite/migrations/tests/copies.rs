//! The copy of a file that is made before its migration.

use super::*;

/// Writes a registry of an older version, with some content.
fn of_version(path: &std::path::Path, version: usize) {
    use std::os::unix::fs::PermissionsExt;
    if version == 1 {
        of_the_first_version(path, &asking("lamp", "192.0.2.1", &Limits::DEFAULT));
    } else {
        let connection = Connection::open(path).unwrap();
        connection
            .execute_batch(&format!(
                "PRAGMA journal_mode = WAL; {}",
                MIGRATIONS[..version].concat()
            ))
            .unwrap();
        paired_of_an_older_version(&connection, &keyed());
        let versions =
            format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version};");
        connection.execute_batch(&versions).unwrap();
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Returns what an older version would find: its schema, and the nodes.
fn found_by_older(path: &std::path::Path) -> (i64, Vec<String>, Vec<String>) {
    let connection = Connection::open(path).unwrap();
    let all = |sql: &str| {
        let mut statement = connection.prepare(sql).unwrap();
        let read: Vec<String> =
            statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        read
    };
    let version = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    (version, all("SELECT coalesce(sql, name) FROM sqlite_schema ORDER BY name"), rows(path))
}

fn beside(path: &std::path::Path, suffix: &str) -> std::path::PathBuf {
    crate::sqlite::file::beside(path, suffix)
}

#[tokio::test]
async fn before_a_migration_a_private_copy_is_made_that_can_be_restored_and_replaces_no_other() {
    use std::os::unix::fs::PermissionsExt;
    for from in 1..MIGRATIONS.len() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("handfast.db");
        of_version(&path, from);
        let before = found_by_older(&path);
        let store = SqliteStore::open(&path).unwrap();
        let copy = beside(&path, &format!(".schema-{from}.backup"));
        let told = Migrated { from, to: MIGRATIONS.len(), backup: copy.clone() };
        assert_eq!(store.migrated(), Some(&told));
        drop(store);
        assert_eq!(found_by_older(&copy), before, "version {from}");
        assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(SqliteStore::open(&path).unwrap().migrated(), None, "once");

        let nodes = SqliteStore::open(&path).unwrap().counts(START).await.unwrap();
        crate::restore(&copy, &path).unwrap();
        assert_eq!(found_by_older(&path).0, before.0);
        let store = SqliteStore::open(&path).unwrap();
        assert_eq!(
            store.migrated().unwrap().backup,
            beside(&path, &format!(".schema-{from}.backup-2"))
        );
        assert_eq!(store.counts(START).await.unwrap(), nodes);
        assert_eq!(found_by_older(&copy), before, "the first is as it was");
    }
}

#[test]
fn a_registry_of_which_no_copy_can_be_made_is_refused_and_stays_as_it_was() {
    for from in 1..MIGRATIONS.len() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("handfast.db");
        of_version(&path, from);
        for number in 1..=99 {
            let number = if number == 1 { String::new() } else { format!("-{number}") };
            std::fs::write(beside(&path, &format!(".schema-{from}.backup{number}")), "of somebody")
                .unwrap();
        }
        let before = (found_by_older(&path), std::fs::read(&path).unwrap());
        let refused = SqliteStore::open(&path).unwrap_err().to_string();
        assert!(
            refused.contains("nothing was changed") && refused.contains("move them away"),
            "{refused}"
        );
        assert_eq!((found_by_older(&path), std::fs::read(&path).unwrap()), before);
        let spared =
            std::fs::read_to_string(beside(&path, &format!(".schema-{from}.backup-7"))).unwrap();
        assert_eq!(spared, "of somebody");
    }
}
