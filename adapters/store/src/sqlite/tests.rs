use std::sync::Arc;
use std::sync::mpsc::channel;

use handfast_core::NodeId;
use handfast_core::limits::Limits;

use super::*;
use crate::conformance::{START, asking};
use crate::{Filter, Store};

fn fresh() -> (Arc<SqliteStore>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (Arc::new(SqliteStore::open(&directory.path().join("handfast.db")).unwrap()), directory)
}

async fn admit(store: &SqliteStore, name: &str) -> Result<NodeId, StoreError> {
    let limits = Limits::DEFAULT;
    store
        .admit(asking(name, "192.0.2.1", &limits), "{}".to_owned(), limits, START)
        .await
        .map(Result::unwrap)
}

type Change = fn(&rusqlite::Connection) -> Result<(), StoreError>;

/// Makes these changes in one group: they wait behind one that waits until all of them have
/// arrived.
async fn in_one_group(
    store: &Arc<SqliteStore>,
    changes: Vec<Change>,
) -> Vec<Result<(), StoreError>> {
    let (go, wait) = channel();
    let first = store
        .writer
        .change(move |_| wait.recv().map_err(|gone| StoreError::Database(gone.to_string())));
    let others = async {
        let tasks: Vec<_> = changes
            .into_iter()
            .map(|change| {
                let store = Arc::clone(store);
                tokio::spawn(async move { store.writer.change(change).await })
            })
            .collect();
        // The runtime has one thread, so when this task runs again, each of the others waits for
        // its answer.
        tokio::task::yield_now().await;
        go.send(()).unwrap();
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await.unwrap());
        }
        answers
    };
    // The first is in the same group, or in one of its own; its result does not matter.
    tokio::join!(first, others).1
}

fn good(connection: &rusqlite::Connection) -> Result<(), StoreError> {
    connection.execute("UPDATE tally SET nodes = nodes + 1 WHERE standing = 'muted'", [])?;
    Ok(())
}

async fn muted(store: &SqliteStore) -> u64 {
    store.counts(START).await.unwrap().muted
}

#[tokio::test]
async fn a_failing_change_is_undone_and_spoils_no_other_of_its_group() {
    let (store, _kept) = fresh();
    let bad = |connection: &rusqlite::Connection| {
        good(connection)?;
        connection.execute("INSERT INTO nowhere VALUES (1)", [])?;
        Ok(())
    };
    let answers = in_one_group(&store, vec![good, bad, good]).await;
    assert!(matches!(answers[..], [Ok(()), Err(StoreError::Database(_)), Ok(())]), "{answers:?}");
    assert_eq!(muted(&store).await, 2);
}

#[tokio::test]
async fn a_group_that_is_not_committed_is_an_error_to_all_of_it_and_to_nobody_else() {
    let (store, _kept) = fresh();
    // SQLite does the same when it can neither continue nor undo one statement.
    let give_up = |connection: &rusqlite::Connection| {
        connection.execute_batch("ROLLBACK")?;
        Err(StoreError::DiskFull)
    };
    let answers = in_one_group(&store, vec![good, give_up, good]).await;
    assert!(matches!(answers[..], [Err(_), Err(StoreError::DiskFull), Err(_)]), "{answers:?}");
    assert_eq!(muted(&store).await, 0);
    assert!(in_one_group(&store, vec![good]).await[0].is_ok());
    assert_eq!(muted(&store).await, 1);
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_the_store_goes_on_when_there_is_space() {
    let (store, _kept) = fresh();
    let pages = |most: i64| {
        store.writer.change(move |connection| {
            Ok::<_, StoreError>(connection.query_row(
                &format!("PRAGMA max_page_count = {most}"),
                [],
                |row| row.get::<_, i64>(0),
            )?)
        })
    };
    let before = admit(&store, "before").await.unwrap();
    pages(1).await.unwrap();
    let mut problem = None;
    for number in 0..1000 {
        problem = admit(&store, &format!("lamp {number}")).await.err();
        if problem.is_some() {
            break;
        }
    }
    assert!(matches!(problem, Some(StoreError::DiskFull)), "{problem:?}");
    assert!(store.load(before).await.unwrap().is_some());
    assert!(store.counts(START).await.unwrap().pending > 0);
    pages(1_000_000).await.unwrap();
    let after = admit(&store, "after").await.unwrap();
    assert!(store.load(after).await.unwrap().is_some());
    let listed = store.list(Filter::All, None, usize::MAX, START).await.unwrap();
    assert_eq!(store.counts(START).await.unwrap().pending, listed.len() as u64);
}

#[tokio::test]
async fn every_commit_waits_for_the_disk() {
    let (store, _kept) = fresh();
    let pragma = |name: &'static str| {
        store.writer.change(move |connection| {
            Ok::<_, StoreError>(connection.query_row(&format!("PRAGMA {name}"), [], |row| {
                row.get::<_, rusqlite::types::Value>(0)
            })?)
        })
    };
    assert_eq!(pragma("journal_mode").await.unwrap(), "wal".to_owned().into());
    assert_eq!(pragma("synchronous").await.unwrap(), 2.into());
}

