//! A whole registry, copied from a file to a database and back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use handfast_core::registry::record::{Cause, Standing};
use handfast_store::audit::Audit;
use handfast_store::conformance::{START, keyed, record};
use handfast_store::{
    Filter, Inbound, PostgresAddress, PostgresStore, SqliteStore, Store, StoreError, Timekeeping,
    copy,
};
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::shared;

/// A registry in a file, which is copied there and back once its case is over.
struct Kept(tempfile::TempDir);

impl Kept {
    fn file(&self) -> PathBuf {
        self.0.path().join("handfast.db")
    }
}

fn kept() -> (SqliteStore, Kept) {
    let kept = Kept(tempfile::tempdir().unwrap());
    (SqliteStore::open(&kept.file()).unwrap(), kept)
}

impl Drop for Kept {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let (address, file) = (shared().database(), self.file());
        let there = copy::to_database(&file, &address).unwrap();
        let back = self.0.path().join("back.db");
        assert_eq!(copy::to_file(&address, &back).unwrap(), there);
        assert!(there.rows > 0);
        let (before, after) = (rows(&file), rows(&back));
        assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
        for (table, rows) in before.iter().filter(|(table, _)| *table != "generation") {
            assert!(*rows == after[table], "{table} differs");
        }
        // A gateway goes on with it, and so it does with a backup.
        SqliteStore::open(&back).unwrap();
        let backup = self.0.path().join("backup.db");
        assert_eq!(copy::backup(&address, &backup).unwrap().nodes, there.nodes);
        let restored = shared().database();
        assert_eq!(copy::restore(&backup, &restored).unwrap(), there);
    }
}

/// Reads all rows of all tables, without any code of the store's.
fn rows(file: &Path) -> BTreeMap<String, Vec<Vec<Value>>> {
    let connection = Connection::open(file).unwrap();
    let mut tables = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        .unwrap();
    let tables: Vec<String> =
        tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let all = |table: String| {
        let mut statement =
            connection.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap();
        let width = statement.column_count();
        let rows = statement
            .query_map([], |row| (0..width).map(|place| row.get(place)).collect())
            .unwrap()
            .map(Result::unwrap)
            .collect();
        (table, rows)
    };
    tables.into_iter().map(all).collect()
}

mod lives_are_row_for_row_the_same {
    use super::kept;

    handfast_store::conformance_tests! { kept() =>
        reading {
            a_long_random_life_is_the_same_as_in_memory
        }
        lives {
            a_long_random_life_of_senders_is_that_of_a_simple_model
        }
        dispatch_lives {
            a_long_random_life_of_dispatches_is_the_same_as_in_memory
        }
        changes {
            every_standing_reads_back_as_it_was_saved
        }
        policies {
            a_policy_approves_so_many_nodes_however_many_ask_at_once
        }
        provisioning {
            a_token_ends_by_its_time_its_withdrawal_and_its_maker
        }
        audit {
            every_decision_has_its_entry_and_no_other_has
            the_name_of_a_sender_is_apart_and_can_be_removed
            a_sender_is_forgotten_on_all_accounts_once_it_is_out_on_all
        }
    }
}

async fn insert(store: &dyn Store) {
    let entry = record(Standing::Revoked { cause: Cause::Unpaired });
    store.insert(entry, "{}".to_owned(), START).await.unwrap();
    store.insert(keyed(), "{}".to_owned(), START).await.unwrap();
}

fn directory() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("handfast.db");
    (directory, file)
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, StoreError>, words: &str) {
    let text = outcome.unwrap_err().to_string();
    assert!(text.contains(words), "{text}");
}

