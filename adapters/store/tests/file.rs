//! Valid and invalid files of a registry.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use handfast_core::grant::capability::Held;
use handfast_core::grant::token::TokenHash;
use handfast_core::limits::Limits;
use handfast_core::registry::codes::{Counted, Window};
use handfast_core::registry::record::{Credential, Mode, Standing};
use handfast_store::Vault as _;
use handfast_store::conformance::{START, asking, at, code, grant, here, keyed, pin, record};
use handfast_store::{
    Filter, Listed, Observation, Revoked, SqliteStore, Store, StoreError, StoredCode, Version,
};
use rusqlite::Connection;

fn paired() -> Standing {
    Standing::Paired {
        credential: Credential::Token(TokenHash::from_bytes([7; 32])),
        mode: Mode::SafeChat,
    }
}

async fn everything(store: &SqliteStore) -> Vec<Listed> {
    store.list(Filter::All, None, usize::MAX, START).await.unwrap()
}

/// Changes the file behind the store's back.
fn tamper(path: &Path, sql: &str) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("PRAGMA ignore_check_constraints = ON").unwrap();
    connection.execute_batch(sql).unwrap();
}

/// Returns the reason for which the file is not opened, and checks that nothing in it was changed.
fn refused(path: &Path) -> String {
    let before = std::fs::read(path).unwrap();
    let problem = match SqliteStore::open(path).unwrap_err() {
        StoreError::File { path: named, problem } => {
            assert_eq!(named, path);
            problem
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(std::fs::read(path).unwrap(), before);
    problem
}

#[tokio::test]
async fn reopening_keeps_everything() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    let store = SqliteStore::open(&path).unwrap();
    let limits = Limits::DEFAULT;
    let waiting = store
        .admit(asking("lamp", "192.0.2.1", &limits), r#"{"a":[1]}"#.to_owned(), limits, START)
        .await
        .unwrap()
        .unwrap();
    let imported = record(paired());
    store.insert(imported.clone(), "{}".to_owned(), at(1)).await.unwrap();
    let told = Observation {
        last_seen: at(3),
        occupancy: Some(true),
        noise_level: Some(0.25),
        wake_word_fp: None,
    };
    store.observe(imported.node_id, told).await.unwrap();
    store.save(imported.node_id, Version(1), paired(), at(2)).await.unwrap();
    let (before, counts) = (everything(&store).await, store.counts(START).await.unwrap());
    drop(store);

    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(everything(&store).await, before);
    assert_eq!(store.counts(START).await.unwrap(), counts);
    // The caps and the keys work as before.
    let again = store
        .admit(asking("lamp", "192.0.2.1", &limits), r#"{"a":[1]}"#.to_owned(), limits, START)
        .await
        .unwrap();
    assert_eq!(again, Ok(waiting));
}

#[tokio::test]
async fn reopening_keeps_grants_codes_and_what_is_revoked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    let store = SqliteStore::open(&path).unwrap();
    let (node, window, pin) = (keyed(), Window::open(START, None), pin());
    let (first, second) = (grant(node.node_id), grant(node.node_id));
    store.offer(node.clone(), "{}".to_owned(), None, first.clone(), None, START).await.unwrap();
    store
        .offer(node.clone(), "{}".to_owned(), Some(Version(1)), second, None, START)
        .await
        .unwrap();
    store.revoke(Revoked::Key(node.keys.unwrap().channel), START).await.unwrap();
    store.set_window(window).await.unwrap();
    store.mint(pin.clone(), START).await.unwrap().unwrap();
    store.vault("key", vec![7; 48]).await.unwrap();
    let held = |id| vec![Held { id, by: node.keys.unwrap().channel }];
    let before = (
        store.by_key(&node.keys.unwrap().channel).await.unwrap(),
        store.grants(node.node_id).await.unwrap(),
    );
    drop(store);

    let store = SqliteStore::open(&path).unwrap();
    let after = (
        store.by_key(&node.keys.unwrap().channel).await.unwrap(),
        store.grants(node.node_id).await.unwrap(),
    );
    assert_eq!(after, before);
    assert!(store.is_revoked(held(first.capability.unwrap())).await.unwrap());
    assert_eq!(
        (store.window().await.unwrap(), store.code(pin.id).await.unwrap()),
        (window, Some(pin))
    );
    assert_eq!(store.vault("key", vec![]).await.unwrap(), [7; 48]);
}

/// Returns `true` if any file of the registry holds these bytes.
fn is_on_disk(path: &Path, secret: &[u8]) -> bool {
    // A file that is just being written may have been renamed by now.
    let files = std::fs::read_dir(path.parent().unwrap())
        .unwrap()
        .filter_map(|file| std::fs::read(file.unwrap().path()).ok());
    files.into_iter().any(|file| file.windows(secret.len()).any(|bytes| bytes == secret))
}

#[tokio::test]
async fn the_secret_of_a_dead_code_is_soon_in_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    let store = SqliteStore::open(&path).unwrap();
    store.set_window(Window::open(START, None)).await.unwrap();
    // A short secret, and one that takes pages of its own.
    for (round, length) in [40, 9000].into_iter().enumerate() {
        let now = at(round as u64 * 1000);
        let secret = |seed: u32| {
            let next =
                |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
            std::iter::successors(Some(seed), next)
                .map(|state| (state >> 24) as u8)
                .skip(1)
                .take(length)
                .collect::<Vec<_>>()
        };
        let [spent, withdrawn, replaced, alive] =
            [1, 2, 3, 4].map(|n| StoredCode { sealed: secret(round as u32 * 10 + n), ..pin() });
        for code in [&spent, &withdrawn, &replaced, &alive] {
            let code = StoredCode {
                counted: Counted { expires: at(9000), ..code.counted },
                ..code.clone()
            };
            store.mint(code.clone(), now).await.unwrap().unwrap();
            // While the log is copied into the file, a single look at both may miss the bytes.
            assert!((0..20).any(|_| is_on_disk(&path, &code.sealed[..32])));
        }
        assert!(store.spend(spent.id, here(), now, now).await.unwrap());
        assert!(store.withdraw(withdrawn.id, now).await.unwrap());
        store.mint(code(replaced.counted.kind), now).await.unwrap().unwrap();
        for dead in [spent, withdrawn, replaced] {
            let mut looks = 0;
            while is_on_disk(&path, &dead.sealed[..32]) {
                looks += 1;
                assert!(looks < 500, "a secret of {length} bytes is still there");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
        // The search itself works: a live secret is found.
        assert!(is_on_disk(&path, &alive.sealed[..32]));
    }
}

#[tokio::test]
async fn a_file_that_others_may_read_is_refused_with_what_mends_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    drop(SqliteStore::open(&path).unwrap());
    for mode in [0o640, 0o604, 0o660, 0o610] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let problem = refused(&path);
        assert!(problem.contains(&format!("chmod 600 {}", path.display())), "{problem}");
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    SqliteStore::open(&path).unwrap();
}

#[test]
fn a_registry_of_a_newer_version_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    drop(SqliteStore::open(&path).unwrap());
    tamper(&path, "PRAGMA user_version = 99");
    let problem = refused(&path);
    assert!(problem.contains("newer") && problem.contains("99"), "{problem}");
}

#[test]
fn what_is_no_registry_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, contents: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, contents).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let text = file("text", &b"these are no tables ".repeat(500));
    assert!(refused(&text).contains("not a registry"));

    let others = file("others.db", b"");
    tamper(&others, "CREATE TABLE t (n); INSERT INTO t VALUES (1)");
    assert!(refused(&others).contains("another program"));

    // An empty file is one that was cut short when it was created.
    SqliteStore::open(&file("empty.db", b"")).unwrap();

    let nowhere =
        SqliteStore::open(&directory.path().join("no/such/directory.db")).unwrap_err().to_string();
    assert!(nowhere.contains("no/such/directory.db"), "{nowhere}");
}