/// Tests a file into which its log was being copied when that was interrupted: some pages are new,
/// and the file is shorter than they say.
#[tokio::test]
async fn a_registry_whose_log_was_half_copied_is_whole_with_its_log_and_refused_without_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    drop(SqliteStore::open(&path).unwrap());
    let store = SqliteStore::open(&path).unwrap();
    // An open reader prevents the log from being copied.
    let reader = rusqlite::Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM node").unwrap();
    let before = std::fs::metadata(&path).unwrap().len();
    let nodes: Vec<_> = (0..400).map(|_| crate::conformance::keyed()).collect();
    for node in &nodes {
        store.insert(node.clone(), "{}".to_owned(), START).await.unwrap();
    }
    let log = super::file::beside(&path, "-wal");
    let saved = (std::fs::read(&path).unwrap(), std::fs::read(&log).unwrap());
    assert!(saved.0.len() as u64 == before && saved.1.len() > saved.0.len() / 4);
    reader.execute_batch("COMMIT").unwrap();
    drop((store, reader));
    let whole = std::fs::read(&path).unwrap();
    assert!(whole.len() > saved.0.len());

    for pages in [1, 8, saved.0.len() / 4096] {
        let mut torn = saved.0.clone();
        torn[..pages * 4096].copy_from_slice(&whole[..pages * 4096]);
        std::fs::write(&path, &torn).unwrap();
        std::fs::write(&log, &saved.1).unwrap();
        std::fs::set_permissions(&log, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        let store = SqliteStore::open(&path).unwrap();
        for node in &nodes {
            assert!(store.load(node.node_id).await.unwrap().is_some());
        }
        drop(store);
        std::fs::write(&path, &torn).unwrap();
        let _ = std::fs::remove_file(&log);
        assert!(SqliteStore::open(&path).is_err(), "{pages}");
    }
}

#[tokio::test]
async fn a_full_disk_keeps_neither_a_decision_nor_its_entry_without_the_other() {
    use crate::audit::{Audit as _, Origin, Who};
    use crate::conformance::{START, paired, record};
    use crate::{Filter, Store};

    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(&directory.path().join("handfast.db")).unwrap());
    let by = Arc::clone(&store).by(Origin::new(Who::Operator, START));
    by.insert(record(paired()), "{}".to_owned(), START).await.unwrap();
    // From here on the file may not grow, as on a full disk.
    let pages: Result<(), StoreError> = store
        .writer
        .change(|connection| {
            let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
            connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
            Ok(())
        })
        .await;
    pages.unwrap();
    let (mut done, mut full) = (1, 0);
    for turn in 0..200 {
        let profile = format!("{{\"a\":\"{}\"}}", "x".repeat(turn * 3));
        match by.insert(record(paired()), profile, START).await {
            Ok(()) => done += 1,
            Err(crate::SaveError::Store(StoreError::DiskFull)) => full += 1,
            Err(other) => panic!("{other}"),
        }
        let head = store.audit_head(None).await.unwrap().unwrap();
        let nodes = store.list(Filter::All, None, 1000, START).await.unwrap().len();
        assert_eq!((head.size, nodes), (done, usize::try_from(done).unwrap()));
    }
    assert!(full > 0 && done > 1, "{done} done, {full} found the disk full");
}

#[tokio::test]
async fn the_log_is_only_appended_to() {
    use crate::Store as _;
    use crate::conformance::{START, paired, record};

    let store = SqliteStore::in_memory().unwrap();
    store.insert(record(paired()), "{}".to_owned(), START).await.unwrap();
    for sql in [
        "UPDATE audit SET line = '{}'",
        "DELETE FROM audit",
        "INSERT INTO audit VALUES (2, zeroblob(32), '{}')",
        "INSERT INTO audit VALUES (0, zeroblob(32), '{}')",
        "INSERT OR REPLACE INTO audit VALUES (0, zeroblob(32), '{}')",
    ] {
        let changed: Result<(), StoreError> =
            store.writer.change(move |connection| Ok(connection.execute_batch(sql)?)).await;
        assert!(changed.is_err(), "{sql}");
    }
}
