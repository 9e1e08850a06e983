use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use handfast_store::{HeldStore, SqliteStore};

use super::*;

fn in_file(dir: &Path) -> SetupSettings {
    SetupSettings { key_file: Some(dir.join(KEY_FILE)), ..settings() }
}

async fn at(dir: &Path) -> Gateway {
    gateway_with(MemoryStore::default(), in_file(dir)).await
}

#[tokio::test]
async fn a_key_in_the_registry_is_replaced_there_and_is_the_same_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("handfast.db");
    let first = gateway_with(SqliteStore::open(&path).unwrap(), settings()).await;
    let old = started(&first);
    first.rotate_setup_key(false).await.unwrap();
    let new = started(&first);
    drop(first);
    let second = loop {
        // The store is free once the last task that holds the first gateway has ended.
        match SqliteStore::open(&path) {
            Ok(store) => break gateway_with(store, settings()).await,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let now = second.inner.clock.unix();
    assert!(read(&second, &old, now).is_ok() && read(&second, &new, now).is_ok());
    let later = UnixTime::from_secs(now.as_secs() + 86_402);
    assert_eq!(second.inner.setup.keys.now(later).len(), 1);
    second.rotate_setup_key(true).await.unwrap();
    assert_eq!(read(&second, &new, now).unwrap_err(), NotValid::Signature);
}

#[tokio::test]
async fn a_gateway_takes_the_setup_key_over_that_another_one_has_made() {
    let store = HeldStore::new(Arc::new(MemoryStore::default()));
    let one = gateway_with(store.clone(), settings()).await;
    let other = gateway_with(store, settings()).await;
    let now = one.inner.clock.unix();
    assert!(read(&other, &started(&one), now).is_ok());
    one.rotate_setup_key(true).await.unwrap();
    let new = started(&one);
    assert_eq!(read(&other, &new, now).unwrap_err(), NotValid::Signature);
    let (inner, seal) = (&other.inner, &other.inner.pairing.seal);
    inner.setup.keys.read_again(&*inner.store, seal, now).await.unwrap();
    assert!(read(&other, &new, now).is_ok());
}

#[tokio::test]
async fn after_a_rotation_the_old_key_counts_for_a_day_and_a_restart_makes_it_no_longer() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = at(dir.path()).await;
    let old = started(&gateway);
    gateway.rotate_setup_key(false).await.unwrap();
    let new = started(&gateway);
    let now = gateway.inner.clock.unix();
    assert!(read(&gateway, &old, now).is_ok() && read(&gateway, &new, now).is_ok());
    let mode =
        |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(KEY_FILE), mode(PREVIOUS_KEY_FILE)), (0o600, 0o600));

    let again = at(dir.path()).await;
    assert!(read(&again, &old, now).is_ok() && read(&again, &new, now).is_ok());
    // A day later the old key is invalid, whatever the code says about its time.
    let later = UnixTime::from_secs(now.as_secs() + 86_402);
    assert_eq!(again.inner.setup.keys.now(later).len(), 1);
    assert_eq!(read(&again, &old, now).unwrap_err(), NotValid::Signature);
}

#[tokio::test]
async fn a_stolen_key_is_worth_nothing_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = at(dir.path()).await;
    let old = started(&gateway);
    gateway.rotate_setup_key(false).await.unwrap();
    let between = started(&gateway);
    gateway.rotate_setup_key(true).await.unwrap();
    let now = gateway.inner.clock.unix();
    for stolen in [&old, &between] {
        assert_eq!(read(&gateway, stolen, now).unwrap_err(), NotValid::Signature);
    }
    assert!(!dir.path().join(PREVIOUS_KEY_FILE).exists());
    let again = at(dir.path()).await;
    assert_eq!(read(&again, &between, now).unwrap_err(), NotValid::Signature);
}

#[tokio::test]
async fn a_second_rotation_ends_the_key_before_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = at(dir.path()).await;
    let first = started(&gateway);
    gateway.rotate_setup_key(false).await.unwrap();
    let second = started(&gateway);
    gateway.rotate_setup_key(false).await.unwrap();
    let now = gateway.inner.clock.unix();
    assert_eq!(read(&gateway, &first, now).unwrap_err(), NotValid::Signature);
    assert!(read(&gateway, &second, now).is_ok());
}