#[test]
fn a_second_store_in_the_same_process_is_refused_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    let first = SqliteStore::open(&path).unwrap();
    assert!(refused(&path).contains("has this registry open"));
    drop(first);
    SqliteStore::open(&path).unwrap();
}

/// Returns the number and the id in the mark.
fn mark(path: &Path) -> String {
    std::fs::read_to_string(path.with_extension("generation")).unwrap()
}

fn beside(path: &Path, suffix: &str) -> std::path::PathBuf {
    std::path::PathBuf::from(format!("{}{suffix}", path.display()))
}

#[tokio::test]
async fn a_registry_that_is_older_than_its_mark_is_refused_naming_both_numbers_until_it_is_accepted()
 {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    let copy = directory.path().join("copy");
    let store = SqliteStore::open(&path).unwrap();
    store.insert(record(paired()), "{}".to_owned(), START).await.unwrap();
    drop(store);
    std::fs::copy(&path, &copy).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    for _ in 0..3 {
        store.insert(record(paired()), "{}".to_owned(), START).await.unwrap();
    }
    drop(store);
    assert!(mark(&path).ends_with("number 5\n"), "{}", mark(&path));
    std::fs::copy(&copy, &path).unwrap();
    let problem = refused(&path);
    for part in ["change 2", "change 5", "serve --accept-older-store", "handfast restore"] {
        assert!(problem.contains(part), "{problem}");
    }
    let (store, older) = SqliteStore::open_accepting_older(&path).unwrap();
    assert!(older.unwrap().contains("change 5"));
    assert_eq!(everything(&store).await.len(), 1);
    drop(store);
    // From now on it is the expected one, so accepting it again changes nothing.
    SqliteStore::open(&path).unwrap();
    assert_eq!(SqliteStore::open_accepting_older(&path).unwrap().1, None);
}