async fn opened(address: &PostgresAddress) -> PostgresStore {
    let address = address.clone();
    tokio::task::spawn_blocking(move || PostgresStore::open(&address).unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_goes_on_where_it_was_copied_to() {
    let (directory, file) = directory();
    let store = SqliteStore::open(&file).unwrap();
    store.begin_run().await.unwrap();
    store.raise_mark(START).await.unwrap();
    for _ in 0..250 {
        insert(&store).await;
    }
    drop(store);
    let address = shared().database();
    let there = copy::to_database(&file, &address).unwrap();
    assert_eq!((there.nodes, there.audit.size), (500, 500));

    let store = opened(&address).await;
    let run = store.begin_run().await.unwrap();
    assert_eq!(run.number, 2);
    assert!(run.mark.is_some_and(|mark| mark >= START));
    insert(&store).await;
    assert_eq!(store.list(Filter::All, None, usize::MAX, START).await.unwrap().len(), 502);
    assert_eq!(store.counts(START).await.unwrap().revoked, 251);
    let root = store.audit_head(None).await.unwrap().unwrap();
    drop(store);
    let back = directory.path().join("back.db");
    let copied = copy::to_file(&address, &back).unwrap();
    assert_eq!((copied.nodes, copied.audit), (502, root));
    let store = SqliteStore::open(&back).unwrap();
    insert(&store).await;
    assert_eq!(store.begin_run().await.unwrap().number, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_use_or_not_empty_is_refused_and_left_as_it_is() {
    let (directory, file) = directory();
    let address = shared().database();
    refused(copy::to_database(&file, &address), "there is no registry here");
    refused(
        copy::to_file(&address, &directory.path().join("x.db")),
        "there is no registry in this database",
    );
    let store = SqliteStore::open(&file).unwrap();
    insert(&store).await;
    refused(copy::to_database(&file, &address), "has this registry open");
    drop(store);

    // A gateway that has the database open, even an empty one.
    let gateway = opened(&address).await;
    refused(copy::to_database(&file, &address), "a gateway has this database open");
    insert(&gateway).await;
    refused(
        copy::to_file(&address, &directory.path().join("x.db")),
        "a gateway has this database open",
    );
    drop(gateway);
    refused(copy::to_database(&file, &address), "this database has a registry already");
    refused(copy::to_file(&address, &file), "there is a registry here already");
    let store = opened(&address).await;
    assert_eq!(store.list(Filter::All, None, 10, START).await.unwrap().len(), 2);

    // A registry that was set aside, as the refusal says, is in nobody's way.
    drop(store);
    let name = shared().create();
    let address = shared().address(&name);
    copy::to_database(&file, &address).unwrap();
    refused(copy::to_database(&file, &address), "ALTER SCHEMA handfast RENAME TO handfast_before");
    shared().sql(&name, "ALTER SCHEMA handfast RENAME TO handfast_before");
    copy::to_database(&file, &address).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_of_another_version_is_refused() {
    let (directory, file) = directory();
    drop(SqliteStore::open(&file).unwrap());
    let name = shared().create();
    let address = shared().address(&name);
    drop(opened(&address).await);
    Connection::open(&file).unwrap().pragma_update(None, "user_version", 10).unwrap();
    refused(copy::to_database(&file, &address), "this registry has schema 10, and 12 is needed");
    for (version, words) in
        [(1, "this registry has schema 1, and 4 is needed"), (9, "a newer Handfast wrote")]
    {
        shared().sql(&name, &format!("UPDATE handfast.registry SET version = {version}"));
        let to = directory.path().join("to.db");
        refused(copy::to_file(&address, &to), words);
        refused(copy::backup(&address, &to), words);
        assert!(!to.exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_in_use_is_backed_up_as_it_is_at_one_moment() {
    let (directory, _) = directory();
    let address = shared().database();
    let store = opened(&address).await;
    insert(&store).await;
    let file = directory.path().join("backup.db");
    for nodes in [2, 4] {
        let made = copy::backup(&address, &file).unwrap();
        assert_eq!(made.nodes, nodes);
        insert(&store).await;
    }
    // It is a backup for a file as well.
    let database = directory.path().join("handfast.db");
    assert_eq!(handfast_store::restore(&file, &database).unwrap().nodes, 4);
    let other = directory.path().join("letter.txt");
    std::fs::write(&other, "Dear Ana").unwrap();
    assert!(copy::backup(&address, &other).is_err());
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "Dear Ana");
}

#[test]
fn only_what_belongs_to_gateways_stays_behind() {
    let (_directory, file) = directory();
    drop(SqliteStore::open(&file).unwrap());
    let name = shared().create();
    drop(PostgresStore::open(&shared().address(&name)).unwrap());
    let copied: BTreeSet<_> = rows(&file).into_keys().collect();
    let tables =
        shared().sql(&name, "SELECT tablename FROM pg_tables WHERE schemaname = 'handfast'");
    let tables: BTreeSet<_> = tables.lines().map(str::to_owned).collect();
    let alone =
        |these: &BTreeSet<String>, others| these.difference(others).cloned().collect::<Vec<_>>();
    assert_eq!(
        alone(&tables, &copied),
        ["change", "change_pruned", "claim", "gateway", "outcome", "registry"]
    );
    assert_eq!(alone(&copied, &tables), ["generation"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_orders_text_by_a_language_is_copied_like_any_other() {
    let (directory, file) = directory();
    let store = SqliteStore::open(&file).unwrap();
    for poller in ["b", "B", "a", "_", "é", "Z"] {
        store.keep_cursor(poller, "7".to_owned()).await.unwrap();
    }
    drop(store);
    let name = "by_language";
    let version = shared().sql("postgres", "SHOW server_version_num").parse::<u32>().unwrap();
    let locale = match version {
        150_000.. => "LOCALE_PROVIDER icu ICU_LOCALE 'en-US'",
        _ => "",
    };
    shared().sql("postgres", &format!("CREATE DATABASE {name} {locale} TEMPLATE template0"));
    let address = shared().address(name);
    let there = copy::to_database(&file, &address).unwrap();
    assert_eq!(copy::to_file(&address, &directory.path().join("back.db")).unwrap(), there);
}