#[tokio::test]
async fn another_database_and_one_without_a_mark_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (path, other) = (directory.path().join("handfast.db"), directory.path().join("other.db"));
    for one in [&path, &other] {
        let store = SqliteStore::open(one).unwrap();
        store.insert(record(paired()), "{}".to_owned(), START).await.unwrap();
    }
    std::fs::copy(&other, &path).unwrap();
    let problem = refused(&path);
    assert!(problem.contains("database ") && problem.contains("--accept-older-store"), "{problem}");
    std::fs::remove_file(other.with_extension("generation")).unwrap();
    let problem = refused(&other);
    assert!(problem.contains("missing") && problem.contains("--accept-older-store"), "{problem}");
    // A new database beside the mark of a used one also counts as another one.
    std::fs::remove_file(&path).unwrap();
    std::fs::remove_file(beside(&path, ".lock")).unwrap();
    let problem = SqliteStore::open(&path).unwrap_err().to_string();
    assert!(problem.contains("--accept-older-store"), "{problem}");
}

#[tokio::test]
async fn a_file_that_was_put_back_under_the_log_of_a_newer_one_is_refused_even_where_older_ones_are_accepted()
 {
    let directory = tempfile::tempdir().unwrap();
    let (path, aside) = (directory.path().join("handfast.db"), directory.path().join("aside"));
    std::fs::create_dir(&aside).unwrap();
    drop(SqliteStore::open(&path).unwrap());
    std::fs::copy(&path, aside.join("old")).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    store.insert(record(paired()), "{}".to_owned(), START).await.unwrap();
    // After a quiet time, the log is emptied into the file.
    let log = beside(&path, "-wal");
    let begun = std::time::Instant::now();
    while std::fs::metadata(&log).unwrap().len() > 0 {
        assert!(begun.elapsed().as_secs() < 20, "the log is not emptied");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    store.insert(record(paired()), "{}".to_owned(), START).await.unwrap();
    while !mark(&path).ends_with("number 3\n") {
        assert!(begun.elapsed().as_secs() < 20, "the mark does not follow");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // The state that a crash would leave, but with the old file.
    let crashed = directory.path().join("crashed");
    std::fs::create_dir(&crashed).unwrap();
    let there = crashed.join("handfast.db");
    std::fs::copy(aside.join("old"), &there).unwrap();
    std::fs::copy(&log, beside(&there, "-wal")).unwrap();
    std::fs::copy(path.with_extension("generation"), there.with_extension("generation")).unwrap();
    for outcome in
        [SqliteStore::open(&there).map(drop), SqliteStore::open_accepting_older(&there).map(drop)]
    {
        let problem = outcome.unwrap_err().to_string();
        assert!(problem.contains("handfast.db-wal"), "{problem}");
    }
    std::fs::remove_file(beside(&there, "-wal")).unwrap();
    assert!(SqliteStore::open(&there).unwrap_err().to_string().contains("--accept-older-store"));
    assert!(SqliteStore::open_accepting_older(&there).is_ok());
}

#[test]
fn a_link_in_the_place_of_the_registry_is_refused_naming_its_target_and_the_option() {
    let directory = tempfile::tempdir().unwrap();
    let (home, elsewhere) = (directory.path().join("home"), directory.path().join("elsewhere"));
    for one in [&home, &elsewhere] {
        std::fs::create_dir(one).unwrap();
    }
    drop(SqliteStore::open(&elsewhere.join("handfast.db")).unwrap());
    for target in ["../elsewhere/handfast.db", "nowhere.db"] {
        let link = home.join("handfast.db");
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(target, &link).unwrap();
        let problem = SqliteStore::open(&link).unwrap_err().to_string();
        assert!(problem.contains(target) && problem.contains("--data "), "{problem}");
        assert!(!home.join("nowhere.db").exists());
    }
}

#[tokio::test]
async fn a_backup_of_a_registry_in_use_is_whole_private_and_restorable_and_says_what_it_does_not_know()
 {
    let directory = tempfile::tempdir().unwrap();
    let (path, file) = (directory.path().join("handfast.db"), directory.path().join("backup"));
    let store = SqliteStore::open(&path).unwrap();
    let nodes: Vec<_> = (0..3).map(|_| record(paired())).collect();
    for node in &nodes {
        store.insert(node.clone(), "{}".to_owned(), START).await.unwrap();
    }
    let made = handfast_store::backup(&path, &file).unwrap();
    assert_eq!(
        (made.nodes, std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777),
        (3, 0o600)
    );
    let revoked = Standing::Revoked { cause: handfast_core::registry::record::Cause::Unpaired };
    store.save(nodes[0].node_id, Version(1), revoked, START).await.unwrap();
    store.insert(record(paired()), "{}".to_owned(), START).await.unwrap();
    let running = handfast_store::restore(&file, &path).unwrap_err().to_string();
    assert!(
        running.contains(&format!("process {} has this registry open", std::process::id())),
        "{running}"
    );
    drop(store);

    let restored = handfast_store::restore(&file, &path).unwrap();
    let lost = restored.lost.unwrap();
    assert_eq!(
        (restored.nodes, lost.revoked_nodes, lost.new_nodes, lost.muted_nodes),
        (3, 1, 1, 0)
    );
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(everything(&store).await.len(), 3);
    drop(store);
    // The replaced registry is whole, and no longer the expected one here.
    let replaced = restored.replaced.unwrap();
    std::fs::copy(&replaced, &path).unwrap();
    assert!(refused(&path).contains("database "));
    // On a new machine there is nothing to compare with.
    let elsewhere = directory.path().join("elsewhere.db");
    assert_eq!(handfast_store::restore(&file, &elsewhere).unwrap().lost, None);
    assert_eq!(everything(&SqliteStore::open(&elsewhere).unwrap()).await.len(), 3);
}

#[test]
fn a_backup_goes_over_no_file_that_is_none_and_a_restore_takes_no_file_that_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let (path, file) = (directory.path().join("handfast.db"), directory.path().join("letter"));
    assert!(handfast_store::backup(&path, &file).unwrap_err().to_string().contains("no registry"));
    drop(SqliteStore::open(&path).unwrap());
    std::fs::write(&file, "dear").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(handfast_store::backup(&path, &file).unwrap_err().to_string().contains("letter"));
    assert!(handfast_store::restore(&file, &path).is_err());
    assert_eq!(std::fs::read(&file).unwrap(), b"dear");
    assert!(
        handfast_store::backup(&path, &path).is_err()
            && handfast_store::restore(&path, &path).is_err()
    );
    let backup = directory.path().join("backup");
    for _ in 0..2 {
        handfast_store::backup(&path, &backup).unwrap();
    }
    let spoiled: Vec<u8> = std::fs::read(&backup)
        .unwrap()
        .iter()
        .enumerate()
        .map(|(n, b)| if n > 4096 { !b } else { *b })
        .collect();
    std::fs::write(&backup, spoiled).unwrap();
    assert!(handfast_store::restore(&backup, &path).is_err());
    SqliteStore::open(&path).unwrap();
    let names: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        !names.iter().any(|name| name.ends_with(".new") || name.contains("before")),
        "{names:?}"
    );
}
